"""Byte ranges of a file that no decoder needs, and the checks of padding and colour profiles that all walkers share."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from velum.media.projection import V1

CONTENT_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""The first bytes of a `uuid` box with a manifest of C2PA."""

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
    """True for bytes at several offsets: `size` is their sum, and `offset` has no meaning."""

    def __str__(self) -> str:
        if self.scattered:
            return f"{self.description} ({self.size} bytes)"
        return f"{self.description} ({self.size} bytes at byte {self.offset})"


def is_ordinary_uuid(content: bytes) -> bool:
    """Tell whether programs write a `uuid` box with this content for Content Credentials or a projection."""
    return content.startswith((CONTENT_CREDENTIALS, V1))


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


_HEADER, _ENTRY = 132, 12
_LARGEST_UNKNOWN = 4096
_KNOWN = frozenset(
    b"A2B0 A2B1 A2B2 A2B3 A2M0 B2A0 B2A1 B2A2 B2A3 B2D0 B2D1 B2D2 B2D3 BRDF D2B0 D2B1 D2B2 D2B3 bTRC bXYZ bfd  bkpt "
    b"calt chad chrm cicp clot clro cprt crdi data dmdd dmnd gamt gTRC gXYZ kTRC lumi meas meta mmod ncl2 ncol ndin "
    b"pre0 pre1 pre2 ps2i ps2s psd0 psd1 psd2 psd3 pseq psid rTRC rXYZ resp rig0 rig2 scrd scrn targ tech ucrb view "
    b"vcgt vued wtpt desc dscm mmod vcgp aarg aabg aagg ndin arts CIED DevD Pmtr MS00 MS01 MS02 MS10 MSP  ".split()
)


def trim_profile(data: bytes) -> bytes | None:
    """Return a profile cut to its stated length; None when the data is not a valid profile."""
    stated = int.from_bytes(data[:4])
    if len(data) < _HEADER or data[36:40] != b"acsp" or not _HEADER <= stated <= len(data):
        return None
    return data[:stated]


def profile_surplus(data: bytes, offset: int = 0) -> Iterator[Surplus]:
    """Yield the bytes of a profile, at `offset` of a file, that belong to no known tag."""
    whole = trim_profile(data)
    if whole is None:
        yield Surplus("an invalid colour profile", offset, len(data))
        return
    stated = len(whole)
    count = int.from_bytes(data[128:132])
    spans = [(0, _HEADER + _ENTRY * count)]
    for at in range(_HEADER, min(_HEADER + _ENTRY * count, stated - _ENTRY + 1), _ENTRY):
        name, start, size = (
            data[at : at + 4],
            int.from_bytes(data[at + 4 : at + 8]),
            int.from_bytes(data[at + 8 : at + 12]),
        )
        spans.append((start, start + size))
        if name.rstrip() not in _KNOWN and size > _LARGEST_UNKNOWN:
            yield Surplus(f"private tag {name.decode('latin-1')!r} of the colour profile", offset + start, size)
    for gap in gaps(whole, spans, "bytes between the tags of the colour profile"):
        yield Surplus(gap.description, offset + gap.offset, gap.size)
    if len(data) - stated > PADDING:
        yield Surplus("bytes after the end of the colour profile", offset + stated, len(data) - stated)
