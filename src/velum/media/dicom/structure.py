"""The elements of a DICOM file (PS3.5, 7), walked over before a library makes an object of each.

They are counted, with the items and fragments in them; values that no result has are passed over unread.
"""

import struct
from dataclasses import dataclass
from mmap import mmap

from pydicom.datadict import keyword_for_tag
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from velum.errors import BadInput
from velum.limits import Limits

MOST_NESTING = 64
"""Most sequences inside one another that are read."""

MOST_VALUE = 1 << 20
"""Largest value that is read, in bytes, where it is in no sequence. What a result keeps is far smaller."""

MOST_BYTES = 256 << 20
"""Most bytes of all attributes that are read."""

UNDEFINED = 0xFFFFFFFF
"""The length of a value that states none."""

PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)

Data = mmap | bytes


class Truncated(Exception):
    """The file, or the value around, ends in the middle of an element."""


@dataclass(frozen=True, slots=True)
class Element:
    """The head of an element: its tag, its VR (None where the file states none), and where its value lies."""

    tag: int
    vr: bytes | None
    start: int
    value: int
    length: int

    @property
    def name(self) -> str:
        """Its keyword, or its tag where the standard has none."""
        return tag_name(self.tag)


@dataclass(frozen=True, slots=True)
class Structure:
    """The attributes of a file as they are read on, what was passed over, and where the pixel data begin."""

    attributes: bytes
    passed_over: dict[str, int]
    """Bytes of each value larger than `MOST_VALUE`, by the attribute's name."""
    pixel_data: int | None
    elements: int


def tag_name(tag: int) -> str:
    """Return the keyword of a tag, or the tag itself where the standard has none."""
    return keyword_for_tag(Tag(tag)) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def end_of_header(data: Data, start: int, name: str) -> int:
    """Return where the attributes of a file begin, behind its own header (PS3.10, 7.1). Raises `BadInput`."""
    walk = _Walk(data, UID("1.2.840.10008.1.2.1"), Limits(elements=1000), name)
    at = start
    while at < len(data):
        element = walk.head(at, len(data), implicit=False)
        if element.tag >> 16 != 2:
            break
        if element.length > MOST_VALUE:
            raise BadInput(f"cannot read {name}: {element.name} in its header has {element.length:,} bytes")
        at = walk.end_of(element, len(data), implicit=False)
    return at


def scan(data: Data, start: int, syntax: UID, limits: Limits, name: str) -> Structure:
    """Walk over the attributes from `start` on, up to the pixel data.

    Raises `LimitExceeded` for more elements than `limits` allow, and `BadInput` for a file that is truncated or
    damaged, has sequences too deep, or too many bytes.
    """
    walk, passed_over, parts = _Walk(data, syntax, limits, name), dict[str, int](), list[bytes]()
    begin = at = start
    size, pixel_data = 0, None
    while at < len(data) and pixel_data is None:
        element = walk.head(at, len(data), implicit=syntax.is_implicit_VR)
        if element.tag in PIXEL_DATA:
            pixel_data = at
            break
        try:
            end = walk.end_of(element, len(data), implicit=syntax.is_implicit_VR)
        except Truncated as error:
            raise BadInput(f"cannot read {name}: {element.name} is damaged: {error}") from error
        if element.length > MOST_VALUE and element.length != UNDEFINED and not walk.is_sequence(element):
            passed_over[element.name] = element.length
            parts.append(data[begin:at])
            begin = end
        else:
            size += end - at
        if size > MOST_BYTES:
            raise BadInput(f"cannot read {name}: its attributes have more than {MOST_BYTES:,} bytes")
        at = end
    parts.append(data[begin:at])
    return Structure(b"".join(parts), passed_over, pixel_data, walk.count)


def fragments(data: Data, at: int, elements: int, limits: Limits, name: str) -> tuple[list[tuple[int, int]], int]:
    """Return first byte and size of each fragment of compressed frames (PS3.5, A.4), and the byte after them.

    `elements` is the number of elements before them. Raises `BadInput` and `LimitExceeded` as `scan` does.
    """
    found: list[tuple[int, int]] = []
    while at + 8 <= len(data):
        tag, length = _unpack_item("<", data, at)
        if tag == _SEQUENCE_END:
            return found, at + 8
        if tag != _ITEM or at + 8 + length > len(data):
            break
        limits.check("elements", elements + len(found) + 1, name)
        found.append((at + 8, length))
        at += 8 + length
    raise BadInput(f"cannot read {name}: its compressed pixel data are cut off, or a length in them is wrong")


