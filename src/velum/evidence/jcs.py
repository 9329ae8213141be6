r"""Canonical JSON: one byte sequence for each JSON value, which is then signed.

The rules are those of RFC 8785 (JSON Canonicalization Scheme), narrowed where values could be read in two ways:

- UTF-8; no white space; keys in the order of their UTF-16 code units, each once;
- strings escape only `"`, `\` and control characters, in their shortest form;
- numbers as ECMAScript writes them; those beyond 2**53, and those that are not finite, are refused.

White space and the order of keys in a file may therefore change; nothing else may.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from velum.errors import BadInput

MOST_EXACT = 2**53
"""Largest whole number that every JSON reader represents exactly."""

DEEPEST = 100
"""Deepest nesting allowed. Evidence has about eight levels."""


def canonical(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value. Raises `BadInput` for a value without canonical form."""
    try:
        return _text(value, 0).encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"the JSON has half a surrogate pair in a string, which no UTF-8 can hold: {error}") from error


def parse(text: str) -> Any:
    """Parse a JSON text. Raises `BadInput` for faults, and for objects with a key twice."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"this is not JSON: {error}") from error


def _text(value: Any, depth: int) -> str:
    if depth > DEEPEST:
        raise BadInput(f"the JSON is nested deeper than the {DEEPEST} levels allowed")
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(item, depth + 1) for item in value) + "]"
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        pairs = (f"{json.dumps(key, ensure_ascii=False)}:{_text(value[key], depth + 1)}" for key in keys)
        return "{" + ",".join(pairs) + "}"
    raise BadInput(f"{type(value).__name__} is not a JSON value")


def _number(value: float) -> str:
    """Return a number as ECMAScript's Number::toString writes it (ECMA-262, 6.1.6.1.20)."""
    if abs(value) > MOST_EXACT or value != value:  # noqa: PLR0124 - only NaN differs from itself
        raise BadInput("the JSON holds a number that readers round differently; it must be finite, at most 2**53")
    if value == int(value):
        return str(int(value))
    # Python's repr has the same shortest digits; only where it puts the point and the exponent differs.
    sign, figures, exponent = Decimal(repr(value)).normalize().as_tuple()
    digits, minus = "".join(map(str, figures)), "-" * sign
    point = len(digits) + int(exponent)
    if point > 0:
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if point > -6:
        return f"{minus}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{minus}{digits[0]}{rest}e{point - 1:+d}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise BadInput(f"the JSON has the key {twice!r} twice in one object, so that it can be read in two ways")
    return value


def _no_constant(name: str) -> None:
    raise BadInput(f"the JSON holds {name}, which JSON does not allow as a number")
