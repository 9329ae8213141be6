"""The description of an image before its pixels are decoded: `ImageInfo` for callers, `ImageFormat` for the writer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from velum.frame import Role
from velum.media.image.palette import Palette

USUAL_RATE = Fraction(10)
"""Assumed frames per second of animations, whose headers do not say it. It only decides how far to look ahead."""

PNG_XMP = "XML:com.adobe.xmp"
"""Keyword of the text chunk of a PNG that holds XMP."""

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
    """Coding of a JPEG. `tables`: the quantisation table of each component, without repetitions at the end."""

    tables: tuple[tuple[int, ...], ...]
    subsampling: str | None
    """`4:4:4`, `4:2:2` or `4:2:0`; None for any other."""
    progressive: bool
    rgb: bool
    """True when the components are red, green, blue instead of luma and chroma."""
    data: bytes = field(default=b"", repr=False)
    """The whole file, from which unchanged coefficients are copied."""


@dataclass(frozen=True, slots=True)
class ImagePage:
    """Properties of one frame, besides its samples, that the writer keeps as in the source: its `Frame.page`."""

    role: Role
    bits: int = 8
    bilevel: bool = False
    palette: Palette | None = None
    duration_ms: float = 0.0
    compression: str | None = None
    """Pillow's name of a TIFF page's compression."""
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    depth: int | None = None
    """Bits per sample in the file where that is 10 or 12, while the plane has 16; None for others."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageFormat:
    """Properties of the whole file that the writer keeps as in the source."""

    first: ImagePage
    orientation: int = 1
    """EXIF value, 1 to 8."""
    lossless: bool = True
    animated: bool = False
    loop: int | None = None
    """How often an animation plays; 0 for ever, None when the file does not say."""
    default_image: bool = False
    """True when only viewers that cannot animate show the first frame of a PNG."""
    chroma: str | None = None
    """Chroma sampling of AVIF and HEIF, such as `4:2:0`."""
    jpeg: Jpeg | None = None
    colour: tuple[tuple[bytes, bytes], ...] = ()
    """PNG chunks (name, content) that define the colour space of the samples."""
    kept: Mapping[str, KeptTags] = field(default_factory=dict)
    """All tags that a plan could keep, by kind of metadata."""
    projection: Mapping[str, str] = field(default_factory=dict)
    """Projection of a panorama: XMP properties by name."""
    further: int = 0
    """Number of further images in the file that velum does not read, such as another view or a burst."""
    notes: tuple[str, ...] = ()
    """Notes on the source for the report's warnings."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageInfo:
    """Description of an image file. `width` and `height` are those of the first frame turned upright, in pixels."""

    format: str
    """`AVIF`, `BMP`, `GIF`, `HEIF`, `JPEG`, `JPEG2000`, `PNG`, `TIFF` or `WEBP`."""
    width: int
    height: int
    frames: int
    source: Path
    coding: ImageFormat

    @property
    def frame_bytes(self) -> int:
        """Bytes of the planes of one frame of an animation, at most."""
        return self.width * self.height * 4

    @property
    def fps(self) -> Fraction | None:
        """Approximate frames per second of an animation; None for still images and multi-page files."""
        return USUAL_RATE if self.coding.animated and self.frames > 1 else None
