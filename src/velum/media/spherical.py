"""How a video lies on a sphere, and two views in one picture: each form in which files say it, read and written.

As with orientation, the same samples look different without it. Kept are the projection, the part of the sphere that
the pictures are, how they are turned, and the arrangement of two views; not what made them, when, or with how many
cameras. Spherical Video V2: boxes `st3d` and `sv3d`; V1: XML in a `uuid` box; Matroska: RFC 9559, 5.1.4.1.28.41.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from velum.media.image.avif_headers import boxes
from velum.media.projection import properties

V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
"""What a `uuid` box begins with that holds the XML."""

EQUIRECTANGULAR, CUBEMAP = b"equi", b"cbmp"
PROJECTION, STEREO_MODE = 0x7670, 0x53B8
"""Elements of Matroska's Video."""

_TYPE, _PRIVATE, _POSE = 0x7671, 0x7672, (0x7673, 0x7674, 0x7675)
_MATROSKA_TYPES = {1: EQUIRECTANGULAR, 2: CUBEMAP}
_MATROSKA_VIEWS = {0: 0, 3: 1, 1: 2, 11: 4}
"""Matroska's number of an arrangement of two views, to that of `st3d`; the others have none."""

_REALS = {0: ">", 4: ">f", 8: ">d"}
_VALUES = {EQUIRECTANGULAR: 4, CUBEMAP: 2}
_WHOLE = 1 << 32
_MOST_PADDING = 1 << 16
_MOST_DEGREES = (180, 90, 180)
_ONE = 1 << 16

_FLAGS = ("Spherical", "Stitched")
_AREA = (
    "CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels", "FullPanoWidthPixels", "FullPanoHeightPixels",
    "CroppedAreaLeftPixels", "CroppedAreaTopPixels",
)  # fmt: skip
_NAMES = tuple(f"GSpherical:{name}" for name in (*_FLAGS, "ProjectionType", "StereoMode", *_AREA))
_V1_VIEWS = {"mono": 0, "top-bottom": 1, "left-right": 2, "right-left": 4}


@dataclass(frozen=True, slots=True)
class Spherical:
    """A projection, an arrangement of two views, or both. Numbers are as in the boxes of V2."""

    kind: bytes = b""
    """`equi`, `cbmp`, or empty where the pictures are flat."""
    values: tuple[int, ...] = ()
    """Of `equi`: what was cropped at the top, bottom, left and right, in 2**-32 of all; of `cbmp`: layout, padding."""
    pose: tuple[int, int, int] = (0, 0, 0)
    """Yaw, pitch and roll in 2**-16 degrees."""
    views: int | None = None
    """Number of the arrangement of two views; None where nothing is said of it."""
    xml: tuple[tuple[str, str], ...] = ()
    """Values of V1 by name, where the file says it in that form."""
    boxed: bool = True
    """True where the file says it in the form of V2, or in that of Matroska."""

    @property
    def is_sound(self) -> bool:
        """Whether it says anything, and all numbers are allowed ones."""
        if self.views not in {None, *_MATROSKA_VIEWS.values()} or not (self.kind or self.views):
            return False
        if len(self.values) != _VALUES.get(self.kind, 0):
            return False
        if any(abs(angle) > most * _ONE for angle, most in zip(self.pose, _MOST_DEGREES, strict=True)):
            return False
        if self.kind == EQUIRECTANGULAR:
            top, bottom, left, right = self.values
            return top + bottom < _WHOLE - 1 and left + right < _WHOLE - 1
        return not self.kind or (self.values[0] < 256 and self.values[1] < _MOST_PADDING)


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data


def to_boxes(found: Spherical) -> bytes:
    """Return the boxes of V2 for a sample entry. They name no program."""
    views = b"" if found.views is None else _box(b"st3d", bytes(4) + bytes([found.views]))
    if not found.kind:
        return views
    header = _box(b"prhd", bytes(4) + struct.pack(">3i", *found.pose))
    data = _box(found.kind, bytes(4) + struct.pack(f">{len(found.values)}I", *found.values))
    return views + _box(b"sv3d", _box(b"svhd", bytes(5)) + _box(b"proj", header + data))


