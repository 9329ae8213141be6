"""Answers of the service, read field by field."""

import json
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from velum.client.errors import printable
from velum.errors import Unavailable

T = TypeVar("T")


class JsonReader:
    """A JSON object of the service, read field by field. Raises `Unavailable` for what is not there or something else.

    Fields that are not asked for are passed over: a newer service may tell more.
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
            raise odd(f"something that is no JSON ({error})") from error

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
        """Return an object in it."""
        return JsonReader(self._value.get(name))

    def all(self, name: str) -> "tuple[JsonReader, ...]":
        """Return the objects of a list."""
        return tuple(map(JsonReader, self._one(name, list)))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a list."""
        return tuple(printable(str(one)) for one in self._one(name, list))

    def values(self, name: str) -> Mapping[str, Any]:
        """Return an object in it, as it is."""
        return dict(self.inner(name).json())

    def json(self) -> Mapping[str, Any]:
        """Return all of it, as it is."""
        return self._value

    def given(self, name: str) -> bool:
        """Tell whether a field is there and not null."""
        return self._value.get(name) is not None

    def _one(self, name: str, kind: type[T]) -> T:
        value = self._value.get(name)
        # In Python, true and false are numbers, too.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise odd(f"{name} is {str(value)[:80]!r}")
        return value


def odd(what: str) -> Unavailable:
    """Return the error for an answer that cannot be read."""
    return Unavailable(f"the service told what cannot be read: {printable(what)}; check its address and its version")
