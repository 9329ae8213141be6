"""A JPEG in which only those blocks are coded anew that were changed; every other coefficient stays as it is.

JPEG codes a picture in minimum coded units (ITU-T T.81, A.2): so many blocks of 8 x 8 samples of each component as lie
on the same pixels. What is hidden touches some of them. These are cut from the hidden picture and encoded, side by
side, with the quantisation tables of the source; their coefficients then take the place of the source's.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from velum.frame import Plane, Role, Touched
from velum.media.image import headers, turbojpeg
from velum.media.image.info import Jpeg

_SAMPLING = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}
"""Luma blocks in a unit, across and down; each chroma component has one."""

_HUFFMAN = {0xC0, 0xC1, 0xC2}
"""Start of frame: baseline, extended, progressive. Others are lossless, hierarchical, or coded arithmetically."""

_PROGRESSIVE = 0xC2
_CODING = ("qtables", "subsampling", "keep_rgb")
"""Those of Pillow's options that decide how samples become coefficients."""

_ABREAST = 2048
"""Units side by side in what is encoded of them; a JPEG is at most 65,535 pixels wide and high."""

_STANDALONE = {0x01, *range(0xD0, 0xDA)}
_APPLICATION, _COMMENT = range(0xE0, 0xF0), 0xFE

Grid = npt.NDArray[np.bool_]


class Inexact(Exception):
    """Why the file cannot be edited block by block; it is then encoded anew as a whole."""


@dataclass(frozen=True, slots=True)
class _Units:
    """How the picture is divided: blocks of each component in a unit, across and down."""

    blocks: tuple[tuple[int, int], ...]

    @property
    def size(self) -> tuple[int, int]:
        """Pixels of a unit, across and down."""
        across, down = self.blocks[0]
        return 8 * across, 8 * down


