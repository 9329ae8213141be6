"""Chooses the encoder of a video, its pixel layout and its options."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from velum.errors import BadPlan
from velum.media.video import alpha
from velum.media.video.containers import CONTAINERS, supported_codecs
from velum.media.video.encoders import CODEC_OF_NAME, ENCODERS, NO_ALT_REF, Encoder, choose_quality, tag_of
from velum.media.video.info import VideoFormat, VideoInfo, content_light, mastering_decimals, mastering_units
from velum.media.video.output_format import EncoderPixels, EncoderTarget, fit_pixels
from velum.media.video.pixel_formats import PixelLayout
from velum.media.video.size_bound import SizeBound, SourceSize
from velum.plan import Video

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext


_QUANTISER_STEP = 118  # FF_QP2LAMBDA of libavcodec: quantisers are given in its units
_MPEG_RATES = (*(Fraction(n * 1000, 1001) for n in (24, 30, 60)), *map(Fraction, (24, 25, 30, 50, 60)))

_UNTURNED = frozenset({"avi", "mpegts", "vob"})
"""Muxers whose containers cannot store a display matrix (rotation)."""

_FEW_FRAMES = 10
"""For fewer frames than its lookahead, x265 returns invalid decoding time stamps unless B-frames are off."""


@dataclass(slots=True)
class EncoderSettings:
    """How the frames of one video are encoded. `rate` is in frames per second, `encoding` is for the report."""

    codec: str
    encoder: str
    fit: EncoderPixels
    options: dict[str, str]
    time_base: Fraction
    constant_rate: bool
    rate: Fraction
    encoding: str
    warnings: list[str] = field(default_factory=list)
    size_bound: SizeBound | None = None

    @property
    def layout(self) -> PixelLayout:
        """The pixel layout that is written, or the nearest one that frames can have."""
        return self.fit.layout


def choose_encoder(
    info: VideoInfo, video: Video, format: str, source_size: SourceSize | None = None
) -> EncoderSettings:  # fmt: skip
    """Choose how to encode a video like `info` for a container; with `source_size`, in no more bytes than the source.

    Raises `BadPlan` for a codec, quality or preset that is not possible there.
    """
    coding, warnings = info.coding, list[str]()
    codec, name, fit = _choose_codec(coding, video, format, warnings)
    encoder = ENCODERS[codec]
    crf, preset = choose_quality(codec, encoder, video)
    options = dict(encoder.options)
    lossless = fit.exact and (encoder.lossless or (crf == 0 and codec in {"h264", "hevc"}))
    _set_quality(options, codec, encoder, crf, preset)
    tuning = dict(encoder.tuning if video.preset is None and crf != 0 else ())
    options |= tuning
    bound = None if source_size is None else _bound_size(options, encoder, crf, source_size, lossless=lossless)
    if codec == "prores":
        options["profile"] = "4444" if fit.layout.scales[1] == (1, 1) else "hq"
    if codec == "hevc" and (not coding.reordered or _estimate_frames(info) < _FEW_FRAMES):
        options["bf"] = "0"
    if fit.layout.alpha and codec in alpha.SIDE_ALPHA_CODECS:
        options |= [NO_ALT_REF]
    _set_stream_headers(options, codec, coding, warnings)
    if coding.matrix and CONTAINERS[format].muxer in _UNTURNED:
        warnings.append(f"the rotation (display matrix) was dropped: {format} cannot hold it; MP4 and MKV can")
    rate = _encoder_rate(codec, coding.rate)
    words = [
        name,
        *([f"quality {crf}"] if crf is not None else []),
        *([f"preset {preset}"] if preset else []),
        *(f"{option} {value}" for option, value in tuning.items()),
    ]
    constant_rate = encoder.constant_rate or not CONTAINERS[format].stores_pts
    if constant_rate and codec != "av1":  # whose packets come in the order in which frames are shown
        options["bf"] = "0"
    return EncoderSettings(
        codec, name, fit, options, 1 / rate if constant_rate else coding.time_base, constant_rate, rate,
        f"{'lossless' if lossless else 're-encoded'}: {', '.join(words)}", warnings, bound,
    )  # fmt: skip


def _estimate_frames(info: VideoInfo) -> float:
    """Return about how many frames a video has; infinity where its header states neither frames nor duration."""
    stated = (info.duration_seconds or math.inf) * info.fps
    return min(stated, info.frames or math.inf)


def configure(context: "VideoCodecContext", settings: EncoderSettings, coding: VideoFormat) -> None:
    """Set size, pixel layout, time base and colour of an encoder, or of a stream's header."""
    colour = settings.fit.colour
    context.width, context.height = coding.stored_width, coding.stored_height
    context.pix_fmt = settings.fit.pixels
    context.time_base = settings.time_base
    context.color_range = (2 if colour.full_range else 1) if colour.range_stated else 0
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    context.colorspace = colour.matrix
    if coding.aspect:
        context.sample_aspect_ratio = coding.aspect


