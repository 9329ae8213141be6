"""What the service tells, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from velum.client.errors import failure, printable
from velum.client.parsing import JsonReader, odd
from velum.errors import VelumError

State = Literal["waiting", "running", "done", "failed", "cancelled", "dead"]
"""Where a job is. `failed` is the fault of the source or the plan, `dead` that of the surroundings."""

STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class HiddenFile:
    """A picture in which everything is hidden that was asked for: where it is now, and its report in short."""

    target: Path
    hidden: int
    """Regions that were hidden."""
    labels: Mapping[str, int]
    """How many of each label."""
    plan: str
    """Digest of the plan."""
    format: str
    encoding: str
    input_sha256: str | None
    output_sha256: str | None
    warnings: tuple[str, ...]
    version: str

    @classmethod
    def read(cls, told: JsonReader, target: Path) -> Self:
        """Return what the service told of a picture."""
        labels = told.inner("labels")
        return cls(
            target, told.whole("hidden"), {printable(one): labels.whole(one) for one in labels.json()},
            told.text("plan"), told.text("format"), told.text("encoding"), told.text_or_none("input_sha256"),
            told.text_or_none("output_sha256"), told.texts("warnings"), told.text("version"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way to the service: `offset` bytes are there."""

    id: str
    offset: int
    size: int | None
    sha256: str | None

    @classmethod
    def read(cls, told: JsonReader) -> Self:
        """Return what the service told of an upload."""
        return cls(told.text("id"), told.whole("offset"), told.whole_or_none("size"), told.text_or_none("sha256"))


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job failed: the name of an error of velum, and its text."""

    code: str
    message: str

    @property
    def error(self) -> VelumError:
        """The error itself."""
        return failure(self.code, self.message)


@dataclass(frozen=True, slots=True)
class Job:
    """A job, and how far it is. Times are seconds of the epoch; None where something is not known (yet)."""

    id: str
    state: State
    name: str
    plan: str
    """Digest of the plan."""
    priority: int
    submitted: float
    started: float | None
    ended: float | None
    attempts: int
    pieces_done: int
    pieces_total: int | None
    frames_done: int
    frames_total: int | None
    fps: float | None
    seconds_left: float | None
    error: JobFailure | None
    result: bool
    """Whether there is a result to be fetched."""
    result_name: str | None
    source_kept: bool
    """Whether it can be done again."""

    @property
    def finished(self) -> bool:
        """Whether nothing more happens unless someone asks for it."""
        return self.state not in {"waiting", "running"}

    @classmethod
    def read(cls, told: JsonReader) -> Self:
        """Return what the service told of a job."""
        state = next((one for one in STATES if one == told.text("state")), None)
        if state is None:
            raise odd(f"a job is {told.text('state')[:80]!r}")
        pieces, frames, error = told.inner("pieces"), told.inner("frames"), None
        if told.given("error"):
            why = told.inner("error")
            error = JobFailure(why.text("code"), why.text_or_none("message") or "")
        return cls(
            told.text("id"), state, told.text("name"), told.text("plan"), told.whole("priority"),
            told.number("submitted"), told.number_or_none("started"), told.number_or_none("ended"),
            told.whole("attempts"), pieces.whole("done"), pieces.whole_or_none("total"), frames.whole("done"),
            frames.whole_or_none("total"), told.number_or_none("fps"), told.number_or_none("seconds_left"), error,
            told.yes("result"), told.text_or_none("result_name"), told.yes("source_kept"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TechniqueInfo:
    """A way to hide. `options` with their defaults; `labels` are those it can hide, None for all."""

    name: str
    options: Mapping[str, Any]
    labels: tuple[str, ...] | None
    summary: str

    @classmethod
    def read(cls, told: JsonReader) -> Self:
        """Return what the service told of a technique."""
        labels = told.texts("labels") if told.given("labels") else None
        return cls(told.text("name"), told.values("options"), labels, told.text("summary"))


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that plans may name. `here`: the service need not fetch it first."""

    name: str
    labels: tuple[str, ...]
    family: str
    threshold: float
    licence: str
    good_for: str
    not_for: str
    here: bool
    default: bool

    @classmethod
    def read(cls, told: JsonReader) -> Self:
        """Return what the service told of a model."""
        return cls(
            told.text("name"), told.texts("labels"), told.text("family"), told.number("threshold"),
            told.text("licence"), told.text("good_for"), told.text("not_for"), told.yes("here"), told.yes("default"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LabelInfo:
    """What can be found, and by which models; `chosen` are used where nobody names any."""

    label: str
    chosen: tuple[str, ...]
    others: tuple[str, ...]

    @classmethod
    def read(cls, told: JsonReader) -> Self:
        """Return what the service told of a label."""
        return cls(told.text("label"), told.texts("chosen"), told.texts("others"))


@dataclass(frozen=True, slots=True)
class NamedRule:
    """What a rule of a plan of the operator hides, by the names of what finds and hides it."""

    label: str
    locate: str
    hide: str


@dataclass(frozen=True, slots=True)
class NamedPlan:
    """A plan that the operator keeps: requests give its name."""

    name: str
    digest: str
    rules: tuple[NamedRule, ...]
    metadata: tuple[str, ...]

    @classmethod
    def read(cls, told: JsonReader) -> Self:
        """Return what the service told of a plan."""
        rules = tuple(NamedRule(one.text("label"), one.text("locate"), one.text("hide")) for one in told.all("rules"))
        return cls(told.text("name"), told.text("digest"), rules, told.texts("metadata"))
