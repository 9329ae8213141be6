"""Finds restart intervals of a JPEG that end with bytes which decoders skip (ITU-T T.81, B.1.1.5 and E.2.4).

The last bytes of all intervals of a scan are changed at once. An interval ends with such bytes if its part of the
image stays the same whatever the bytes are: decoders start anew with the next interval, so no other one can show them.
"""

import io
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from velum.media.inventory.surplus import PADDING, TAIL, Surplus

_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_MOST_TRIES = 4
"""Times that the ends are changed: by chance, other bytes can give the same samples."""

_BLOCK = 8

Samples = npt.NDArray[np.uint8]
Changes = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """The frame of a JPEG: its size in pixels, and the sampling factors (across, down) of each component (B.2.2)."""

    width: int
    height: int
    sampling: dict[int, tuple[int, int]]

    @classmethod
    def of(cls, body: bytes) -> "CodedFrame":
        """Return the frame that a start-of-frame segment with this content describes."""
        count = body[5] if len(body) > 5 else 0
        components = range(6, min(6 + 3 * count, len(body) - 2), 3)
        sampling = {body[at]: (body[at + 1] >> 4, body[at + 1] & 15) for at in components}
        return cls(int.from_bytes(body[3:5]), int.from_bytes(body[1:3]), sampling)


@dataclass(frozen=True, slots=True)
class CodedScan:
    """The coded samples of a scan, `data[start:end]`: its components, and how many units a restart interval has."""

    start: int
    end: int
    components: tuple[int, ...]
    interval: int
    """Minimum coded units between two restart markers; 0 where there are none."""
    is_bits_of_blocks: bool = False
    """True where the scan has one bit of each block: the next one of its mean, in a progressive JPEG (G.1.2.1)."""


def unread_ends(data: bytes, frame: CodedFrame, scan: CodedScan) -> Iterator[Surplus]:
    """Yield what decoders skip in a scan: ends of intervals, or restart markers that do not divide it as it states.

    Yields nothing for a file that cannot be decoded.
    """
    whole = _decode(data)
    if whole is None or whole.shape[:2] != (frame.height, frame.width):
        return
    units = _Units.of(frame, scan)
    markers = [(match.start(), match[1][0]) for match in _RESTART.finditer(data, scan.start, scan.end)]
    if markers and (units is None or len(markers) + 1 != units.intervals or _are_out_of_order(markers)):
        yield Surplus("restart markers that do not fit the coded samples", scan.start, scan.end - scan.start)
        return
    starts, ends = [scan.start, *(at + 2 for at, _ in markers)], [*(at for at, _ in markers), scan.end]
    intervals = list(zip(starts, ends, strict=True))
    if units and scan.is_bits_of_blocks:
        unread = [at for at, bits in zip(intervals, units.blocks(), strict=False) if _is_longer(data[slice(*at)], bits)]
    else:
        unread = _unread(data, whole, intervals, units if markers else None)
    if unread:
        size = sum(end - start for start, end in unread)
        what = "bytes that decoders skip among the coded samples"
        yield Surplus(what, unread[0][0], size, scattered=len(unread) > 1)


