"""One entry of the model catalogue: reads each value and says which entry and key is wrong."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from velum.errors import BadPlan
from velum.locate.labels import COCO

NAME = re.compile(r"[A-Za-z][A-Za-z0-9._+-]*")
"""Allowed model names: a plan can write them, and a shell needs no quotes around them."""

_HASH = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha384": re.compile(r"[0-9a-f]{96}")}


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One table of a catalogue; `where` names it in errors. Methods raise `BadPlan` for missing and wrong values."""

    values: Mapping[str, Any]
    where: str

    def only(self, keys: Iterable[str]) -> None:
        """Raise `BadPlan` for a key that is not `keys`."""
        if unknown := sorted(self.values.keys() - set(keys)):
            raise BadPlan(f"{self.where} has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(keys))}")

    def get(self, key: str, *, valid: bool, must: str) -> Any:
        """Return a value that is `valid`; the error says what it `must` be."""
        if key not in self.values:
            raise BadPlan(f"{self.where} has no {key}; it must be {must}")
        if not valid:
            raise BadPlan(f"{key} of {self.where} is {self.values[key]!r}; it must be {must}")
        return self.values[key]

    def text(self, key: str, pattern: re.Pattern[str] | None = None, must: str = "a non-empty string") -> str:
        """Return a string that matches a pattern, or any that is not empty."""
        value = self.values.get(key)
        valid = isinstance(value, str) and bool(pattern.fullmatch(value) if pattern else value)
        return str(self.get(key, valid=valid, must=must))

    def size(self) -> int:
        """Return the number of bytes of a file."""
        value = self.values.get("size")
        valid = isinstance(value, int) and not isinstance(value, bool) and value > 0
        return int(self.get("size", valid=valid, must="a whole number of bytes above 0"))

    def hash(self, key: Literal["sha256", "sha384"]) -> str:
        """Return a hash in hexadecimal digits."""
        digits = {"sha256": 64, "sha384": 96}[key]
        return self.text(key, _HASH[key], f"{digits} hexadecimal digits in lower case")

    def labels(self) -> tuple[str, ...]:
        """Return the labels by class; `coco` stands for those of that data set."""
        value = self.values.get("labels")
        if value == "coco":
            return COCO
        valid = isinstance(value, list) and any(value) and all(isinstance(label, str) for label in value)
        return tuple(self.get("labels", valid=valid, must="'coco', or a list of strings, not all of them empty"))

    def share(self, key: str) -> float:
        """Return a number from 0 to 1."""
        value = self.values.get(key)
        valid = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        return float(self.get(key, valid=valid, must="a number from 0 to 1"))

    def number(self, key: str) -> float:
        """Return a number above 0."""
        value = self.values.get(key)
        valid = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        return float(self.get(key, valid=valid, must="a number above 0"))

    def table(self, key: str) -> "CatalogEntry":
        """Return a table inside this one; an empty one where there is none."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise BadPlan(f"{key} of {self.where} is {value!r}; it must be a table")
        return CatalogEntry(value, f"{key} of {self.where}")

    def tables(self, key: str, each: str) -> list["CatalogEntry"]:
        """Return the tables of a list, of which there is at least one; `each` says what each must have."""
        tables = self.values.get(key)
        if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
            raise BadPlan(f"{key} of {self.where} are {tables!r}; it needs at least one, each with {each}")
        return [CatalogEntry(table, f"{key[:-1]} {n} of {self.where}") for n, table in enumerate(tables, start=1)]

    def entries(self, kind: Literal["model", "sample", "embedding"]) -> Iterable[tuple[str, "CatalogEntry"]]:
        """Yield the name and the table of each entry of a kind."""
        tables = self.values.get(kind, {})
        if not isinstance(tables, dict):
            raise BadPlan(f"{self.where}: {kind} is {tables!r}; write tables such as [{kind}.name]")
        for name, table in tables.items():
            where = f"{self.where}: {kind} {name!r}"
            if not NAME.fullmatch(name) or not isinstance(table, dict):
                raise BadPlan(
                    f"{where} is not allowed; write a table [{kind}.name], the name of letters, digits, '.', '_', '+' "
                    "and '-'"
                )
            yield name, CatalogEntry(table, where)
