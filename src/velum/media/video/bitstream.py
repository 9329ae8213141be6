"""The content of packets, without decoding: filters for packets that are copied, and the checksums of FFV1.

The filters find closed groups of pictures, and drop what decoding does not need.

Messages inside a stream (SEI, metadata OBUs) may name people, places and machines, so they are dropped.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_START_CODE = b"\0\0\0\1"
_PREFIX_SEI = 39


@dataclass(frozen=True, slots=True)
class FilteredPacket:
    """The bytes of one packet that may be copied."""

    data: bytes
    starts_closed_gop: bool
    """True when no frame from this packet on refers to a frame before it."""
    reason_against_copy: str = ""
    """Why the stream cannot be copied; empty where it can."""


def packet_filter_for(codec: str, extradata: bytes) -> "PacketFilter | None":
    """Return the packet filter for a codec, by FFmpeg's name of it; None where its packets cannot be copied."""
    match codec:
        case "h264" | "hevc":
            return NalFilter(extradata, hevc=codec == "hevc")
        case "av1":
            return ObuFilter(extradata)
        case "vp9":
            return WholePacketFilter(_check_vp9)
        case "prores":
            return WholePacketFilter(_check_prores)
    return None


class NalFilter:
    """H.264 (ITU-T H.264, 7.3.1) and HEVC (ITU-T H.265, 7.3.1): keeps slices and parameter sets, as a byte stream."""

    def __init__(self, extradata: bytes, *, hevc: bool) -> None:
        self._hevc = hevc
        self._prefix, headers = (_hvcc if hevc else _avcc)(extradata)
        self._sets = tuple(unit for unit in headers if self._is_set(unit))

    @property
    def header(self) -> bytes:
        """Parameter sets or sequence header."""
        return _to_byte_stream(self._sets)

    def filter(self, data: bytes) -> FilteredPacket:
        """Return the bytes of a packet to copy, preceded by the headers that a decoder needs."""
        units = [unit for unit in _split_units(data, self._prefix) if unit and self._base(unit)]
        slices = [unit for unit in units if self._is_slice(unit)]
        sets = tuple(unit for unit in units if self._is_set(unit))
        closed = bool(slices) and all(self._is_idr(unit) for unit in slices)
        if self._sets and not set(sets) <= set(self._sets):
            return FilteredPacket(b"", closed, "its parameter sets change midway")
        self._sets = self._sets or sets
        if not closed:
            return FilteredPacket(_to_byte_stream((*sets, *slices)), closed)
        whole = {self._kind(unit) for unit in self._sets} == ({32, 33, 34} if self._hevc else {7, 8})
        doubt = "" if whole else "its parameter sets are not with its key frames"
        return FilteredPacket(_to_byte_stream((*self._sets, *slices)), closed, doubt)

    def _kind(self, unit: bytes) -> int:
        return unit[0] >> 1 & 63 if self._hevc else unit[0] & 31

    def _base(self, unit: bytes) -> bool:
        """Tell whether a NAL unit is of the base layer; other layers hold images that are not decoded here."""
        return not self._hevc or (len(unit) > 2 and (unit[0] & 1) << 5 | unit[1] >> 3 == 0)

    def _is_set(self, unit: bytes) -> bool:
        return self._kind(unit) in ({32, 33, 34} if self._hevc else {7, 8})

    def _is_slice(self, unit: bytes) -> bool:
        return self._kind(unit) <= 21 if self._hevc else 1 <= self._kind(unit) <= 5

    def _is_idr(self, unit: bytes) -> bool:
        return self._kind(unit) in ({19, 20} if self._hevc else {5})


def has_partial_slices(extradata: bytes, data: bytes) -> bool:
    """Tell whether a packet of H.264 has a slice that does not begin with the first macroblock of its picture.

    `first_mb_in_slice` comes first in a slice's header, and 0 is written as a single 1 bit (ITU-T H.264, 7.3.3, 9.1).
    """
    units = _split_units(data, _avcc(extradata)[0])
    return any(len(unit) > 1 and unit[0] & 31 in {1, 2, 5} and not unit[1] & 0x80 for unit in units)


