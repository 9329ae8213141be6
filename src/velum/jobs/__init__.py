"""Jobs that outlive the process that asked for them, and any that works on them.

A `Desk` hands them in and watches them, `Worker`s do them by a `Craft`; they meet in a `Database` and a `Store`.
"""

from velum.jobs.craft import Craft, EngineCraft, Made, Progress, Result, Stopped, Task
from velum.jobs.database import Database
from velum.jobs.desk import Desk
from velum.jobs.identity import join
from velum.jobs.notices import Notify, through
from velum.jobs.places import store_at
from velum.jobs.store import FolderStore, Kept, Store, StoreAway, Stored
from velum.jobs.sweep import Sweeper
from velum.jobs.uploads import Upload, Uploads
from velum.jobs.values import Former, Job, Pace, Page, Piece, Retention, State, Submission, Swept
from velum.jobs.worker import Worker

__all__ = [
    "Craft",
    "Database",
    "Desk",
    "EngineCraft",
    "FolderStore",
    "Former",
    "Job",
    "Kept",
    "Made",
    "Notify",
    "Pace",
    "Page",
    "Piece",
    "Progress",
    "Result",
    "Retention",
    "State",
    "Stopped",
    "Store",
    "StoreAway",
    "Stored",
    "Submission",
    "Sweeper",
    "Swept",
    "Task",
    "Upload",
    "Uploads",
    "Worker",
    "join",
    "store_at",
    "through",
]  # fmt: skip
