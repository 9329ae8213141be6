"""What a file is by its content, whatever it is called, and what its result is called."""

import os
from pathlib import Path

from velum.errors import BadInput
from velum.media.formats import READ_ONLY, SUFFIXES, VIDEO_HEAD_BYTES, VIDEO_SUFFIXES, format_of, video_format_of

OTHER_SUFFIXES = frozenset({
    ".3fr", ".arw", ".braw", ".cr2", ".cr3", ".crw", ".dcr", ".dds", ".dib", ".dng", ".erf", ".exr", ".fff", ".hdr",
    ".ico", ".iiq", ".insp", ".jpm", ".jps", ".jxl", ".jxr", ".k25", ".kdc", ".mef", ".mos", ".mpo", ".mrw", ".nef",
    ".nrw", ".orf", ".pbm", ".pcx", ".pef", ".pgm", ".pnm", ".ppm", ".psd", ".raf", ".raw", ".rw2", ".rwl", ".sr2",
    ".srf", ".srw", ".tga", ".thm", ".wdp", ".x3f", ".xcf",
    ".264", ".265", ".360", ".amv", ".asf", ".dav", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".insv",
    ".ivf", ".lrf", ".lrv", ".m1v", ".m2t", ".m2v", ".mj2", ".mjpeg", ".mjpg", ".mod", ".mpv", ".mxf", ".nsv", ".nut",
    ".ogm", ".ogv", ".qt", ".r3d", ".rm", ".rmvb", ".swf", ".tod", ".tp", ".trp", ".wmv", ".wtv", ".xvid", ".y4m",
})  # fmt: skip
"""Suffixes, beside those that results have, of what people take for pictures and videos."""

SOUND_SUFFIXES = frozenset({
    ".aa", ".aac", ".aax", ".flac", ".m4a", ".m4b", ".m4p", ".m4r", ".mka", ".mks", ".mp3", ".oga", ".opus", ".spx",
    ".wav", ".weba", ".wma",
})  # fmt: skip
"""Suffixes of sound without pictures, though its container could hold some."""

_USUAL = {
    "HEIF": ".heic", "JPEG": ".jpg", "JPEG2000": ".jp2", "TIFF": ".tif", "MPEG": ".mpg", "TS": ".ts", "MP4": ".mp4",
    "3GP": ".3gp", **dict.fromkeys(READ_ONLY, ".mkv"),
}  # fmt: skip
_ALIKE = {("MP4", "MOV"), ("MOV", "MP4"), ("3GP", "MP4"), ("WEBM", "MKV")}
"""Formats that go by a name that is, strictly, of another: the first in a file called as the second."""

_BITMAP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_APPLE_DOUBLE = b"\x00\x05\x16\x07"


def kind_of(path: Path) -> str | None:
    """Return the format of a file by its content, None when it is none that velum reads, or cannot be read."""
    head = _head(path)
    if found := video_format_of(head):
        return found
    try:
        found = format_of(head, "")
    except BadInput:
        return None
    # Two letters begin many a text, too.
    return None if found == "BMP" and int.from_bytes(head[14:18], "little") not in _BITMAP_HEADERS else found


def is_picture(path: Path) -> bool:
    """Tell whether a file is a picture or a video by its content, or called like one; for choosing files of a folder.

    What is called like one and cannot be read is among them: it is to be named, not passed over.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or suffix in VIDEO_SUFFIXES or suffix in OTHER_SUFFIXES:
        # Beside each file on disks of others, macOS leaves one with its name and two characters.
        return not (path.name.startswith("._") and _head(path).startswith(_APPLE_DOUBLE))
    return suffix not in SOUND_SUFFIXES and path.is_file() and kind_of(path) is not None


def is_suffix_of(suffix: str, format: str) -> bool:
    """Tell whether a suffix says what a file of this format is."""
    kind = SUFFIXES.get(suffix.lower()) or VIDEO_SUFFIXES.get(suffix.lower())
    return kind == format or (format, kind) in _ALIKE


def suffix_of(format: str) -> str:
    """Return the suffix of a result whose source is of this format."""
    known = {**SUFFIXES, **VIDEO_SUFFIXES}
    return _USUAL.get(format) or next(suffix for suffix, kind in known.items() if kind == format)


def _head(path: Path) -> bytes:
    try:
        # Not blocking: a pipe without a writer would otherwise hang here.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return os.pread(descriptor, VIDEO_HEAD_BYTES, 0)
        finally:
            os.close(descriptor)
    except OSError:
        return b""
