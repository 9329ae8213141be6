"""Inventory of a file's bytes: for each format a walker that yields the byte ranges that no decoder needs."""

import mmap
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

from velum.media.inventory.surplus import Surplus

__all__ = ["Surplus", "image_surplus", "video_surplus"]

_IMAGES: Mapping[str, tuple[str, str]] = {
    "AVIF": ("items", "items"), "BMP": ("bmp", "bmp"), "GIF": ("gif", "gif"), "HEIF": ("items", "items"),
    "JPEG": ("jpeg", "jpeg"), "JPEG2000": ("jpeg2000", "jpeg2000"), "PNG": ("png", "png"), "TIFF": ("tiff", "tiff"),
    "WEBP": ("riff", "webp"),
}  # fmt: skip
_VIDEOS: Mapping[str, tuple[str, str]] = {
    "AVI": ("riff", "avi"), "MKV": ("matroska", "matroska"), "MPEG": ("mpeg", "program"), "MOV": ("movie", "movie"),
    "MP4": ("movie", "movie"), "TS": ("mpeg", "transport"), "WEBM": ("matroska", "matroska"),
}  # fmt: skip
"""Format -> module of its walker, loaded when a file of that format is walked, and the walker's name there."""


def _walker(place: tuple[str, str]) -> Callable[[bytes], Iterator[Surplus]]:
    walker: Callable[[bytes], Iterator[Surplus]] = getattr(import_module(f"{__name__}.{place[0]}"), place[1])
    return walker


def image_surplus(data: bytes, format: str) -> Iterator[Surplus]:
    """Yield the byte ranges of an image file that no decoder needs; nothing for a format without a walker.

    The walk of a truncated or damaged file may end early: decoders decide whether such a file can be read.
    """
    try:
        yield from _walker(_IMAGES[format])(data) if format in _IMAGES else ()
    except IndexError:
        yield Surplus("a part that cannot be read", 0, len(data))


def video_surplus(path: Path, format: str) -> Iterator[Surplus]:
    """Yield the byte ranges of a video file that no player needs. Raises `OSError` when it cannot be read."""
    if format not in _VIDEOS:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            yield from _walker(_VIDEOS[format])(data)  # type: ignore[arg-type]  # it is sliced and searched as bytes are
        except IndexError:
            yield Surplus("a part that cannot be read", 0, len(data))
