"""FFmpeg's encoders: their defaults in velum, and how to open those that would take the machine for themselves."""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from velum.errors import BadPlan
from velum.plan import Video

if TYPE_CHECKING:
    from av.codec.context import CodecContext

_REAL_TIME = frozenset({"libsvtav1"})
"""Encoders that, run by root, set the thread that opens them and their own threads to real-time scheduling.

SVT-AV1 asks for SCHED_FIFO with priority 99 (`pthread_setschedparam` in its EbThreads.c and EbEncHandle.c). Such
threads run before everything else on the machine, and their policy passes to every thread and process that they start
later: whatever then waits by spinning (OpenBLAS, libvpx, a JavaScript engine) stands still for ever.
"""
_THREADS = Path("/proc/self/task")

_VERBOSITY = {"libsvtav1": ("SVT_LOG", "1")}
"""Environment variable and value that have an encoder print errors only: it writes to standard error by itself."""


_X264 = frozenset({"libx264", "libx264rgb"})
_STEADY_X264 = "asm=AVX2"
"""Option of x264 on a processor with AVX-512.

With AVX-512, its macroblock tree (`mbtree`) reads memory that it never wrote, so that one process codes the same frames
in two ways. With AVX2 it always codes them in one, which is that of machines without AVX-512.
"""

_pinned = threading.Event()


def use_one_thread() -> None:
    """Give each encoder of this process one thread, from now on.

    Otherwise it has one for each core, and libx264 cuts a frame into as many slices: other bytes on another machine.
    """
    _pinned.set()


def has_avx512() -> bool:
    """Tell whether the processor has AVX-512. NumPy knows it on every system; its own tests read it there, too."""
    return bool(import_module("numpy._core._multiarray_umath").__cpu_features__.get("AVX512F"))


def open_encoder(context: "CodecContext") -> None:
    """Open a configured encoder that sets scheduling by itself, and give all threads the policy that was set before.

    Other encoders are left to open at their first frame; x264 gets the instructions with which its bytes are steady.
    Raises `av.FFmpegError` where the encoder cannot be opened.
    """
    if _pinned.is_set():
        context.thread_count = 1
    if context.name in _X264 and has_avx512():
        given = context.options.get("x264-params", "")
        context.options |= {"x264-params": f"{given}:{_STEADY_X264}".lstrip(":")}
    if context.name in _VERBOSITY:
        os.environ.setdefault(*_VERBOSITY[context.name])
    if context.name not in _REAL_TIME or not _THREADS.is_dir():
        return
    before = _threads()
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        context.open()
    finally:
        for thread in {threading.get_native_id(), *(_threads() - before)}:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(thread.name) for thread in _THREADS.iterdir()}


@dataclass(frozen=True, slots=True)
class Encoder:
    """One encoder of FFmpeg, with its defaults in velum."""

    name: str
    crf: int | None = None
    """Default quality, on the encoder's own scale; None where it has no such scale."""
    crf_option: str = "crf"
    preset: str | None = None
    preset_option: str = "preset"
    options: tuple[tuple[str, str], ...] = ()
    tuning: tuple[tuple[str, str], ...] = ()
    """Options next to the default preset; none of them where a plan names a preset."""
    lossless: bool = False
    coarsest: int | None = None
    """Quantiser to which quality may give way for a bound on the size; None where the size cannot be bounded."""
    spread: int = 0
    """Without a bound, quantisers are at most this much above the crf."""
    constant_rate: bool = False
    """True when the encoder needs a constant frame rate: its time stamps are frame numbers."""


_FIXED = (("flags", "+qscale"),)

ENCODERS = {
    "h264": Encoder(
        "libx264", 21, preset="superfast", tuning=(("bf", "0"), ("mbtree", "1"), ("rc-lookahead", "10")),
        coarsest=38, spread=6,
    ),
    "hevc": Encoder("libx265", 22, preset="superfast", coarsest=38, spread=9),
    "vp9": Encoder(
        "libvpx-vp9", 28, preset="6", preset_option="cpu-used",
        options=(("b", "0"), ("row-mt", "1"), ("deadline", "good")), coarsest=52, spread=1,
    ),
    "vp8": Encoder(
        "libvpx", 8, preset="6", preset_option="cpu-used", options=(("b", "20M"), ("deadline", "good")),
        coarsest=52, spread=1,
    ),
    "av1": Encoder("libsvtav1", 26, preset="10", coarsest=63, spread=1),
    "mpeg4": Encoder("mpeg4", 3, "global_quality", options=_FIXED, constant_rate=True),
    "mpeg2video": Encoder("mpeg2video", 3, "global_quality", options=_FIXED, constant_rate=True),
    "mpeg1video": Encoder("mpeg1video", 3, "global_quality", options=_FIXED, constant_rate=True),
    "mjpeg": Encoder("mjpeg", 3, "global_quality", options=(*_FIXED, ("strict", "unofficial"))),
    "prores": Encoder("prores_ks", options=(("vendor", "apl0"),)),
    "ffv1": Encoder("ffv1", options=(("level", "3"), ("slicecrc", "1")), lossless=True),
    "ffvhuff": Encoder("ffvhuff", lossless=True),
    "huffyuv": Encoder("huffyuv", lossless=True),
    "utvideo": Encoder("utvideo", lossless=True),
    "png": Encoder("png", lossless=True),
    "qtrle": Encoder("qtrle", lossless=True),
    "rawvideo": Encoder("rawvideo", lossless=True),
}  # fmt: skip
"""By FFmpeg's name of the codec. The defaults of H.264 were measured: see docs/benchmarks.md."""

_ALIASES = {"h265": "hevc", "x264": "h264", "x265": "hevc", "avc": "h264", "mpeg2": "mpeg2video"}
CODEC_OF_NAME = {encoder.name: codec for codec, encoder in ENCODERS.items()} | _ALIASES

NO_ALT_REF = ("auto-alt-ref", "0")
"""libvpx cannot use hidden reference frames together with transparency."""

_PRESETS = {
    "h264": ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
}
_PRESETS["hevc"] = _PRESETS["h264"]
_NUMBERED = {"av1": range(-1, 14), "vp9": range(-8, 9), "vp8": range(-16, 17)}


def tag_of(codec: str, muxer: str) -> str:
    """Return the codec tag for a container; empty for the muxer's default."""
    return "hvc1" if codec == "hevc" and muxer in {"mp4", "mov"} else ""  # the one that Apple's players know


def choose_quality(codec: str, encoder: Encoder, video: Video) -> tuple[int | None, str | None]:
    """Return the quality and the preset of a plan, or the encoder's defaults. Raises `BadPlan` for other values."""
    if video.crf is not None and encoder.crf is None:
        raise BadPlan(f"video.crf is {video.crf}; {codec} has no such setting, leave it out")
    if video.preset is not None:
        names = _PRESETS.get(codec) or tuple(map(str, _NUMBERED.get(codec, ())))
        if video.preset not in names:
            raise BadPlan(f"video.preset is {video.preset!r}; for {codec} allowed are {', '.join(names) or 'none'}")
    crf = encoder.crf if video.crf is None else video.crf
    if crf is not None and codec in {"h264", "hevc"} and crf > 51:
        raise BadPlan(f"video.crf is {crf}; for {codec} it must be from 0 to 51")
    if crf is not None and encoder.crf_option == "global_quality" and not 1 <= crf <= 31:
        raise BadPlan(f"video.crf is {crf}; for {codec} it must be from 1 to 31")
    return crf, video.preset or encoder.preset
