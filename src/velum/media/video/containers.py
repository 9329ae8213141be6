"""Which container a name asks for, and what each can hold."""

import io
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import av
from av.codec.codec import Codec

from velum.errors import BadPlan
from velum.media.formats import VIDEO_SUFFIXES
from velum.media.sources import StreamSink

if TYPE_CHECKING:
    from av.container import OutputContainer


class ByteSink(Protocol):
    """What takes the bytes of a stream."""

    def write(self, data: bytes) -> int:
        """Take all of them."""
        ...


@dataclass(frozen=True, slots=True)
class Container:
    """How one format is written."""

    muxer: str
    options: tuple[tuple[str, str], ...] = ()
    tick: Fraction | None = None
    """Unit of its time stamps; None where each stream has its own."""
    holds: frozenset[str] = frozenset()
    """Codecs it can hold, where FFmpeg's muxer does not check."""
    stores_pts: bool = True
    """False where a file has no time stamps of display, only the order of its packets."""
    skip_codec_check: bool = False
    """True where the muxer is to write what it says that it cannot."""


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


# PyAV asks a muxer first whether it knows a codec, and of some that it writes well FFmpeg says no. It is not asked as
# the only part of a file that could be in several; strftime gives that part a name without a number.
_ONE_PART = (("segment_time", "2147483"), ("strftime", "1"), ("avoid_negative_ts", "disabled"))
_UNASKED = {"MKV"}

_FRAGMENT_SECONDS = 1
_FRAGMENTED = (
    ("movflags", "frag_keyframe+empty_moov+default_base_moof"), ("frag_duration", str(_FRAGMENT_SECONDS * 1_000_000)),
)  # fmt: skip


def streaming_container(format: str) -> Container:
    """Return how a format is written where there is no going back: each packet is sent when it is there."""
    usual = CONTAINERS[format]
    options = _FRAGMENTED if usual.muxer == "mp4" else usual.options
    return replace(usual, options=(*options, ("flush_packets", "1")))


def format_for_target(target: Path | StreamSink) -> str:
    """Return the format that the target's suffix asks for. Raises `BadPlan` listing the known ones."""
    if isinstance(target, StreamSink):
        return target.format
    try:
        return VIDEO_SUFFIXES[target.suffix.lower()]
    except KeyError:
        raise BadPlan(
            f"cannot write a video as {target.name}: its suffix {target.suffix!r} is none of a video; "
            f"allowed are {', '.join(VIDEO_SUFFIXES)}"
        ) from None


@cache
def supported_codecs(format: str) -> frozenset[str]:
    """Return FFmpeg's names of the codecs that a format can hold, and of their coders."""
    container = CONTAINERS[format]
    if container.holds:
        return container.holds
    with av.open(io.BytesIO(), "w", format=container.muxer) as probe:
        coders = probe.supported_codecs
    return frozenset({*coders, *(codec.canonical_name for name in coders for codec in _coders(name))})


def container_for_codecs(format: str, codecs: Collection[str], *, sent: bool = False) -> Container | None:
    """Return how a file is written that holds tracks of these codecs, None where it cannot be tried.

    With `sent`, it is written without ever going back.
    """
    usual = streaming_container(format) if sent else CONTAINERS[format]
    if format == "TS" and "pcm_bluray" in codecs:
        usual = replace(usual, options=(*usual.options, ("mpegts_m2ts_mode", "1")))
    if supported_codecs(format).issuperset(codecs):
        return usual
    return None if sent or format not in _UNASKED else replace(usual, skip_codec_check=True)


def open_muxer(place: "str | ByteSink", kind: Container, options: dict[str, str]) -> "OutputContainer":
    """Open a file or something with a method `write` for muxing; `options` are of the muxer."""
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
