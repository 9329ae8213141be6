"""How a panorama's picture is projected: read from XMP value by value, and written as XMP that holds nothing else.

As with orientation, the same samples look different without it. Of the Photo Sphere properties (`GPano`) these are
kept: the projection, which part of the sphere the picture is, and how it is tilted. Where the camera looked, by the
compass, is not: that tells of the place. XMP: ISO 16684-1.
"""

import re
from collections.abc import Collection, Mapping

SPACES: Mapping[str, str] = {
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "Camera": "http://pix4d.com/camera/1.0/",
}
"""Namespaces by the prefix that programs write for them."""

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
    """Return the properties that say how the picture is projected, by name such as `GPano:ProjectionType`.

    Empty where the XMP does not name a projection.
    """
    found = {
        name: value for name, value in properties(xmp, _PROJECTION).items()
        if value in _WORDS or re.fullmatch(_NUMBER, value)
    }  # fmt: skip
    return found if _NEEDED in found else {}


def properties(xmp: bytes, names: Collection[str]) -> dict[str, str]:
    """Return the simple properties of those names, the first of each; values are at most 40 characters of ASCII."""
    spaces = "|".join(sorted({name.partition(":")[0] for name in names}))
    value = r"[ -!#-%'(-;=?-~]{1,40}?"  # no quotes, brackets or entities
    pattern = rf"\b({spaces}):(\w{{1,40}})\s*(?:=\s*[\"']\s*({value})\s*[\"']|>\s*({value})\s*<)"
    found: dict[str, str] = {}
    for space, name, *values in re.findall(pattern.encode(), xmp, re.ASCII):
        full = f"{space.decode()}:{name.decode()}"
        if full in names:
            found.setdefault(full, (values[0] or values[1]).decode())
    return found


def packet(found: Mapping[str, str]) -> bytes:
    """Return XMP of those properties, whose values need no escaping."""
    spaces = {name.partition(":")[0] for name in found}
    named = "".join(f' xmlns:{space}="{SPACES[space]}"' for space in sorted(spaces))
    values = "".join(f' {name}="{value}"' for name, value in found.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about=""{named}{values}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def is_projection_alone(xmp: bytes) -> bool:
    """Tell whether XMP is just what `packet` writes of a projection."""
    found = projection(xmp)
    return bool(found) and packet(found) == xmp
