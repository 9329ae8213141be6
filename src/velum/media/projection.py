"""The projection of panoramas and of 360-degree and stereoscopic videos: parses and writes each form of it.

Without it, viewers and players show the same samples in another way. Images hold it as XMP (Photo Sphere, `GPano`; ISO
16684-1). Videos hold it in boxes (Spherical Video V2: `st3d`, `sv3d`), XML in a box `uuid` (V1), or elements of
Matroska (RFC 9559, 5.1.4.1.28.41). velum keeps the projection, the part of the sphere that is covered, its tilt or
rotation, and how two views are arranged; not the compass direction of a photo, which helps to find the place, nor
program, time and cameras.
"""

import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from velum.media.containers import ebml_element, ebml_elements, iso_boxes

SPACES: Mapping[str, str] = {
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "Camera": "http://pix4d.com/camera/1.0/",
}
"""XML namespaces by their usual prefix."""

_PROJECTION = frozenset(
    f"GPano:{name}"
    for name in (
        "UsePanoramaViewer", "ProjectionType", "CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels",
        "FullPanoWidthPixels", "FullPanoHeightPixels", "CroppedAreaLeftPixels", "CroppedAreaTopPixels",
        "LargestValidInteriorRectLeft", "LargestValidInteriorRectTop", "LargestValidInteriorRectWidth",
        "LargestValidInteriorRectHeight", "PosePitchDegrees", "PoseRollDegrees",
    )
)  # fmt: skip
_NUMBER = r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?"
_WORDS = {"true", "false", "True", "False", "equirectangular", "cylindrical"}
_NEEDED = "GPano:ProjectionType"


def projection(xmp: bytes) -> dict[str, str]:
    """Return the properties of the projection, by name such as `GPano:ProjectionType`.

    Empty where the XMP does not name a projection.
    """
    values = {
        name: value for name, value in properties(xmp, _PROJECTION).items()
        if value in _WORDS or re.fullmatch(_NUMBER, value)
    }  # fmt: skip
    return values if _NEEDED in values else {}


def properties(xmp: bytes, names: Collection[str]) -> dict[str, str]:
    """Return the first value of each named simple property; values have at most 40 characters of ASCII."""
    spaces = "|".join(sorted({name.partition(":")[0] for name in names}))
    value = r"[ -!#-%'(-;=?-~]{1,40}?"  # no quotes, brackets or entities
    pattern = rf"\b({spaces}):(\w{{1,40}})\s*(?:=\s*[\"']\s*({value})\s*[\"']|>\s*({value})\s*<)"
    value_by_name: dict[str, str] = {}
    for space, name, *values in re.findall(pattern.encode(), xmp, re.ASCII):
        full = f"{space.decode()}:{name.decode()}"
        if full in names:
            value_by_name.setdefault(full, (values[0] or values[1]).decode())
    return value_by_name


