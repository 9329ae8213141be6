"""What is known of an image before its pixels are: `ImageInfo` for callers, `ImageFormat` inside it for the writer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from velum.frame import Role
from velum.media.image.palette import Palette

USUAL_RATE = Fraction(10)
"""Frames per second of animations, near enough to choose how far to look ahead: their headers do not say it."""

Tags = Mapping[int, Any]
"""EXIF values by tag number."""


@dataclass(frozen=True, slots=True)
class KeptTags:
    """Metadata of one kind that a plan may keep: tags of the main, the Exif and the GPS directory."""

    main: Tags
    exif: Tags
    gps: Tags

    def __bool__(self) -> bool:
        return bool(self.main or self.exif or self.gps)


@dataclass(frozen=True, slots=True)
class Jpeg:
    """How a JPEG is coded. `tables` has one quantisation table per component; equal ones at the end are left out."""

    tables: tuple[tuple[int, ...], ...]
    subsampling: str | None
    """`4:4:4`, `4:2:2` or `4:2:0`; None for any other."""
    progressive: bool
    rgb: bool
    """True when the components are red, green, blue instead of luma and chroma."""
    data: bytes = field(default=b"", repr=False)
    """The whole file, for its coefficients."""


@dataclass(frozen=True, slots=True)
class ImagePage:
    """What one frame needs, beside its samples, to be written back like the source: its `Frame.page`."""

    role: Role
    bits: int = 8
    bilevel: bool = False
    palette: Palette | None = None
    duration_ms: float = 0.0
    compression: str | None = None
    """Name of a TIFF page's compression, as Pillow spells it."""
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    depth: int | None = None
    """Bits per sample of the file, where it has 10 or 12 and the plane 16."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageFormat:
    """What the whole file needs to be written back like the source."""

    first: ImagePage
    orientation: int = 1
    """EXIF value, 1 to 8."""
    lossless: bool = True
    animated: bool = False
    loop: int | None = None
    """How often an animation plays; 0 for ever, None when the file does not say."""
    default_image: bool = False
    """True when the first frame of a PNG is shown only by viewers that cannot animate."""
    chroma: str | None = None
    """Chroma sampling of AVIF and HEIF, such as `4:2:0`."""
    jpeg: Jpeg | None = None
    colour: tuple[tuple[bytes, bytes], ...] = ()
    """PNG chunks, by name and content, that say how the samples are to be shown."""
    kept: Mapping[str, KeptTags] = field(default_factory=dict)
    """By kind, everything that a plan could keep."""
    projection: Mapping[str, str] = field(default_factory=dict)
    """Properties that say how a panorama is projected, by their XMP names."""
    further: int = 0
    """How many pictures the file holds beside the one that is read: another view, a burst."""
    notes: tuple[str, ...] = ()
    """What to say about the source in the report's warnings."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageInfo:
    """What a source is. `width` and `height` are of the upright first frame."""

    format: str
    """`AVIF`, `BMP`, `GIF`, `HEIF`, `JPEG`, `JPEG2000`, `PNG`, `TIFF` or `WEBP`."""
    width: int
    height: int
    frames: int
    source: Path
    look: ImageFormat

    @property
    def fps(self) -> Fraction | None:
        """About how many frames an animation shows in a second; None for still pictures and documents of pages."""
        return USUAL_RATE if self.look.animated and self.frames > 1 else None
