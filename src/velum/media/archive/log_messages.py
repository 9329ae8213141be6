"""Messages of sensor logs: whether a type of messages may hold images, and whether velum hides in those of a format."""

import re

from velum.media.archive import log_video
from velum.media.archive.contents import Content, pictures_in
from velum.media.archive.image_messages import IMAGE_TYPES, ImagePart, type_name
from velum.media.raw_image import RAW_ENCODINGS

SMALLEST_MESSAGE = 1024
"""Messages of fewer bytes cannot show anybody: types of an unknown kind are taken over where none is longer."""

_OTHER_PICTURES = re.compile(
    r"foxglove(?:_msgs/|\.|::)(?:CompressedImage|RawImage|CompressedVideo)|ffmpeg_image_transport_msgs/FFMPEGPacket|"
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


def why_not_hidden(part: ImagePart) -> str:
    """Say why velum does not hide in an image of this format; empty where it does."""
    if part.kind == "video":
        return "" if part.format in log_video.CODECS else f"format {part.format!r}"
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
    if name in IMAGE_TYPES or _OTHER_PICTURES.fullmatch(name):
        return Content("refused", f"pictures of a type that velum does not read ({schema}, in {encoding})")
    if _WITHOUT_PICTURES.fullmatch(name):
        return Content("inert")
    if schema_encoding not in {"ros1msg", "ros2msg"} or _MAY_BE_PICTURES.fullmatch(name):
        return Content("unknown", reason)
    text = definition.decode("utf-8", "replace")
    has_image = any(type_name(nested) in IMAGE_TYPES for nested in _NESTED.findall(text))
    has_bytes = any(not size or int(size) >= SMALLEST_MESSAGE for size in _ARRAY.findall(text))
    return Content("unknown", reason) if has_image or has_bytes or not text.strip() else Content("inert")


def holds_picture(data: bytes) -> bool:
    """Tell whether a message holds an image file, in binary or in base64."""
    if any(start in data for start in _STARTS) and next(pictures_in(data), None) is not None:
        return True
    return any(start in data for start in _WRITTEN) and _WRITTEN_PICTURE.search(data) is not None