def packet(properties: Mapping[str, str]) -> bytes:
    """Return an XMP packet of these properties, whose values need no escaping."""
    spaces = {name.partition(":")[0] for name in properties}
    named = "".join(f' xmlns:{space}="{SPACES[space]}"' for space in sorted(spaces))
    values = "".join(f' {name}="{value}"' for name, value in properties.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about=""{named}{values}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def is_projection_alone(xmp: bytes) -> bool:
    """Tell whether XMP equals what `packet` writes for its projection."""
    values = projection(xmp)
    return bool(values) and packet(values) == xmp


V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
"""The first bytes of a `uuid` box with the XML of V1."""

EQUIRECTANGULAR, CUBEMAP = b"equi", b"cbmp"
PROJECTION, STEREO_MODE = 0x7670, 0x53B8
"""Elements of Matroska's Video."""

_TYPE, _PRIVATE, _POSE = 0x7671, 0x7672, (0x7673, 0x7674, 0x7675)
_MATROSKA_TYPES = {1: EQUIRECTANGULAR, 2: CUBEMAP}
_MATROSKA_VIEWS = {0: 0, 3: 1, 1: 2, 11: 4}
"""Matroska's number of a stereo arrangement -> that of `st3d`; others have no equivalent."""

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
    """A projection, a stereo arrangement, or both, in the units of V2."""

    kind: bytes = b""
    """`equi`, `cbmp`, or empty for flat video."""
    values: tuple[int, ...] = ()
    """For `equi`: crop at the top, bottom, left and right, in 2**-32 of the sphere; for `cbmp`: layout, padding."""
    pose: tuple[int, int, int] = (0, 0, 0)
    """Yaw, pitch and roll in 2**-16 degrees."""
    views: int | None = None
    """Stereo mode of `st3d`; None where the file does not state one."""
    xml: tuple[tuple[str, str], ...] = ()
    """Values of V1 (name, value), where the file has that form."""
    boxed: bool = True
    """True where the file has the form of V2 or of Matroska."""

    @property
    def is_sound(self) -> bool:
        """True when it states a projection or stereo mode, and all numbers are in their ranges."""
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


def to_boxes(spherical: Spherical) -> bytes:
    """Return the boxes of V2 for a sample entry. They do not name a program."""
    views = b"" if spherical.views is None else _box(b"st3d", bytes(4) + bytes([spherical.views]))
    if not spherical.kind:
        return views
    header = _box(b"prhd", bytes(4) + struct.pack(">3i", *spherical.pose))
    data = _box(spherical.kind, bytes(4) + struct.pack(f">{len(spherical.values)}I", *spherical.values))
    return views + _box(b"sv3d", _box(b"svhd", bytes(5)) + _box(b"proj", header + data))


def of_boxes(data: bytes, start: int, end: int) -> Spherical | None:
    """Parse the boxes of a sample entry between two offsets; None when they state nothing, or nothing known."""
    kind, views = b"", None
    values: tuple[int, ...] = ()
    pose = (0, 0, 0)
    try:
        for box in iso_boxes(data, start, end, whole=True):
            if box.name == b"st3d":
                views = data[box.content + 4] if box.content + 4 < box.end else None
            elif box.name == b"sv3d":
                kind, values, pose = _parse_projection(data, box.content, box.end)
    except (struct.error, KeyError):
        return None
    spherical = Spherical(kind, values, pose, views)
    return spherical if spherical.is_sound else None


def says_alone(data: bytes, start: int, end: int) -> bool:
    """Tell whether a box `st3d` or `sv3d`, between two offsets, is exactly what `to_boxes` writes."""
    whole = bytes(data[start:end])
    if whole[4:8] == b"st3d":
        return len(whole) == len(to_boxes(Spherical(views=0))) and whole[12] in _MATROSKA_VIEWS.values()
    spherical = of_boxes(whole, 0, len(whole))
    return spherical is not None and to_boxes(spherical) == whole


def _parse_projection(data: bytes, start: int, end: int) -> tuple[bytes, tuple[int, ...], tuple[int, int, int]]:
    inside = {box.name: box for box in iso_boxes(data, start, end, whole=True)}
    inside = {box.name: box for box in iso_boxes(data, inside[b"proj"].content, inside[b"proj"].end, whole=True)}
    kind = EQUIRECTANGULAR if EQUIRECTANGULAR in inside else CUBEMAP
    values = data[inside[kind].content + 4 : inside[kind].end]
    pose = struct.unpack_from(">3i", data[inside[b"prhd"].content + 4 : inside[b"prhd"].end])
    return kind, struct.unpack_from(f">{_VALUES[kind]}I", values), pose


def to_xml(spherical: Spherical) -> bytes:
    """Return the content of the `uuid` box of V1. Players require a program's name there: it is `unknown`."""
    values = dict(spherical.xml)
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
    """Parse the XML of V1; None when it states no known projection."""
    stated = {name.partition(":")[2]: value.lower() for name, value in properties(text, _NAMES).items()}
    if stated.get("Spherical") != "true" or stated.get("ProjectionType") != "equirectangular":
        return None
    kept_values = {
        name: value for name, value in stated.items()
        if (name in _AREA and re.fullmatch(r"[0-9]{1,6}", value)) or (name in _FLAGS and value in {"true", "false"})
        or name == "ProjectionType" or (name == "StereoMode" and value in _V1_VIEWS)
    }  # fmt: skip
    if kept_values.keys() != stated.keys():
        return None
    views = _V1_VIEWS[kept_values["StereoMode"]] if "StereoMode" in kept_values else None
    area = _crop_shares({name: int(kept_values[name]) for name in _AREA if name in kept_values})
    spherical = Spherical(EQUIRECTANGULAR, area, views=views, xml=tuple(sorted(kept_values.items())), boxed=False)
    return spherical if spherical.is_sound else None


def _crop_shares(area: Mapping[str, int]) -> tuple[int, ...]:
    """Return the crop at the top, bottom, left and right as `Spherical.values`; () where the numbers are impossible."""
    if len(area) < len(_AREA):
        return (0, 0, 0, 0)
    width, height, full_width, full_height, left, top = (area[name] for name in _AREA)
    right, bottom = full_width - left - width, full_height - top - height
    if min(width, height, right, bottom) < 0 or not full_width or not full_height:
        return ()
    shares = ((top, full_height), (bottom, full_height), (left, full_width), (right, full_width))
    return tuple(part * _WHOLE // full for part, full in shares)


def to_elements(spherical: Spherical) -> bytes:
    """Return the elements for Matroska's Video element."""
    views = {ours: theirs for theirs, ours in _MATROSKA_VIEWS.items()}
    element = ebml_element(STEREO_MODE, bytes([views[spherical.views]])) if spherical.views is not None else b""
    kinds = {ours: theirs for theirs, ours in _MATROSKA_TYPES.items()}
    if not spherical.kind:
        return element
    data = ebml_element(_TYPE, bytes([kinds[spherical.kind]]))
    data += ebml_element(_PRIVATE, bytes(4) + struct.pack(f">{len(spherical.values)}I", *spherical.values))
    for name, angle in zip(_POSE, spherical.pose, strict=True):
        data += ebml_element(name, struct.pack(">f", angle / _ONE)) if angle else b""
    return element + ebml_element(PROJECTION, data)


def of_elements(data: bytes) -> Spherical | None:
    """Parse the content of Matroska's Video element; None when it states nothing known."""
    contents = element_contents(data)
    views = int.from_bytes(contents.get(STEREO_MODE, b""))
    inside = element_contents(contents.get(PROJECTION, b""))
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
    stereo = _MATROSKA_VIEWS[views] if STEREO_MODE in contents else None
    whole = Spherical(kind, values, (yaw, pitch, roll), stereo)
    return whole if whole.is_sound else None


def element_contents(data: bytes) -> dict[int, bytes]:
    """Return the content of each EBML element in `data` by its number, up to the first that is incomplete."""
    return {part.name: data[part.content : part.end] for part in ebml_elements(data, 0, len(data), whole=True)}


def _real(data: bytes) -> float:
    if len(data) not in _REALS:
        raise ValueError("a real number has 4 or 8 bytes")
    return float(struct.unpack(_REALS[len(data)], data)[0]) if data else 0.0


def says_more(data: bytes) -> bool:
    """Tell whether the content of Matroska's Projection holds more bytes than a projection needs."""
    most = {_TYPE: 4, _PRIVATE: 20} | dict.fromkeys(_POSE, 8)
    inside = list(ebml_elements(data, 0, len(data), whole=True))
    whole = sum(end - start for _, start, _, end, _ in inside) == len(data)
    return not whole or any(end - content > most.get(name, -1) for name, _, content, end, _ in inside)
