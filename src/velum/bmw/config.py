"""The JSON configs of model folders: read value by value, each mistake named with its file."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from velum.errors import BadInput
from velum.locate.import_model import read_text


@dataclass(frozen=True, slots=True)
class ConfigObject:
    """One JSON object; `path` is its file, `where` names it in errors. Keys that nobody asks for are ignored."""

    path: Path
    where: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the config in a file. Raises `BadInput` when it is missing or no JSON object."""
        if not path.is_file():
            raise BadInput(f"{path.parent} has no {path.name}, which says how its network is to be used")
        try:
            values = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{path} is not valid JSON: {error}") from error
        if not isinstance(values, dict):
            raise BadInput(f"{path} is not a JSON object such as {{...}}")
        return cls(path, str(path), values)

    def has(self, key: str) -> bool:
        """Tell whether there is such a key."""
        return key in self.values

    def number(
        self, key: str, default: float | None, *, above: float | None = None, at_most: float = math.inf
    ) -> float:
        """Return a number of at least 0, or above `above`. Raises `BadInput` when it is missing without a default."""
        value = self.values.get(key, default)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not 0 <= value <= at_most or (above is not None and value <= above):
            raise self._wrong(key, "a number of at least 0" if at_most == math.inf else f"a number from 0 to {at_most}")
        return float(value)

    def whole(self, key: str) -> int:
        """Return a whole number above 0. Raises `BadInput` when it is missing or another value."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(key, "a whole number above 0")
        return value

    def yes(self, key: str) -> bool:
        """Return a truth value, False when it is missing. Raises `BadInput` for another value."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """Return a string. Raises `BadInput` for another value."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings. Raises `BadInput` when it is missing, empty or another value."""
        value = self.values.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise self._wrong(key, "a list of strings")
        return tuple(one.strip() for one in value)

    def table(self, key: str) -> "ConfigObject | None":
        """Return an object within this one, None when it is missing. Raises `BadInput` for another value."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return ConfigObject(self.path, f"{key} of {self.where}", value)

    def _wrong(self, key: str, must: str) -> BadInput:
        if key not in self.values:
            return BadInput(f"{self.where} has no {key}; it must be {must}")
        return BadInput(f"{key} of {self.where} is {self.values[key]!r}; it must be {must}")
