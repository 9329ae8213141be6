"""Allow-list of EXIF tags: a plan can keep only these, velum never copies any other.

Tags and their numbers: Exif 3.0 (CIPA DC-008), 4.6. Left out on purpose: maker notes, thumbnails, serial numbers,
owner names, unique ids and the position of the subject.
"""

import struct
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

from velum.media.image.info import KeptTags, Tags

_LONGEST = 1024
_NOTHING: Tags = MappingProxyType({})

_MAIN: Mapping[str, Collection[int]] = {
    "camera": (Base.Make, Base.Model, Base.Software),
    "copyright": (Base.Artist, Base.Copyright),
    "datetime": (Base.DateTime,),
    "description": (Base.ImageDescription,),
}
_EXIF: Mapping[str, Collection[int]] = {
    "camera": (Base.LensSpecification, Base.LensMake, Base.LensModel),
    "datetime": (
        Base.DateTimeOriginal, Base.DateTimeDigitized, Base.OffsetTime, Base.OffsetTimeOriginal,
        Base.OffsetTimeDigitized, Base.SubsecTime, Base.SubsecTimeOriginal, Base.SubsecTimeDigitized,
    ),
    "exposure": (
        Base.ExposureTime, Base.FNumber, Base.ExposureProgram, Base.ISOSpeedRatings, Base.SensitivityType,
        Base.ShutterSpeedValue, Base.ApertureValue, Base.BrightnessValue, Base.ExposureBiasValue,
        Base.MaxApertureValue, Base.SubjectDistance, Base.MeteringMode, Base.LightSource, Base.Flash,
        Base.FocalLength, Base.FocalLengthIn35mmFilm, Base.ExposureMode, Base.WhiteBalance, Base.DigitalZoomRatio,
        Base.SceneCaptureType, Base.GainControl, Base.Contrast, Base.Saturation, Base.Sharpness,
    ),
}  # fmt: skip
_GPS = range(32)


def load(block: bytes) -> Image.Exif:
    """Parse the EXIF block of an image file; empty when `block` is empty or cannot be parsed."""
    exif = Image.Exif()
    try:
        exif.load(block)
    except (SyntaxError, OSError, ValueError, KeyError, TypeError, struct.error):
        return Image.Exif()
    return exif


def orientation(exif: Image.Exif) -> int:
    """Return the EXIF orientation, 1 to 8; 1 when it is missing or invalid."""
    value = exif.get(Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def keepable(exif: Image.Exif) -> dict[str, KeptTags]:
    """Return the tags of `exif` that a plan could keep, by kind of metadata; kinds without a tag are left out."""
    inner, gps = _directory(exif, IFD.Exif), _directory(exif, IFD.GPSInfo)
    kinds = {kind: KeptTags(_pick(exif, _MAIN.get(kind, ())), _pick(inner, _EXIF.get(kind, ())), _NOTHING)
             for kind in _MAIN.keys() | _EXIF.keys()}  # fmt: skip
    kinds["gps"] = KeptTags(_NOTHING, _NOTHING, _pick(gps, _GPS))
    return {kind: tags for kind, tags in kinds.items() if tags}


def build(kinds: Collection[KeptTags], orientation: int) -> Image.Exif | None:
    """Return a new EXIF block with only these tags, and the orientation where it is not 1; None when it is empty."""
    exif = Image.Exif()
    inner: dict[int, Any] = {}
    gps: dict[int, Any] = {}
    for tags in kinds:
        exif.update(tags.main)
        inner.update(tags.exif)
        gps.update(tags.gps)
    if orientation != 1:
        exif[Base.Orientation] = orientation
    if inner:
        exif[IFD.Exif] = inner
    if gps:
        exif[IFD.GPSInfo] = gps
    return exif if len(exif) else None


def _directory(exif: Image.Exif, number: int) -> Tags:
    try:
        return exif.get_ifd(number)
    except (SyntaxError, OSError, ValueError, KeyError, TypeError, struct.error):
        return _NOTHING


def _pick(tags: Mapping[int, Any] | Image.Exif, numbers: Collection[int]) -> Tags:
    return {int(tag): tags[tag] for tag in numbers if tag in tags and _plain(tags[tag])}


def _plain(value: Any) -> bool:
    """Tell whether a value is short text or a few numbers: larger ones could hide an image."""
    if isinstance(value, str | bytes):
        return len(value) <= _LONGEST
    if isinstance(value, tuple):
        return len(value) <= 8 and all(map(_plain, value))
    return isinstance(value, int | float) or hasattr(value, "numerator")
