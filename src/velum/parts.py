"""Finds a localizer, a technique, a check or a network that compares faces by its name in a plan, and makes it.

Parts are found by entry point, in the groups of `Group`; velum's own parts are found in the same way. A part is loaded
only when a plan names it.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from velum.errors import BadPlan, PluginFault, Unavailable, VelumError
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec

Group = Literal["velum.localizers", "velum.techniques", "velum.checks", "velum.embeddings"]


def names(group: Group, host: RuntimeConfig | None = None) -> list[str]:
    """Return the names of the parts that are installed or embedded in `host`, sorted."""
    return sorted({*_installed_parts(group), *_embedded_parts(group, host)})


def make(group: Group, spec: PartSpec, host: RuntimeConfig) -> Any:
    """Make the part of a spec, with its options.

    Raises `BadPlan` for an unknown name or option, `Unavailable` when the part's libraries are not installed and
    `PluginFault` when its constructor fails.
    """
    kind = _kind(group)
    factory = load(group, spec.name, host)
    options = _check_options(factory, spec, kind)
    if "host" in inspect.signature(factory).parameters:
        options["host"] = host
    try:
        return factory(**options)
    except VelumError:
        raise
    except Exception as error:
        raise PluginFault(f"{kind} {spec} could not be made: {type(error).__name__}: {error}") from error


def load(group: Group, name: str, host: RuntimeConfig | None = None) -> Callable[..., Any]:
    """Return the part's class or factory. Raises as `make` does."""
    kind, embedded, points = _kind(group), _embedded_parts(group, host), _installed_parts(group).get(name, ())
    sources = [*(["the embedding program"] if name in embedded else []), *(point.value for point in points)]
    if not sources:
        raise BadPlan(f"{kind} {name!r} is unknown; installed are {', '.join(names(group, host))}")
    if len(sources) > 1:
        raise PluginFault(
            f"{kind} {name!r} is registered {len(sources)} times: {', '.join(sources)}; remove all but one"
        )
    return embedded[name] if name in embedded else _load(points[0], kind)


def options_of(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the options that a part takes in a plan, by name. A parameter `from_` is the option `from`."""
    parameters = inspect.signature(factory).parameters
    return {name.removesuffix("_"): parameter for name, parameter in parameters.items() if name != "host"}


def _kind(group: Group) -> str:
    return group.removeprefix("velum.").removesuffix("s")


def _embedded_parts(group: Group, host: RuntimeConfig | None) -> Mapping[str, Callable[..., Any]]:
    if host is None:
        return {}
    embedded = {
        "velum.localizers": host.localizers, "velum.techniques": host.techniques, "velum.embeddings": host.embeddings,
    }  # fmt: skip
    return embedded.get(group, {})


@cache
def _installed_parts(group: Group) -> dict[str, tuple[EntryPoint, ...]]:
    installed: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=group):
        # One installation can be listed twice (a path twice on sys.path): equal values are one part.
        installed.setdefault(point.name, {})[point.value] = point
    return {name: tuple(points.values()) for name, points in installed.items()}


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


def _check_options(factory: Callable[..., Any], spec: PartSpec, kind: str) -> dict[str, Any]:
    """Return the options by parameter name. Raises `BadPlan` for an unknown one, or one of the wrong type."""
    parameters = options_of(factory)
    unknown = sorted(spec.options.keys() - parameters.keys())
    if unknown:
        allowed = ", ".join(parameters) or "none"
        raise BadPlan(f"{kind} {spec.name} has no option {', '.join(unknown)}; it has {allowed}")
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in spec.options]
    if missing:
        raise BadPlan(f"{kind} {spec.name} needs {', '.join(missing)}; write {spec.name}({missing[0]}=...)")
    hints = typing.get_type_hints(factory if inspect.isroutine(factory) else factory.__init__)
    for name, value in spec.options.items():
        hint = hints.get(parameters[name].name, Any)
        if hint is not Any and not _has_type(value, hint):
            raise BadPlan(f"option {name} of {kind} {spec.name} is {value!r}; it must be {_spell(hint)}")
    return {parameters[name].name: value for name, value in spec.options.items()}


def _has_type(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in inner
    if origin in {typing.Union, types.UnionType}:
        return any(_has_type(value, option) for option in inner)
    if origin is tuple:
        kinds = inner[:1] * len(value) if isinstance(value, tuple) and inner[1:] == (...,) else inner
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_has_type, value, kinds))
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


def check_option(option: str, value: float, lowest: float, highest: float, name: str) -> None:
    """Raise `BadPlan` when an option's value is out of range; `name` is the part or model it belongs to."""
    if not lowest <= value <= highest:
        raise BadPlan(f"{option} of {name} is {value!r}; it must be from {lowest:g} to {highest:g}")
