"""Jobs that outlive the process that asked for them, and any that works on them.

A `JobQueue` hands them in and watches them, `Worker`s do them by a `JobProcessor`; they meet in a `Database` and a
`Store`.
"""

from velum.jobs.processor import Cancelled, EngineProcessor, JobOutput, JobProcessor, PieceResult, Progress, Task
from velum.jobs.queue import JobQueue
from velum.jobs.retention import RetentionSweeper
from velum.jobs.schema import Database
from velum.jobs.store_identity import join
from velum.jobs.values import (
    JobListing,
    JobRecord,
    Piece,
    RegionsOrigin,
    Retention,
    State,
    Submission,
    SweepResult,
    WorkerTiming,
)
from velum.jobs.webhooks import Notify, http_sender
from velum.jobs.worker import Worker
from velum.storage import open_store
from velum.storage.folder import FolderStore, PutResult, Store, StoreAway, StoredObject
from velum.storage.resumable_uploads import ResumableUpload, Uploads

__all__ = [
    "Cancelled",
    "Database",
    "EngineProcessor",
    "FolderStore",
    "JobListing",
    "JobOutput",
    "JobProcessor",
    "JobQueue",
    "JobRecord",
    "Notify",
    "Piece",
    "PieceResult",
    "Progress",
    "PutResult",
    "RegionsOrigin",
    "ResumableUpload",
    "Retention",
    "RetentionSweeper",
    "State",
    "Store",
    "StoreAway",
    "StoredObject",
    "Submission",
    "SweepResult",
    "Task",
    "Uploads",
    "Worker",
    "WorkerTiming",
    "http_sender",
    "join",
    "open_store",
]  # fmt: skip
