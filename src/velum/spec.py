"""Specs of parts in plans: `name(option=value)`, read as literals only; nothing is ever run."""

import ast
import keyword
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from velum.errors import BadPlan

Scalar = str | int | float | bool | None
Option = Scalar | tuple["Option", ...]
"""Value of an option: a literal, or a list of literals."""

# Names of options that Python keeps for itself: `from=2` is read as `from__=2` and becomes `from` again.
_RESERVED = re.compile(rf"""("[^"]*"|'[^']*')|\b({"|".join(keyword.kwlist)})(?=\s*=)""")


def _escape(match: re.Match[str]) -> str:
    return match[1] or f"{match[2]}__"


def _unescape(name: str) -> str:
    plain = name.removesuffix("__")
    return plain if keyword.iskeyword(plain) else name


def keywords(text: str, whole: str) -> dict[str, Option]:
    """Parse options such as `a=1, b='x'`; a bare word is a string, `true` and `false` are booleans as in TOML."""
    try:
        call = ast.parse(f"_({_RESERVED.sub(_escape, text)})", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:  # the last two: nested too deep
        raise BadPlan(f"cannot read the options of {whole!r}; write name=value, separated by commas") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise BadPlan(f"cannot read the options of {whole!r}; write name=value, separated by commas")
    if any(option.arg is None for option in call.keywords):
        raise BadPlan(f"cannot read the options of {whole!r}; '**' is not allowed; write name=value")
    return {_unescape(str(option.arg)): _value(option.value, whole) for option in call.keywords}


def _value(node: ast.expr, whole: str) -> Option:
    if isinstance(node, ast.Name):
        return {"true": True, "false": False}.get(node.id, node.id)
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise BadPlan(
            f"an option of {whole!r} is not a plain value; allowed are numbers, strings, true, false and lists of them"
        ) from error
    return _option("an option", value)


def _option(name: str, value: Any) -> Option:
    if isinstance(value, list | tuple):
        return tuple(_option(name, item) for item in value)
    if isinstance(value, str | bool | int | None) or finite(value):
        return value  # type: ignore[no-any-return]  # a literal, checked above
    raise BadPlan(f"{name} is {value!r}; allowed are finite numbers, strings, true, false and lists of them")


def literal(value: Option) -> str:
    """Return the text from which `keywords` reads the value."""
    return f"[{', '.join(map(literal, value))}]" if isinstance(value, tuple) else repr(value)


def finite(value: Any) -> bool:
    """Tell whether a value is a finite number, and not a boolean."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def whole(value: Any) -> bool:
    """Tell whether a value is a whole number, and not a boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def refuse_unknown(value: Mapping[str, Any], keys: set[str], subject: str) -> None:
    """Raise `BadPlan` that names the unknown keys, and the known ones."""
    if unknown := sorted(map(str, value.keys() - keys)):
        raise BadPlan(f"{subject} has no {', '.join(unknown)}; allowed are {', '.join(sorted(keys))}")


@dataclass(frozen=True, slots=True)
class PartSpec:
    """A localizer or technique by name, with its options: written `pixelate(degree=0.1)`."""

    name: str
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][\w.+-]*", self.name):
            raise BadPlan(f"name {self.name!r} is not allowed; write a name such as blur or blur(degree=0.8)")
        frozen = {str(key): _option(key, value) for key, value in sorted(self.options.items())}
        object.__setattr__(self, "options", MappingProxyType(frozen))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a spec such as `blur` or `pixelate(degree=0.1)`. Raises `BadPlan`."""
        match = re.fullmatch(r"\s*([A-Za-z][\w.+-]*)\s*(\(.*\))?\s*", text, flags=re.DOTALL)
        if not match:
            raise BadPlan(f"cannot read {text!r}; write a name such as blur or blur(degree=0.8)")
        return cls(match[1], keywords((match[2] or "()")[1:-1], text))

    def __str__(self) -> str:
        inner = ", ".join(f"{key}={literal(value)}" for key, value in self.options.items())
        return f"{self.name}({inner})" if inner else self.name

    def __hash__(self) -> int:
        return hash(str(self))

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values."""
        return {"name": self.name, "options": dict(self.options)}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the spec of a string, or of an object with name and options. Raises `BadPlan`."""
        if isinstance(value, str):
            return cls.parse(value)
        if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
            raise BadPlan(
                f"cannot read {value!r}; write a string such as 'blur(degree=0.8)' or an object with name and options"
            )
        refuse_unknown(value, {"name", "options"}, "a part")
        if not isinstance(options := value.get("options", {}), Mapping):
            raise BadPlan(f"options of {value['name']} are {options!r}; they must be an object")
        return cls(value["name"], options)


def text_rule(text: Any) -> str:
    """Return the spec of what is muted; kinds alone, such as `phone|card`, are short for `text(match='phone|card')`."""
    if not isinstance(text, str):
        raise BadPlan(f"video.mute is {text!r}; write kinds such as 'phone|card', or text(match='phone', names='...')")
    kinds = re.fullmatch(r"\s*(\w+(?:\s*\|\s*\w+)*)\s*", text)
    return str(PartSpec("text", {"match": re.sub(r"\s", "", kinds[1])}) if kinds else PartSpec.parse(text))
