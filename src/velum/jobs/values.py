"""Values of jobs: submissions, records, states, times and limits; all frozen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from velum.errors import BadPlan
from velum.plan import Plan
from velum.spec import whole

PRIORITIES = range(-1000, 1001)
"""Priorities that a job may have: higher ones are done first."""


class State(StrEnum):
    """State of a job. `waiting` and `running` jobs go on by themselves; the other states are final.

    `failed`: the source or the plan is at fault. `dead`: velum gave up after as many tries as are allowed.
    """

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    GAVE_UP = "dead"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job unless someone asks for it."""
        return self not in {State.WAITING, State.RUNNING}


class RegionsOrigin(StrEnum):
    """Where the regions came from that an earlier rendering of a job hid."""

    FOUND = "found"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to submit: `source` is the key of a file in the store, `name` the name that the user gave the file.

    `owner` is whoever shares the workers with others, such as the id of an API key. `webhook` is a URL that
    is called when the job ends. `regions` is the key of an annotation file with what to hide; nothing is located.
    Raises `BadPlan` for values that no job can have.
    """

    source: str
    name: str
    plan: Plan
    owner: str = ""
    priority: int = 0
    webhook: str | None = None
    regions: str | None = None

    def __post_init__(self) -> None:
        for name, most in (("name", 255), ("owner", 255), ("webhook", 2000)):
            value = getattr(self, name) or ""
            if len(value) > most or re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", value):
                raise BadPlan(f"{name} {value[:80]!r} is not allowed; it has at most {most} characters, all printable")
        if not whole(self.priority) or self.priority not in PRIORITIES:
            raise BadPlan(
                f"priority is {self.priority!r}; it must be a whole number from {PRIORITIES[0]} to {PRIORITIES[-1]}"
            )


@dataclass(frozen=True, slots=True)
class Once:
    """A request that may be repeated because its answer was lost, and that takes effect once.

    `key` is unique among those of its owner; `digest` is a hash of the whole request.
    """

    owner: str
    key: str
    digest: str


PUBLIC_ERRORS = frozenset({"BadInput", "BadPlan", "LimitExceeded", "NotHidden"})
"""Errors whose messages are for whoever handed a job in: others may tell of places and addresses of the service."""

INTERNAL_ERROR = "internal error; the operator finds the cause with 'velum jobs list'"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One submission and how far it is; times are in epoch seconds.

    Numbers of frames count pages of a picture, too; None where a number is not known (yet). `attempts` counts how often
    a worker took it up. `error` is the name of a class of `velum.errors`, or `Fault` for a fault of velum itself.
    `result` is a key in the store, None when there is none or when it has been deleted after its time.
    """

    id: str
    state: State
    submission: Submission
    submitted: float
    started: float | None = None
    """When a worker took it up last."""
    ended: float | None = None
    attempts: int = 0
    pieces_done: int = 0
    pieces_total: int | None = None
    frames_done: int = 0
    frames_total: int | None = None
    fps: float | None = None
    """Frames a second since it was started last."""
    seconds_left: float | None = None
    error: str | None = None
    message: str | None = None
    result: str | None = None
    result_name: str | None = None
    regions: str | None = None
    """Key in the store of the regions that it hides, as corrected last; None where there are none (any more)."""
    corrections_pending: bool = False
    """True when the regions were corrected since the result was made: it does not hide them as they are now."""
    source_kept: bool = True
    """False when the source has been deleted after its time: it cannot be done again."""

    def to_json(self, *, inner: bool = False) -> dict[str, Any]:
        """Return what its owner may know, as JSON values: no keys of the store.

        What went wrong inside the service, which may tell of its places and addresses, only with `inner`.
        """
        message = self.message if inner or self.error in PUBLIC_ERRORS else INTERNAL_ERROR
        return {
            "id": self.id, "state": self.state.value, "name": self.submission.name,
            "plan": self.submission.plan.digest, "priority": self.submission.priority,
            "submitted": self.submitted, "started": self.started, "ended": self.ended, "attempts": self.attempts,
            "pieces": {"done": self.pieces_done, "total": self.pieces_total},
            "frames": {"done": self.frames_done, "total": self.frames_total},
            "fps": self.fps, "seconds_left": self.seconds_left,
            "error": None if self.error is None else {"code": self.error, "message": message},
            "result": self.result is not None, "result_name": self.result_name, "regions": self.regions is not None,
            "corrections_pending": self.corrections_pending, "source_kept": self.source_kept,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobListing:
    """Some jobs of a list, newest first. `after` is given to `JobQueue.list` for the next page; None at the end."""

    jobs: tuple[JobRecord, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what jobs leave behind is kept, in seconds after their end. 0 deletes it as soon as they end."""

    originals_seconds: float = 3600.0
    """Sources, regions that came with them, and the pieces that videos are made of."""
    results_seconds: float = 7 * 86400.0
    jobs_seconds: float = 30 * 86400.0
    """Everything: the record of the job, its report, and what is still there of its files."""
    unclaimed_seconds: float = 86400.0
    """Files that belong to no job: uploads that nobody used, leftovers of crashes. Counted from their last change."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            if not getattr(self, limit.name) >= 0:
                raise BadPlan(f"{limit.name} is {getattr(self, limit.name)!r}; it must be a number of at least 0")


LONGEST_PAUSE_SECONDS = 600.0
"""Before a job is tried again."""


@dataclass(frozen=True, slots=True)
class WorkerTiming:
    """Intervals, time limits and numbers of tries of a worker; times in seconds."""

    poll_seconds: float = 0.5
    """How often a free worker looks for a job, and a busy one whether its job was cancelled."""
    beat_seconds: float = 5.0
    """Time between two heartbeats of a worker."""
    dead_seconds: float = 30.0
    """After how long without a heartbeat a worker is considered dead, and its jobs are given to others."""
    drain_seconds: float = 20.0
    """How long running pieces may take to finish after a worker is asked to stop."""
    tries: int = 4
    """How often a job is tried where something is unavailable or its result cannot be written."""
    backoff_seconds: float = 5.0
    """Pause before the second try; it doubles with each further one."""
    worker_crashes: int = 10
    """How many workers may die over a job without one more piece of it being finished."""

    def pause(self, failures: int) -> float:
        """Return how long to wait after that many failures in a row, at most ten minutes."""
        return min(float(self.backoff_seconds * 2 ** min(failures - 1, 20)), LONGEST_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a job that is done at a time, kept when it is finished. `frames` is None where it is not known.

    `label` is whatever the craft that cut the job says of it to itself.
    """

    index: int
    label: str = ""
    frames: int | None = None


NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep deleted, in files (`jobs`: records)."""

    originals: int = 0
    results: int = 0
    jobs: int = 0
    unclaimed: int = 0
    temporary: int = 0
    failed: tuple[str, ...] = field(default=())
    """Why some could not be deleted; they are tried again by the next sweep."""
