"""Values of settings as they are written, and how each kind is read."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

from velum.errors import BadPlan


@dataclass(frozen=True, slots=True)
class RawValue:
    """A value as it is written, where it is written, and the folder that relative paths start from."""

    value: object
    where: str
    folder: Path

    def wrong(self, must: str) -> BadPlan:
        """Return the error for this value; `must` says what is allowed."""
        return BadPlan(f"{self.where} is {self.value!r}; it must be {must}")

    def path(self) -> Path:
        """Return a path; a relative one starts from the folder."""
        if not isinstance(self.value, str) or not self.value or "\0" in self.value:
            raise self.wrong("a path")
        try:
            return self.folder / Path(self.value).expanduser()
        except RuntimeError as error:
            raise self.wrong("a path whose '~' can be resolved") from error

    def paths(self) -> tuple[Path, ...]:
        """Return a list of paths; relative ones start from the folder."""
        return tuple(replace(self, value=text).path() for text in self.texts())

    def place(self) -> Path | str:
        """Return a path, or the URL of a bucket as it is."""
        if not isinstance(self.value, str) or "://" not in self.value:
            return self.path()
        if not re.fullmatch(r"(s3|gs|az)://[^/@?#\s]+(/[^@?#\s]*)?", self.value):
            masked = replace(self, value=re.sub(r"//[^/]*@", "//***@", self.value))
            raise masked.wrong(
                "a path, or s3://, gs:// or az:// with a bucket and perhaps a prefix, and no credentials"
            )
        return self.value

    def yes(self) -> bool:
        """Return a truth value."""
        text = str(self.value).lower()
        if text not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
            raise self.wrong("true or false")
        return text in {"1", "true", "yes", "on"}

    def one_of(self, allowed: tuple[str, ...]) -> str:
        """Return one of the allowed words."""
        if not isinstance(self.value, str) or self.value not in allowed:
            raise self.wrong(f"one of {', '.join(allowed)}")
        return self.value

    def number(self, *, least: int = 0, most: int | None = None) -> int:
        """Return a whole number from `least` to `most`."""
        text = str(self.value)
        fits = re.fullmatch(r"\d+(_\d+)*", text, flags=re.ASCII) and len(text) <= 18
        if not fits or int(text) < least or (most is not None and int(text) > most):
            raise self.wrong(f"a whole number of at least {least}" + ("" if most is None else f" and at most {most}"))
        return int(text)

    def seconds(self) -> float:
        """Return a duration in seconds, above 0."""
        try:
            value = float(str(self.value))
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf or isinstance(self.value, bool):
            raise self.wrong("a number of seconds above 0")
        return value

    def text(self) -> str:
        """Return a text that is not empty."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.wrong("a text")
        return self.value.strip()

    def texts(self) -> tuple[str, ...]:
        """Return a list of texts; in environment variables they are separated by commas."""
        listed = self.value.split(",") if isinstance(self.value, str) else self.value
        if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
            raise self.wrong("a list of texts")
        return tuple(item.strip() for item in listed if item.strip())
