"""What an inventory of a file tells: stretches of bytes that nobody needs to show its pictures."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

PADDING = 3
"""Bytes by which formats round up to words of four; so few carry nothing."""

TAIL = 16
"""Bytes at the end of coded samples that are changed on trial. Coders leave fewer than that unread."""


@dataclass(frozen=True, slots=True)
class Surplus:
    """A stretch of bytes that no decoder needs; `ordinary` when programs write such stretches without a picture."""

    what: str
    offset: int
    size: int
    ordinary: bool = False
    kind: Literal["rest", "metadata", "picture"] = "rest"
    scattered: bool = False
    """Whether it lies at several places, of which `offset` says nothing; `size` is that of all."""

    def __str__(self) -> str:
        if self.scattered:
            return f"{self.what} ({self.size} bytes)"
        return f"{self.what} ({self.size} bytes at byte {self.offset})"


def gaps(
    data: bytes, spans: Iterable[tuple[int, int]], what: str, start: int = 0, end: int | None = None
) -> Iterator[Surplus]:
    """Yield the stretches of `data` outside all `spans` (start, end) that are not zero, from `start` to `end`."""
    at, end = start, len(data) if end is None else end
    for begin, behind in sorted(spans):
        if begin > at:
            yield from nonzero_padding(data, at, min(begin, end), what)
        at = max(at, behind)
    yield from nonzero_padding(data, at, end, what)


def nonzero_padding(data: bytes, start: int, end: int, what: str) -> Iterator[Surplus]:
    """Yield the stretch from `start` to `end` when it is longer than padding and holds anything but zeros."""
    if end - start > PADDING and any(data[start:end]):
        yield Surplus(what, start, end - start)


def reads_tail(data: bytes, start: int, end: int, decode: Callable[[bytes], bytes | None]) -> bool:
    """Tell whether a decoder reads the last bytes of the coded samples in `data[start:end]`.

    They are changed on trial, twice: samples that depend on them come out otherwise, or not at all. `decode` returns
    the samples of a whole file, None when it refuses them.
    """
    first = max(start, end - TAIL)
    if end - first < TAIL:
        return True
    whole = decode(data)
    chance = random.Random(first)  # noqa: S311 - any bytes will do, the same ones each time
    for _ in range(2):
        # No 0xFF, which begins markers in JPEG.
        other = bytes(chance.randrange(0xF0) for _ in range(end - first))
        if decode(b"".join((data[:first], other, data[end:]))) != whole:
            return True
    return whole is None
