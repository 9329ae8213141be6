"""Fits frames to the pixel formats that an encoder and a container can take.

FFmpeg's encoders and muxers claim more than they can do: a pixel format without a tag of its own is written under the
tag of another one, and then decodes to noise. So a lossless encoder first has to write a small test frame, which must
come back from the container unchanged.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.codec.codec import Codec, PixFmtLoss, find_best_pix_fmt_of_list
from av.video.format import VideoFormat
from av.video.reformatter import Interpolation, VideoReformatter

from velum.media.video import info
from velum.media.video.encoders import open_encoder
from velum.media.video.info import Colour
from velum.media.video.pixel_formats import (
    KEPT_LAYOUTS,
    PixelLayout,
    copy_frame,
    flatten_alpha,
    has_transparency,
    kept_layout,
    layout_of,
    upsample_chroma,
    views,
)

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_EQUAL_LAYOUTS = {
    "gray": ("gray", "rgb24", "bgr24", "gbrp", "bgr0"),
    "gray16le": ("gray16le", "gray16be", "rgb48le", "rgb48be", "gbrp16le"),
    "ya8": ("ya8", "rgba", "bgra", "argb", "gbrap"),
    "ya16le": ("ya16le", "ya16be", "rgba64le", "rgba64be", "gbrap16le"),
    "rgb24": ("rgb24", "bgr24", "gbrp", "bgr0", "0rgb", "rgba", "bgra", "argb", "gbrap"),
    "rgba": ("rgba", "bgra", "argb", "abgr", "gbrap"),
    "rgb48le": ("rgb48le", "rgb48be", "gbrp16le", "rgba64le", "rgba64be", "gbrap16le"),
    "rgba64le": ("rgba64le", "rgba64be", "gbrap16le"),
    "yuv420p": ("yuv420p", "nv12", "nv21"),
    "yuv422p": ("yuv422p", "uyvy422", "yuyv422", "yvyu422", "nv16"),
    "yuv444p": ("yuv444p", "vyu444", "nv24"),
    "yuv422p10le": ("yuv422p10le", "y210le"),
    "yuv444p10le": ("yuv444p10le", "v30xle", "xv30le"),
    "yuv422p16le": ("yuv422p16le", "y216le"),
    "yuv444p16le": ("yuv444p16le", "xv48le"),
    "yuva444p": ("yuva444p", "ayuv", "vuya", "uyva"),
}
"""By pixel layout of frames: the pixel formats that hold exactly the same samples, the most common first."""

_YUV_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
"""Colour matrices that FFmpeg's scaler converts with: number in ITU-T H.273 -> number in the scaler."""

_USUAL_MATRIX = 6
"""ITU-R BT.601, which FFmpeg assumes where a video states no matrix."""

_ACCURATE = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_LIMITED, _FULL = 1, 2
_MARGIN, _LEAST = 16, 64


@dataclass(frozen=True, slots=True)
class EncoderPixels:
    """An encoder's input: FFmpeg's pixel format `pixels`, and the nearest `layout` that frames can have."""

    pixels: str
    layout: PixelLayout
    colour: Colour
    exact: bool
    """True when every sample keeps its value."""
    notes: tuple[str, ...] = ()
    cleared: str = ""
    """The warning for transparent frames that were put over black; empty where transparency is kept."""


@dataclass(frozen=True, slots=True)
class EncoderTarget:
    """Where frames are written to: FFmpeg's encoder with its options, and the muxer.

    `even` is True when subsampled chroma needs an even size, `alpha` when transparency can be written.
    """

    encoder: str
    muxer: str
    lossless: bool
    even: bool
    alpha: bool
    options: tuple[tuple[str, str], ...] = ()
    tag: str = ""
    """Codec tag in the container; empty for the muxer's default."""
    only: tuple[str, ...] = ()
    """Pixel formats to choose from; empty for all that the encoder takes."""


def fit_pixels(place: EncoderTarget, source: info.VideoFormat) -> EncoderPixels | None:
    """Choose the pixel format in which frames go to an encoder; None where it can take nothing similar."""
    offered = place.only or _encoder_layouts(place.encoder)
    plain, notes, cleared = source, list[str](), ""
    if source.layout.alpha and not (place.alpha and _carries_alpha(place, source)):
        plain = replace(source, layout=source.layout.opaque, native=source.layout.opaque.name)
        cleared = (
            f"transparent parts were blackened: {place.encoder} in {place.muxer} cannot hold the transparency of "
            f"pixels of format {source.native}"
        )
    exact = next((name for name in _lossless_layouts(plain) if _accepts_layout(place, name, offered, plain)), None)
    if exact is not None:
        if place.even and not plain.layout.divides(plain.stored_width, plain.stored_height):
            return replace(_fit_without_subsampling(place, plain, notes), cleared=cleared)
        return replace(_fit(exact, plain, exact=plain is source, notes=notes), cleared=cleared)
    choice = _nearest(place, plain, offered)
    if choice is None:
        return None
    name, lost = choice
    if lost:
        notes.append(
            f"pixels of format {plain.native} were written as {name}: {place.encoder} in {place.muxer} cannot take them"
        )
    return replace(_fit(name, plain, exact=False, notes=notes), cleared=cleared)


