"""Configurations: JSON that must match a fixed schema, and the error texts for JSON that does not.

The texts are those of the library that the original uses: message, part of the schema, part of the configuration.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pprint import pformat
from typing import Any, NoReturn

from velum.bmw import wire
from velum.bmw.wire import Entry
from velum.errors import BadInput, LimitExceeded

MOST_BYTES = 1 << 20
"""Largest configuration; one with a hundred entries has about 20 KiB."""

MOST_ENTRIES = 1000

_TYPES: Mapping[str, tuple[type, ...]] = {"object": (dict,), "array": (list,), "string": (str,), "number": (int, float)}


class RequestRefused(BadInput):
    """A request that cannot be served; the message is the error text of the BMW API."""

    code = "Refused"


def read_configuration(text: bytes, *, strict: bool) -> tuple[Entry, ...]:
    """Return the entries of a configuration file, at least one.

    With `strict` only the first entry is validated, as by the original; a later invalid one is an unexpected error.
    Raises `RequestRefused`, and `LimitExceeded` for too many bytes or entries.
    """
    if len(text) > MOST_BYTES:
        raise LimitExceeded("bytes", len(text), MOST_BYTES, "the configuration")
    try:
        values = read_json(text)
        wrong = min(_wrong(values, strict=strict), key=lambda fault: len(fault.path), default=None)
        if wrong is not None:
            raise RequestRefused(wire.bad_configuration(str(wrong)))
    except RecursionError as error:
        raise RequestRefused(wire.bad_configuration(wire.CORRUPT)) from error
    entries = values[wire.ENTRIES]
    if len(entries) > MOST_ENTRIES:
        raise LimitExceeded("entries", len(entries), MOST_ENTRIES, "the configuration")
    if not entries:
        raise RequestRefused(wire.UNEXPECTED)
    try:
        return tuple(map(_read, entries))
    except (KeyError, AttributeError, TypeError) as error:
        raise RequestRefused(wire.UNEXPECTED) from error


def read_json(text: bytes) -> Any:
    """Return the value of a JSON file. Raises `RequestRefused`, and `RecursionError` for deep nesting."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise RequestRefused(wire.bad_configuration(wire.CORRUPT)) from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _read(values: Any) -> Entry:
    """Return an entry. Errors that the original finds only on use are left to `velum.bmw.plan`."""
    entry = wire.read_entry(values)
    degree = _degree(entry.degree)
    fails = entry.technique == wire.PIXELATING and degree is not None and degree > 1
    return replace(entry, degree=None if fails else degree)


def _degree(value: Any) -> float | None:
    """Return a degree as the original reads those of later entries, number strings too; None for invalid ones."""
    try:
        degree = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return degree if degree >= 0 else None


@dataclass(frozen=True, slots=True)
class _Wrong:
    """One violation: the rule of the schema with its path, and the value that violates it with its path."""

    message: str
    rule: str
    schema: Mapping[str, Any]
    schema_path: tuple[str | int, ...]
    instance: Any
    path: tuple[str | int, ...]

    def __str__(self) -> str:
        return (
            f"{self.message}\n\nFailed validating {self.rule!r} in schema{_format_path(self.schema_path)}:\n"
            f"{_format_value(self.schema)}\n\nOn instance{_format_path(self.path)}:\n{_format_value(self.instance)}"
        )


def _wrong(values: Any, *, strict: bool) -> Iterator[_Wrong]:
    """Yield all violations in the order of the schema."""
    root: tuple[Mapping[str, Any], tuple[str, ...]] = (wire.SCHEMA, ())
    if not isinstance(values, dict):
        yield _wrong_type(values, *root, ())
    elif wire.ENTRIES not in values:
        yield _missing(wire.ENTRIES, values, *root, ())
    else:
        path = ("properties", wire.ENTRIES)
        entries = values[wire.ENTRIES]
        if not isinstance(entries, list):
            yield _wrong_type(entries, wire.SCHEMA["properties"][wire.ENTRIES], path, (wire.ENTRIES,))
            return
        for i, entry in enumerate(entries[:1] if strict else entries):
            yield from _wrong_entry(entry, (*path, "items", 0), (wire.ENTRIES, i))


def _wrong_entry(entry: Any, at: tuple[str | int, ...], path: tuple[str | int, ...]) -> Iterator[_Wrong]:
    if not isinstance(entry, dict):
        yield _wrong_type(entry, wire.ENTRY_SCHEMA, at, path)
        return
    for name, schema in wire.ENTRY_SCHEMA["properties"].items():
        if name in entry:
            yield from _wrong_value(entry[name], schema, (*at, "properties", name), (*path, name))
    for name in wire.REQUIRED:
        if name not in entry:
            yield _missing(name, entry, wire.ENTRY_SCHEMA, at, path)


def _wrong_value(
    value: Any, schema: Mapping[str, Any], at: tuple[str | int, ...], path: tuple[str | int, ...]
) -> Iterator[_Wrong]:
    if not _is(value, schema["type"]):
        yield _wrong_type(value, schema, at, path)
    elif "minimum" in schema and value < schema["minimum"]:
        message = f"{value!r} is less than the minimum of {schema['minimum']!r}"
        yield _Wrong(message, "minimum", schema, at, value, path)
    elif "maximum" in schema and value > schema["maximum"]:
        message = f"{value!r} is greater than the maximum of {schema['maximum']!r}"
        yield _Wrong(message, "maximum", schema, at, value, path)


def _wrong_type(
    value: Any, schema: Mapping[str, Any], at: tuple[str | int, ...], path: tuple[str | int, ...]
) -> _Wrong:
    return _Wrong(f"{value!r} is not of type {schema['type']!r}", "type", schema, at, value, path)


def _missing(
    name: str, value: Any, schema: Mapping[str, Any], at: tuple[str | int, ...], path: tuple[str | int, ...]
) -> _Wrong:
    return _Wrong(f"{name!r} is a required property", "required", schema, at, value, path)


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and not isinstance(value, bool)


def _format_path(path: Sequence[str | int]) -> str:
    return "".join(f"[{step!r}]" for step in path)


def _format_value(value: Any) -> str:
    return "\n".join(f"    {line}" for line in pformat(value, width=72).splitlines())
