"""Search for content of a file besides the image or video that it shows: previews, further images, metadata, sound.

Where Pillow cannot open the inside of a file, this reports something that cannot be read.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Self

from PIL import Image
from PIL.ExifTags import IFD, TAGS, Base

from velum.errors import BadInput
from velum.limits import Limits
from velum.media.containers import FileBytes, iso_boxes, jpeg_segments
from velum.media.formats import VIDEO_HEAD_BYTES, format_of, kind_of, video_format_of
from velum.media.image import exif_tags
from velum.media.image.probe import open_header
from velum.media.inventory import Surplus, image_surplus, video_surplus
from velum.media.projection import is_projection_alone
from velum.media.sequence_file import SequenceFile, is_sequence
from velum.media.video.side_streams import coded_surplus, list_side_content

Kind = Literal["picture", "metadata", "place", "audio", "subtitles", "stream", "rest"]

SMALLEST = 8
"""Least width and height, in pixels, to which embedded images are decoded on trial."""

_SKIPPED = {b"uuid", b"free", b"skip", b"jumb"}
MOST_SKIPPED = 64 << 20
"""Boxes of an MP4 that players skip, and the number of bytes of one box that are searched."""

_APP11 = 0xEB
_FILL = b"\0"
"""A byte before the boxes: a match at offset 0 would count as the file itself."""

_TEXTS = ("comment", "xmp", "XML:com.adobe.xmp", "photoshop", "iptc", "Description", "Comment", "Title", "Author")
_OF_DIRECTORIES = {Base.ExifOffset, Base.GPSInfo, Base.Orientation, 40965}
_HARMLESS = {
    Base.XResolution, Base.YResolution, Base.ResolutionUnit, Base.YCbCrPositioning, Base.ExifVersion,
    Base.ComponentsConfiguration, Base.FlashPixVersion, Base.ColorSpace, Base.ExifImageWidth, Base.ExifImageHeight,
}  # fmt: skip
"""Tags that only describe how samples are stored."""

_OF_TIFF = {*range(254, 348), *range(529, 533), Base.InterColorProfile, 52545}
"""Tags of the structure, the colour profile and the Content Credentials (C2PA) of a TIFF; those among them that may
name people are in `_TELLING`."""

_TELLING = {
    Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Artist, Base.HostComputer,
}  # fmt: skip


_ALLOWING = {"place": frozenset({"gps"})}
"""By kind of content, the kinds of metadata in a plan that allow it in a video."""


@dataclass(frozen=True, slots=True)
class SideContent:
    """Content besides the image; `description` says what it is. A plan that keeps one of `kinds` of metadata allows it.

    `ordinary`: programs write such content without any image in it.
    """

    kind: Kind
    description: str
    kinds: frozenset[str] = frozenset()
    ordinary: bool = False

    @classmethod
    def of(cls, surplus: Surplus) -> Self:
        """Return the content for bytes that no decoder needs."""
        description = surplus.description if surplus.kind == "metadata" else str(surplus)
        return cls(surplus.kind, description, ordinary=surplus.ordinary)


def beside(path: Path, limits: Limits) -> list[SideContent]:
    """Return the content of an image or video file besides the shown image or video, without duplicates.

    Raises `BadInput` when the file cannot be read, `LimitExceeded` when it is too large.
    """
    if is_sequence(path):
        return _of_sequence(path)
    if kind_of(path) == "DICOM":
        from velum.media.dicom.side_content import list_side_content as list_dicom  # noqa: PLC0415  # an extra

        return [SideContent(kind, what, kinds) for kind, what, kinds in dict.fromkeys(list_dicom(path, limits))]
    try:
        with path.open("rb") as file:
            head = file.read(VIDEO_HEAD_BYTES)
            if container := video_format_of(head):
                surplus = map(SideContent.of, (*video_surplus(path, container), *coded_surplus(path, limits)))
                contents = (
                    SideContent(kind, description, _ALLOWING.get(kind, frozenset()))
                    for kind, description in list_side_content(path, limits)
                )
                return list(dict.fromkeys((*contents, *_of_boxes(file), *surplus)))
            limits.check("bytes", path.stat().st_size, str(path))
            data = head + file.read()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
    return list(dict.fromkeys(_of_image(data, format_of(data, str(path)))))


def _of_sequence(path: Path) -> list[SideContent]:
    """Return the content of all image files in a sequence besides their images, and bytes beside rows of samples."""
    contents: dict[SideContent, None] = {}
    with SequenceFile(path) as sequence:
        for number, entry in enumerate(sequence.entries):
            data = sequence.image(number)
            if entry.layout is None:
                contents |= dict.fromkeys(_of_image(data, format_of(data, f"{path}, message {number + 1}")))
            elif any(entry.layout.padding(data)):
                contents[SideContent("rest", "bytes beside the rows of an image")] = None
    return list(contents)


def _of_boxes(file: BinaryIO) -> Iterator[SideContent]:
    """Yield images in the boxes of an MP4 or MOV that players skip, such as those for provenance (C2PA)."""
    data = FileBytes(file)
    for box in iso_boxes(data, 0, file.seek(0, io.SEEK_END)):
        if box.name in _SKIPPED:
            yield from _pictures(data[box.start : min(box.end, box.start + MOST_SKIPPED)])


def _of_image(data: bytes, format: str) -> Iterator[SideContent]:
    yield from _pictures(data)
    if format == "JPEG" and any(_pictures(_jumbf(data))):
        yield SideContent("picture", "a picture among its Content Credentials")
    yield from map(SideContent.of, image_surplus(data, format))
    try:
        with open_header(format, data) as image:
            if "mp" in image.info or "mpoffset" in image.info:
                yield SideContent("picture", "more pictures behind the first one (MPO)")
            for name in _TEXTS:
                text = image.info.get(name)
                if text and not _of_encoder(text) and not _is_projection(text):
                    yield SideContent("metadata", f"text under {name!r}")
            texts = getattr(image, "text", {})
            yield from (SideContent("metadata", f"text under {name!r}") for name in texts if name not in _TEXTS)
            yield from _tags(image.getexif(), tiff=format == "TIFF")
    except (OSError, ValueError, SyntaxError, KeyError, TypeError) as error:
        yield SideContent("rest", f"something that cannot be read ({type(error).__name__})")


def _is_projection(text: object) -> bool:
    """Tell whether a text is XMP with only the projection of a panorama, which velum keeps."""
    return is_projection_alone(text.encode() if isinstance(text, str) else text if isinstance(text, bytes) else b"")


def _of_encoder(text: object) -> bool:
    """Tell whether a comment is the one that OpenJPEG writes."""
    return str(text).removeprefix("b'").startswith("Created by OpenJPEG")


def _tags(exif: Image.Exif, *, tiff: bool) -> Iterator[SideContent]:
    allowed: dict[int, set[str]] = {}
    for kind, tags in exif_tags.keepable(exif).items():
        for tag in (*tags.main, *tags.exif):
            allowed.setdefault(int(tag), set()).add(kind)
    for tag in exif:
        if tag in _OF_DIRECTORIES or tag in _HARMLESS or (tiff and tag in _OF_TIFF and tag not in _TELLING):
            continue
        if tag == Base.XMLPacket and _is_projection(exif[tag]):
            continue
        yield SideContent("metadata", f"EXIF {TAGS.get(tag, tag)}", frozenset(allowed.get(tag, ())))
    for tag in exif.get_ifd(IFD.Exif):
        if tag not in _OF_DIRECTORIES and tag not in _HARMLESS:
            yield SideContent("metadata", f"EXIF {TAGS.get(tag, tag)}", frozenset(allowed.get(tag, ())))
    if exif.get_ifd(IFD.GPSInfo):
        yield SideContent("place", "EXIF GPS: where it was taken", frozenset({"gps"}))
    if not tiff and exif.get_ifd(IFD.IFD1):
        yield SideContent("picture", "EXIF thumbnail")


def _jumbf(data: bytes) -> bytes:
    """Return the metadata boxes (ISO/IEC 19566-5) of a JPEG, joined from its APP11 segments."""
    manifest = bytearray(_FILL)
    for segment in jpeg_segments(data):
        payload = data[segment.content : segment.end]
        if segment.name == _APP11 and payload[:2] == b"JP":
            # Each further segment repeats the header of its box.
            header = 16 if payload[8:12] == b"\0\0\0\1" else 8
            first = int.from_bytes(payload[4:8]) == 1
            manifest += payload[8:] if first else payload[8 + header :]
    return bytes(manifest)


def _pictures(data: bytes) -> Iterator[SideContent]:
    """Yield the JPEGs and PNGs at any offset of a file except 0."""
    for match in re.finditer(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n", data):
        kind = "PNG" if match[0][1:4] == b"PNG" else "JPEG"
        if match.start() and _is_picture(data[match.start() :], kind):
            yield SideContent("picture", f"a {kind} inside the file, at byte {match.start()}")


def _is_picture(data: bytes, kind: str) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            image.draft(None, (SMALLEST, SMALLEST))
            image.load()
            return min(image.size) > 0
    except Image.DecompressionBombError:
        return True
    except (OSError, ValueError, SyntaxError, TypeError):
        return False
