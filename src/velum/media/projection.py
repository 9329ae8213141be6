"""The projection of a panorama: reads it from XMP value by value, and writes XMP that holds nothing else.

Without it, viewers show the same samples in another way, as without the orientation. Of the Photo Sphere properties
(`GPano`) velum keeps the projection, the part of the sphere that the image covers, and its tilt. It drops the compass
direction of the camera, which helps to find the place. XMP: ISO 16684-1.
"""

import re
from collections.abc import Collection, Mapping

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
    found = {
        name: value for name, value in properties(xmp, _PROJECTION).items()
        if value in _WORDS or re.fullmatch(_NUMBER, value)
    }  # fmt: skip
    return found if _NEEDED in found else {}


def properties(xmp: bytes, names: Collection[str]) -> dict[str, str]:
    """Return the first value of each named simple property; values have at most 40 characters of ASCII."""
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
    """Return an XMP packet of these properties, whose values need no escaping."""
    spaces = {name.partition(":")[0] for name in found}
    named = "".join(f' xmlns:{space}="{SPACES[space]}"' for space in sorted(spaces))
    values = "".join(f' {name}="{value}"' for name, value in found.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about=""{named}{values}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def is_projection_alone(xmp: bytes) -> bool:
    """Tell whether XMP equals what `packet` writes for its projection."""
    found = projection(xmp)
    return bool(found) and packet(found) == xmp