def _is_longer(coded: bytes, bits: int) -> bool:
    """Tell whether coded samples are longer than so many bits; a 0 behind a byte of 255 does not count."""
    return len(coded.replace(b"\xff\0", b"\xff")) > -(-bits // 8) + PADDING


def _are_out_of_order(markers: Sequence[tuple[int, int]]) -> bool:
    return any(marker != 0xD0 + number % 8 for number, (_, marker) in enumerate(markers))


def _unread(
    data: bytes, whole: Samples, intervals: Sequence[tuple[int, int]], units: "_Units | None"
) -> list[tuple[int, int]]:
    """Return the intervals (start, end) whose last bytes change nothing. `units` is None where there is only one."""
    left = [number for number, (start, end) in enumerate(intervals) if end - start > TAIL]
    chance = random.Random(intervals[0][0])  # noqa: S311 - any bytes will do, the same ones each time
    for _ in range(_MOST_TRIES):
        if not left:
            break
        other = _decode(_with_other_ends(data, [intervals[number][1] for number in left], chance))
        if other is None:
            return []
        changes = (other != whole).any(axis=2)
        changed = units.changed_intervals(changes) if units else np.array([changes.any()])
        left = [number for number in left if not changed[number]]
    return [intervals[number] for number in left]


def _with_other_ends(data: bytes, ends: Sequence[int], chance: random.Random) -> bytes:
    changed = bytearray(data)
    for end in ends:
        # A byte of 255 is left with the 0 that follows it, and none is written: it would begin a marker.
        start = end - TAIL + (data[end - TAIL - 1] == 0xFF)
        changed[start:end] = bytes(chance.randrange(0xF0) for _ in range(end - start))
    return bytes(changed)


@dataclass(frozen=True, slots=True)
class _Units:
    """How the minimum coded units of a scan lie in the image (A.2): the column and the row of each pixel's unit."""

    columns: _Numbers
    rows: _Numbers
    interval: int
    blocks_per_unit: int

    @classmethod
    def of(cls, frame: CodedFrame, scan: CodedScan) -> "_Units | None":
        """Return the units of a scan; None for one of components that the frame lacks."""
        factors = [frame.sampling.get(component, (0, 0)) for component in scan.components]
        if not factors or not all(map(all, factors)):
            return None
        most = [max(factor[axis] for factor in frame.sampling.values()) for axis in (0, 1)]
        # Several components are interleaved in units of one or more blocks of each; a single one is coded in blocks.
        is_single = len(factors) == 1
        own = factors[0] if is_single else (1, 1)
        columns, rows = (
            np.arange(size) * own[axis] // (_BLOCK * most[axis])
            for axis, size in enumerate((frame.width, frame.height))
        )
        interval = scan.interval or (int(rows[-1]) + 1) * (int(columns[-1]) + 1)
        return cls(columns, rows, interval, 1 if is_single else sum(across * down for across, down in factors))

    @property
    def shape(self) -> tuple[int, int]:
        """Units down and across."""
        return int(self.rows[-1]) + 1, int(self.columns[-1]) + 1

    @property
    def intervals(self) -> int:
        """Number of restart intervals."""
        return -(-self.shape[0] * self.shape[1] // self.interval)

    def blocks(self) -> Iterator[int]:
        """Yield the number of blocks of each restart interval."""
        for start in range(0, self.shape[0] * self.shape[1], self.interval):
            yield min(self.interval, self.shape[0] * self.shape[1] - start) * self.blocks_per_unit

    def changed_intervals(self, changes: Changes) -> Changes:
        """Return for each interval whether a pixel of it has changed.

        Decoders smooth subsampled colours, so the outermost pixels of a unit change with its neighbours. They count
        only in units that the edge of the image cuts down to them.
        """
        rows, columns = _inner(self.rows), _inner(self.columns)
        first_rows, first_columns = (np.flatnonzero(np.diff(units, prepend=-1)) for units in (rows[1], columns[1]))
        by_row = np.logical_or.reduceat(changes[np.ix_(rows[0], columns[0])], first_rows, axis=0)
        changed: Changes = np.logical_or.reduceat(by_row, first_columns, axis=1).reshape(-1)
        return np.logical_or.reduceat(changed, np.arange(0, changed.size, self.interval))


def _inner(units: _Numbers) -> tuple[_Numbers, _Numbers]:
    """Return the pixels of a row or a column whose neighbours are of the same unit, and their units.

    A unit without such pixels has all of its own.
    """
    before, behind = np.append(units[:1], units[:-1]), np.append(units[1:], units[-1:])
    inner = (units == before) & (units == behind)
    pixels = np.flatnonzero(inner | ~np.isin(units, units[inner]))
    return pixels, units[pixels]


def _decode(data: bytes) -> Samples | None:
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            samples = np.asarray(image)
    except (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError):
        return None
    return samples.reshape(*samples.shape[:2], -1)