def sei_messages(extradata: bytes, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and payload of the SEI messages before the slices of an HEVC packet (ITU-T H.265, 7.3.2.4, 7.3.5)."""
    prefix, headers = _hvcc(extradata)
    for unit in (*headers, *_split_units(data, prefix)):
        if len(unit) < 3 or unit[0] >> 1 & 63 != _PREFIX_SEI:
            continue
        rest = unit[2:].replace(b"\0\0\3", b"\0\0")
        while len(rest) > 2:
            kind, rest = _read_sei_number(rest)
            size, rest = _read_sei_number(rest)
            yield kind, rest[:size]
            rest = rest[size:]


def _read_sei_number(data: bytes) -> tuple[int, bytes]:
    """Return a number coded as bytes of 255 and a last byte, which are summed, and the data after it."""
    full_bytes = len(data) - len(data.lstrip(b"\xff"))
    return 255 * full_bytes + (data[full_bytes] if full_bytes < len(data) else 0), data[full_bytes + 1 :]


class ObuFilter:
    """AV1 (specification of 2019, 5.3): keeps sequence headers, frame headers and tiles; drops metadata and padding."""

    def __init__(self, extradata: bytes) -> None:
        headers = extradata[4:] if extradata[:1] == b"\x81" else extradata
        self._sequence = b"".join(whole for kind, _, whole, _ in _obus(headers) if kind == 1)
        self._begun = False

    @property
    def header(self) -> bytes:
        """Parameter sets or sequence header."""
        return self._sequence

    def filter(self, data: bytes) -> FilteredPacket:
        """Return the bytes of a packet to copy, preceded by the headers that a decoder needs."""
        units = list(_obus(data))
        sequence = b"".join(whole for kind, _, whole, _ in units if kind == 1)
        first = next((payload for kind, payload, _, _ in units if kind in {3, 6}), b"")
        # show_existing_frame 0, frame_type KEY_FRAME, show_frame 1 (5.9.2): all references are refreshed.
        closed = first[:1] != b"" and first[0] & 0xF0 == 0x10
        doubt = "it has several spatial layers" if any(spatial for *_, spatial in units) else ""
        doubt = "its packets cannot be parsed" if any(kind < 0 for kind, *_ in units) else doubt
        if not self._begun:  # the stream's own header counts where the container has another
            self._sequence, self._begun = sequence or self._sequence, True
        if sequence not in {b"", self._sequence} or not self._sequence:
            doubt = doubt or "its sequence header is missing, or changes midway"
        remaining = b"".join(whole for kind, _, whole, _ in units if kind in {3, 4, 6, 7})
        return FilteredPacket((self._sequence if closed else sequence) + remaining, closed, doubt)


@dataclass(frozen=True, slots=True)
class WholePacketFilter:
    """Codecs whose packets are copied as they are, and which have no header: `check` finds the closed GOPs."""

    check: Callable[[bytes], FilteredPacket]
    header = b""

    def filter(self, data: bytes) -> FilteredPacket:
        """Return the packet as it is."""
        return self.check(data)


PacketFilter = NalFilter | ObuFilter | WholePacketFilter
"""Filters the packets of one stream, in order, by `filter`. It keeps state between packets: each pass needs a new one.

`header` has the parameter sets or sequence header for the container's codec header; empty for codecs without any.
"""


def _check_vp9(data: bytes) -> FilteredPacket:
    """Return a packet of VP9 (bitstream specification 0.6, 6.2), which can hold nothing but frames."""
    # frame_marker 2, profile below 3, show_existing_frame 0, frame_type KEY_FRAME, show_frame 1.
    first = data[0] if data else 0
    closed = first >> 6 == 2 and first & 0x30 != 0x30 and first & 0x0E == 0x02
    return FilteredPacket(data, closed)


def _check_prores(data: bytes) -> FilteredPacket:
    """Return a packet of Apple ProRes (SMPTE RDD 36, 5.1), where each frame is a closed GOP of its own."""
    whole = data[4:8] == b"icpf" and int.from_bytes(data[:4]) == len(data)
    return FilteredPacket(
        data, starts_closed_gop=True, reason_against_copy="" if whole else "its packets hold more than frames"
    )


def _to_byte_stream(units: Iterable[bytes]) -> bytes:
    return b"".join(_START_CODE + unit for unit in units)


def _split_units(data: bytes, prefix: int) -> Iterator[bytes]:
    """Yield the NAL units of a packet, each after a length of `prefix` bytes, or after a start code when that is 0."""
    if not prefix:
        # The byte before a start code may belong to it, and a unit never ends with zeros (H.264, annex B).
        yield from (unit.rstrip(b"\0") for unit in data.split(b"\0\0\1")[1:])
        return
    at = 0
    while at + prefix <= len(data):
        size = int.from_bytes(data[at : at + prefix])
        yield data[at + prefix : at + prefix + size]
        at += prefix + size


def _read_sized_units(data: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """Return `count` NAL units, each after its length in two bytes, and the offset behind the last one."""
    units = []
    for _ in range(count):
        size = int.from_bytes(data[at : at + 2])
        units.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return [unit for unit in units if unit], at


def _avcc(data: bytes) -> tuple[int, list[bytes]]:
    """Return from an `avcC` the size of a length field in bytes, and the parameter sets (ISO/IEC 14496-15, 5.3.3.1)."""
    if len(data) < 7 or data[0] != 1:
        return 0, [unit for unit in _split_units(data, 0) if unit]
    sequence_sets, at = _read_sized_units(data, 6, data[5] & 31)
    picture_sets, _ = _read_sized_units(data, at + 1, data[at] if at < len(data) else 0)
    return (data[4] & 3) + 1, sequence_sets + picture_sets


def _hvcc(data: bytes) -> tuple[int, list[bytes]]:
    """Return from an `hvcC` the size of a length field in bytes, and its NAL units (ISO/IEC 14496-15, 8.3.3.1)."""
    if len(data) < 23 or data[:3] == b"\0\0\1" or data[:4] == _START_CODE:
        return 0, [unit for unit in _split_units(data, 0) if unit]
    units, at = list[bytes](), 23
    for _ in range(data[22]):
        sized_units, at = _read_sized_units(data, at + 3, int.from_bytes(data[at + 1 : at + 3]))
        units += sized_units
    return (data[21] & 3) + 1, units


def _obus(data: bytes) -> Iterator[tuple[int, bytes, bytes, int]]:
    """Yield (type, payload, whole OBU, spatial layer) of each OBU; type -1 for an OBU without a size, or cut off."""
    at = 0
    while at < len(data):
        head, has_extension = data[at], data[at] >> 2 & 1
        start, size, shift, ended = at + 1 + has_extension, 0, 0, False
        while head & 2 and start < len(data) and shift < 56 and not ended:  # leb128 (4.10.5)
            size |= (data[start] & 127) << shift
            ended = data[start] < 128
            start, shift = start + 1, shift + 7
        end = start + size
        if not ended or end > len(data):
            yield -1, b"", b"", 0
            return
        yield head >> 3 & 15, data[start:end], data[at:end], data[at + 1] >> 3 & 3 if has_extension else 0
        at = end


_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_FFV1_CRC_STARTS = (0, int(f"{0x7A8C4079:032b}"[::-1], 2))
"""Start and end value of the checksum of a slice, bits reversed, in version 3 and in version 4 as FFmpeg writes it."""

_FFV1_FOOTER = 8


def ffv1_checksum_fits(data: bytes) -> bool | None:
    """Tell whether the checksums of the slices in a packet of FFV1 are right; None where the slices have none.

    A slice ends with its size in 3 bytes, a status byte and a CRC-32, highest bit first (RFC 9043, 4.9):
    the CRC of a slice with its own CRC is what it began with, and so is that of all slices in turn.
    """
    # zlib processes the lowest bit first; reversing the bits gives the same CRC.
    mirrored = data.translate(_BITS_REVERSED)
    if any(zlib.crc32(mirrored, start ^ 0xFFFFFFFF) ^ 0xFFFFFFFF == start for start in _FFV1_CRC_STARTS):
        return True
    end = len(data)
    while end >= _FFV1_FOOTER:
        end -= int.from_bytes(data[end - 8 : end - 5]) + _FFV1_FOOTER
    return None if end else False


class Ffv1Checksums:
    """Checks the packets of one FFV1 stream in order, because FFmpeg conceals damage in them without an error."""

    def __init__(self) -> None:
        self._present: bool | None = None
        self._refers_to_damage = False

    def is_damaged(self, data: bytes, *, key: bool) -> bool:
        """Tell whether a packet, or one that it continues from, is not as it was written."""
        fits = ffv1_checksum_fits(data) if self._present is not False else None
        if self._present is None:
            self._present = fits is not None
        self._refers_to_damage = (self._present and not fits) or (self._refers_to_damage and not key)
        return self._refers_to_damage