def of_boxes(data: bytes, start: int, end: int) -> Spherical | None:
    """Return what boxes of a sample entry, between two positions, say; None for nothing, or nothing that is known."""
    kind, views = b"", None
    values: tuple[int, ...] = ()
    pose = (0, 0, 0)
    try:
        for one in boxes(data, start, end):
            if one.name == b"st3d":
                views = data[one.start + 4] if one.start + 4 < one.end else None
            elif one.name == b"sv3d":
                kind, values, pose = _of_projection(data, one.start, one.end)
    except (struct.error, KeyError):
        return None
    found = Spherical(kind, values, pose, views)
    return found if found.is_sound else None


def says_alone(data: bytes, start: int, end: int) -> bool:
    """Tell whether a box `st3d` or `sv3d`, between two positions, is just what `to_boxes` writes."""
    whole = bytes(data[start:end])
    if whole[4:8] == b"st3d":
        return len(whole) == len(to_boxes(Spherical(views=0))) and whole[12] in _MATROSKA_VIEWS.values()
    found = of_boxes(whole, 0, len(whole))
    return found is not None and to_boxes(found) == whole


def _of_projection(data: bytes, start: int, end: int) -> tuple[bytes, tuple[int, ...], tuple[int, int, int]]:
    inside = {one.name: one for one in boxes(data, start, end)}
    inside = {one.name: one for one in boxes(data, inside[b"proj"].start, inside[b"proj"].end)}
    kind = EQUIRECTANGULAR if EQUIRECTANGULAR in inside else CUBEMAP
    held = data[inside[kind].start + 4 : inside[kind].end]
    pose = struct.unpack_from(">3i", data[inside[b"prhd"].start + 4 : inside[b"prhd"].end])
    return kind, struct.unpack_from(f">{_VALUES[kind]}I", held), pose


def to_xml(found: Spherical) -> bytes:
    """Return the content of the `uuid` box of V1. The program that players want to see named there is nobody's."""
    values = dict(found.xml)
    order = (*_FLAGS, "StitchingSoftware", *(name.partition(":")[2] for name in _NAMES[len(_FLAGS) :]))
    words = values | {"StitchingSoftware": "unknown"}
    text = "".join(f"<GSpherical:{name}>{words[name]}</GSpherical:{name}>" for name in order if name in words)
    return (
        V1
        + (
            '<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
            f'xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/">{text}</rdf:SphericalVideo>'
        ).encode()
    )


def of_xml(text: bytes) -> Spherical | None:
    """Return what XML of V1 says; None where it is of no projection that is known."""
    given = {name.partition(":")[2]: value.lower() for name, value in properties(text, _NAMES).items()}
    if given.get("Spherical") != "true" or given.get("ProjectionType") != "equirectangular":
        return None
    known = {
        name: value for name, value in given.items()
        if (name in _AREA and re.fullmatch(r"[0-9]{1,6}", value)) or (name in _FLAGS and value in {"true", "false"})
        or name == "ProjectionType" or (name == "StereoMode" and value in _V1_VIEWS)
    }  # fmt: skip
    if known.keys() != given.keys():
        return None
    views = _V1_VIEWS[known["StereoMode"]] if "StereoMode" in known else None
    area = _crop_shares({name: int(known[name]) for name in _AREA if name in known})
    found = Spherical(EQUIRECTANGULAR, area, views=views, xml=tuple(sorted(known.items())), boxed=False)
    return found if found.is_sound else None


