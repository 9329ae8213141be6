"""Replace: write invented text of the same kind over text, from ranges that belong to nobody."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from velum.errors import BadPlan
from velum.plugins import Patch, RuntimeConfig
from velum.secret_key import read_secret_key
from velum.techniques.glyphs import draw_lines

_FIRST = ("ALEX", "CHRIS", "JO", "KIM", "LEE", "PAT", "ROBIN", "SAM")
_LAST = ("DOE", "EXAMPLE", "MUSTER", "ROE", "SAMPLE", "SPECIMEN")
_CARDS = ("4111 1111 1111 1111", "4012 8888 8888 1881", "5555 5555 5555 4444", "5105 1051 0510 5100")
"""Numbers that payment processors publish for tests, and decline in earnest."""

_IBAN_DIGITS = 18


def _phone(number: int) -> str:
    """Return a number that the North American plan reserves for fiction: 555-0100 to 555-0199."""
    return f"+1 202 555 01{number % 100:02}"


def _email(number: int) -> str:
    """Return an address of a domain that is reserved for examples (RFC 2606)."""
    return f"{_FIRST[number % len(_FIRST)]}{number // 8 % 100:02}@EXAMPLE.ORG"


def _iban(number: int) -> str:
    """Return an account number of no country: XX is not assigned (ISO 3166-1, user-assigned codes)."""
    digits = f"{number % 10**_IBAN_DIGITS:0{_IBAN_DIGITS}}"
    check = 98 - int(f"{digits}333300") % 97
    text = f"XX{check:02}{digits}"
    return " ".join(text[place : place + 4] for place in range(0, len(text), 4))


KINDS: dict[str, Callable[[int], str]] = {
    "card": lambda number: _CARDS[number % len(_CARDS)],
    "date": lambda number: f"31.02.{1900 + number % 100}",
    "email": _email,
    "iban": _iban,
    "ip": lambda number: f"192.0.2.{number % 256}",  # RFC 5737
    "mac": lambda number: f"00:00:5E:00:53:{number % 256:02X}",  # RFC 7042, 2.1.2
    "name": lambda number: f"{_FIRST[number % len(_FIRST)]} {_LAST[number // 8 % len(_LAST)]}",
    "phone": _phone,
    "url": lambda number: f"EXAMPLE.ORG/{number % 10_000:04}",
    "words": lambda number: ("LOREM IPSUM", "DOLOR SIT", "AMET LOREM")[number % 3],
}
"""Kind -> the text for a number; none of it belongs to anybody."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Cover the region, and write invented text of a `kind` that `key` gives its track.

    It depends on nothing in the picture: nothing of the region is left.
    """

    key: bytes
    kind: str = "words"
    labels: ClassVar[frozenset[str] | None] = frozenset({"text"})
    destroys: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadPlan(f"kind of replace is {self.kind!r}; it must be of {', '.join(KINDS)}")

    def __repr__(self) -> str:
        """Return the name and the kind; the key is a secret."""
        return f"replace(kind={self.kind!r})"

    def text(self, name: str) -> str:
        """Return the text for a region by the name of its track."""
        return KINDS[self.kind](int.from_bytes(hmac.digest(self.key, f"{self.kind} of {name}".encode(), "sha256")[:8]))

    def hide(self, patch: Patch) -> None:
        """Cover the patch, and write into the corners of each region."""
        lines = [(self.text(name),) for name, _ in patch.subjects]
        draw_lines(patch, [corners for _, corners in patch.subjects], lines, margin=0.14, edge=False)


def make_replace(host: RuntimeConfig, *, kind: str = "words") -> Replace:
    """Return the technique with the secret of this machine. Raises `BadPlan`, and `Unavailable` without a secret."""
    return Replace(read_secret_key(host.uid_key), kind)
