"""Which container a name asks for, and what each can hold."""

import io
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av

from velum.errors import BadPlan
from velum.media.live import Outlet
from velum.media.sniff import VIDEO_SUFFIXES


@dataclass(frozen=True, slots=True)
class Container:
    """How one format is written."""

    muxer: str
    options: tuple[tuple[str, str], ...] = ()
    tick: Fraction | None = None
    """Unit of its time stamps; None where each stream has its own."""
    holds: frozenset[str] = frozenset()
    """Codecs it can hold, where FFmpeg's muxer does not check."""
    reorders: bool = True
    """False where a file has no time stamps of display, only the order of its packets."""


_CLOCK = Fraction(1, 90_000)
_BROADCAST = frozenset({"h264", "hevc", "mpeg2video", "mpeg1video", "mpeg4", "aac", "mp2", "mp3", "ac3", "eac3"})
_MOV = (("movflags", "+faststart"),)
CONTAINERS = {
    "MP4": Container("mp4", _MOV),
    "MOV": Container("mov", _MOV),
    "MKV": Container("matroska", tick=Fraction(1, 1000)),
    "WEBM": Container("webm", tick=Fraction(1, 1000)),
    "AVI": Container("avi", reorders=False),
    # ISO/IEC 13818-1, 2.4.3: without these, FFmpeg shifts every time stamp by a delay.
    "TS": Container(
        "mpegts", (("mpegts_copyts", "1"),), _CLOCK, _BROADCAST | {"opus", "dts", "dvb_subtitle", "dvb_teletext"}
    ),
    "MPEG": Container(
        "vob", (("preload", "0"), ("muxpreload", "0")), _CLOCK,
        frozenset({"mpeg1video", "mpeg2video", "h264", "mp2", "mp3", "ac3", "dts", "dvd_subtitle"}),
    ),
}  # fmt: skip


_FRAGMENT_SECONDS = 1
_FRAGMENTED = (
    ("movflags", "frag_keyframe+empty_moov+default_base_moof"), ("frag_duration", str(_FRAGMENT_SECONDS * 1_000_000)),
)  # fmt: skip


def streamed(format: str) -> Container:
    """Return how a format is written where there is no going back: each packet is sent when it is there."""
    usual = CONTAINERS[format]
    options = _FRAGMENTED if usual.muxer == "mp4" else usual.options
    return replace(usual, options=(*options, ("flush_packets", "1")))


def container_for(target: Path | Outlet) -> str:
    """Return the format that the target's suffix asks for. Raises `BadPlan` listing the known ones."""
    if isinstance(target, Outlet):
        return target.format
    try:
        return VIDEO_SUFFIXES[target.suffix.lower()]
    except KeyError:
        raise BadPlan(
            f"cannot write a video as {target.name}: its suffix {target.suffix!r} is none of a video; "
            f"allowed are {', '.join(VIDEO_SUFFIXES)}"
        ) from None


@cache
def held(format: str) -> frozenset[str]:
    """Return FFmpeg's names of the codecs that a format can hold."""
    container = CONTAINERS[format]
    if container.holds:
        return container.holds
    with av.open(io.BytesIO(), "w", format=container.muxer) as probe:
        return frozenset(probe.supported_codecs)
