"""Inventory of coded video: finds units of a bit stream that decoders do not need, and data in units besides the video.

Units and their types: ITU-T H.264 (7.4.1, annex D), ITU-T H.265 (7.4.2, annex D), the AV1 specification (6.2, 6.7),
ISO/IEC 13818-2 (6.2.2) and ISO/IEC 14496-2 (6.2.1). Bytes inside a slice, behind its last block, are not examined: only
a decoder knows where the block ends. The video writer shares no code with this module, so that it can check the writer.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from velum.media.inventory.surplus import PADDING, Surplus

Part = tuple[str, bytes]
"""Description and bytes of what a decoder does not need. Parameter sets, described as `SET`, are only counted."""

SET = "parameter sets"
_LARGEST_SET, _MOST_SETS = 2 << 10, 16 << 10
"""Most bytes of one parameter set, and of all different ones of a stream; the largest hold scaling lists."""

_USER, _REGISTERED, _FILLER = 5, 4, 3
_MESSAGES = {
    0: 64, 1: 64, 2: 64, 6: 16, 7: 32, 19: 16, 45: 32, 47: 16, 128: 64, 129: 64, 132: 96, 137: 24, 144: 4, 147: 1,
}  # fmt: skip
"""Most bytes of a message (SEI) about timing, order, checksums or colours, by type. The types that H.264 and HEVC share
have the same sizes."""

_ENCODERS = (
    re.compile(
        rb"\xdcE\xe9\xbd\xe6\xd9H\xb7\x96,\xd8 \xd9#\xee\xef"
        rb"x264 - core \d{1,4}(?: r\d{1,5}\w{0,2}(?: [0-9a-f]{7,40})?)?"
        rb" - H\.264/MPEG-4 AVC codec - Copy(?:left|right) 2003-20\d\d - http://www\.videolan\.org/x264\.html"
        rb"(?: - options:(?: [a-z0-9_-]{1,24}=[a-zA-Z0-9.,:x()+/-]{1,80}){0,80})?\0?"
    ),
    re.compile(
        rb",\xa2\xde\t\xb5\x17G\xdb\xbbU\xa4\xfe\x7f\xc2\xfcNx265 \(build \d{1,4}\) - [\w.+-]{1,40}:\[[^\]]{1,40}\]"
        rb"(?:\[[^\]]{1,40}\]){0,3}[ \w.+-]{0,24} - H\.265/HEVC codec - Copyright 2013-20\d\d \(c\) Multicoreware, Inc"
        rb" - http://x265\.org(?: - options:(?: [a-zA-Z0-9_-]{1,30}(?:=[a-zA-Z0-9.,:x()+/-]{0,60})?){0,200})?\0?"
    ),
)
"""The exact forms in which x264 and x265 write their version and options."""

_PROGRAMS = re.compile(
    rb"(?:Lavc[\d.]{1,16}|XviD\d{4}[A-Z]?|DivX\d{3,4}(?:b|Build)\d{1,5}p?|DTG1A\xf0?[\xf0-\xff]?)\0*"
)
"""Names of encoders, and the active format description (ETSI TS 101 154, annex B), as user data."""

_LONGEST_MARK = 3

_OBU_SEQUENCE, _OBU_DELIMITER, _OBU_METADATA, _OBU_PADDING = 1, 2, 5, 15
_OBU_PICTURES = frozenset({3, 4, 6, 7})
_OBU_MESSAGES = {1: 5, 2: 25, 3: 64, 5: 16}
"""Most bytes of AV1 metadata about light, colours, layers and times, by type, with the trailing bit."""

_MPEG4_OTHERS = frozenset({0xB0, 0xB1, 0xB3, 0xB5})
_MPEG2_OTHERS = frozenset({0xB3, 0xB5, 0xB7, 0xB8})
_USER_DATA = 0xB2


class CodedStream:
    """One pass over the packets of a video stream: call `take` for each packet, then `surplus`."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        """`codec` is FFmpeg's name, `extradata` the codec header in the container, b"" where it has none."""
        self._codec, self._prefix = codec, 0
        self._found: dict[str, int] = {}
        self._sets: set[bytes] = set()
        self._walk = _WALKS.get(codec)
        if self._walk is not None and extradata:
            self._prefix, units, rest = _header(codec, extradata)
            self._count(self._walk(units, 0))
            if len(rest) > PADDING and any(rest):
                self._count(iter([("bytes after the header", rest)]))

    def take(self, packet: bytes) -> None:
        """Examine the next packet."""
        if self._walk is None:
            return
        self._count(self._walk(packet, self._prefix))
        if not self._prefix and self._codec != "av1":
            stray = packet[: max(packet.find(b"\0\0\1"), 0)]
            if len(stray) > PADDING and any(stray):
                self._count(iter([("bytes before the first unit", stray)]))

    def surplus(self) -> Iterator[Surplus]:
        """Yield one surplus for each kind of bytes that no decoder needs, with their total size."""
        for description, size in self._found.items():
            yield Surplus(f"{description} in the coded frames ({self._codec})", 0, size, scattered=True)
        if (total := sum(map(len, self._sets))) > _MOST_SETS:
            yield Surplus(f"too many {SET} in the coded frames ({self._codec})", 0, total, scattered=True)

    def _count(self, parts: Iterator[Part]) -> None:
        for description, data in parts:
            if description != SET:
                self._found[description] = self._found.get(description, 0) + len(data)
            elif len(data) > _LARGEST_SET:
                self._found["a long parameter set"] = max(self._found.get("a long parameter set", 0), len(data))
            elif sum(map(len, self._sets)) <= _MOST_SETS:
                self._sets.add(data)


