"""Messages with an image: where it lies in the bytes of one, and the same message with another image.

Layouts are those of CDR (OMG DDSI-RTPS 2.5, 10, as ROS 2 writes it), of ROS 1, and of Foxglove's types in protobuf and
JSON. No message is decoded and encoded anew: the bytes of its image are replaced, and all others stay.
"""

import base64
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from velum.errors import BadInput
from velum.media.raw_image import RawLayout

MessageEncoding = Literal["cdr", "ros1", "protobuf", "json"]
ImageKind = Literal["raw", "compressed", "video"]

MOST_TEXT = 1024
"""Longest name of a frame or a format in the message of an image, in bytes. It stays in the result."""

MOST_REST = 4096
"""Most bytes of a message in protobuf or JSON beside its image. They stay in the result."""

_CDR_HEAD = 4
_CDR_KINDS = {0: ">", 1: "<", 6: ">", 7: "<"}
"""Representation identifiers of plain CDR, versions 1 and 2, and the order of bytes that each means."""

_ROS_TYPES: Mapping[str, ImageKind] = {
    "sensor_msgs/Image": "raw", "sensor_msgs/CompressedImage": "compressed", "foxglove_msgs/RawImage": "raw",
    "foxglove_msgs/CompressedImage": "compressed", "foxglove_msgs/CompressedVideo": "video",
}  # fmt: skip
_FOXGLOVE_TYPES: Mapping[str, ImageKind] = {
    "foxglove.RawImage": "raw", "foxglove.CompressedImage": "compressed", "foxglove.CompressedVideo": "video",
}  # fmt: skip
IMAGE_TYPES = (*_ROS_TYPES, *_FOXGLOVE_TYPES)
"""Types of images, as ROS 1 writes their names."""

_PROTOBUF_FIELDS: Mapping[ImageKind, Mapping[int, str]] = {
    "raw": {2: "width", 3: "height", 4: "encoding", 5: "step", 6: "data"}, "compressed": {2: "data", 3: "format"},
    "video": {3: "data", 4: "format"},
}  # fmt: skip
"""Numbers of the fields in Foxglove's definitions."""

_JSON_DATA = re.compile(rb'"data"\s*:\s*"([A-Za-z0-9+/=]*)"')


@dataclass(frozen=True, slots=True)
class ImagePart:
    """Where an image lies in a message: from `start` to `end`, behind its length, which begins at `head`.

    `format` is the message's own word for the format or the encoding. `layout` is None for an image file and a frame of
    a video.
    """

    head: int
    start: int
    end: int
    kind: ImageKind
    format: str
    layout: RawLayout | None
    encoding: MessageEncoding
    order: str = "<"
    """`<` or `>`, the order of bytes in the message."""

    def image(self, data: bytes | memoryview) -> bytes:
        """Return the bytes of the image in a message. Raises `BadInput` where they are no base64."""
        image = bytes(data[self.start : self.end])
        if self.encoding != "json":
            return image
        try:
            return base64.b64decode(image, validate=True)
        except ValueError as error:
            raise BadInput("its image is not written in base64") from error


class _Fields:
    """The fields of a message of ROS, one after another. Raises `BadInput` where the message ends early."""

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
        """Return the next text. It stays in the result, so a long one, which may be a picture, is refused."""
        start, end = self.block()
        if end - start > MOST_TEXT:
            raise BadInput(f"a text beside its image has {end - start} bytes; velum reads up to {MOST_TEXT}")
        return bytes(self._data[start:end]).rstrip(b"\0").decode("utf-8", "replace")

    def refuse_rest(self) -> None:
        """Raise `BadInput` for bytes behind the last field, but for those that fill up four."""
        rest = bytes(self._data[self.at :])
        if len(rest) > (3 if self.aligned else 0) or any(rest):
            raise BadInput(f"its message has {len(rest)} bytes behind its last field")


def type_name(schema: str) -> str:
    """Return the name of a type as ROS 1 writes it: `sensor_msgs/Image` also for `sensor_msgs/msg/Image`."""
    return schema.replace("/msg/", "/")


def image_kind(schema: str, encoding: str) -> ImageKind | None:
    """Return what `find_image` reads messages of a type, in an encoding, as; None for all other messages."""
    if encoding in {"cdr", "ros1"}:
        return _ROS_TYPES.get(type_name(schema))
    return _FOXGLOVE_TYPES.get(schema) if encoding in {"protobuf", "json"} else None


def find_image(data: bytes | memoryview, schema: str, encoding: str) -> ImagePart:
    """Return where the image of a message lies. Raises `BadInput` for a damaged message.

    The type must be one for which `image_kind` has an answer.
    """
    kind, known = cast("ImageKind", image_kind(schema, encoding)), cast("MessageEncoding", encoding)
    if known == "protobuf":
        return _find_in_protobuf(bytes(data), kind)
    if known == "json":
        return _find_in_json(bytes(data), kind)
    is_foxglove = type_name(schema).startswith("foxglove_msgs/")
    fields = _Fields(data, known)
    # The time stamp. Messages of sensor_msgs have a std_msgs/Header, and ROS 1 counts messages in it.
    for _ in range(3 if known == "ros1" and not is_foxglove else 2):
        fields.number()
    fields.text()  # frame_id
    if kind == "raw":
        return _find_raw(fields, known, is_foxglove=is_foxglove)
    file_format = "" if is_foxglove else fields.text()
    start, end = fields.block()
    if is_foxglove:
        file_format = fields.text()
    fields.refuse_rest()
    return ImagePart(start - 4, start, end, kind, file_format, None, known, fields.order)