def _crop_shares(area: Mapping[str, int]) -> tuple[int, ...]:
    """Return the shares of the sphere beyond the top, bottom, left and right; not sound where they are impossible."""
    if len(area) < len(_AREA):
        return (0, 0, 0, 0)
    width, height, full_width, full_height, left, top = (area[name] for name in _AREA)
    right, bottom = full_width - left - width, full_height - top - height
    if min(width, height, right, bottom) < 0 or not full_width or not full_height:
        return ()
    shares = ((top, full_height), (bottom, full_height), (left, full_width), (right, full_width))
    return tuple(part * _WHOLE // full for part, full in shares)


def to_elements(found: Spherical) -> bytes:
    """Return the elements of Matroska for its Video."""
    views = {ours: theirs for theirs, ours in _MATROSKA_VIEWS.items()}
    made = element(STEREO_MODE, bytes([views[found.views]])) if found.views is not None else b""
    kinds = {ours: theirs for theirs, ours in _MATROSKA_TYPES.items()}
    if not found.kind:
        return made
    data = element(_TYPE, bytes([kinds[found.kind]]))
    data += element(_PRIVATE, bytes(4) + struct.pack(f">{len(found.values)}I", *found.values))
    for name, angle in zip(_POSE, found.pose, strict=True):
        data += element(name, struct.pack(">f", angle / _ONE)) if angle else b""
    return made + element(PROJECTION, data)


def of_elements(data: bytes) -> Spherical | None:
    """Return what the content of Matroska's Video says; None for nothing, or nothing that is known."""
    found = dict(elements(data))
    views = int.from_bytes(found.get(STEREO_MODE, b""))
    inside = dict(elements(found.get(PROJECTION, b"")))
    number = int.from_bytes(inside.get(_TYPE, b""))
    if views not in _MATROSKA_VIEWS or number not in {0, *_MATROSKA_TYPES}:
        return None
    kind = _MATROSKA_TYPES.get(number, b"")
    private = inside.get(_PRIVATE, b"")
    try:
        values = struct.unpack_from(f">{_VALUES[kind]}I", private[4:] or bytes(16)) if kind else ()
        yaw, pitch, roll = (round(_real(inside.get(name, b"")) * _ONE) if kind else 0 for name in _POSE)
    except (struct.error, ValueError, OverflowError):
        return None
    said = _MATROSKA_VIEWS[views] if STEREO_MODE in found else None
    whole = Spherical(kind, values, (yaw, pitch, roll), said)
    return whole if whole.is_sound else None


def _real(data: bytes) -> float:
    if len(data) not in _REALS:
        raise ValueError("a real number has 4 or 8 bytes")
    return float(struct.unpack(_REALS[len(data)], data)[0]) if data else 0.0


def says_more(data: bytes) -> bool:
    """Tell whether the content of Matroska's Projection has room for anything but a projection."""
    most = {_TYPE: 4, _PRIVATE: 20} | dict.fromkeys(_POSE, 8)
    inside = list(spans(data, 0, len(data)))
    whole = sum(end - start for _, start, _, end in inside) == len(data)
    return not whole or any(end - content > most.get(name, -1) for name, _, content, end in inside)


def element(name: int, data: bytes, least: int = 1) -> bytes:
    """Return an element of Matroska (RFC 8794, 4 to 6), whose size takes at least so many bytes."""
    length = least
    while len(data) >= (1 << 7 * length) - 1:
        length += 1
    size = ((1 << 7 * length) | len(data)).to_bytes(length)
    return name.to_bytes((name.bit_length() + 7) // 8) + size + data


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the elements that `data` is made of; stops at the first that is not whole."""
    for name, _, content, end in spans(data, 0, len(data)):
        yield name, data[content:end]


def spans(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, start, start of the content and end of the elements between two positions, while they are whole."""
    while (head := begin(data, at, end)) is not None and head[1] + head[2] <= end:
        name, content, size = head
        yield name, at, content, content + size
        at = content + size


def begin(data: bytes, at: int, end: int) -> tuple[int, int, int] | None:
    """Return number, start of the content and size of the element at a position, None where none begins there."""
    numbers = []
    for mask in (0, 1):
        length = 9 - data[at].bit_length() if at < end else 9
        if length > 8 or at + length > end:
            return None
        value = int.from_bytes(data[at : at + length])
        numbers.append(value & ((1 << 7 * length) - 1) if mask else value)
        at += length
    return numbers[0], at, numbers[1]