def _header(codec: str, data: bytes) -> tuple[int, bytes, bytes]:
    """Parse a codec header: return the size of unit lengths in packets (0: byte stream), its units, and the rest."""
    if codec == "av1":
        return (0, data[4:], b"") if data[:1] == b"\x81" else (0, data, b"")
    if codec == "h264" and len(data) > 6 and data[0] == 1:
        units, at = _read_sets(data, 6, data[5] & 31)
        more, at = _read_sets(data, at + 1, data[at] if at < len(data) else 0)
        units += more
        if len(data) >= at + 4 and data[1] not in {66, 77, 88}:  # depth and sampling (ISO/IEC 14496-15, 5.3.3.1)
            more, at = _read_sets(data, at + 4, data[at + 3])
            units += more
        return (data[4] & 3) + 1, _to_byte_stream(units), data[at:]
    if codec == "hevc" and len(data) > 22 and data[:3] != b"\0\0\1" and data[:4] != b"\0\0\0\1":
        units, at = [], 23
        for _ in range(data[22]):
            more, at = _read_sets(data, at + 3, int.from_bytes(data[at + 1 : at + 3]))
            units += more
        return (data[21] & 3) + 1, _to_byte_stream(units), data[at:]
    return 0, data, b""


def _read_sets(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    units = []
    for _ in range(count):
        size = int.from_bytes(data[at : at + 2])
        units.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return units, at


def _to_byte_stream(units: list[bytes]) -> bytes:
    return b"".join(b"\0\0\1" + unit for unit in units)


def _units(data: bytes, prefix: int) -> Iterator[bytes]:
    """Yield the units of a packet: each after its length in `prefix` bytes, or after a start code when that is 0."""
    if not prefix:
        yield from (unit for part in data.split(b"\0\0\1")[1:] if (unit := part.rstrip(b"\0")))
        return
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + prefix])
        if size and at + prefix < len(data):
            yield data[at + prefix : at + prefix + size]
        at += prefix + size


@dataclass(frozen=True, slots=True)
class _Nals:
    """The units of H.264 or HEVC by their types."""

    head: int
    """Bytes before the content of a unit."""
    slices: frozenset[int]
    sets: frozenset[int]
    marks: frozenset[int]
    """Delimiters and end units, which have almost no content."""
    messages: frozenset[int]
    filler: int

    def parts(self, unit: bytes, kind: int) -> Iterator[Part]:
        """Yield what no decoder needs in a unit of type `kind`."""
        content = unit[self.head :]
        if kind in self.slices:
            return
        if kind in self.sets:
            yield SET, unit
        elif kind in self.messages:
            yield from _messages(content)
        elif kind == self.filler:
            if content.rstrip(b"\0").rstrip(b"\x80").strip(b"\xff"):
                yield "filler that is not empty", unit
        elif kind not in self.marks or len(content) > _LONGEST_MARK:
            yield f"units of type {kind}", unit


_AVC = _Nals(1, frozenset(range(1, 6)), frozenset({7, 8, 13}), frozenset({9, 10, 11}), frozenset({6}), 12)
_HEVC = _Nals(
    2,
    frozenset((*range(10), *range(16, 22))),
    frozenset({32, 33, 34}),
    frozenset({35, 36, 37}),
    frozenset({39, 40}),
    38,
)