def _carries_alpha(place: EncoderTarget, source: info.VideoFormat) -> bool:
    """Tell whether the encoder takes any pixel format with alpha."""
    names = [*_lossless_layouts(source), *(_encoder_layouts(place.encoder) or KEPT_LAYOUTS)]
    return any(
        _has_alpha(name) and _accepts_layout(place, name, _encoder_layouts(place.encoder), source) for name in names
    )


def _has_alpha(name: str) -> bool:
    return any(component.is_alpha for component in VideoFormat(name, 16, 16).components)


def _lossless_layouts(source: info.VideoFormat) -> tuple[str, ...]:
    """Return the pixel formats that hold exactly the same samples, the source's own first."""
    name = source.layout.name
    layouts = _EQUAL_LAYOUTS.get(name, (name,))
    if source.layout.grey and not source.colour.full_range:
        layouts = tuple(layout for layout in layouts if not VideoFormat(layout, 16, 16).is_rgb)
    others = (source.native, *layouts) if source.native in layouts else layouts
    return (*others, name[:-2] + "be") if name.endswith("le") and name not in _EQUAL_LAYOUTS else others


def _encoder_layouts(encoder: str) -> tuple[str, ...]:
    """Return the pixel formats that an encoder claims to take; an empty tuple where it takes any."""
    names = (layout.name.replace("yuvj", "yuv") for layout in Codec(encoder, "w").video_formats or ())
    # Of the formats with alpha that libvpx claims, it writes only this one.
    return tuple(
        layout for layout in names if not encoder.startswith("libvpx") or not _has_alpha(layout) or layout == "yuva420p"
    )


def _accepts_layout(place: EncoderTarget, name: str, offered: tuple[str, ...], source: info.VideoFormat) -> bool:
    if offered and name not in offered:
        return False
    if not place.lossless and name.startswith("yuv4"):
        return True
    # Rows of odd length are padded differently; apart from that, the size does not matter.
    width, height = (_LEAST + side % _MARGIN for side in (source.stored_width, source.stored_height))
    return _survives_round_trip(place, name, width, height)


def _nearest(place: EncoderTarget, source: info.VideoFormat, offered: tuple[str, ...]) -> tuple[str, bool] | None:
    """Return the accepted pixel format with the least loss, and whether more than chroma resolution is lost."""
    every = offered or tuple(
        dict.fromkeys((*KEPT_LAYOUTS, *(name for names in _EQUAL_LAYOUTS.values() for name in names)))
    )
    candidates = [name for name in every if source.layout.alpha or not _has_alpha(name)] or list(every)
    while candidates:
        choice, loss = find_best_pix_fmt_of_list(candidates, source.layout.name, has_alpha=source.layout.alpha)
        if choice is None:
            return None
        colours = not loss & (PixFmtLoss.CHROMA | PixFmtLoss.COLORQUANT)
        if colours and _accepts_layout(place, choice.name, offered, source):
            return choice.name, bool(loss & ~PixFmtLoss.RESOLUTION) or choice.name not in KEPT_LAYOUTS
        candidates.remove(choice.name)
    return None


def _fit_without_subsampling(place: EncoderTarget, source: info.VideoFormat, notes: Iterable[str]) -> EncoderPixels:
    name = source.layout.name.replace("420", "444").replace("422", "444").replace("440", "444")
    note = f"written as {name}: {place.encoder} with subsampled chroma needs an even size"
    return _fit(name, source, exact=False, notes=(*notes, note))


def _fit(name: str, source: info.VideoFormat, *, exact: bool, notes: Iterable[str]) -> EncoderPixels:
    layout = layout_of(name) if name in KEPT_LAYOUTS else kept_layout(name)[0]
    return EncoderPixels(
        name, layout, _colour_after_conversion(source.colour, source.layout, layout), exact, tuple(notes)
    )


