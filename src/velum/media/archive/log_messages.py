"""Messages of sensor logs: where an image lies in the bytes of one, and whether a type of messages may hold images.

Layouts are those of CDR (OMG DDSI-RTPS 2.5, 10, as ROS 2 writes it) and of ROS 1. No message is decoded and encoded
anew: the bytes of its image are replaced, and all others stay.
"""

import re
import struct
from dataclasses import dataclass
from typing import Literal

from velum.errors import BadInput
from velum.media.archive.contents import Content, pictures_in
from velum.media.raw_image import RAW_ENCODINGS, RawLayout

MessageEncoding = Literal["cdr", "ros1"]

SMALLEST_MESSAGE = 1024
"""Messages of fewer bytes cannot show anybody: types of an unknown kind are taken over where none is longer."""

_CDR_HEAD = 4
_CDR_KINDS = {0: ">", 1: "<", 6: ">", 7: "<"}
"""Representation identifiers of plain CDR, versions 1 and 2, and the order of bytes that each means."""

_IMAGES = {"sensor_msgs/Image": "raw", "sensor_msgs/CompressedImage": "compressed"}
_OTHER_PICTURES = re.compile(
    r"foxglove(?:_msgs/|\.)(?:CompressedImage|RawImage|CompressedVideo)|ffmpeg_image_transport_msgs/FFMPEGPacket|"
    r"theora_image_transport/Packet"
)
"""Further types whose messages are pictures, in which velum does not hide."""

_MAY_BE_PICTURES = re.compile(r"(?i).*(?:image|video|h26[45]|jpe?g)\w*")

_WITHOUT_PICTURES = re.compile(
    r"(?:sensor_msgs/\w+|std_msgs/(?!U?Int(?:8|16)MultiArray|ByteMultiArray)\w+|"
    r"nav_msgs/\w+|map_msgs/\w+|velodyne_msgs/\w+|geometry_msgs/\w+|tf2?_msgs/\w+|tf/tfMessage|rosgraph_msgs/\w+|"
    r"rcl_interfaces/\w+|diagnostic_msgs/\w+|"
    r"foxglove\.(?:PointCloud|FrameTransforms?|LaserScan|LocationFix|CameraCalibration|Grid|PoseInFrame|PosesInFrame|"
    r"Log|ImageAnnotations|KeyValuePair))"
)
"""Types with arrays of bytes that are no pictures: points, maps, scans, parameters."""

_ARRAY = re.compile(r"(?m)^\s*(?:u?int8|byte|char|u?int16)\s*\[\s*(?:<=)?\s*(\d*)\s*\]\s+\w+")
_NESTED = re.compile(r"(?m)^MSG:\s*(\S+)")
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"GIF87a")
_WRITTEN = (b"/9j/", b"iVBORw0KGgo", b"R0lGOD", b"UklGR")
"""Beginnings of image files, and of the same in base64."""
_WRITTEN_PICTURE = re.compile(rb"(?:/9j/[2-7]|iVBORw0KGgo|R0lGOD[dl]h|UklGR)[A-Za-z0-9+/_-]{40}")


@dataclass(frozen=True, slots=True)
class ImagePart:
    """Where an image lies in a message: from `start` to `end`, behind its length. `layout` is None for an image file.

    `format` is the message's own word for the format or the encoding.
    """

    start: int
    end: int
    format: str
    layout: RawLayout | None
    order: str
    """`<` or `>`, the order of bytes in the message."""


class _Fields:
    """The fields of a message, read one after another. Raises `BadInput` where the message ends early."""

    def __init__(self, data: bytes | memoryview, encoding: MessageEncoding) -> None:
        self._data = data
        self.aligned = encoding == "cdr"
        self.order, self.at = "<", 0
        if self.aligned:
            if len(data) < _CDR_HEAD or data[0] or data[1] not in _CDR_KINDS:
                raise BadInput("it does not begin as a message in CDR")
            self.order, self.at = _CDR_KINDS[data[1]], _CDR_HEAD

    def number(self, size: Literal[1, 4] = 4) -> int:
        if self.aligned:
            self.at += -(self.at - _CDR_HEAD) % size
        end = self.at + size
        if end > len(self._data):
            raise BadInput("its message ends early")
        (value,) = struct.unpack_from(self.order + ("I" if size == 4 else "B"), self._data, self.at)
        self.at = end
        return int(value)

    def block(self) -> tuple[int, int]:
        """Return where the next array of bytes begins and ends."""
        size = self.number()
        start = self.at
        self.at += size
        if self.at > len(self._data):
            raise BadInput("its message ends early")
        return start, self.at

    def text(self) -> str:
        start, end = self.block()
        return bytes(self._data[start:end]).rstrip(b"\0").decode("utf-8", "replace")

    def refuse_rest(self) -> None:
        """Raise `BadInput` for bytes behind the last field, but for those that fill up four."""
        rest = bytes(self._data[self.at :])
        if len(rest) > (3 if self.aligned else 0) or any(rest):
            raise BadInput(f"its message has {len(rest)} bytes behind its image")


