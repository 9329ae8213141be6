"""Where a street picture looks, which its XMP says: the only thing of XMP that is kept, value by value.

Photo Sphere XMP (`GPano`) makes a panorama one; the orientation of the camera is also written in `Camera`. XMP can hold
anything, also pictures of its own, so nothing is copied that is not a number, a date or one of a few words.
JPEG segments: ITU-T T.81, annex B; XMP in them: ISO 16684-3.
"""

import re
from collections.abc import Iterator, Mapping

from velum.media.projection import packet

_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_NAMES: Mapping[str, frozenset[str]] = {
    "GPano": frozenset(
        {
            "UsePanoramaViewer", "ProjectionType", "PoseHeadingDegrees", "PosePitchDegrees", "PoseRollDegrees",
            "InitialViewHeadingDegrees", "InitialViewPitchDegrees", "InitialViewRollDegrees",
            "InitialHorizontalFOVDegrees", "FirstPhotoDate", "LastPhotoDate", "SourcePhotosCount",
            "CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels", "FullPanoWidthPixels",
            "FullPanoHeightPixels", "CroppedAreaLeftPixels", "CroppedAreaTopPixels", "LargestValidInteriorRectLeft",
            "LargestValidInteriorRectTop", "LargestValidInteriorRectWidth", "LargestValidInteriorRectHeight",
        }
    ),
    "Camera": frozenset({"Yaw", "Pitch", "Roll"}),
}  # fmt: skip
_VALUE = rb"[+-]?[0-9][0-9.:TZ+-]{0,39}|True|False|true|false|equirectangular|cylindrical"
_PROPERTY = re.compile(
    rb"\b(GPano|Camera):(\w{1,40})\s*(?:=\s*[\"']\s*(" + _VALUE + rb")\s*[\"']|>\s*(" + _VALUE + rb")\s*<)", re.ASCII
)
_APP0, _APP1, _SOS, _EOI = 0xE0, 0xE1, 0xDA, 0xD9


def with_pose_of(source: bytes, made: bytes) -> bytes:
    """Return the JPEG `made` with the orientation that the XMP of the JPEG `source` tells; unchanged if it tells none.

    It takes the place of XMP that `made` has.
    """
    found = pose(source)
    if not found:
        return made
    body = _HEAD + packet(found)
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body
    for kind, start, stop in reversed(list(_segments(made))):
        if kind == _APP1 and made.startswith(_HEAD, start + 4):
            made = made[:start] + made[stop:]
    at = 2  # behind the start of the image, and behind JFIF and Exif, which readers expect first
    for kind, start, stop in _segments(made):
        if kind not in {_APP0, _APP1} or start != at:
            break
        at = stop
    return made[:at] + segment + made[at:]


def pose(jpeg: bytes) -> dict[str, str]:
    """Return the properties that are kept of a JPEG's XMP, by name such as `GPano:PoseHeadingDegrees`."""
    found: dict[str, str] = {}
    for kind, start, stop in _segments(jpeg):
        segment = jpeg[start + 4 : stop]
        if kind != _APP1 or not segment.startswith(_HEAD):
            continue
        for space, name, *values in _PROPERTY.findall(segment):
            if name.decode() in _NAMES[space.decode()]:
                found.setdefault(f"{space.decode()}:{name.decode()}", (values[0] or values[1]).decode())
    return found


def _segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment before the samples; ends where they are damaged."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] not in {_SOS, _EOI}:
        if jpeg[at + 1] == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        stop = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if stop > len(jpeg) or stop < at + 4:
            return
        yield jpeg[at + 1], at, stop
        at = stop
