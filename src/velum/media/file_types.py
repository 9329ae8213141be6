"""The format of a file by its content, suffixes of images and videos, and the suffix of a result."""

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
"""Further suffixes of images and videos, which velum does not write."""

SOUND_SUFFIXES = frozenset({
    ".aa", ".aac", ".aax", ".flac", ".m4a", ".m4b", ".m4p", ".m4r", ".mka", ".mks", ".mp3", ".oga", ".opus", ".spx",
    ".wav", ".weba", ".wma",
})  # fmt: skip
"""Suffixes of audio files, although their containers could hold video."""

_USUAL = {
    "HEIF": ".heic", "JPEG": ".jpg", "JPEG2000": ".jp2", "TIFF": ".tif", "MPEG": ".mpg", "TS": ".ts", "MP4": ".mp4",
    "3GP": ".3gp", **dict.fromkeys(READ_ONLY, ".mkv"),
}  # fmt: skip
_ALIKE = {("MP4", "MOV"), ("MOV", "MP4"), ("3GP", "MP4"), ("WEBM", "MKV")}
"""Pairs (format of the content, format of the suffix) that are usual although they differ."""

_BITMAP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_APPLE_DOUBLE = b"\x00\x05\x16\x07"


def kind_of(path: Path) -> str | None:
    """Return the format of a file by its content; None when velum does not read the format, or cannot read the file."""
    head = _head(path)
    if found := video_format_of(head):
        return found
    try:
        found = format_of(head, "")
    except BadInput:
        return None
    # The signature of a BMP is two letters only, with which a text may start, too.
    return None if found == "BMP" and int.from_bytes(head[14:18], "little") not in _BITMAP_HEADERS else found


def is_picture(path: Path) -> bool:
    """Tell whether a file is an image or a video by its suffix or content; for choosing files of a folder.

    A file with such a suffix that velum cannot read is chosen, too, so that it is reported and not silently skipped.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES or suffix in VIDEO_SUFFIXES or suffix in OTHER_SUFFIXES:
        # On foreign disks, macOS writes a file `._NAME` (AppleDouble) beside each file NAME.
        return not (path.name.startswith("._") and _head(path).startswith(_APPLE_DOUBLE))
    return suffix not in SOUND_SUFFIXES and path.is_file() and kind_of(path) is not None


def is_suffix_of(suffix: str, format: str) -> bool:
    """Tell whether a file of this format may have this suffix."""
    kind = SUFFIXES.get(suffix.lower()) or VIDEO_SUFFIXES.get(suffix.lower())
    return kind == format or (format, kind) in _ALIKE


def suffix_of(format: str) -> str:
    """Return the usual suffix of a result whose source has this format."""
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
