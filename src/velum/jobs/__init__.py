"""Jobs that outlive the process that asked for them, and any that works on them.

A `JobQueue` hands them in and watches them, `Worker`s do them by a `JobProcessor`; they meet in a `Database` and a
`Store`.
"""

from velum.jobs.craft import Cancelled, EngineProcessor, JobOutput, JobProcessor, PieceResult, Progress, Task
from velum.jobs.database import Database
from velum.jobs.desk import JobQueue
from velum.jobs.identity import join
from velum.jobs.notices import Notify, http_sender
from velum.jobs.places import open_store
from velum.jobs.store import FolderStore, PutResult, Store, StoreAway, StoredObject
from velum.jobs.sweep import RetentionSweeper
from velum.jobs.uploads import ResumableUpload, Uploads
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
from velum.jobs.worker import Worker

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