def _encoder_rate(codec: str, rate: Fraction) -> Fraction:
    """Return the frame rate for the encoder: MPEG-1 and MPEG-2 allow only `_MPEG_RATES` (ISO/IEC 13818-2, 6.3.3)."""
    if codec in {"mpeg1video", "mpeg2video"}:
        return min(_MPEG_RATES, key=lambda allowed: abs(allowed - rate))
    return rate.limit_denominator(1001)


def _choose_codec(
    coding: VideoFormat, video: Video, format: str, warnings: list[str]
) -> tuple[str, str, EncoderPixels]:
    """Return codec, encoder and its pixels: the plan's codec, else the source's, else the first that fits."""
    possible = sorted(
        codec
        for codec in ENCODERS
        if codec in supported_codecs(format) or ENCODERS[codec].name in supported_codecs(format)
    )
    best: tuple[str, str, str, EncoderPixels] | None = None
    for codec, reason in _candidate_codecs(coding, video, format, possible):
        lossless = ENCODERS[codec].lossless
        if best is not None and not lossless:
            break
        fallback = bool(reason) and codec == "h264" and coding.layout.rgb
        name, fit = _fit_for_players(coding, format) if fallback else _fit(codec, coding, format)
        # Another codec than the source's is better only if it is exact where the source's would lose something.
        if fit is not None and (best is None or fit.exact):
            best = codec, reason, name, fit
            if fit.exact or not lossless:
                break
    if best is not None:
        codec, reason, name, fit = best
        warnings += [*([f"written as {codec}: {reason}"] if reason else []), *fit.notes]
        return codec, name, fit
    raise BadPlan(
        f"{video.codec or format} cannot hold pixels of format {coding.native} at {coding.stored_width} x "
        f"{coding.stored_height}; choose another codec or container, such as ffv1 in MKV"
    )


def _fit(codec: str, coding: VideoFormat, format: str) -> tuple[str, EncoderPixels | None]:
    rgb = codec == "h264" and coding.layout.rgb and coding.layout.bits == 8
    place = _encoder_target(codec, "libx264rgb" if rgb else ENCODERS[codec].name, format)
    return place.encoder, fit_pixels(place, coding)


def _fit_for_players(coding: VideoFormat, format: str) -> tuple[str, EncoderPixels | None]:
    """Fit red, green and blue to the H.264 that players show; of 4:4:4 and RGB, most show nothing or wrong colours."""
    even = not (coding.stored_width % 2 or coding.stored_height % 2)
    name = "yuv420p" if even else "yuv444p"
    fit = fit_pixels(replace(_encoder_target("h264", ENCODERS["h264"].name, format), only=(name,)), coding)
    if fit is None:
        return ENCODERS["h264"].name, None
    note = (
        f"pixels of format {coding.native} were written as {name}, so colours lose detail: few players show H.264 "
        "of red, green and blue; ffv1 in MKV keeps every sample"
    )
    return ENCODERS["h264"].name, replace(fit, notes=(note,))


