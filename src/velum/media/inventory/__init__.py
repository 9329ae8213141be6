"""Inventory of a file's bytes: for each format a walker that yields the byte ranges that no decoder needs."""

import mmap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from velum.media.inventory.bmp import bmp
from velum.media.inventory.gif import gif
from velum.media.inventory.items import items
from velum.media.inventory.jpeg import jpeg
from velum.media.inventory.jpeg2000 import jpeg2000
from velum.media.inventory.matroska import matroska
from velum.media.inventory.movie import movie
from velum.media.inventory.mpeg import program, transport
from velum.media.inventory.png import png
from velum.media.inventory.riff import avi, webp
from velum.media.inventory.surplus import Surplus
from velum.media.inventory.tiff import tiff

__all__ = ["Surplus", "image_surplus", "video_surplus"]

_IMAGES: Mapping[str, Callable[[bytes], Iterator[Surplus]]] = {
    "AVIF": items, "BMP": bmp, "GIF": gif, "HEIF": items, "JPEG": jpeg, "JPEG2000": jpeg2000, "PNG": png, "TIFF": tiff,
    "WEBP": webp,
}  # fmt: skip
_VIDEOS: Mapping[str, Callable[[bytes], Iterator[Surplus]]] = {
    "AVI": avi, "MKV": matroska, "MPEG": program, "MOV": movie, "MP4": movie, "TS": transport, "WEBM": matroska,
}  # fmt: skip


def image_surplus(data: bytes, format: str) -> Iterator[Surplus]:
    """Yield the byte ranges of an image file that no decoder needs; nothing for a format without a walker.

    The walk of a truncated or damaged file may end early: decoders decide whether such a file can be read.
    """
    try:
        yield from _IMAGES[format](data) if format in _IMAGES else ()
    except IndexError:
        yield Surplus("a part that cannot be read", 0, len(data))


def video_surplus(path: Path, format: str) -> Iterator[Surplus]:
    """Yield the byte ranges of a video file that no player needs. Raises `OSError` when it cannot be read."""
    if format not in _VIDEOS:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            yield from _VIDEOS[format](data)  # type: ignore[arg-type]  # it is sliced and searched as bytes are
        except IndexError:
            yield Surplus("a part that cannot be read", 0, len(data))
