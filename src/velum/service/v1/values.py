"""The JSON of jobs and uploads, as the interface's document describes it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from velum.jobs.values import PRIORITIES

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$", examples=["9f" * 32])]


class UploadRequest(BaseModel):
    """What is known of a file before it is sent."""

    model_config = ConfigDict(extra="forbid")

    size: Annotated[StrictInt, Field(ge=0, le=1 << 62, examples=[1048576])] | None = None
    """Bytes that will come."""
    sha256: Sha256 | None = None
    """SHA-256 of them all; a job is refused when it is another."""


class UploadState(BaseModel):
    """A file on its way."""

    id: str = Field(examples=["5f2b" * 8])
    offset: int = Field(examples=[524288])
    """Bytes that are here: the next ones go there."""
    size: int | None = Field(examples=[1048576])
    sha256: str | None = Field(examples=["9f" * 32])


class JobRequest(BaseModel):
    """What is to be done."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"upload": "5f2b" * 8, "name": "street.mp4", "plan": "street"}]},
    )

    upload: Annotated[str, Field(max_length=64)] | None = None
    """An upload that is complete; the job takes it over."""
    url: Annotated[str, Field(max_length=2000)] | None = None
    """Where the source is, instead of an upload, where the operator allows that."""
    name: Annotated[str, Field(max_length=255, examples=["street.mp4"])] | None = None
    """What to call it: the result is named after it."""
    plan: dict[str, Any] | Annotated[str, Field(max_length=100)] | None = None
    """A plan, or the name of one of `/v1/plans`. Left out: faces are blackened."""
    priority: Annotated[StrictInt, Field(ge=PRIORITIES[0], le=PRIORITIES[-1])] = 0
    """Higher ones are done first; above 0 takes the scope operate."""
    webhook: Annotated[str, Field(max_length=2000)] | None = None
    """An address that is told the end, where the operator allows that."""
    regions: Annotated[str, Field(max_length=64)] | None = None
    """An upload of a file of regions: these are hidden, and nothing is looked for. Takes the scope review."""


class Count(BaseModel):
    """How many are done, of how many; null where that is not known yet."""

    done: int = Field(examples=[750])
    total: int | None = Field(examples=[1500])


class Failure(BaseModel):
    """Why it failed."""

    code: str = Field(examples=["BadInput"])
    message: str | None


class JobState(BaseModel):
    """A job, and how far it is. Times are seconds of the epoch."""

    id: str = Field(examples=["018f3c" + "ab" * 13])
    state: Literal["waiting", "running", "done", "failed", "cancelled", "dead"]
    name: str = Field(examples=["street.mp4"])
    plan: str = Field(examples=["9f" * 32])
    """Digest of the plan."""
    priority: int
    submitted: float
    started: float | None
    ended: float | None
    attempts: int
    pieces: Count
    frames: Count
    fps: float | None = Field(examples=[61.5])
    seconds_left: float | None = Field(examples=[12.2])
    error: Failure | None
    result: bool
    """Whether there is a result to be fetched."""
    result_name: str | None = Field(examples=["street.hidden.mp4"])
    regions: bool
    """Whether there are regions that can be looked at and corrected."""
    corrections_pending: bool
    """Whether the regions were corrected since the result was made: render hides them as they are now."""
    source_kept: bool
    """Whether the source is still here: without it, it cannot be done again."""


class JobPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobState]
    after: str | None
    """Give it as `after` for the next page; null at the end."""
