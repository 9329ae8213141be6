"""Jobs that outlive the process that submitted them, and every process that works on them.

A `JobQueue` submits and watches jobs, a `Worker` runs them with a `JobProcessor`; both meet in a `Database` and a
`Store`.

Each name is imported when it is first used: the process that decodes imports one module of this package, and must not
wait for SQLAlchemy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from velum.jobs.database import Database, join
    from velum.jobs.processor import Cancelled, EngineProcessor, JobOutput, JobProcessor, PieceResult, Progress, Task
    from velum.jobs.queue import JobQueue
    from velum.jobs.retention import RetentionSweeper
    from velum.jobs.values import (
        JobKind,
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
    from velum.storage import PutResult, Store, StoreAway, StoredObject, open_store
    from velum.storage.folder import FolderStore
    from velum.storage.resumable_uploads import ResumableUpload, Uploads

_HOMES = {
    "Cancelled": "velum.jobs.processor",
    "Database": "velum.jobs.database",
    "EngineProcessor": "velum.jobs.processor",
    "FolderStore": "velum.storage.folder",
    "JobKind": "velum.jobs.values",
    "JobListing": "velum.jobs.values",
    "JobOutput": "velum.jobs.processor",
    "JobProcessor": "velum.jobs.processor",
    "JobQueue": "velum.jobs.queue",
    "JobRecord": "velum.jobs.values",
    "Notify": "velum.jobs.webhooks",
    "Piece": "velum.jobs.values",
    "PieceResult": "velum.jobs.processor",
    "Progress": "velum.jobs.processor",
    "PutResult": "velum.storage",
    "RegionsOrigin": "velum.jobs.values",
    "ResumableUpload": "velum.storage.resumable_uploads",
    "Retention": "velum.jobs.values",
    "RetentionSweeper": "velum.jobs.retention",
    "State": "velum.jobs.values",
    "Store": "velum.storage",
    "StoreAway": "velum.storage",
    "StoredObject": "velum.storage",
    "Submission": "velum.jobs.values",
    "SweepResult": "velum.jobs.values",
    "Task": "velum.jobs.processor",
    "Uploads": "velum.storage.resumable_uploads",
    "Worker": "velum.jobs.worker",
    "WorkerTiming": "velum.jobs.values",
    "http_sender": "velum.jobs.webhooks",
    "join": "velum.jobs.database",
    "open_store": "velum.storage",
}

__all__ = [
    "Cancelled",
    "Database",
    "EngineProcessor",
    "FolderStore",
    "JobKind",
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
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'velum.jobs' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