def edited(source: Jpeg, plane: Plane, touched: Touched, options: Mapping[str, Any]) -> bytes:
    """Return the source with the units coded anew that `touched` lies in, from the samples of `plane`.

    `options` are those with which Pillow would write the file: they decide its metadata. Raises `Inexact`.
    """
    if not turbojpeg.available():
        raise Inexact("no TurboJPEG library here")
    if (kind := _frame_kind(source.data)) not in _HUFFMAN:
        raise Inexact("arithmetic or another uncommon coding")
    units = _units(source, plane)
    grid = _grid(touched, units, *plane.pixels.shape[:2])
    lines = [bool(line.any()) for line in grid]
    down = [rows for _, rows in units.blocks]
    try:
        new = _coded(source, _cut(plane.pixels, grid, units), units, options)
        body = turbojpeg.edited(
            source.data, lambda component, row: lines[row // down[component]],
            _replacing(new, grid, units), progressive=kind == _PROGRESSIVE,
        )  # fmt: skip
    except turbojpeg.TurboJpegError as error:
        raise Inexact(f"the library says: {error}") from error
    return b"\xff\xd8" + _head(plane, options) + _tail(body)


def _units(source: Jpeg, plane: Plane) -> _Units:
    if plane.role == Role.GREY:
        return _Units(((1, 1),))
    if plane.role != Role.RGB or source.subsampling is None:
        raise Inexact("uncommon components or sampling")
    return _Units((_SAMPLING[source.subsampling], (1, 1), (1, 1)))


def _grid(touched: Touched, units: _Units, height: int, width: int) -> Grid:
    """Return which units hold a touched sample, (units down, units across)."""
    wide, high = units.size
    grid: Grid = np.zeros((-(-height // high), -(-width // wide)), bool)
    for box, mask in touched:
        if mask is None:
            grid[box.y0 // high : -(-box.y1 // high), box.x0 // wide : -(-box.x1 // wide)] = True
            continue
        rows, columns = np.nonzero(mask)
        grid[(rows + box.y0) // high, (columns + box.x0) // wide] = True
    return grid


def _cut(pixels: npt.NDArray[Any], grid: Grid, units: _Units) -> npt.NDArray[Any]:
    """Return the pixels of the touched units side by side, in rows of at most `_ABREAST`, the last one filled up."""
    wide, high = units.size
    down, across = pixels.shape[0] // high, pixels.shape[1] // wide
    whole = pixels[: down * high, : across * wide].reshape(down, high, across, wide, *pixels.shape[2:])
    rows, columns = np.nonzero(grid)
    inside = (rows < down) & (columns < across)
    abreast = min(len(rows), _ABREAST) or 1
    cut = np.zeros((-(-len(rows) // abreast) * abreast, high, wide, *pixels.shape[2:]), pixels.dtype)
    cut[: len(rows)][inside] = whole[rows[inside], :, columns[inside]]
    for number in np.flatnonzero(~inside):
        cut[number] = _at_border(pixels, rows[number] * high, columns[number] * wide, units.size)
    lines = cut.reshape(-1, abreast, *cut.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(lines.reshape(-1, abreast * wide, *pixels.shape[2:]))


def _at_border(pixels: npt.NDArray[Any], top: int, left: int, size: tuple[int, int]) -> npt.NDArray[Any]:
    """Return a unit that reaches beyond the picture, which repeats its last samples there, as encoders do."""
    part = pixels[top : top + size[1], left : left + size[0]]
    missing = ((0, size[1] - part.shape[0]), (0, size[0] - part.shape[1]), (0, 0))
    return np.pad(part, missing[: part.ndim], "edge")


def _coded(
    source: Jpeg, pixels: npt.NDArray[Any], units: _Units, options: Mapping[str, Any]
) -> list[npt.NDArray[np.int16]]:
    """Return the coefficients of the units in `pixels` for each component: (block down, unit, block across, 64)."""
    if not pixels.size:
        return []
    encoded = _encoded(pixels, {name: options[name] for name in _CODING if name in options})
    with Image.open(io.BytesIO(encoded)) as image:
        assert isinstance(image, JpegImageFile)  # noqa: S101 - just encoded as one
        made = headers.jpeg(image, encoded)
    if (made.tables, made.subsampling, made.rgb) != (source.tables, source.subsampling, source.rgb):
        raise Inexact("its tables or components cannot be written in the same way")
    rows: list[list[turbojpeg.Blocks]] = [[] for _ in units.blocks]
    turbojpeg.coefficients(encoded, lambda component, _row, blocks: rows[component].append(blocks.copy()))
    found = []
    for (across, down), lines in zip(units.blocks, rows, strict=True):
        blocks = np.array(lines).reshape(-1, down, len(lines[0]) // across, across, 64)
        found.append(np.ascontiguousarray(blocks.transpose(1, 0, 2, 3, 4)).reshape(down, -1, across, 64))
    return found


def _replacing(new: Sequence[npt.NDArray[np.int16]], grid: Grid, units: _Units) -> turbojpeg.Filter:
    """Return what puts the coefficients of the touched units in their place."""
    # Units are numbered row by row, as they were cut. This is called for each row: all that can be is done before.
    ends = np.cumsum(grid.sum(axis=1))
    columns = np.nonzero(grid)[1]
    parts = [
        (
            down,
            (columns[:, None] * across + np.arange(across)).reshape(-1),
            theirs.reshape(down, -1, 64),
            [0, *(ends * across).tolist()],
        )
        for (across, down), theirs in zip(units.blocks, new, strict=bool(new))
    ]

    def replace(component: int, row: int, blocks: turbojpeg.Blocks) -> None:
        down, places, theirs, first = parts[component]
        line, within = divmod(row, down)
        start, stop = first[line], first[line + 1]
        # Blocks that fill up the last unit are in no picture.
        while stop > start and places[stop - 1] >= len(blocks):
            stop -= 1
        blocks[places[start:stop]] = theirs[within, start:stop]

    return replace


def _encoded(pixels: npt.NDArray[Any], options: Mapping[str, Any]) -> bytes:
    mode = "L" if pixels.ndim == 2 else "RGB"
    pixels = np.ascontiguousarray(pixels)
    made = io.BytesIO()
    image = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), pixels, "raw", mode, 0, 1)
    image.save(made, "JPEG", **options)
    return made.getvalue()


def _head(plane: Plane, options: Mapping[str, Any]) -> bytes:
    """Return the metadata and the like that Pillow would write."""
    return b"".join(segment for marker, segment in _segments(_encoded(plane.pixels[:1, :1], options)) if _tells(marker))


def _tail(body: bytes) -> bytes:
    """Return all of a file but its start and the metadata and the like."""
    segments = list(_segments(body))
    kept = [segment for marker, segment in segments if not _tells(marker)]
    scans = body[2 + sum(len(segment) for _, segment in segments) :]
    return b"".join(kept) + scans


def _tells(marker: int) -> bool:
    return marker in _APPLICATION or marker == _COMMENT


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker segments before the first scan (ITU-T T.81, B.1.1.4). Raises `Inexact` for what is none."""
    at = 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == 0xDA:
            return
        if marker in _STANDALONE or marker == 0xFF:
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        yield marker, data[at:end]
        at = end
    raise Inexact("its segments are not as usual")


def _frame_kind(data: bytes) -> int:
    """Return the marker of the start of frame."""
    frames = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
    return next((marker for marker, _ in _segments(data) if marker in frames), 0)
