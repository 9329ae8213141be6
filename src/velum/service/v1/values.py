"""JSON models of jobs, uploads and trainings, for requests, responses and the OpenAPI document."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from velum.jobs.values import PRIORITIES

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$", examples=["9f" * 32])]


Photos = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=100)],
        Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=10)],
    ],
    Field(min_length=1, max_length=10, examples=[{"Anna": ["5f2b" * 8]}]),
]


class UploadRequest(BaseModel):
    """What a client announces of a file before it sends it."""

    model_config = ConfigDict(extra="forbid")

    size: Annotated[StrictInt, Field(ge=0, le=1 << 62, examples=[1048576])] | None = None
    """Size in bytes."""
    sha256: Sha256 | None = None
    """SHA-256 of the whole file; a job is refused when it differs."""


class UploadState(BaseModel):
    """State of an upload."""

    id: str = Field(examples=["5f2b" * 8])
    offset: int = Field(examples=[524288])
    """Bytes that have arrived, and so the offset of the next ones."""
    size: int | None = Field(examples=[1048576])
    sha256: str | None = Field(examples=["9f" * 32])


class JobRequest(BaseModel):
    """Body of a request for a new job."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"upload": "5f2b" * 8, "name": "street.mp4", "plan": "street"}]},
    )

    upload: Annotated[str, Field(max_length=64)] | None = None
    """Id of a complete upload; the job takes the file over."""
    url: Annotated[str, Field(max_length=2000)] | None = None
    """URL of the source instead of an upload, where the operator allows it."""
    name: Annotated[str, Field(max_length=255, examples=["street.mp4"])] | None = None
    """File name of the source, after which the result is named."""
    plan: dict[str, Any] | Annotated[str, Field(max_length=100)] | None = None
    """A plan, or the name of one of `/v1/plans`. Omitted: faces are blackened."""
    priority: Annotated[StrictInt, Field(ge=PRIORITIES[0], le=PRIORITIES[-1])] = 0
    """Higher priorities run first; above 0 takes the scope operate."""
    webhook: Annotated[str, Field(max_length=2000)] | None = None
    """URL that is notified when the job ends, where the operator allows it."""
    regions: Annotated[str, Field(max_length=64)] | None = None
    """Id of an upload with an annotation file: its regions are hidden, nothing is located. Takes the scope review."""
    keep_person: Photos | None = None
    """People who stay visible, by names of your choice: the ids of uploads with one or more photos of each.

    Everybody else is hidden, also who cannot be recognised for sure. Each job keeps its own copy of the photos, as long
    as its source; the uploads stay. Where the operator allows it: these are biometric data (GDPR article 9).
    """
    only_person: Photos | None = None
    """People who alone are hidden, in the same way; faces in doubt are hidden, too."""


class DraftRequest(BaseModel):
    """Corrections and decisions that a reviewer has not applied yet."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[StrictInt, Field(ge=0, le=1 << 62, examples=[0])]
    """Version of the draft that this one replaces; 0 where there is none."""
    edited: bool
    """Whether it has corrections that the result lacks."""
    body: dict[str, Any]
    """State of the page, by which it continues; the service does not interpret it."""


class DraftState(BaseModel):
    """A draft as it is saved."""

    version: int = Field(examples=[17900000000])
    who: str = Field(examples=["alice"])
    at: float
    body: dict[str, Any]


class Count(BaseModel):
    """Number of finished items, and their total; null where the total is not known yet."""

    done: int = Field(examples=[750])
    total: int | None = Field(examples=[1500])


class Failure(BaseModel):
    """Why the job failed."""

    code: str = Field(examples=["BadInput"])
    message: str | None


class JobState(BaseModel):
    """A job and its progress. Times are epoch seconds."""

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
    """Whether there is a result to fetch."""
    result_name: str | None = Field(examples=["street.hidden.mp4"])
    regions: bool
    """Whether there are regions to fetch and correct."""
    corrections_pending: bool
    """Whether regions were corrected since the result was rendered; render applies them."""
    source_kept: bool
    """Whether the source still exists; the job cannot run again without it."""
    source_until: float | None = Field(examples=[1790000000.0])
    """When the source is deleted; null before the job has ended, and once it is deleted."""
    result_until: float | None = Field(examples=[1790500000.0])
    """When the result is deleted; null where there is none."""
    drafted: float | None = Field(examples=[None])
    """When a draft with corrections was saved that are not applied yet; null where there is none."""
    owner: str = Field(examples=["alice"])
    """Who submitted it; empty where nobody is asked for a key."""
    audio: Literal["copy", "drop", "silence", "speech-mute", "voice"]
    """What is done with the audio of a video."""


class JobPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobState]
    after: str | None
    """Send it as `after` for the next page; null on the last one."""


class TrainRequest(BaseModel):
    """Body of a request for a training."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "helmet", "seconds": 600}]})

    name: Annotated[str, Field(min_length=1, max_length=64, examples=["helmet"])]
    """Name of the model; where you have one of that name, the new one is compared with it."""
    truth: Annotated[str, Field(max_length=4000)] | None = None
    """Labels, a file or folder in one of the operator's folders. Omitted: the results that people have approved."""
    media: Annotated[str, Field(max_length=4000)] | None = None
    """Folder of the pictures, in one of the operator's folders. For approved results: where the service has deleted its
    copies."""
    labels: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)] = []
    """Labels to learn; omitted: all in the truth."""
    task: Literal["detect", "segment"] = "detect"
    base: Annotated[str, Field(max_length=100, examples=["centerface"])] | None = None
    """Model of the catalogue to start from; omitted: the usual one of the task."""
    seconds: Annotated[float, Field(ge=1)] = 600
    """Time budget of the steps."""
    recall: Annotated[float, Field(ge=0.01, le=1)] = 0.95
    group: Annotated[str, Field(max_length=200)] | None = None
    """Regular expression: names with the same match belong together when pictures are held out."""
    side: Annotated[int, Field(ge=96, le=1024, multiple_of=32)] = 288
    """Side of a crop in pixels."""


class TrainingEntry(BaseModel):
    """A training and its progress. Times are epoch seconds."""

    id: str = Field(examples=["018f3c" + "ab" * 13])
    name: str = Field(examples=["helmet"])
    state: Literal["waiting", "running", "done", "failed", "cancelled", "dead"]
    owner: str
    submitted: float
    started: float | None
    ended: float | None
    error: dict[str, Any] | None
    report: dict[str, Any] | None
    """While it runs: phase, step, share, loss, score and seconds_left. Then: figures of the model, `compared` with the
    present one on the same held-out pictures, and `looks`, the course of the training."""
    result: bool
    """Whether there is a model to switch to, and to fetch."""
    present: bool
    """Whether its model is the present one of that name."""
    retryable: bool
    """Whether it can go on from its last state."""


class TrainingList(BaseModel):
    """Trainings, newest first, and what can be trained here."""

    trainings: list[TrainingEntry]
    needs: str | None
    """What is missing to train here; null where nothing is."""
    bases: dict[str, list[str]] = Field(examples=[{"detect": ["centerface"], "segment": ["pp-humanseg"]}])
    """Models to start from, by task, the usual one first."""
    folders: list[str]
    """Folders in which labels and pictures may lie."""
    most_seconds: float


class ModelVersion(BaseModel):
    """The present version of a model, and the former one."""

    name: str = Field(examples=["helmet"])
    present: str = Field(examples=["sha256:" + "9f" * 32])
    former: str | None = Field(examples=["sha256:" + "8e" * 32])