def _candidate_codecs(coding: VideoFormat, video: Video, format: str, possible: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the codecs to try, best first, each with the reason why it is not the source's codec (empty if it is)."""
    if video.codec is not None:
        codec = CODEC_OF_NAME.get(video.codec.lower(), video.codec.lower())
        if codec not in ENCODERS:
            raise BadPlan(
                f"video.codec is {video.codec!r}; allowed are {', '.join(sorted({*ENCODERS, *CODEC_OF_NAME}))}"
            )
        if codec not in possible:
            raise BadPlan(f"{format} cannot hold {codec}; it can hold {', '.join(possible)}")
        yield codec, ""
        return
    if coding.codec in possible:
        yield coding.codec, ""
        reason = f"{coding.codec} in {format} cannot hold pixels of format {coding.native}"
    elif coding.codec in ENCODERS:
        reason = f"{format} cannot hold {coding.codec}"
    else:
        reason = f"velum has no encoder for {coding.codec}"
    exact = ("ffv1",) if coding.codec in possible and ENCODERS[coding.codec].lossless and format != "MOV" else ()
    # A program stream has no time stamp for frames of H.264 that share a packet.
    others = ("mpeg2video", "h264") if format == "MPEG" else ("h264", "vp9", "mpeg2video")
    yield from ((codec, reason) for codec in (*exact, *others) if codec in possible)


def _encoder_target(codec: str, name: str, format: str) -> EncoderTarget:
    encoder, muxer = ENCODERS[codec], CONTAINERS[format].muxer
    clear = muxer in {"matroska", "webm"} if codec in alpha.SIDE_ALPHA_CODECS else codec != "hevc"
    codec_options = {"hevc": ("x265-params", "log-level=error")} | dict.fromkeys(alpha.SIDE_ALPHA_CODECS, NO_ALT_REF)
    options = (*encoder.options, *([codec_options[codec]] if codec in codec_options else []))
    return EncoderTarget(name, muxer, encoder.lossless, codec in {"h264", "hevc"}, clear, options, tag_of(codec, muxer))


def _set_quality(
    options: dict[str, str], codec: str, encoder: Encoder, crf: int | None, preset: str | None
) -> None:  # fmt: skip
    if preset is not None:
        options[encoder.preset_option] = preset
    if crf is None:
        return
    if crf == 0 and codec == "h264":
        options["qp"] = "0"  # crf 0 is lossless at 8 bits only
    elif crf == 0 and codec == "hevc":
        options["x265-params"] = "lossless=1"
    else:
        factor = _QUANTISER_STEP if encoder.crf_option == "global_quality" else 1
        options[encoder.crf_option] = str(crf * factor)


def _bound_size(
    options: dict[str, str], encoder: Encoder, crf: int | None, source: SourceSize, *, lossless: bool
) -> SizeBound:
    """Set the options that bound the size, where the encoder has any, and return the bound."""
    if lossless and crf == 0:
        raise BadPlan("video.crf is 0 (lossless), so video.size cannot be like-source; leave one of them out")
    if encoder.coarsest is None:
        return SizeBound(source, encoder.name, possible=False, crf=crf, finest=0, coarsest=0)
    options |= source.encoder_options | {"qmax": str(encoder.coarsest)}
    if "b" in options:  # libvpx: the rate is a bound next to a crf
        options["b"] = options["maxrate"]
    finest = (crf or 0) + encoder.spread
    return SizeBound(source, encoder.name, possible=True, crf=crf, finest=finest, coarsest=encoder.coarsest)


def _set_stream_headers(options: dict[str, str], codec: str, coding: VideoFormat, warnings: list[str]) -> None:
    """Set the options for HDR metadata and field order; add a warning for what the codec cannot carry."""
    colour, parameters = coding.colour, list[str]()
    whole, light = mastering_units(colour.mastering), content_light(colour.light)
    match codec:
        case "h264":
            parameters += [f"mastering-display={whole}"] if whole else []
            parameters += [f"cll={light}"] if light else []
            if coding.field_order > 1:
                parameters.append("bff=1" if coding.field_order in {3, 5} else "tff=1")
            _join(options, "x264-params", parameters)
        case "hevc":
            parameters = ["log-level=error", *([f"master-display={whole}"] if whole else [])]
            parameters += [f"max-cll={light}"] if light else []
            _join(options, "x265-params", parameters)
        case "av1":
            plain = mastering_decimals(colour.mastering)
            parameters += [f"mastering-display={plain}"] if plain else []
            parameters += [f"content-light={light}"] if light else []
            _join(options, "svtav1-params", parameters)
        case _ if whole or light:
            warnings.append(f"HDR metadata (mastering display, light level) was dropped: {codec} cannot carry it here")
    if coding.field_order > 1 and codec != "h264":
        warnings.append(f"interlaced video was written as progressive: velum writes {codec} progressive only")


def _join(options: dict[str, str], name: str, parameters: list[str]) -> None:
    if parameters or name in options:
        options[name] = ":".join([*([options[name]] if name in options else []), *parameters])
