"""What a member of a container is, by its bytes: a picture, a container, something that shows nothing, or a refusal."""

import gzip
import io
import mmap
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import quote

from PIL import Image

from velum.media.formats import (
    OTHER_SUFFIXES,
    READ_ONLY,
    SOUND_SUFFIXES,
    UNREAD_PICTURES,
    VIDEO_FORMATS,
    is_dicom,
    kind_of,
)

ContentKind = Literal["media", "container", "sound", "inert", "unknown", "refused"]
"""`media`: velum hides in it. `inert`: it shows no picture. `unknown`: it holds no picture that velum can see, and is
taken over only if the plan names it. `refused`: it may show a picture that velum cannot read."""

_OPEN_XML = (("word/", "DOCX"), ("ppt/", "PPTX"), ("xl/", "XLSX"))
_MIME_TYPES = {
    "application/vnd.oasis.opendocument.text": "ODT",
    "application/vnd.oasis.opendocument.presentation": "ODP",
    "application/vnd.oasis.opendocument.spreadsheet": "ODS",
    "application/vnd.oasis.opendocument.graphics": "ODG",
    "application/epub+zip": "EPUB",
}
LOGS = ("MCAP", "ROSBAG1", "ROSBAG2")
"""Containers that are recordings of sensors: their members are topics."""

DOCUMENTS = ("DOCX", "PPTX", "XLSX", *_MIME_TYPES.values(), "PDF")
"""Containers that are one document: programs open them as a whole."""

SUFFIXES = {
    ".docx": "DOCX", ".docm": "DOCX", ".dotx": "DOCX", ".pptx": "PPTX", ".pptm": "PPTX", ".potx": "PPTX",
    ".ppsx": "PPTX", ".xlsx": "XLSX", ".xlsm": "XLSX", ".xltx": "XLSX", ".odt": "ODT", ".ott": "ODT", ".odp": "ODP",
    ".otp": "ODP", ".ods": "ODS", ".odg": "ODG", ".epub": "EPUB", ".zip": "ZIP", ".cbz": "ZIP", ".tar": "TAR",
    ".tar.gz": "TGZ", ".tgz": "TGZ", ".pdf": "PDF", ".mcap": "MCAP", ".db3": "ROSBAG2", ".bag": "ROSBAG1",
}  # fmt: skip
"""Container of a file's suffix, in lower case."""

HEAD_BYTES = 1024
MCAP_MAGIC = b"\x89MCAP0\r\n"
"""First and last bytes of an MCAP file."""

ROSBAG1_MAGIC = b"#ROSBAG V2.0\n"
"""First bytes of a ROS 1 bag."""

_SQLITE, _SQLITE_PAGE = b"SQLite format 3\0", 4096