def _avc(data: bytes, prefix: int) -> Iterator[Part]:
    for unit in _units(data, prefix):
        yield from _AVC.parts(unit, unit[0] & 31)


def _hevc(data: bytes, prefix: int) -> Iterator[Part]:
    for unit in _units(data, prefix):
        if len(unit) < 2 or (unit[0] & 1) << 5 | unit[1] >> 3:
            yield "frames of another layer", unit
        else:
            yield from _HEVC.parts(unit, unit[0] >> 1 & 63)


def _messages(escaped: bytes) -> Iterator[Part]:
    """Yield the messages (SEI) of a unit that are not about timing or colours (ITU-T H.264, 7.3.2.3)."""
    data = escaped.replace(b"\0\0\3", b"\0\0")
    while data.rstrip(b"\0") not in {b"", b"\x80"}:
        kind, data = _read_extended(data)
        size, data = _read_extended(data)
        payload, data = data[:size], data[size:]
        if kind == _USER:
            if not any(words.fullmatch(payload) for words in _ENCODERS):
                yield "unregistered user data (SEI)", payload
        elif kind == _REGISTERED:
            yield "captions or other registered data (SEI)", payload
        elif kind == _FILLER:
            if payload.strip(b"\xff"):
                yield "filler that is not empty (SEI)", payload
        elif len(payload) > _MESSAGES.get(kind, 0):
            yield f"a message of type {kind} (SEI)", payload


def _read_extended(data: bytes) -> tuple[int, bytes]:
    """Return a number in which a byte of 255 means that a further byte is added, and the data behind it."""
    more = len(data) - len(data.lstrip(b"\xff"))
    return 255 * more + (data[more] if more < len(data) else 0), data[more + 1 :]


def _av1(data: bytes, _: int) -> Iterator[Part]:
    at = 0
    while at < len(data):
        head = data[at]
        kind, start = head >> 3 & 15, at + 1 + (head >> 2 & 1)
        size, start = _leb128(data, start) if head & 2 else (len(data) - start, start)
        payload, at = data[start : start + size], start + size
        if kind == _OBU_SEQUENCE:
            yield SET, payload
        elif kind == _OBU_METADATA:
            about, begin = _leb128(payload, 0)
            if len(payload) - begin > _OBU_MESSAGES.get(about, 0):
                yield f"metadata of type {about}", payload
        elif kind == _OBU_PADDING:
            if payload.rstrip(b"\0").rstrip(b"\x80").strip(b"\0"):
                yield "padding that is not empty", payload
        elif kind not in _OBU_PICTURES and (kind != _OBU_DELIMITER or payload):
            yield f"units of type {kind}", payload


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte (4.10.5), and where it ends."""
    value = 0
    for shift in range(0, 56, 7):
        byte = data[at] if at < len(data) else 0
        value, at = value | (byte & 127) << shift, at + 1
        if byte < 128:
            break
    return value, at


def _mpeg4(data: bytes, _: int) -> Iterator[Part]:
    for unit in _units(data, 0):
        kind = unit[0]
        if kind == _USER_DATA:
            yield from _user_data(unit[1:])
        elif kind <= 0x2F or kind in _MPEG4_OTHERS:
            yield SET, unit
        elif kind != 0xB6:  # a picture
            yield f"units of type {kind:#x}", unit


def _mpeg2(data: bytes, _: int) -> Iterator[Part]:
    for unit in _units(data, 0):
        kind = unit[0]
        if kind == _USER_DATA:
            yield from _user_data(unit[1:])
        elif kind > 0xAF and kind not in _MPEG2_OTHERS:
            yield f"units of type {kind:#x}", unit
        elif kind in _MPEG2_OTHERS and len(unit) > 160:  # a sequence with both of its matrices
            yield "a long header", unit


def _user_data(data: bytes) -> Iterator[Part]:
    if data.strip(b"\0") and not _PROGRAMS.fullmatch(data):
        yield "user data", data


_WALKS: Mapping[str, Callable[[bytes, int], Iterator[Part]]] = {
    "h264": _avc, "hevc": _hevc, "av1": _av1, "mpeg4": _mpeg4, "mpeg1video": _mpeg2, "mpeg2video": _mpeg2,
}  # fmt: skip
