"""Output containers: which one a file name asks for, which codecs each can hold, and how it is muxed."""

import io
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.codec.codec import Codec

from velum.errors import BadPlan
from velum.media.formats import VIDEO_SUFFIXES
from velum.media.sources import StreamSink

if TYPE_CHECKING:
    from _typeshed import SupportsWrite
    from av.container import OutputContainer


@dataclass(frozen=True, slots=True)
class Container:
    """How one container format is muxed: FFmpeg's muxer and its options."""

    muxer: str
    options: tuple[tuple[str, str], ...] = ()
    tick: Fraction | None = None
    """Unit of its time stamps in seconds; None where each stream has its own."""
    holds: frozenset[str] = frozenset()
    """Codecs that it can hold, where FFmpeg's muxer does not check."""
    stores_pts: bool = True
    """False where the format stores no presentation time stamps, only the order of its packets."""
    skip_codec_check: bool = False
    """True to write a codec that the muxer claims not to support."""


_PCM = frozenset({
    "pcm_alaw", "pcm_mulaw", "pcm_s8", "pcm_u8",
    *(f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")),
})  # fmt: skip
"""Samples without compression. FFmpeg's muxers of older sound formats lose samples of other codecs."""

SOUND_CONTAINERS = {
    "WAV": Container("wav", stores_pts=False),
    "FLAC": Container("flac", stores_pts=False),
    "MP3": Container("mp3", (("id3v2_version", "0"),), stores_pts=False),
    "OGA": Container("ogg", stores_pts=False, holds=frozenset({"flac", "opus", "speex", "vorbis"})),
    "M4A": Container("ipod", (("movflags", "+faststart"),)),
    "MKA": Container("matroska"),
    "WEBA": Container("webm"),
    "AIFF": Container("aiff", stores_pts=False, holds=_PCM),
    "AU": Container(
        "au", stores_pts=False, holds=_PCM - {"pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"}
    ),
    "CAF": Container("caf", stores_pts=False, holds=_PCM),
    "W64": Container("w64", stores_pts=False, holds=_PCM),
}
"""Formats of sound files."""

_CLOCK = Fraction(1, 90_000)
_BROADCAST = frozenset({"h264", "hevc", "mpeg2video", "mpeg1video", "mpeg4", "aac", "mp2", "mp3", "ac3", "eac3"})
_MOV = (("movflags", "+faststart"),)
CONTAINERS = {
    "MP4": Container("mp4", _MOV),
    "MOV": Container("mov", _MOV),
    "3GP": Container("3gp", _MOV),
    "MKV": Container("matroska", tick=Fraction(1, 1000)),
    "WEBM": Container("webm", tick=Fraction(1, 1000)),
    "AVI": Container("avi", stores_pts=False),
    # ISO/IEC 13818-1, 2.4.3: without these, FFmpeg shifts every time stamp by a delay.
    "TS": Container(
        "mpegts", (("mpegts_copyts", "1"),), _CLOCK,
        _BROADCAST | {"opus", "dts", "s302m", "pcm_bluray", "dvb_subtitle", "dvb_teletext"},
    ),
    "MPEG": Container(
        "vob", (("preload", "0"), ("muxpreload", "0")), _CLOCK,
        frozenset({
            "mpeg1video", "mpeg2video", "h264", "mp2", "mp3", "ac3", "dts", "pcm_dvd", "pcm_s16be", "dvd_subtitle",
        }),
    ),
}  # fmt: skip


# PyAV asks the muxer whether it supports a codec, and FFmpeg denies it for some codecs that it writes well. FFmpeg's
# segment muxer, with a single segment, skips that check; strftime gives the segment a name without a number.
_ONE_PART = (("segment_time", "2147483"), ("strftime", "1"), ("avoid_negative_ts", "disabled"))
_UNASKED = {"MKV"}

_FRAGMENT_SECONDS = 1
_FRAGMENTED = (
    ("movflags", "frag_keyframe+empty_moov+default_base_moof"), ("frag_duration", str(_FRAGMENT_SECONDS * 1_000_000)),
)  # fmt: skip


def streaming_container(format: str) -> Container:
    """Return the container settings for a forward-only target: nothing is seeked, each packet is sent at once."""
    usual = CONTAINERS[format]
    options = _FRAGMENTED if usual.muxer == "mp4" else usual.options
    return replace(usual, options=(*options, ("flush_packets", "1")))


def format_for_target(target: Path | StreamSink) -> str:
    """Return the container format for a target, by its suffix. Raises `BadPlan` for an unknown suffix."""
    if isinstance(target, StreamSink):
        return target.format
    try:
        return VIDEO_SUFFIXES[target.suffix.lower()]
    except KeyError:
        raise BadPlan(
            f"cannot write a video as {target.name}: {target.suffix!r} is not a video suffix; "
            f"allowed are {', '.join(VIDEO_SUFFIXES)}"
        ) from None


@cache
def supported_codecs(format: str) -> frozenset[str]:
    """Return FFmpeg's names of the codecs that a format can hold, and of their encoders and decoders."""
    container = CONTAINERS.get(format) or SOUND_CONTAINERS[format]
    if container.holds:
        return container.holds
    with av.open(io.BytesIO(), "w", format=container.muxer) as probe:
        coders = probe.supported_codecs
    return frozenset({*coders, *(codec.canonical_name for name in coders for codec in _coders(name))})


def container_for_codecs(format: str, codecs: Collection[str], *, sent: bool = False) -> Container | None:
    """Return the container settings for a file with tracks of these codecs; None where the format cannot hold them.

    With `sent`, the target is forward-only.
    """
    usual = streaming_container(format) if sent else CONTAINERS[format]
    if format == "TS" and "pcm_bluray" in codecs:
        usual = replace(usual, options=(*usual.options, ("mpegts_m2ts_mode", "1")))
    if supported_codecs(format).issuperset(codecs):
        return usual
    return None if sent or format not in _UNASKED else replace(usual, skip_codec_check=True)


def open_muxer(place: "str | SupportsWrite[bytes]", kind: Container, options: dict[str, str]) -> "OutputContainer":
    """Open a muxer that writes to a path, or forward only to an object's `write`; `options` are the muxer's options."""
    if not kind.skip_codec_check or not isinstance(place, str):
        return av.open(place, "w", format=kind.muxer, container_options=options)
    flags = {name: value for name, value in options.items() if name == "fflags"}
    inner = ":".join(f"{name}={value}" for name, value in options.items() if name not in flags)
    outer = (
        flags | dict(_ONE_PART) | {"segment_format": kind.muxer} | ({"segment_format_options": inner} if inner else {})
    )
    return av.open(place.replace("%", "%%"), "w", format="segment", container_options=outer)


def _coders(name: str) -> Iterator[Codec]:
    for mode in ("r", "w"):
        with suppress(ValueError):
            yield Codec(name, mode)