_GZIP, _ZIPS, _COMPOUND = b"\x1f\x8b\x08", (b"PK\x03\x04", b"PK\x05\x06"), bytes.fromhex("d0cf11e0a1b11ae1")
_FONTS = (b"\0\x01\0\0\0", b"OTTO", b"ttcf", b"wOFF", b"wOF2", b"true\0")
_FONT_SUFFIXES = {".fntdata", ".odttf"}
_SOUNDS = (b"ID3", b"fLaC", b"OggS", b"MThd", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9")
_OTHER_ARCHIVE = "an archive of a kind that velum does not read"
_PICTURES = (
    (_COMPOUND, "an OLE object, which may hold pictures"), (_GZIP, "a file packed by gzip, which may be a drawing"),
    *((start, _OTHER_ARCHIVE) for start in (b"BZh", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")),
    *UNREAD_PICTURES,
)  # fmt: skip
"""Starts of files that may show a picture which velum does not read, and what they are."""

_DRAWN_TEXT = (
    (rb"\s*%!PS", "a PostScript drawing"), (rb"\s*/\* XPM", "an XPM picture"), (rb"P[1-6]\s", "a picture (PNM)"),
    (rb"#\?R", "a Radiance picture"), (rb"\s*#define\s+\w+_width", "an XBM picture"),
)  # fmt: skip
_NO_TEXT = re.compile(rb"[\0-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_PLACED = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|\x01\0\0\0.{36} EMF", re.DOTALL)
"""Pictures that are searched for at any offset of a file of unknown kind."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a member is: its kind, and its format or why it is refused, in words."""

    kind: ContentKind
    what: str = ""


def container_of(path: Path) -> str | None:
    """Return the format of an archive or a document by its content; None for any other file."""
    if not path.is_file():  # opening a pipe would wait for a writer
        return None
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if is_dicom(head):  # whose first 128 bytes may look like anything
                return None
            if head.startswith(_ZIPS):
                return _zip_format(path)
            if b"%PDF-" in head[:HEAD_BYTES]:  # ISO 32000-1, annex H: readers look for it in the first 1,024 bytes
                return "PDF" if kind_of(path) is None else None
            if is_tar(head):
                return "TAR"
            if log := _log_format(path, head):
                return log
            return "TGZ" if head.startswith(_GZIP) and is_tar(_unzipped_head(path)) else None
    except OSError:
        return None


def content_of(path: Path, name: str, *, limit_bytes: int) -> Content:
    """Return what a member is; `path` is the file with its bytes. Text is searched for pictures up to `limit_bytes`."""
    size = path.stat().st_size
    if not size:
        return Content("inert")
    suffix = PurePosixPath(name.lower()).suffix
    if container := container_of(path):
        return Content("container", container)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        head = data[:HEAD_BYTES]
        if (text := _text_of(data, limit_bytes)) is not None:
            reason = why_drawn(text, head)
            return Content("refused", reason) if reason else Content("inert")
        if (kind := kind_of(path)) is not None:
            return _media(kind)
        return _binary(data, head, suffix)


def _media(kind: str) -> Content:
    if kind in READ_ONLY:
        return Content("refused", f"a video in {kind}, which velum reads but does not write; convert it first")
    return Content("media", kind)


def _binary(data: mmap.mmap, head: bytes, suffix: str) -> Content:
    for start, kind in _PICTURES:
        if head.startswith(start):
            return Content("refused", kind)
    if head.startswith(b"\x01\0\0\0") and head[40:44] == b" EMF":
        return Content("refused", "an EMF drawing")
    if suffix in OTHER_SUFFIXES or suffix in {".emf", ".wmf", ".pict", ".pct"}:
        return Content("refused", f"a picture or video that velum does not read ({suffix})")
    is_font = head.startswith(_FONTS) or suffix in _FONT_SUFFIXES
    if any(pictures_in(data)):
        return Content("refused", f"{'a font' if is_font else 'a file of an unknown kind'} with a picture in it")
    if is_font:
        return Content("inert")
    if suffix in SOUND_SUFFIXES or head.startswith(_SOUNDS) or (head[:4] == b"RIFF" and head[8:12] == b"WAVE"):
        return Content("sound")
    return Content("unknown", "a file of an unknown kind, which may hold pictures")


def _zip_format(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "mimetype" in names:
                with archive.open("mimetype") as file:
                    text = file.read(100).decode("ascii", "replace").strip().removesuffix("-template")
                return _MIME_TYPES.get(text, "ZIP")
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, zlib.error, EOFError):
        return "ZIP"
    if "[Content_Types].xml" in names:
        return next((kind for start, kind in _OPEN_XML if any(name.startswith(start) for name in names)), "ZIP")
    return "ZIP"


def _log_format(path: Path, head: bytes) -> str | None:
    """Return the format of a sensor log; None for any other file."""
    if head.startswith(MCAP_MAGIC):
        return "MCAP"
    if head.startswith(ROSBAG1_MAGIC):
        return "ROSBAG1"
    return "ROSBAG2" if head.startswith(_SQLITE) and _is_rosbag2(path) else None


def _is_rosbag2(path: Path) -> bool:
    """Tell whether an SQLite file has the two tables that every file of rosbag2 has."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1", uri=True)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    except (sqlite3.Error, UnicodeDecodeError):  # it is damaged: whoever opens it says how
        with path.open("rb") as file:
            page = file.read(_SQLITE_PAGE)
        return b"TABLE topics" in page and b"TABLE messages" in page
    return {("topics",), ("messages",)} <= set(tables)


def is_tar(head: bytes) -> bool:
    """Tell whether a file begins with the header of a TAR archive (POSIX.1-1988, and GNU's)."""
    return head[257:262] == b"ustar"


def _unzipped_head(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(512)
    except (OSError, EOFError, zlib.error):
        return b""


def _text_of(data: mmap.mmap, limit_bytes: int) -> bytes | None:
    """Return a text as UTF-8, or in the 8-bit code that it has; None for anything else."""
    start = data[:4]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) and len(data) <= limit_bytes:
        try:
            text = data[:].decode("utf-16").encode()
        except UnicodeDecodeError:
            return None
        return None if _NO_TEXT.search(text) else text
    if _NO_TEXT.search(data) or len(data) > limit_bytes:
        return None
    return data[:]


def why_drawn(text: bytes, head: bytes) -> str:
    """Say what picture a text holds; empty where there is none. `head` are its first bytes."""
    for start, kind in _DRAWN_TEXT:
        if re.match(start, head):
            return kind
    from velum.media.archive import written_pictures  # noqa: PLC0415 - loaded when it is used

    return written_pictures.why_refused(text)


def pictures_in(data: mmap.mmap | bytes) -> Iterator[int]:
    """Yield the offset of each picture in bytes of an unknown kind."""
    for match in _PLACED.finditer(data):
        if match[0].startswith(b"\x01"):
            yield match.start()
            continue
        try:
            with Image.open(
                io.BytesIO(data[match.start() : match.start() + (1 << 20)]), formats=("JPEG", "PNG", "GIF")
            ):
                yield match.start()
        except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
            continue


def is_video(format: str) -> bool:
    """Tell whether a format is one of videos."""
    return format in VIDEO_FORMATS
