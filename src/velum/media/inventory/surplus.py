"""Surplus: byte ranges of a file that no decoder needs, and the tests for padding that all walkers share."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

PADDING = 3
"""Most bytes of padding up to a multiple of four; so few bytes can hide nothing."""

TAIL = 16
"""Bytes at the end of coded samples that `reads_tail` changes. Encoders leave fewer bytes unread than that."""


@dataclass(frozen=True, slots=True)
class Surplus:
    """A byte range that no decoder needs; `ordinary` when programs write such bytes without an image in them."""

    description: str
    offset: int
    size: int
    ordinary: bool = False
    kind: Literal["rest", "metadata", "picture"] = "rest"
    scattered: bool = False
    """True for bytes at several offsets: `size` is their sum, and `offset` means nothing."""

    def __str__(self) -> str:
        if self.scattered:
            return f"{self.description} ({self.size} bytes)"
        return f"{self.description} ({self.size} bytes at byte {self.offset})"


def gaps(
    data: bytes, spans: Iterable[tuple[int, int]], description: str, start: int = 0, end: int | None = None
) -> Iterator[Surplus]:
    """Yield the ranges of `data[start:end]` outside all `spans` (start, end) that hold anything but zeros."""
    at, end = start, len(data) if end is None else end
    for begin, behind in sorted(spans):
        if begin > at:
            yield from nonzero_padding(data, at, min(begin, end), description)
        at = max(at, behind)
    yield from nonzero_padding(data, at, end, description)


def nonzero_padding(data: bytes, start: int, end: int, description: str) -> Iterator[Surplus]:
    """Yield `data[start:end]` as surplus when it is longer than `PADDING` and holds anything but zeros."""
    if end - start > PADDING and any(data[start:end]):
        yield Surplus(description, start, end - start)


def reads_tail(data: bytes, start: int, end: int, decode: Callable[[bytes], bytes | None]) -> bool:
    """Tell whether a decoder reads the last bytes of the coded samples in `data[start:end]`.

    Decodes the file twice with these bytes changed, and compares the samples. `decode` returns the samples of a file,
    None when it cannot decode that.
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
