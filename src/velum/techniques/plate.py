"""Plate: draw an invented license plate over a real one."""

import hmac
from dataclasses import dataclass
from typing import ClassVar

from velum.plugins import Patch, RuntimeConfig
from velum.secret_key import read_secret_key
from velum.techniques.glyphs import aspect_of, draw_lines

LETTERS, DIGITS = "BCDFGHJKLMNPRSTVWXZ", "0123456789"
"""Letters that are mistaken for no digit, and no vowels: no word comes about."""

PATTERN = (LETTERS, LETTERS, DIGITS, DIGITS, DIGITS, LETTERS, LETTERS)

TWO_LINES = 2.2
"""A plate that is narrower than this, as a multiple of its height, has its characters in two lines."""


@dataclass(frozen=True, slots=True)
class Plate:
    """Cover the region, and draw a plate in neutral colours with characters that `key` gives its track.

    They depend on nothing in the picture: nothing of the region is left.
    """

    key: bytes
    labels: ClassVar[frozenset[str] | None] = frozenset({"license_plate", "text"})
    destroys: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    def __repr__(self) -> str:
        """Return the name; the key is a secret."""
        return "plate"

    def characters(self, name: str) -> str:
        """Return the characters of a plate by the name of its track."""
        numbers = hmac.digest(self.key, f"plate of {name}".encode(), "sha256")
        return "".join(choice[number % len(choice)] for choice, number in zip(PATTERN, numbers, strict=False))

    def hide(self, patch: Patch) -> None:
        """Cover the patch, and draw each plate into its corners."""
        lines = []
        for name, corners in patch.subjects:
            text = self.characters(name)
            first, rest = text[:2], f"{text[2:5]} {text[5:]}"
            lines.append((first, rest.replace(" ", "")) if aspect_of(corners) < TWO_LINES else (f"{first} {rest}",))
        draw_lines(patch, [corners for _, corners in patch.subjects], lines, margin=0.16, edge=True)


def make_plate(host: RuntimeConfig) -> Plate:
    """Return the technique with the secret of this machine. Raises `Unavailable` where it cannot be read or made."""
    return Plate(read_secret_key(host.uid_key))
