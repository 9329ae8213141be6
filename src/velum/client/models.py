"""Values that the service returns, frozen, and how they are read from JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import quote

from velum.client.errors import failure, printable
from velum.errors import BadInput, Unavailable, VelumError

T = TypeVar("T")


def unexpected_response(reason: str) -> Unavailable:
    """Return the error for a response that is not as documented."""
    return Unavailable(
        f"unexpected response from the service: {printable(reason)}; check the address and the server's version"
    )


def parse_object(text: str | bytes) -> Mapping[str, Any]:
    """Return the JSON object that a text holds. Raises `Unavailable`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unexpected_response(f"invalid JSON ({error})") from error
    return check_object(value)


def check_object(value: Any) -> Mapping[str, Any]:
    """Return a JSON value if it is an object. Raises `Unavailable`."""
    if not isinstance(value, Mapping):
        raise unexpected_response(f"{str(value)[:80]!r} where an object should be")
    return value


def read(kind: type[T], value: Any, **given: Any) -> T:
    """Return a JSON object as a dataclass, whose annotations say the types; `given` are fields that are not in it.

    Fields that nobody reads are ignored: a newer service may send more. Raises `Unavailable` for a missing field or a
    wrong type.
    """
    data, types = check_object(value), _types_of(kind)  # type: ignore[arg-type]  # a class is hashable
    read_fields = {name: _read_field(name, types[name], data.get(name)) for name in types if name not in given}
    return kind(**read_fields, **given)


@lru_cache
def _types_of(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _read_field(name: str, kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is UnionType:
        return None if value is None else _read_field(name, inner[0], value)
    if is_dataclass(kind):
        return read(kind, value)  # type: ignore[arg-type]  # a dataclass itself, not one of its instances
    if origin is tuple and isinstance(value, list):
        return tuple(_read_field(name, inner[0], element) for element in value)
    if origin is Mapping and isinstance(value, Mapping):
        return {printable(str(key)): _read_field(name, inner[1], element) for key, element in value.items()}
    if origin is Literal and value in inner:
        return value
    # In Python, true and false are numbers, too.
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if origin is not None or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise unexpected_response(f"{name} is {str(value)[:80]!r}")
    return printable(value) if isinstance(value, str) else value


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


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload to the service, which has received `offset` bytes."""

    id: str
    offset: int
    size: int | None
    sha256: str | None


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
    corrections_pending: bool = False
    """Whether its regions were corrected after the result was made, so that the result does not show that."""

    @property
    def is_final(self) -> bool:
        """Whether the job has ended: nothing more happens to it unless somebody asks for it."""
        return self.state not in {"waiting", "running"}

    finished = is_final


@dataclass(frozen=True, slots=True)
class TechniqueInfo:
    """A technique: `options` with their defaults, and the `labels` that it can hide, None for all."""

    name: str
    options: Mapping[str, Any]
    labels: tuple[str, ...] | None
    summary: str


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


@dataclass(frozen=True, slots=True)
class LabelInfo:
    """A label, and the models that locate it; `chosen` are those that a rule without a model uses."""

    label: str
    chosen: tuple[str, ...]
    others: tuple[str, ...]


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


def read_job(value: Any) -> Job:
    """Return a job from the service's JSON. Raises `Unavailable` as `read` does."""
    data = check_object(value)
    pieces, frames = check_object(data.get("pieces") or {}), check_object(data.get("frames") or {})
    counts = {
        "corrections_pending": bool(data.get("corrections_pending")),
        "pieces_done": pieces.get("done"), "pieces_total": pieces.get("total"),
        "frames_done": frames.get("done"), "frames_total": frames.get("total"),
    }  # fmt: skip
    error = data.get("error")
    if error is not None:
        error = {**check_object(error), "message": check_object(error).get("message") or ""}
    return read(Job, {**data, **counts, "error": error})


def path_of(job: Job | str) -> str:
    """Return the URL path of a job. Raises `BadInput` for text that is no id."""
    job = job.id if isinstance(job, Job) else job
    if not job or job.startswith("."):
        raise BadInput(f"{job!r} is not a job id; give an id as 'velum jobs list' shows it")
    return f"/v1/jobs/{quote(job, safe='')}"
