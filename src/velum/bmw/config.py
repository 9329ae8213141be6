"""The files of model folders: JSON configs, read value by value, and TensorFlow's label maps; errors name the file."""

import ast
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from velum.errors import BadInput
from velum.locate.import_model import read_text


@dataclass(frozen=True, slots=True)
class ConfigObject:
    """One JSON object; `path` is its file, `where` its name in errors. Unknown keys are ignored."""

    path: Path
    where: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the config in a file. Raises `BadInput` when it is missing or not a JSON object."""
        if not path.is_file():
            raise BadInput(f"{path.parent} has no {path.name}, which describes its network; add that file")
        try:
            values = json.loads(read_text(path))
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{path} is not valid JSON: {error}") from error
        if not isinstance(values, dict):
            raise BadInput(f"{path} is not a JSON object such as {{...}}")
        return cls(path, str(path), values)

    def has(self, key: str) -> bool:
        """Tell whether the object has a key."""
        return key in self.values

    def number(
        self, key: str, default: float | None, *, above: float | None = None, at_most: float = math.inf
    ) -> float:
        """Return a number from 0 (or above `above`) to `at_most`. Raises `BadInput` for other values or none."""
        value = self.values.get(key, default)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not 0 <= value <= at_most or (above is not None and value <= above):
            raise self._wrong(key, "a number of at least 0" if at_most == math.inf else f"a number from 0 to {at_most}")
        return float(value)

    def whole(self, key: str) -> int:
        """Return an integer above 0. Raises `BadInput` for other values, or without any."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._wrong(key, "a whole number above 0")
        return value

    def yes(self, key: str) -> bool:
        """Return a boolean, False when it is missing. Raises `BadInput` for other values."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """Return a string, or the default when it is missing. Raises `BadInput` for other values."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings. Raises `BadInput` for other values, an empty list, or without any."""
        value = self.values.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
            raise self._wrong(key, "a list of strings")
        return tuple(text.strip() for text in value)

    def table(self, key: str) -> "ConfigObject | None":
        """Return a nested object, None when it is missing. Raises `BadInput` for other values."""
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


LARGEST_ID = 100_000

_WORD = re.compile(r"""(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(?P<bare>[\w.+-]+)|(?P<mark>[{}<>:;,])""")
_COMMENT = re.compile(r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|#[^\n]*""")


def read_label_map(path: Path) -> tuple[str, ...]:
    """Return the labels of a label map by number; unused numbers, such as 0, have the empty string.

    An item's label is its `display_name`, else its `name`. Raises `BadInput` for an item without label or number, for
    two items with one number, and for a file without items.
    """
    labels: dict[int, str] = {}
    for item in _items(read_text(path), path):
        label = item.get("display_name") or item.get("name")
        number = item.get("id", "")
        if not label or not number.isdecimal() or not 1 <= int(number) <= LARGEST_ID:
            raise BadInput(f"an item of {path} is {item}; it must have a name and an id from 1")
        if int(number) in labels:
            raise BadInput(f"{path} has two items of id {number}: {labels[int(number)]} and {label}")
        labels[int(number)] = label
    if not labels:
        raise BadInput(f"{path} has no items such as item {{ name: 'face' id: 1 }}")
    return tuple(labels.get(number, "") for number in range(max(labels) + 1))


def _items(text: str, path: Path) -> Iterator[dict[str, str]]:
    """Yield the values of each `item { ... }` by key, without deeper nesting."""
    depth, key, item = 0, "", dict[str, str]()
    for match in _WORD.finditer(_COMMENT.sub(lambda found: found[1] or "", text)):
        word = match[0]
        if word in "{<":
            depth += 1
            item = {} if depth == 1 else item
        elif word in "}>":
            depth -= 1
            if depth == 0:
                yield item
        elif word in ":;,":
            continue
        elif depth == 1 and match["bare"] and not key:
            key = word
            continue
        elif depth == 1 and key:
            item[key] = _plain(word)
        key = ""
    if depth:
        raise BadInput(f"{path} ends within an item; copy the file again")


def _plain(word: str) -> str:
    if word[0] not in "\"'":
        return word
    try:
        return str(ast.literal_eval(word)).strip()
    except (ValueError, SyntaxError):
        return word[1:-1].strip()
