"""Values that the service returns, frozen, and how they are read from JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args
from urllib.parse import quote

from velum.client.errors import failure, printable
from velum.errors import BadInput, Unavailable, VelumError

T = TypeVar("T")


class JsonReader:
    """A JSON object of the service, read field by field. Raises `Unavailable` for a missing field or a wrong type.

    Fields that nobody reads are ignored: a newer service may send more.
    """

    def __init__(self, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise odd(f"{str(value)[:80]!r} where an object should be")
        self._value = value

    @classmethod
    def of_text(cls, text: str | bytes) -> Self:
        """Return the object that a text holds."""
        try:
            return cls(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise odd(f"invalid JSON ({error})") from error

    def text(self, name: str) -> str:
        """Return a text, without characters that could do something to a terminal."""
        return printable(self._one(name, str))

    def text_or_none(self, name: str) -> str | None:
        """Return a text; None where there is none."""
        return None if self._value.get(name) is None else self.text(name)

    def whole(self, name: str) -> int:
        """Return a whole number."""
        return self._one(name, int)

    def whole_or_none(self, name: str) -> int | None:
        """Return a whole number; None where there is none."""
        return None if self._value.get(name) is None else self.whole(name)

    def number(self, name: str) -> float:
        """Return a number."""
        return self._one(name, float) if isinstance(self._value.get(name), float) else float(self._one(name, int))

    def number_or_none(self, name: str) -> float | None:
        """Return a number; None where there is none."""
        return None if self._value.get(name) is None else self.number(name)

    def yes(self, name: str) -> bool:
        """Return a truth value."""
        return self._one(name, bool)

    def inner(self, name: str) -> "JsonReader":
        """Return a nested object."""
        return JsonReader(self._value.get(name))

    def all(self, name: str) -> "tuple[JsonReader, ...]":
        """Return the objects of a list."""
        return tuple(map(JsonReader, self._one(name, list)))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a list."""
        return tuple(printable(str(one)) for one in self._one(name, list))

    def values(self, name: str) -> Mapping[str, Any]:
        """Return a nested object as a dictionary."""
        return dict(self.inner(name).json())

    def json(self) -> Mapping[str, Any]:
        """Return the whole object as it was received."""
        return self._value

    def has(self, name: str) -> bool:
        """Return whether a field exists and is not null."""
        return self._value.get(name) is not None

    def _one(self, name: str, kind: type[T]) -> T:
        value = self._value.get(name)
        # In Python, true and false are numbers, too.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise odd(f"{name} is {str(value)[:80]!r}")
        return value


def odd(what: str) -> Unavailable:
    """Return the error for a response that is not as documented."""
    return Unavailable(f"unexpected response from the service: {printable(what)}; check its address and its version")


State = Literal["waiting", "running", "done", "failed", "cancelled", "dead"]
"""State of a job. `failed`: the source or the plan is at fault; `dead`: velum gave up after repeated failures."""

STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class HiddenFile:
    """An image that was hidden at once: the file it was written to, and a summary of its report."""

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
    def read(cls, data: JsonReader, target: Path) -> Self:
        """Return what the service told of a picture."""
        labels = data.inner("labels")
        return cls(
            target, data.whole("hidden"), {printable(one): labels.whole(one) for one in labels.json()},
            data.text("plan"), data.text("format"), data.text("encoding"), data.text_or_none("input_sha256"),
            data.text_or_none("output_sha256"), data.texts("warnings"), data.text("version"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload to the service, which has received `offset` bytes."""

    id: str
    offset: int
    size: int | None
    sha256: str | None

    @classmethod
    def read(cls, data: JsonReader) -> Self:
        """Return what the service told of an upload."""
        return cls(data.text("id"), data.whole("offset"), data.whole_or_none("size"), data.text_or_none("sha256"))


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
    """A job and its progress. Times are epoch seconds; None where a value is not known (yet)."""

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
    """Whether there is a result to download."""
    result_name: str | None
    source_kept: bool
    """Whether the source still exists, so that the job can run again."""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended: nothing more happens to it unless somebody asks for it."""
        return self.state not in {"waiting", "running"}

    finished = is_final

    @classmethod
    def read(cls, data: JsonReader) -> Self:
        """Return what the service told of a job."""
        state = next((one for one in STATES if one == data.text("state")), None)
        if state is None:
            raise odd(f"a job is {data.text('state')[:80]!r}")
        pieces, frames, error = data.inner("pieces"), data.inner("frames"), None
        if data.has("error"):
            why = data.inner("error")
            error = JobFailure(why.text("code"), why.text_or_none("message") or "")
        return cls(
            data.text("id"), state, data.text("name"), data.text("plan"), data.whole("priority"),
            data.number("submitted"), data.number_or_none("started"), data.number_or_none("ended"),
            data.whole("attempts"), pieces.whole("done"), pieces.whole_or_none("total"), frames.whole("done"),
            frames.whole_or_none("total"), data.number_or_none("fps"), data.number_or_none("seconds_left"), error,
            data.yes("result"), data.text_or_none("result_name"), data.yes("source_kept"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TechniqueInfo:
    """A technique: `options` with their defaults, and the `labels` that it can hide, None for all."""

    name: str
    options: Mapping[str, Any]
    labels: tuple[str, ...] | None
    summary: str

    @classmethod
    def read(cls, data: JsonReader) -> Self:
        """Return what the service told of a technique."""
        labels = data.texts("labels") if data.has("labels") else None
        return cls(data.text("name"), data.values("options"), labels, data.text("summary"))


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that plans may name. `here`: the service has its weights and need not download them first."""

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
    def read(cls, data: JsonReader) -> Self:
        """Return what the service told of a model."""
        return cls(
            data.text("name"), data.texts("labels"), data.text("family"), data.number("threshold"),
            data.text("licence"), data.text("good_for"), data.text("not_for"), data.yes("here"), data.yes("default"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LabelInfo:
    """A label, and the models that locate it; `chosen` are those that a rule without a model uses."""

    label: str
    chosen: tuple[str, ...]
    others: tuple[str, ...]

    @classmethod
    def read(cls, data: JsonReader) -> Self:
        """Return what the service told of a label."""
        return cls(data.text("label"), data.texts("chosen"), data.texts("others"))


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule of a named plan: the label, its localizer and its technique."""

    label: str
    locate: str
    hide: str


@dataclass(frozen=True, slots=True)
class NamedPlan:
    """A plan of the service, which requests name."""

    name: str
    digest: str
    rules: tuple[NamedRule, ...]
    metadata: tuple[str, ...]

    @classmethod
    def read(cls, data: JsonReader) -> Self:
        """Return what the service told of a plan."""
        rules = tuple(NamedRule(one.text("label"), one.text("locate"), one.text("hide")) for one in data.all("rules"))
        return cls(data.text("name"), data.text("digest"), rules, data.texts("metadata"))


def path_of(job: Job | str) -> str:
    """Return the URL path of a job. Raises `BadInput` for text that is no id."""
    job = job.id if isinstance(job, Job) else job
    if not job or job.startswith("."):
        raise BadInput(f"{job!r} is no id of a job; give an id as 'velum jobs list' shows it")
    return f"/v1/jobs/{quote(job, safe='')}"
