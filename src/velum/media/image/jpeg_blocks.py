"""Editing a JPEG block by block: only blocks that a region touches are encoded again, all other coefficients stay.

JPEG codes an image in minimum coded units (ITU-T T.81, A.2), called units here: the blocks of 8 x 8 samples of each
component that cover the same pixels. Touched units are cut from the changed frame and encoded, side by side, with the
quantisation tables of the source; their coefficients then replace those of the source.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from velum.frame import Plane, Role, Touched
from velum.media.containers import SOS, jpeg_segments
from velum.media.image import headers, turbojpeg
from velum.media.image.info import Jpeg
from velum.media.image.strip_metadata import strip_everything

_SAMPLING = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}
"""Luma blocks in a unit, across and down; each chroma component has one."""

_HUFFMAN = {0xC0, 0xC1, 0xC2}
"""Start of frame: baseline, extended, progressive. Others are lossless, hierarchical, or coded arithmetically."""

_PROGRESSIVE = 0xC2
_CODING = ("qtables", "subsampling", "keep_rgb")
"""The options of Pillow that decide how samples become coefficients."""

_UNITS_PER_ROW = 2048
"""Units per row of the image that they are encoded in; a JPEG is at most 65,535 pixels wide and high."""

_APPLICATION, _COMMENT = range(0xE0, 0xF0), 0xFE

NO_LIBRARY = "no TurboJPEG library here"
"""Why a JPEG is encoded anew where the library is missing; it can be installed."""

Grid = npt.NDArray[np.bool_]


class Inexact(Exception):
    """The JPEG cannot be edited block by block, and has to be encoded as a whole; the message says why."""


_Units = tuple[tuple[int, int], ...]
"""How the image is divided: for each component the blocks in a unit, across and down."""


def _unit_size(units: _Units) -> tuple[int, int]:
    """Return the pixels of a unit, across and down."""
    across, down = units[0]
    return 8 * across, 8 * down


def edit_blocks(source: Jpeg, plane: Plane, touched: Touched, options: Mapping[str, Any]) -> bytes:
    """Return the bytes of `source` with those units encoded again, from the samples of `plane`, that `touched` covers.

    The metadata is what Pillow writes for `options`, the options for the whole file. Raises `Inexact` when the file
    cannot be edited block by block.
    """
    if (kind := _frame_kind(source.data)) not in _HUFFMAN:
        raise Inexact("arithmetic or another uncommon coding")
    units = _divide_into_units(source, plane)
    if not turbojpeg.available():
        return b"\xff\xd8" + _head(plane, options) + _tail(_own_scans(source.data, touched))
    grid = _touched_units(touched, units, *plane.pixels.shape[:2])
    lines = [bool(line.any()) for line in grid]
    down = [rows for _, rows in units]

    def is_touched(component: int, row: int) -> bool:
        if (line := row // down[component]) >= len(lines):
            raise Inexact("its header states more rows than its image has")
        return lines[line]

    try:
        new = _encode_units(source, _cut_units(plane.pixels, grid, units), units, options)
        body = turbojpeg.replace_coefficients(
            source.data, is_touched, _replacement(new, grid, units), progressive=kind == _PROGRESSIVE
        )
    except turbojpeg.TurboJpegError as error:
        raise Inexact(f"the library says: {error}") from error
    return b"\xff\xd8" + _head(plane, options) + _tail(body)


def _own_scans(data: bytes, touched: Touched) -> bytes:
    """Return the JPEG as it is, without metadata. Raises `Inexact` unless nothing is hidden, and nothing else in it."""
    own = None if touched else strip_everything(data, "JPEG")
    if own is None:
        raise Inexact(NO_LIBRARY)
    return own


def _divide_into_units(source: Jpeg, plane: Plane) -> _Units:
    if plane.role == Role.GREY:
        return ((1, 1),)
    if plane.role != Role.RGB or source.subsampling is None:
        raise Inexact("uncommon components or sampling")
    return _SAMPLING[source.subsampling], (1, 1), (1, 1)


def _touched_units(touched: Touched, units: _Units, height: int, width: int) -> Grid:
    """Return a mask (units down, units across) of the units that hold a touched sample."""
    wide, high = _unit_size(units)
    grid: Grid = np.zeros((-(-height // high), -(-width // wide)), bool)
    for box, mask in touched:
        if mask is None:
            grid[box.y0 // high : -(-box.y1 // high), box.x0 // wide : -(-box.x1 // wide)] = True
            continue
        rows, columns = np.nonzero(mask)
        grid[(rows + box.y0) // high, (columns + box.x0) // wide] = True
    return grid


def _cut_units(pixels: npt.NDArray[Any], grid: Grid, units: _Units) -> npt.NDArray[Any]:
    """Return an image of the touched units, in rows of at most `_UNITS_PER_ROW` units; the last row is padded."""
    wide, high = _unit_size(units)
    down, across = pixels.shape[0] // high, pixels.shape[1] // wide
    whole = pixels[: down * high, : across * wide].reshape(down, high, across, wide, *pixels.shape[2:])
    rows, columns = np.nonzero(grid)
    inside = (rows < down) & (columns < across)
    abreast = min(len(rows), _UNITS_PER_ROW) or 1
    cut = np.zeros((-(-len(rows) // abreast) * abreast, high, wide, *pixels.shape[2:]), pixels.dtype)
    cut[: len(rows)][inside] = whole[rows[inside], :, columns[inside]]
    for number in np.flatnonzero(~inside):
        cut[number] = _pad_unit(pixels, rows[number] * high, columns[number] * wide, (wide, high))
    lines = cut.reshape(-1, abreast, *cut.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(lines.reshape(-1, abreast * wide, *pixels.shape[2:]))


def _pad_unit(pixels: npt.NDArray[Any], top: int, left: int, size: tuple[int, int]) -> npt.NDArray[Any]:
    """Return a unit that reaches beyond the image, filled by repeating its last samples, as encoders do."""
    part = pixels[top : top + size[1], left : left + size[0]]
    missing = ((0, size[1] - part.shape[0]), (0, size[0] - part.shape[1]), (0, 0))
    return np.pad(part, missing[: part.ndim], "edge")


def _encode_units(
    source: Jpeg, pixels: npt.NDArray[Any], units: _Units, options: Mapping[str, Any]
) -> list[npt.NDArray[np.int16]]:
    """Return the coefficients of the units in `pixels` for each component: (block down, unit, block across, 64)."""
    if not pixels.size:
        return []
    encoded = _encode_jpeg(pixels, {name: options[name] for name in _CODING if name in options})
    with Image.open(io.BytesIO(encoded)) as image:
        assert isinstance(image, JpegImageFile)  # noqa: S101 - just encoded as one
        jpeg = headers.jpeg(image, encoded)
    if (jpeg.tables, jpeg.subsampling, jpeg.rgb) != (source.tables, source.subsampling, source.rgb):
        raise Inexact("its tables or components cannot be written in the same way")
    rows: list[list[turbojpeg.Blocks]] = [[] for _ in units]
    turbojpeg.coefficients(encoded, lambda component, _row, blocks: rows[component].append(blocks.copy()))
    scans = []
    for (across, down), lines in zip(units, rows, strict=True):
        blocks = np.array(lines).reshape(-1, down, len(lines[0]) // across, across, 64)
        scans.append(np.ascontiguousarray(blocks.transpose(1, 0, 2, 3, 4)).reshape(down, -1, across, 64))
    return scans


def _replacement(new: Sequence[npt.NDArray[np.int16]], grid: Grid, units: _Units) -> turbojpeg.Filter:
    """Return a filter for TurboJPEG that replaces the coefficients of the touched units."""
    # Units are numbered row by row, as they were cut. The filter is called for each row, so tables are made before.
    ends = np.cumsum(grid.sum(axis=1))
    columns = np.nonzero(grid)[1]
    parts = [
        (
            down,
            (columns[:, None] * across + np.arange(across)).reshape(-1),
            theirs.reshape(down, -1, 64),
            [0, *(ends * across).tolist()],
        )
        for (across, down), theirs in zip(units, new, strict=bool(new))
    ]

    def replace(component: int, row: int, blocks: turbojpeg.Blocks) -> None:
        down, places, theirs, first = parts[component]
        line, within = divmod(row, down)
        start, stop = first[line], first[line + 1]
        # Padding blocks of the last unit are not part of the source.
        while stop > start and places[stop - 1] >= len(blocks):
            stop -= 1
        blocks[places[start:stop]] = theirs[within, start:stop]

    return replace


def _encode_jpeg(pixels: npt.NDArray[Any], options: Mapping[str, Any]) -> bytes:
    mode = "L" if pixels.ndim == 2 else "RGB"
    pixels = np.ascontiguousarray(pixels)
    file = io.BytesIO()
    image = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), pixels, "raw", mode, 0, 1)
    image.save(file, "JPEG", **options)
    return file.getvalue()


def _head(plane: Plane, options: Mapping[str, Any]) -> bytes:
    """Return the application and comment segments that Pillow writes for these options."""
    return b"".join(
        segment for marker, segment in _segments(_encode_jpeg(plane.pixels[:1, :1], options)) if _is_metadata(marker)
    )


def _tail(body: bytes) -> bytes:
    """Return a JPEG without its start marker and its application and comment segments."""
    segments = list(_segments(body))
    remaining = [segment for marker, segment in segments if not _is_metadata(marker)]
    scans = body[2 + sum(len(segment) for _, segment in segments) :]
    return b"".join(remaining) + scans


def _is_metadata(marker: int) -> bool:
    return marker in _APPLICATION or marker == _COMMENT


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and bytes of each segment before the first scan (ITU-T T.81, B.1.1.4).

    Raises `Inexact` where the bytes are not a segment.
    """
    at = 2
    for marker, start, _, end, _ in jpeg_segments(data):
        if marker == SOS:
            return
        if start != at:
            break
        yield marker, data[start:end]
        at = end
    raise Inexact("its segments are not as usual")


def _frame_kind(data: bytes) -> int:
    """Return the marker of the start of frame."""
    frames = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
    return next((marker for marker, _ in _segments(data) if marker in frames), 0)