def type_name(schema: str) -> str:
    """Return the name of a type as ROS 1 writes it: `sensor_msgs/Image` also for `sensor_msgs/msg/Image`."""
    return schema.replace("/msg/", "/")


def is_image_type(schema: str, encoding: str) -> bool:
    """Tell whether messages of a type, in an encoding, are images that `find_image` reads."""
    return type_name(schema) in _IMAGES and encoding in {"cdr", "ros1"}


def find_image(data: bytes | memoryview, schema: str, encoding: MessageEncoding) -> ImagePart:
    """Return where the image of a message lies. Raises `BadInput` for a damaged message.

    The fields are those of sensor_msgs/Image and sensor_msgs/CompressedImage, both behind a std_msgs/Header.
    """
    fields = _Fields(data, encoding)
    for _ in range(2 if encoding == "cdr" else 3):  # the time stamp; ROS 1 counts messages before it
        fields.number()
    fields.text()  # frame_id
    if _IMAGES[type_name(schema)] == "compressed":
        file_format = fields.text()
        start, end = fields.block()
        fields.refuse_rest()
        return ImagePart(start, end, file_format, None, fields.order)
    height, width = fields.number(), fields.number()
    encoding_name = fields.text()
    big_endian, step = bool(fields.number(1)), fields.number()
    start, end = fields.block()
    fields.refuse_rest()
    layout = RawLayout(encoding_name, width, height, step, big_endian)
    return ImagePart(start, end, encoding_name, layout, fields.order)


def splice(data: bytes | memoryview, part: ImagePart, image: bytes) -> bytes:
    """Return a message with another image. All other bytes stay; those that fill up four are as many as then needed."""
    filling = len(data) - part.end
    if filling:
        filling = -(part.start - _CDR_HEAD + len(image)) % 4
    size = struct.pack(f"{part.order}I", len(image))
    return b"".join((data[: part.start - 4], size, image, bytes(filling)))


def why_not_hidden(part: ImagePart) -> str:
    """Say why velum does not hide in an image of this format; empty where it does."""
    if part.layout is not None:
        return "" if part.format in RAW_ENCODINGS else f"encoding {part.format!r}"
    before, _, coded = part.format.partition(";")
    named = f"{before} {coded}".lower()
    is_depth = re.match(r"\s*(?:16uc1|32fc1)", named) or "compresseddepth" in named
    is_mosaic = "bayer" in (coded or before).lower()
    return f"format {part.format!r}" if is_depth or is_mosaic else ""


def content_of_type(schema: str, schema_encoding: str, definition: bytes, encoding: str, largest: int) -> Content:
    """Return what messages of a type are that is not an image type: `inert`, or `unknown` where they may hold pictures.

    `largest` is the size of the largest message.
    """
    name = type_name(schema)
    reason = f"messages of an unknown kind, which may hold pictures ({schema or 'without a type'}, in {encoding})"
    if largest < SMALLEST_MESSAGE:
        return Content("inert")
    if name in _IMAGES or _OTHER_PICTURES.fullmatch(name):
        return Content("refused", f"pictures of a type that velum does not read ({schema}, in {encoding})")
    if _WITHOUT_PICTURES.fullmatch(name):
        return Content("inert")
    if schema_encoding not in {"ros1msg", "ros2msg"} or _MAY_BE_PICTURES.fullmatch(name):
        return Content("unknown", reason)
    text = definition.decode("utf-8", "replace")
    has_image = any(type_name(nested) in _IMAGES for nested in _NESTED.findall(text))
    has_bytes = any(not size or int(size) >= SMALLEST_MESSAGE for size in _ARRAY.findall(text))
    return Content("unknown", reason) if has_image or has_bytes or not text.strip() else Content("inert")


def holds_picture(data: bytes) -> bool:
    """Tell whether a message holds an image file, in binary or in base64."""
    if any(start in data for start in _STARTS) and next(pictures_in(data), None) is not None:
        return True
    return any(start in data for start in _WRITTEN) and _WRITTEN_PICTURE.search(data) is not None