def _unpack_item(order: str, data: Data, at: int) -> tuple[int, int]:
    group, number, length = struct.unpack_from(f"{order}HHI", data, at)
    return group << 16 | number, length


class _Walk:
    """One walk over a file; `count` is the number of elements and items so far."""

    def __init__(self, data: Data, syntax: UID, limits: Limits, name: str) -> None:
        self._data, self._limits, self._name = data, limits, name
        self._order = "<" if syntax.is_little_endian else ">"
        self.count = 0

    def head(self, at: int, end: int, *, implicit: bool) -> Element:
        """Return the head of the element at `at`. Raises `BadInput` where the file ends in it."""
        data = self._data
        if at + 8 > end:
            raise self._end_error(f"its last {end - at} bytes are no whole attribute", end)
        tag, length = _unpack_item(self._order, data, at)
        vr = None if implicit else data[at + 4 : at + 6]
        if vr is None or not b"AA" <= vr <= b"ZZ":  # some programs write parts without VRs
            return Element(tag, None, at, at + 8, length)
        if vr not in _LONG:
            (length,) = struct.unpack_from(f"{self._order}H", data, at + 6)
            return Element(tag, vr, at, at + 8, length)
        if at + 12 > end:
            raise self._end_error(f"it ends in the attribute {tag_name(tag)}", end)
        (length,) = struct.unpack_from(f"{self._order}I", data, at + 8)
        return Element(tag, vr, at, at + 12, length)

    def end_of(self, element: Element, end: int, *, implicit: bool, depth: int = 0) -> int:
        """Return the byte after an element, and count it with all in it; `end` is that of what is around it."""
        self._add()
        if element.length == UNDEFINED:
            opaque = element.vr not in {None, b"SQ", b"UN"}
            # PS3.5, 6.2.2: what is in an unknown sequence has no VRs.
            implicit = implicit or element.vr == b"UN"
            return self._items(element, end, depth + 1, implicit=implicit, opaque=opaque)
        stop = element.value + element.length
        if stop > end:
            raise self._end_error(
                f"the attribute {element.name} states {element.length:,} bytes, and {end - element.value:,} follow", end
            )
        if self.is_sequence(element):
            try:
                self._items(element, stop, depth + 1, implicit=implicit or element.vr != b"SQ", opaque=False)
            except Truncated:
                return stop  # whoever reads the sequence finds that it is damaged
        return stop

    def is_sequence(self, element: Element) -> bool:
        """Tell whether a value is a sequence, or would be taken for one."""
        if element.vr == b"SQ":
            return True
        if element.vr not in {None, b"UN"} or element.length < 8 or element.value + 8 > len(self._data):
            return False
        return _unpack_item(self._order, self._data, element.value)[0] == _ITEM

    def _items(self, element: Element, end: int, depth: int, *, implicit: bool, opaque: bool) -> int:
        """Return the byte after the items of a sequence."""
        if depth > MOST_NESTING:
            raise BadInput(f"cannot read {self._name}: it has more than {MOST_NESTING} sequences inside one another")
        at = element.value
        while at + 8 <= end:
            tag, length = _unpack_item(self._order, self._data, at)
            if tag == _SEQUENCE_END:
                return at + 8
            stop = end if length == UNDEFINED else at + 8 + length
            if tag != _ITEM or stop > end or (opaque and length == UNDEFINED):
                break
            self._add()
            at = stop if opaque else self._item(at + 8, stop, depth, implicit=implicit, stated=length != UNDEFINED)
        if at == end and element.length != UNDEFINED:
            return end
        raise self._end_error(f"its sequence {element.name} does not end", end)

    def _item(self, at: int, stop: int, depth: int, *, implicit: bool, stated: bool) -> int:
        while at < stop:
            element = self.head(at, stop, implicit=implicit)
            if element.tag == _ITEM_END:
                return stop if stated else element.value
            at = self.end_of(element, stop, implicit=implicit, depth=depth)
        return at

    def _add(self) -> None:
        self.count += 1
        self._limits.check("elements", self.count, self._name)

    def _end_error(self, reason: str, end: int) -> Exception:
        """Return the error for what ends early: the file itself, or a value in it."""
        if end < len(self._data):
            return Truncated(reason)
        return BadInput(f"cannot read {self._name}: it is truncated: {reason}")
