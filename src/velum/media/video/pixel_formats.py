"""Decoded frames as planes: each pixel format is kept, or converted to the nearest layout that is kept."""

import sys
from dataclasses import dataclass
from functools import cache
from typing import cast

import av
import cv2
import numpy as np
from av.codec.codec import PixFmtLoss, find_best_pix_fmt_of_list
from av.video.format import VideoFormat
from av.video.plane import VideoPlane

from velum.frame import Frame, Plane, Role, Samples

_SUBSAMPLED = {
    8: ("410", "411", "420", "422", "440", "444"), 9: ("420", "422", "444"), 10: ("420", "422", "440", "444"),
    12: ("420", "422", "440", "444"), 14: ("420", "422", "444"), 16: ("420", "422", "444"),
}  # fmt: skip
_WITH_ALPHA = {8: ("420", "422", "444"), 9: ("420", "422", "444"), 10: ("420", "422", "444"), 12: ("422", "444"),
               16: ("420", "422", "444")}  # fmt: skip
_INTERLEAVED = {
    "rgb24": (Role.RGB, 8), "rgba": (Role.RGBA, 8), "rgb48le": (Role.RGB, 16), "rgba64le": (Role.RGBA, 16),
    "ya8": (Role.GREY_ALPHA, 8), "ya16le": (Role.GREY_ALPHA, 16),
}  # fmt: skip
KEPT_LAYOUTS = (
    *(f"yuv{kind}p{f'{bits}le' if bits > 8 else ''}" for bits, kinds in _SUBSAMPLED.items() for kind in kinds),
    *(f"yuva{kind}p{f'{bits}le' if bits > 8 else ''}" for bits, kinds in _WITH_ALPHA.items() for kind in kinds),
    "gray", *(f"gray{bits}le" for bits in (9, 10, 12, 14, 16)), *_INTERLEAVED,
)  # fmt: skip
"""FFmpeg's names of the pixel formats whose samples frames have unchanged."""


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """How the samples of a frame are stored: FFmpeg's name of it, the role of each plane, and bits per sample."""

    name: str
    roles: tuple[Role, ...]
    bits: int
    scales: tuple[tuple[int, int], ...]
    """Pixels per sample (across, down), for each plane."""

    def bytes_of(self, width: int, height: int) -> int:
        """Return the bytes of all planes of a frame of `width` x `height` pixels."""
        planes = zip(self.roles, self.scales, strict=True)
        samples = sum(width * height * role.channels // (across * down) for role, (across, down) in planes)
        return samples * (2 if self.bits > 8 else 1)

    @property
    def rgb(self) -> bool:
        """True for RGB, with or without alpha."""
        return self.roles[0] in {Role.RGB, Role.RGBA}

    @property
    def alpha(self) -> bool:
        """True with an alpha channel."""
        return self.roles[-1] in {Role.RGBA, Role.GREY_ALPHA, Role.ALPHA}

    @property
    def grey(self) -> bool:
        """True for greyscale, with or without alpha."""
        return self.roles in {(Role.LUMA,), (Role.GREY_ALPHA,)}

    @property
    def opaque(self) -> "PixelLayout":
        """The same layout without alpha."""
        plain = {"rgba": "rgb24", "rgba64le": "rgb48le", "ya8": "gray", "ya16le": "gray16le"}.get(
            self.name, self.name.replace("yuva", "yuv")
        )
        return layout_of(plain)

    def divides(self, width: int, height: int) -> bool:
        """Tell whether width and height are multiples of the subsampling of every plane."""
        return all(width % across == 0 and height % down == 0 for across, down in self.scales)


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame(Frame):
    """A frame of a video. Its planes as read, `given`, are views of the buffers of `native`, which it owns."""

    native: av.VideoFrame | None = None
    given: tuple[Plane, ...] = ()
    resized: bool = False
    """True when it has another size in the source than the first frame."""


_REFERENCE_PROBE = [object()]
_IDLE_REFERENCES = sys.getrefcount(_REFERENCE_PROBE[0])
"""Reference count that Python reports for an object that only a list refers to."""


class FramePool:
    """A pool of frame buffers of one size and layout: allocating fresh memory takes longer than the copy itself.

    A frame is reused when nobody refers to it or to a view of it any more (Python's reference count), and its memory
    when no encoder reads it any more (FFmpeg's reference count). The pool keeps as many as were ever in use at a time.
    """

    def __init__(self, width: int, height: int, layout: PixelLayout) -> None:
        self._width, self._height, self._name = width, height, layout.name
        self._made: list[av.VideoFrame] = []

    def take(self) -> av.VideoFrame:
        """Return a frame that is not in use. Its samples are arbitrary."""
        for number in range(len(self._made)):
            if sys.getrefcount(self._made[number]) == _IDLE_REFERENCES:
                self._made[number].make_writable()
                return self._made[number]
        self._made.append(av.VideoFrame(self._width, self._height, self._name))
        return self._made[-1]


@cache
def layout_of(name: str) -> PixelLayout:
    """Return the layout that FFmpeg calls `name`, which is one of `KEPT_LAYOUTS`."""
    if name in _INTERLEAVED:
        role, bits = _INTERLEAVED[name]
        return PixelLayout(name, (role,), bits, ((1, 1),))
    size = 64
    components = VideoFormat(name, size, size).components
    roles = (Role.LUMA, Role.CHROMA, Role.CHROMA, Role.ALPHA)[: len(components)]
    scales = tuple((size // component.width, size // component.height) for component in components)
    return PixelLayout(name, roles, components[0].bits, scales)


@cache
def kept_layout(name: str) -> tuple[PixelLayout, str | None]:
    """Return the layout of frames decoded as FFmpeg's pixel format `name`, and a warning where samples change.

    Raises `ValueError` for a pixel format that cannot be converted.
    """
    plain = name.replace("yuvj", "yuv")  # the j means full range, which the frames state as well
    if plain in KEPT_LAYOUTS:
        return layout_of(plain), None
    format_ = VideoFormat(name, 64, 64)
    alpha = any(component.is_alpha for component in format_.components) or format_.has_palette
    choice, loss = find_best_pix_fmt_of_list(KEPT_LAYOUTS, name, has_alpha=alpha)
    if choice is None:
        raise ValueError(f"pixels of format {name} are not supported")
    lost = loss & ~PixFmtLoss.RESOLUTION
    note = f"pixels of format {name} were converted to {choice.name}" if lost or format_.is_bayer else None
    return layout_of(choice.name), note


def copy_frame(decoded: av.VideoFrame, layout: PixelLayout, copy: av.VideoFrame | None = None) -> av.VideoFrame:
    """Copy a decoded frame into `copy`, or into a new frame: the decoder still needs its own buffers as references.

    Only samples and colour properties are copied; captions and other side data are dropped.
    """
    same = decoded.format.name.replace("yuvj", "yuv") == layout.name
    source = decoded if same else decoded.reformat(format=layout.name)
    copy = copy or av.VideoFrame(decoded.width, decoded.height, layout.name)
    for theirs, ours in zip(views(source, layout), views(copy, layout), strict=True):
        np.copyto(ours, theirs)
    copy.color_range, copy.colorspace = decoded.color_range, decoded.colorspace
    copy.color_primaries, copy.color_trc = decoded.color_primaries, decoded.color_trc
    return copy


def views(frame: av.VideoFrame, layout: PixelLayout) -> list[Samples]:
    """Return a writable array (height, width[, channels]) of each plane, without the padding of its rows."""
    return [_view(plane, role, layout.bits) for plane, role in zip(frame.planes, layout.roles, strict=False)]


def _view(plane: VideoPlane, role: Role, bits: int) -> Samples:
    kind = np.dtype(np.uint16 if bits > 8 else np.uint8)
    step, channels = abs(plane.line_size), role.channels
    pixels: Samples = np.ndarray(
        (plane.height, plane.width, channels),
        kind,
        memoryview(plane),
        strides=(step, channels * kind.itemsize, kind.itemsize),
    )
    # Some decoders store the bottom row first; the buffer then starts there.
    upright = pixels[::-1] if plane.line_size < 0 else pixels
    return upright[..., 0] if channels == 1 else upright


def planes_of(frame: av.VideoFrame, layout: PixelLayout, *, limited: bool) -> tuple[Plane, ...]:
    """Return the planes of a frame as views of its buffers; `limited`: luma and chroma have limited range."""
    parts = zip(views(frame, layout), layout.roles, layout.scales, strict=True)
    return tuple(
        Plane(pixels, role, across, down, layout.bits, limited and role in {Role.LUMA, Role.CHROMA})
        for pixels, role, (across, down) in parts
    )


def native_of(frame: Frame, layout: PixelLayout) -> av.VideoFrame:
    """Return a native frame to encode: the frame's own where its planes are still the given ones, else a copy."""
    native = frame.native if isinstance(frame, VideoFrame) else None
    if native is not None and isinstance(frame, VideoFrame) and frame.planes is frame.given:
        return native
    if native is None:
        width, height = frame.orientation.stored_size(frame.width, frame.height)
        native = av.VideoFrame(width, height, layout.name)
    # A technique or stage may have replaced the planes; those of the frame count.
    for plane, ours in zip(frame.planes, views(native, layout), strict=True):
        np.copyto(ours, plane.pixels)
    return native


def blacken(frame: av.VideoFrame, layout: PixelLayout, *, limited: bool) -> None:
    """Make a frame black, in place."""
    for plane in planes_of(frame, layout, limited=limited):
        plane.pixels[...] = plane.black if len(plane.black) > 1 else plane.black[0]


def upsample_chroma(frame: av.VideoFrame, layout: PixelLayout, target: PixelLayout) -> av.VideoFrame:
    """Return the frame with chroma at full resolution, by repeating samples, so that every value stays exact."""
    wide = av.VideoFrame(frame.width, frame.height, target.name)
    for ours, theirs, scale in zip(views(wide, target), views(frame, layout), layout.scales, strict=True):
        repeated = theirs.repeat(scale[1], axis=0).repeat(scale[0], axis=1)
        np.copyto(ours, repeated[: ours.shape[0], : ours.shape[1]])
    wide.color_range, wide.colorspace = frame.color_range, frame.colorspace
    wide.color_primaries, wide.color_trc = frame.color_primaries, frame.color_trc
    return wide


def has_transparency(frame: av.VideoFrame, layout: PixelLayout) -> bool:
    """Tell whether any pixel of a frame with alpha is not opaque."""
    return int(_alpha_samples(frame, layout).min()) < (1 << layout.bits) - 1


def _alpha_samples(frame: av.VideoFrame, layout: PixelLayout) -> Samples:
    samples = views(frame, layout)
    return samples[-1] if layout.roles[-1] == Role.ALPHA else samples[0][..., -1]


def flatten_alpha(frame: av.VideoFrame, layout: PixelLayout, plain: PixelLayout, *, limited: bool) -> av.VideoFrame:
    """Return the frame composed over black, without alpha: samples under transparent pixels become black."""
    flat = av.VideoFrame(frame.width, frame.height, plain.name)
    theirs, ours = views(frame, layout), views(flat, plain)
    top = (1 << layout.bits) - 1
    alpha = _alpha_samples(frame, layout)
    for source, target, role, (across, down) in zip(theirs, ours, plain.roles, plain.scales, strict=False):
        black = {Role.LUMA: (16 << (plain.bits - 8)) if limited and not plain.grey else 0,
                 Role.CHROMA: 1 << (plain.bits - 1)}.get(role, 0)  # fmt: skip
        samples = source[..., :-1] if layout.roles[0] in {Role.RGBA, Role.GREY_ALPHA} else source
        colour = samples.reshape(target.shape).astype(np.int64)
        # The least opaque of the pixels that share a sample decides.
        share = _pool_minimum(alpha, across, down).astype(np.int64)
        opacity = share.reshape(*share.shape, *[1] * (target.ndim - 2))
        target[...] = (black + (colour - black) * opacity // top).astype(target.dtype)
    flat.color_range, flat.colorspace = frame.color_range, frame.colorspace
    flat.color_primaries, flat.color_trc = frame.color_primaries, frame.color_trc
    return flat


def _pool_minimum(alpha: Samples, across: int, down: int) -> Samples:
    """Return the minimum of `alpha` over the pixels of each sample of a subsampled plane."""
    if across == down == 1:
        return alpha
    rows, columns = (np.arange(0, side, step) for side, step in zip(alpha.shape, (down, across), strict=True))
    last = alpha.shape[0] - 1, alpha.shape[1] - 1
    parts = [
        alpha[np.ix_(np.minimum(rows + y, last[0]), np.minimum(columns + x, last[1]))]
        for y, x in np.ndindex(down, across)
    ]
    least: Samples = np.minimum.reduce(parts)
    return least


_BAR_FRACTION = 50
"""A frame is stretched where bars would be thinner than this fraction of the side (1/50)."""


def refit(frame: av.VideoFrame, layout: PixelLayout, canvas: av.VideoFrame, *, limited: bool) -> av.VideoFrame:
    """Draw `frame` into the middle of a black `canvas`, as large as it fits, and return `canvas`.

    A region stays in place where only the resolution has changed, as in video calls. Both frames have the layout
    `layout`, with limited or full range.
    """
    x0, y0, width, height = _window(frame, canvas, layout)
    blacken(canvas, layout, limited=limited)
    planes = zip(views(frame, layout), views(canvas, layout), layout.scales, strict=True)
    for theirs, ours, (across, down) in planes:
        place = ours[y0 // down : -(-(y0 + height) // down), x0 // across : -(-(x0 + width) // across)]
        place[...] = _scale_plane(theirs, place.shape[1], place.shape[0])
    canvas.color_range, canvas.colorspace = frame.color_range, frame.colorspace
    canvas.color_primaries, canvas.color_trc = frame.color_primaries, frame.color_trc
    return canvas


def _window(frame: av.VideoFrame, canvas: av.VideoFrame, layout: PixelLayout) -> tuple[int, int, int, int]:
    """Return left, top, width and height in `canvas` in pixels, on whole samples of every plane."""
    across, down = (max(scale[side] for scale in layout.scales) for side in (0, 1))
    scale = min(canvas.width / frame.width, canvas.height / frame.height)
    width = _whole_samples(frame.width * scale, canvas.width, across)
    height = _whole_samples(frame.height * scale, canvas.height, down)
    return (canvas.width - width) // (2 * across) * across, (canvas.height - height) // (2 * down) * down, width, height


def _whole_samples(length: float, available: int, step: int) -> int:
    if available - length <= available / _BAR_FRACTION:
        return available
    return max(step, int(length) // step * step)


def _scale_plane(samples: Samples, width: int, height: int) -> Samples:
    shrinks = width < samples.shape[1] or height < samples.shape[0]
    return cast(
        "Samples", cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    )
