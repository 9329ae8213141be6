"""Frames as their decoder gives them: planes of samples, never converted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from velum.errors import BadInput
from velum.region import Box, Mask, Points

# OpenCV's stubs give any array of numbers for what keeps the type of its input: hence the type comments below.
Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""Array (rows, columns) or (rows, columns, channels)."""

Rgb = npt.NDArray[np.uint8]
"""Array (rows, columns, 3) of 8-bit red, green, blue."""


class Role(StrEnum):
    """What the samples of a plane mean."""

    GREY = "grey"
    GREY_ALPHA = "grey+alpha"
    RGB = "rgb"
    RGBA = "rgb+alpha"
    CMYK = "cmyk"  # 0 is no ink
    LUMA = "luma"
    CHROMA = "chroma"
    ALPHA = "alpha"  # a plane of its own, beside luma and chroma

    @property
    def channels(self) -> int:
        """Samples per pixel."""
        return {"grey+alpha": 2, "rgb": 3, "rgb+alpha": 4, "cmyk": 4}.get(self.value, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One writable array of samples: interleaved channels, or one of Y, U, V, alpha.

    One sample stands for `scale_x` x `scale_y` pixels of the frame. `bits` are those used of each sample. `view` is the
    grey, 8 bits, that viewers show for each value of a sample where its depth alone does not say it.
    """

    pixels: Samples
    role: Role
    scale_x: int = 1
    scale_y: int = 1
    bits: int = 8
    limited: bool = False
    view: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        channels = self.pixels.shape[2] if self.pixels.ndim == 3 else 1
        if self.pixels.ndim not in {2, 3} or channels != self.role.channels:
            raise BadInput(
                f"plane of shape {self.pixels.shape} cannot be {self.role}, which has {self.role.channels} channels"
            )
        if self.pixels.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)}:
            raise BadInput(f"plane of {self.pixels.dtype} is not supported; samples are uint8 or uint16")

    @property
    def black(self) -> tuple[int, ...]:
        """Value of each channel of an opaque black sample, in this plane's depth and range."""
        full = (1 << self.bits) - 1
        inverted = self.view is not None and self.view[0] > self.view[-1]
        return {
            Role.GREY: (full if inverted else 0,), Role.GREY_ALPHA: (0, full), Role.RGB: (0, 0, 0),
            Role.RGBA: (0, 0, 0, full), Role.CMYK: (0, 0, 0, full),
            Role.LUMA: (16 << (self.bits - 8) if self.limited else 0,),
            Role.CHROMA: (1 << (self.bits - 1),), Role.ALPHA: (full,),
        }[self.role]  # fmt: skip

    def cover(self, box: Box) -> Box:
        """Return the samples, as a box in this plane, that any pixel of `box` touches."""
        return Box(
            box.x0 // self.scale_x, box.y0 // self.scale_y, -(-box.x1 // self.scale_x), -(-box.y1 // self.scale_y)
        )

    def cut(self, box: Box) -> Samples:
        """Return a writable view of the samples in `box`, given in this plane's samples."""
        return self.pixels[box.slices]

    def reduce(self, mask: Mask, box: Box) -> Mask:
        """Return the mask of `cover(box)`: True where a True pixel of `mask`, which lies at `box`, touches a sample."""
        if self.scale_x == self.scale_y == 1:
            return mask
        cover = self.cover(box)
        whole = np.zeros((cover.height * self.scale_y, cover.width * self.scale_x), dtype=bool)
        inside = box.move(-cover.x0 * self.scale_x, -cover.y0 * self.scale_y)
        whole[inside.slices] = mask
        # A union of strided views: ten times quicker than any() over reshaped axes.
        reduced: Mask = np.zeros((cover.height, cover.width), dtype=bool)
        for down, across in np.ndindex(self.scale_y, self.scale_x):
            reduced |= whole[down :: self.scale_y, across :: self.scale_x]
        return reduced


@dataclass(frozen=True, slots=True)
class Orientation:
    """How stored rows and columns become the upright frame: a transposition, then flips.

    Numbers are those of the EXIF tag Orientation (CIPA DC-008, 0x0112).
    """

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_exif(cls, value: int) -> "Orientation":
        """Return the orientation for an EXIF value from 1 to 8; any other value counts as 1, as viewers do."""
        return cls(value in {5, 6, 7, 8}, value in {2, 3, 6, 7}, value in {3, 4, 7, 8})

    def upright(self, stored: Samples) -> Samples:
        """Return a view of `stored` as it is meant to be seen."""
        turned = stored.swapaxes(0, 1) if self.transposed else stored
        return turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def stored_mask(self, upright: Mask) -> Mask:
        """Return a view of an upright mask as it lies in the stored frame."""
        flipped = upright[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return flipped.T if self.transposed else flipped

    def stored_box(self, box: Box, width: int, height: int) -> Box:
        """Return where `box` of an upright frame of `width` x `height` lies in the stored frame."""
        x0, x1 = (width - box.x1, width - box.x0) if self.flip_x else (box.x0, box.x1)
        y0, y1 = (height - box.y1, height - box.y0) if self.flip_y else (box.y0, box.y1)
        return Box(y0, x0, y1, x1) if self.transposed else Box(x0, y0, x1, y1)

    def stored_points(self, points: Points, width: int, height: int) -> Points:
        """Return where points of an upright frame of `width` x `height` lie in the stored frame."""
        flipped = ((width - x if self.flip_x else x, height - y if self.flip_y else y) for x, y in points)
        return tuple((y, x) if self.transposed else (x, y) for x, y in flipped)

    def stored_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the stored (width, height) of an upright frame of that size; its own inverse."""
        return (height, width) if self.transposed else (width, height)

    def then(self, other: "Orientation") -> "Orientation":
        """Return the orientation that does what this one does, and then what the other one does."""
        flip_x, flip_y = (self.flip_y, self.flip_x) if other.transposed else (self.flip_x, self.flip_y)
        return Orientation(self.transposed != other.transposed, flip_x != other.flip_x, flip_y != other.flip_y)


Touched = tuple[tuple[Box, Mask | None], ...]
"""Boxes of a stored frame, each with a mask of its size that is True for the pixels meant; None: all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame, or an image. `planes` are as decoded and stored; `width` and `height` are of the upright frame.

    `time` is in seconds since the first frame that is shown, whatever the file's own clock says there.
    """

    planes: tuple[Plane, ...]
    width: int
    height: int
    index: int = 0
    time: Fraction | None = None
    orientation: Orientation = Orientation()
    encoded: bytes | None = None
    """The file that the frame came from, without its metadata, where it shows just this frame, upright, to whoever
    opens it: it can be sent on without encoding it again."""
    touched: Touched | None = None
    """Where samples may have changed since they were decoded; None where that is unknown."""
    page: object | None = None
    """Facts of the image reader about this frame besides its samples, for the image writer: palette, duration,
    compression. None where the frame is to be written like the first one of the source."""

    @classmethod
    def of(
        cls, plane: Plane, *, index: int = 0, time: Fraction | None = None, orientation: Orientation | None = None,
        encoded: bytes | None = None, page: object | None = None,
    ) -> "Frame":  # fmt: skip
        """Return the frame that one full-size interleaved plane makes."""
        orientation = orientation or Orientation()
        width, height = orientation.stored_size(plane.pixels.shape[1], plane.pixels.shape[0])
        return cls((plane,), width, height, index, time, orientation, encoded, page=page)

    def turn(self, turn: Orientation) -> "Frame":
        """Return the same samples as an upright frame that is turned or mirrored."""
        width, height = turn.stored_size(self.width, self.height)
        orientation = self.orientation.then(turn)
        return replace(self, width=width, height=height, orientation=orientation, encoded=None, touched=None)

    @property
    def box(self) -> Box:
        """The whole upright frame."""
        return Box(0, 0, self.width, self.height)

    def rgb(self, width: int, height: int, box: Box | None = None) -> Rgb:
        """Return `box` of the upright frame (default: all of it), scaled, as 8-bit RGB (height, width, 3).

        The part is cut first, then scaled, then turned: the full frame is never converted. Alpha is ignored, since the
        colour of a transparent sample is still in the file.
        """
        box = box or self.box
        stored = self.orientation.stored_box(box, self.width, self.height)
        size = self.orientation.stored_size(width, height)
        parts = [_shallow(plane, _scale(_shown_samples(plane, plane.cover(stored)), size)) for plane in self.planes]
        upright: Rgb = np.ascontiguousarray(self.orientation.upright(_to_rgb(parts, self.planes[0].role)))
        return upright

    def grey(self, width: int, height: int) -> npt.NDArray[np.uint8]:
        """Return the upright frame, scaled, as 8-bit grey (height, width)."""
        return _grey(self, width, height)


def _grey(frame: Frame, width: int, height: int) -> npt.NDArray[np.uint8]:
    first = frame.planes[0]
    if first.role not in {Role.GREY, Role.LUMA}:
        return cv2.cvtColor(frame.rgb(width, height), cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]  # its stubs lose the dtype
    size = frame.orientation.stored_size(width, height)
    shown = _shown_samples(first, Box(0, 0, first.pixels.shape[1], first.pixels.shape[0]))
    return np.ascontiguousarray(frame.orientation.upright(_shallow(first, _scale(shown, size))))


def _shown_samples(plane: Plane, box: Box) -> Samples:
    """Return the samples in a box of a plane, as viewers show them."""
    return plane.cut(box) if plane.view is None else plane.view[plane.cut(box)]


def _scale(samples: Samples, size: tuple[int, int]) -> Samples:
    if samples.ndim == 2:
        samples = _halve(samples, size)
    rows, columns = samples.shape[:2]
    if (columns, rows) == size:
        return samples
    shrinks = size[0] < columns or size[1] < rows
    # What was halved is less than twice the size: there a line between two samples is as good as a mean of areas, and
    # takes a fifth of the time.
    plain = samples.ndim == 2 and columns < 2 * size[0] and rows < 2 * size[1]
    how = cv2.INTER_AREA if shrinks and not plain else cv2.INTER_LINEAR
    return cv2.resize(samples, size, interpolation=how)  # type: ignore[return-value]  # its stubs lose the dtype


def _halve(samples: Samples, size: tuple[int, int]) -> Samples:
    """Return the means of 2 x 2 samples, of 4 x 4 and so on, as small as possible but not smaller than `size`.

    OpenCV has vector code for halves only: in steps, a plane of 1080p comes to 640 x 360 in a quarter of the time.
    """
    rows, columns = samples.shape
    while columns % 2 == rows % 2 == 0 and columns >= 2 * size[0] and rows >= 2 * size[1]:
        columns, rows = columns // 2, rows // 2
        samples = cv2.resize(samples, (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]  # its stubs lose the dtype
    return samples


def _shallow(plane: Plane, samples: Samples) -> npt.NDArray[np.uint8]:
    """Return the samples at 8 bits and full range.

    Limited range is that of ITU-R BT.709: luma from 16 to 235, chroma from 16 to 240 around 128.
    """
    if plane.bits > 8 and plane.view is None:
        samples = (samples >> (plane.bits - 8)).astype(np.uint8)
    if plane.limited and plane.role == Role.LUMA:
        return cv2.addWeighted(samples, 255 / 219, samples, 0, -16 * 255 / 219)  # type: ignore[return-value]  # its stubs lose the dtype
    if plane.limited and plane.role == Role.CHROMA:
        return cv2.addWeighted(samples, 255 / 224, samples, 0, 128 - 128 * 255 / 224)  # type: ignore[return-value]  # its stubs lose the dtype
    return samples  # type: ignore[return-value]  # of 8 bits here


def _to_rgb(parts: Sequence[Samples], role: Role) -> Samples:
    match role:
        case Role.RGB:
            return parts[0]
        case Role.RGBA:
            return parts[0][..., :3]
        case Role.GREY:
            return cv2.cvtColor(parts[0], cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]  # its stubs lose the dtype
        case Role.GREY_ALPHA:
            return cv2.cvtColor(np.ascontiguousarray(parts[0][..., 0]), cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]  # its stubs lose the dtype
        case Role.CMYK:
            # The usual device conversion without profiles (PostScript Language Reference, 3rd ed., 7.2.4).
            ink = parts[0].astype(np.uint16)
            rgb: Rgb = (255 - np.minimum(ink[..., :3] + ink[..., 3:], 255)).astype(np.uint8)
            return rgb
        case Role.LUMA if len(parts) >= 3:
            return cv2.cvtColor(cv2.merge([parts[0], parts[2], parts[1]]), cv2.COLOR_YCrCb2RGB)  # type: ignore[return-value]  # its stubs lose the dtype
        case Role.LUMA:
            return cv2.cvtColor(parts[0], cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]  # its stubs lose the dtype
        case _:
            raise BadInput(f"frame of {role} planes has no RGB view")