def _find_raw(fields: _Fields, encoding: MessageEncoding, *, is_foxglove: bool) -> ImagePart:
    """Return where the samples lie, behind the fields that describe them."""
    first, second = fields.number(), fields.number()
    width, height = (first, second) if is_foxglove else (second, first)
    name = fields.text()
    big_endian = False if is_foxglove else bool(fields.number(1))
    step = fields.number()
    start, end = fields.block()
    fields.refuse_rest()
    layout = RawLayout(name, width, height, step, big_endian)
    return ImagePart(start - 4, start, end, "raw", name, layout, encoding, fields.order)


class _ProtobufField(NamedTuple):
    """A field of a message in protobuf: where it begins, where its value lies, and the value of a number."""

    number: int
    head: int
    start: int
    end: int
    value: int


def _protobuf_fields(data: bytes) -> Iterator[_ProtobufField]:
    """Yield the fields of a message (the wire format of protobuf). Raises `BadInput` for a damaged one."""
    at = 0
    while at < len(data):
        tag, head = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        value, start = _varint(data, head) if kind in {0, 2} else (0, head)
        end = start + ({1: 8, 5: 4}.get(kind, 0) if kind != 2 else value)
        if kind not in {0, 1, 2, 5} or end > len(data):
            raise BadInput("it is no whole message in protobuf")
        if kind == 5:
            value = int.from_bytes(data[start:end], "little")
        yield _ProtobufField(number, head, start, end, value)
        at = end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        value, at = value | (byte & 0x7F) << shift, at + 1
        if byte < 0x80:
            return value, at
    raise BadInput("it is no whole message in protobuf")


def _find_in_protobuf(data: bytes, kind: ImageKind) -> ImagePart:
    known, found = _PROTOBUF_FIELDS[kind], dict[str, _ProtobufField]()
    for field in _protobuf_fields(data):
        name = known.get(field.number, "")
        if name in found:
            raise BadInput(f"its field {name} is there twice")
        if name:
            found[name] = field
    image = found.get("data")
    if image is None:
        raise BadInput("it has no image")
    _refuse_long_rest(len(data) - (image.end - image.start))
    texts = {
        name: data[field.start : field.end].decode("utf-8", "replace")
        for name, field in found.items()
        if name in {"format", "encoding"}
    }
    numbers = {name: found[name].value if name in found else 0 for name in ("width", "height", "step")}
    word = texts.get("format", texts.get("encoding", ""))
    layout = RawLayout(word, numbers["width"], numbers["height"], numbers["step"]) if kind == "raw" else None
    return ImagePart(image.head, image.start, image.end, kind, word, layout, "protobuf")


def _find_in_json(data: bytes, kind: ImageKind) -> ImagePart:
    try:
        message: Any = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"it is no message in JSON: {str(error)[:100]}") from error
    places = list(_JSON_DATA.finditer(data))
    if not isinstance(message, dict) or len(places) != 1 or message.get("data") != places[0][1].decode():
        raise BadInput("its image is not written in base64, or is there twice")
    start, end = places[0].span(1)
    _refuse_long_rest(len(data) - (end - start))
    word = str(message.get("encoding" if kind == "raw" else "format", ""))
    layout = None
    if kind == "raw":
        numbers = [value for name in ("width", "height", "step") if isinstance(value := message.get(name), int)]
        if len(numbers) != 3 or not all(0 <= value < 1 << 32 for value in numbers):
            raise BadInput("its width, height or step is no whole number")
        width, height, step = numbers
        layout = RawLayout(word, width, height, step)
    return ImagePart(start, start, end, kind, word, layout, "json")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it has a field twice")
    return found


def _refuse_long_rest(size: int) -> None:
    if size > MOST_REST:
        raise BadInput(f"it has {size} bytes beside its image; velum reads up to {MOST_REST}")


def splice(data: bytes | memoryview, part: ImagePart, image: bytes) -> bytes:
    """Return a message with another image. All other bytes stay; those that fill up four are as many as then needed."""
    before, after = data[: part.head], data[part.end :]
    match part.encoding:
        case "json":
            return b"".join((before, base64.b64encode(image), after))
        case "protobuf":
            return b"".join((before, _as_varint(len(image)), image, after))
        case "ros1":
            return b"".join((before, struct.pack("<I", len(image)), image, after))
    filling = b""
    if after:
        after = after[-(part.end - _CDR_HEAD) % 4 :]
        filling = bytes(-(part.start - _CDR_HEAD + len(image)) % 4)
    return b"".join((before, struct.pack(f"{part.order}I", len(image)), image, filling, after))


def _as_varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
