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
"""Priorities that a job may have; jobs with a higher one run first."""


class State(StrEnum):
    """State of a job. `waiting` and `running` change by themselves; the other states are final.

    `failed`: the source or the plan is at fault. `dead` (`GAVE_UP`): velum gave up after all allowed tries.
    """

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    GAVE_UP = "dead"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended: nothing more happens unless a user asks for it."""
        return self not in {State.WAITING, State.RUNNING}


class JobKind(StrEnum):
    """What a job does: hide regions in its source, or train a model from the labels in it."""

    HIDE = "hide"
    TRAIN = "train"


class RegionsOrigin(StrEnum):
    """Origin of the regions that an earlier rendering of a job hid."""

    FOUND = "found"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to submit: `source` is the key of a file in the store, `name` the name that the user gave the file.

    `owner` identifies the user for fair scheduling, such as the id of an API key. `webhook` is a URL that is called
    when the job ends. `regions` is the key of an annotation file with the regions to hide; then no localizer runs.
    Raises `BadPlan` for values that no job can have.
    """

    source: str
    name: str
    plan: Plan
    owner: str = ""
    priority: int = 0
    webhook: str | None = None
    regions: str | None = None
    kind: JobKind = JobKind.HIDE

    @property
    def photo_keys(self) -> tuple[str, ...]:
        """Keys of the photos of people that the plan names, and that are in the store."""
        return () if self.plan.people is None else self.plan.people.stored_keys

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all files in the store that the job needs."""
        return tuple(key for key in (self.source, self.regions, *self.photo_keys) if key is not None)

    def __post_init__(self) -> None:
        for name, most in (("name", 255), ("owner", 255), ("webhook", 2000)):
            value = getattr(self, name) or ""
            if len(value) > most or re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", value):
                raise BadPlan(
                    f"{name} {value[:80]!r} is not allowed; it must have at most {most} characters, all printable"
                )
        if not whole(self.priority) or self.priority not in PRIORITIES:
            raise BadPlan(
                f"priority is {self.priority!r}; it must be a whole number from {PRIORITIES[0]} to {PRIORITIES[-1]}"
            )


@dataclass(frozen=True, slots=True)
class Once:
    """A request that takes effect once, although the client may repeat it when it has lost the answer.

    `key` is the idempotency key, unique for each owner; `digest` is a hash of the whole request.
    """

    owner: str
    key: str
    digest: str


PUBLIC_ERRORS = frozenset({"BadInput", "BadPlan", "LimitExceeded", "NotHidden"})
"""Errors whose messages the owner of a job may read; others may contain paths and addresses of the service."""

INTERNAL_ERROR = "internal error; the operator finds the cause with 'velum jobs list'"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """The record of a job: its submission, state and progress. Times are in epoch seconds.

    Pages of an image count as frames; numbers are None while unknown. `attempts` counts how often workers claimed the
    job. `error` is the name of a class of `velum.errors`, or `Fault` for a fault of velum itself. `result` is a key of
    the store; None when there is no result or when it has been deleted after its retention time.
    """

    id: str
    state: State
    submission: Submission
    submitted: float
    started: float | None = None
    """When a worker claimed the job last."""
    ended: float | None = None
    attempts: int = 0
    pieces_done: int = 0
    pieces_total: int | None = None
    frames_done: int = 0
    frames_total: int | None = None
    fps: float | None = None
    """Frames per second since the job was claimed last."""
    seconds_left: float | None = None
    error: str | None = None
    message: str | None = None
    result: str | None = None
    result_name: str | None = None
    regions: str | None = None
    """Key in the store of the annotation file with its regions, as last corrected; None when there is none."""
    corrections_pending: bool = False
    """True when the regions were corrected after the result was rendered, so that it does not show the corrections."""
    source_kept: bool = True
    """False when the source has been deleted after its retention time, so that the job cannot run again."""
    keep_until: float | None = None
    """Until when the source is kept, where a person or an approval has said so; None: for its retention time."""
    drafted: float | None = None
    """When a draft with corrections was saved that is not applied yet; None where there is none."""

    def to_json(self, *, inner: bool = False) -> dict[str, Any]:
        """Return what the owner of the job may know, as JSON values, without keys of the store.

        Messages of internal errors, which may contain paths and addresses of the service, are included only with
        `inner`.
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
    """A page of jobs, newest first. Pass `after` to `JobQueue.list` for the next page; None on the last one."""

    jobs: tuple[JobRecord, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention times of files and records, in seconds after the end of their job. 0 deletes them when the job ends."""

    originals_seconds: float = 86400.0
    """Sources, annotation files submitted with them, and the pieces of videos; no longer than until approval."""
    results_seconds: float = 7 * 86400.0
    jobs_seconds: float = 30 * 86400.0
    """The record of the job, its report, and all of its remaining files."""
    unclaimed_seconds: float = 86400.0
    """Files that belong to no job: unused uploads, leftovers of crashes. Counted from their last change."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            if not getattr(self, limit.name) >= 0:
                raise BadPlan(f"{limit.name} is {getattr(self, limit.name)!r}; it must be a number of at least 0")


LONGEST_PAUSE_SECONDS = 600.0
"""Longest pause before a job is tried again."""


@dataclass(frozen=True, slots=True)
class WorkerTiming:
    """Intervals, time limits and numbers of tries of a worker; times in seconds."""

    poll_seconds: float = 0.5
    """How often an idle worker looks for a job, and a busy one looks whether its job was cancelled."""
    beat_seconds: float = 5.0
    """Time between two heartbeats of a worker."""
    dead_seconds: float = 30.0
    """Time without a heartbeat after which a worker counts as dead; other workers then get its jobs."""
    drain_seconds: float = 20.0
    """Time that running pieces have to finish after the worker was asked to stop."""
    tries: int = 4
    """How often a job is tried when something is unavailable or its result cannot be written."""
    backoff_seconds: float = 5.0
    """Pause before the second try; it doubles with each further try."""
    worker_crashes: int = 10
    """How many workers may die in a row while they run a job, without finishing a piece of it."""

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after that many failures in a row, at most ten minutes."""
        return min(float(self.backoff_seconds * 2 ** min(failures - 1, 20)), LONGEST_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a job, such as a segment of a video. A finished piece is stored. `frames` is None where unknown.

    `label` is for the processor that cut the job; the queue does not interpret it.
    """

    index: int
    label: str = ""
    frames: int | None = None


NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Numbers of files that a sweep deleted (`jobs`: of records)."""

    originals: int = 0
    results: int = 0
    jobs: int = 0
    unclaimed: int = 0
    temporary: int = 0
    failed: tuple[str, ...] = field(default=())
    """Why some files could not be deleted; the next sweep tries again."""