def _colour_after_conversion(colour: Colour, source: PixelLayout, target: PixelLayout) -> Colour:
    """Return the colour description of samples after their conversion to another layout."""
    if target.rgb:
        return replace(colour, matrix=0, full_range=True)
    if source.rgb == target.rgb and source.grey == target.grey:
        return colour
    return replace(colour, matrix=_matrix(colour), full_range=False, range_stated=True)


def _matrix(colour: Colour) -> int:
    return colour.matrix if colour.matrix in _YUV_MATRICES else _USUAL_MATRIX


class PixelConverter:
    """Converts frames of one pixel layout to the pixel format of an encoder."""

    def __init__(self, source: PixelLayout, colour: Colour, fit: EncoderPixels) -> None:
        self._source, self._colour, self._fit = source, colour, fit
        self._plain = source.opaque if source.alpha and not _has_alpha(fit.pixels) else source
        target = fit.layout
        yuv = not self._plain.rgb and not self._plain.grey and fit.pixels == target.name
        same = self._plain.bits == target.bits and len(self._plain.roles) == len(target.roles)
        self._widens = yuv and same and self._plain != target and set(target.scales) == {(1, 1)} and not target.rgb
        self._scaler = VideoReformatter()
        self.cleared = False
        """True when a transparent frame was put over black."""

    def fit(self, native: av.VideoFrame) -> av.VideoFrame:
        """Return the frame in the encoder's pixel format; the same object where no conversion is needed."""
        if self._plain != self._source:
            self.cleared = self.cleared or has_transparency(native, self._source)
            native = flatten_alpha(native, self._source, self._plain, limited=not self._colour.full_range)
        if self._fit.pixels == self._plain.name:
            return native
        if self._widens:
            return upsample_chroma(native, self._plain, self._fit.layout)
        return self._convert(native)

    def _convert(self, native: av.VideoFrame) -> av.VideoFrame:
        ours, theirs, target = self._colour, self._fit.colour, self._fit.layout
        before = _FULL if ours.full_range or self._plain.rgb else _LIMITED
        after = _FULL if theirs.full_range or target.rgb else _LIMITED
        if self._plain.grey and before == _LIMITED and not target.grey:
            # FFmpeg assumes full range for grey; grey of limited range becomes luma first, unchanged.
            name = f"yuv444p{f'{self._plain.bits}le' if self._plain.bits > 8 else ''}"
            native = self._scaler.reformat(native, format=name, src_color_range=_FULL, dst_color_range=_FULL)
        converted = self._scaler.reformat(
            native, format=self._fit.pixels, interpolation=_ACCURATE, src_color_range=before, dst_color_range=after,
            src_colorspace=_YUV_MATRICES[_matrix(ours)], dst_colorspace=_YUV_MATRICES[_matrix(theirs)],
        )  # fmt: skip
        converted.color_range, converted.colorspace = after, theirs.matrix
        return converted


@lru_cache(maxsize=1024)
def _survives_round_trip(place: EncoderTarget, name: str, width: int, height: int) -> bool:
    """Tell whether a test frame of a pixel format can be written and read; unchanged, for a lossless encoder."""
    layout = layout_of(name) if name in KEPT_LAYOUTS else kept_layout(name)[0]
    file = io.BytesIO()
    try:
        noise = _noise_frame(layout, width, height).reformat(format=name)
        with av.open(file, "w", format=place.muxer) as container:
            stream = cast("VideoStream", container.add_stream(place.encoder, rate=25, options=dict(place.options)))
            if place.tag:
                stream.codec_context.codec_tag = place.tag
            stream.width, stream.height, stream.pix_fmt = width, height, name
            noise.pts, noise.time_base = 0, Fraction(1, 25)
            open_encoder(stream.codec_context)
            container.mux([*stream.encode(noise), *stream.encode(None)])
        with av.open(io.BytesIO(file.getvalue()), "r") as container:
            decoded = next(container.decode(video=0))
    except (av.FFmpegError, OSError, ValueError, StopIteration):
        return False
    if not place.lossless:
        return True
    read, _ = kept_layout(decoded.format.name)
    if read != layout or (decoded.width, decoded.height) != (width, height):
        return False
    pairs = zip(views(copy_frame(noise, layout), layout), views(copy_frame(decoded, layout), layout), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def _noise_frame(layout: PixelLayout, width: int, height: int) -> av.VideoFrame:
    """Return a frame of random samples."""
    frame = av.VideoFrame(width, height, layout.name)
    rng = np.random.default_rng(0)
    for plane in views(frame, layout):
        plane[...] = rng.integers(0, 1 << layout.bits, plane.shape).astype(plane.dtype)
    return frame
