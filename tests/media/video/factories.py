"""Clips of every kind that velum keeps, made on the spot."""

import hashlib
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from velum import media
from velum.limits import Limits
from velum.media.video.pixel_formats import KEPT_LAYOUTS, kept_layout, views
from velum.media.video.reader import VideoReader
from velum.media.video.writer import VideoWriter
from velum.plan import Plan, Video

WIDTH, HEIGHT, FRAMES = 64, 48, 12


@dataclass(frozen=True)
class Clip:
    """What a test clip is like."""

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    suffix: str = ".mp4"
    frames: int = FRAMES
    size: tuple[int, int] = (WIDTH, HEIGHT)
    audio: tuple[str, ...] = ()
    subtitles: str | None = None
    base: Fraction = Fraction(1, 12_800)
    stamps: tuple[int, ...] | None = None
    """Time stamps in units of `base`; None for 25 a second."""
    matrix: tuple[int, ...] = ()
    aspect: Fraction | None = None
    colour: tuple[int, int, int, int] | None = None
    """Primaries, transfer, matrix, range."""
    options: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)


def pictures(pix_fmt: str, size: tuple[int, int], count: int) -> list[av.VideoFrame]:
    """Pictures that move, so that every codec has something to predict and something that is new."""
    name, made = pix_fmt.replace("yuvj", "yuv"), []
    layout = kept_layout(name if name in KEPT_LAYOUTS else "rgba")[0]
    rng = np.random.default_rng(0)
    for index in range(count):
        frame = av.VideoFrame(*size, layout.name)
        top = (1 << layout.bits) - 1
        for plane in views(frame, layout):
            y, x = np.mgrid[0 : plane.shape[0], 0 : plane.shape[1]]
            wave = 0.5 + 0.3 * np.sin((x + 3 * index) / 7) * np.cos((y - 2 * index) / 5)
            values = top * wave + rng.integers(0, 9, plane.shape[:2])
            plane[...] = np.clip(values, 0, top).astype(plane.dtype).reshape(*plane.shape[:2], *[1] * (plane.ndim - 2))
        made.append(frame if name in KEPT_LAYOUTS else frame.reformat(format=pix_fmt))
    return made


def made(path: Path, clip: Clip) -> Path:
    """Write the clip to `path`, with the suffix it asks for."""
    path = path.with_suffix(clip.suffix)
    with av.open(str(path), "w", container_options=clip.container) as container:
        container.metadata.update(clip.tags)
        stream = _video(container, clip)
        sounds = [_audio(container, name) for name in clip.audio]
        words = _subtitles(container, clip.subtitles) if clip.subtitles else None
        stamps = clip.stamps or tuple(round(Fraction(index, 25) / clip.base) for index in range(clip.frames))
        packets: list[Any] = []
        for frame, pts in zip(pictures(clip.pix_fmt, clip.size, len(stamps)), stamps, strict=True):
            frame.pts, frame.time_base = pts, clip.base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for sound in sounds:
            packets += _tone(sound, float((stamps[-1] - stamps[0]) * clip.base) + 0.04)
        container.start_encoding()
        if words is not None:
            packets.append(_line(words))
        for packet in sorted(packets, key=lambda one: (one.dts or 0) * one.time_base):
            container.mux(packet)
    return path


def _video(container: Any, clip: Clip) -> VideoStream:
    # x264's macroblock tree reads memory that it never wrote (AVX-512), and so the same clip was coded in two ways.
    steady = {"x264-params": "mbtree=0"} if clip.codec == "libx264" else {}
    stream = cast("VideoStream", container.add_stream(clip.codec, rate=25, options=steady | clip.options))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = *clip.size, clip.pix_fmt
    context.time_base = clip.base
    context.thread_count = 1  # x264 does not write the same packets each time with more
    stream.time_base = clip.base
    if clip.aspect:
        context.sample_aspect_ratio = clip.aspect
    if clip.matrix:
        stream.set_display_matrix(clip.matrix)
    if clip.colour:
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = clip.colour
    return stream


def _audio(container: Any, name: str) -> AudioStream:
    stream = cast("AudioStream", container.add_stream(name, rate=48_000))
    stream.metadata["language"] = "deu"
    stream.metadata["title"] = "private"
    return stream


def _tone(stream: AudioStream, seconds: float) -> list[Any]:
    packets: list[Any] = []
    context = stream.codec_context
    at, step = 0, 1024
    context.open(strict=False)
    step = context.frame_size or step
    while at < seconds * 48_000:
        wave = (np.sin(np.arange(at, at + step) / 20) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave[None], 2, axis=1).reshape(1, -1), "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, at, Fraction(1, 48_000)
        resampler = av.AudioResampler(context.format.name, "stereo", 48_000)
        for ready in resampler.resample(frame):
            packets += stream.encode(ready)
        at += step
    return packets + stream.encode(None)


def _subtitles(container: Any, name: str) -> Any:
    stream = container.add_mux_stream(name)
    stream.time_base = Fraction(1, 1000)
    return stream


def _line(stream: Any) -> Any:
    text = b"Jane Roe lives here"
    packet = av.Packet(text if stream.container.format.name != "mp4" else len(text).to_bytes(2) + text)
    packet.stream, packet.pts, packet.dts, packet.duration = stream, 100, 100, 200
    packet.time_base, packet.is_keyframe = Fraction(1, 1000), True
    return packet


def decoded(path: Path) -> list[tuple[Fraction, list[npt.NDArray[Any]]]]:
    """Time and planes of each picture, decoded without velum's reader."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = []
        for frame in container.decode(stream):
            layout, _ = kept_layout(frame.format.name)
            native = (
                frame if frame.format.name.replace("yuvj", "yuv") == layout.name else frame.reformat(format=layout.name)
            )
            base = cast("Fraction", stream.time_base)
            found.append((cast("int", frame.pts) * base, [view.copy() for view in views(native, layout)]))
        return found


def times(path: Path) -> list[Fraction]:
    return [time for time, _ in decoded(path)]


def packets(path: Path, kinds: Sequence[str] = ("audio", "subtitle")) -> list[list[tuple[Fraction, str]]]:
    """Time and hash of each packet, of each stream of these kinds."""
    with av.open(str(path)) as container:
        wanted = [stream for stream in container.streams if stream.type in kinds]
        found: dict[int, list[tuple[Fraction, str]]] = {stream.index: [] for stream in wanted}
        for packet in container.demux(wanted) if wanted else ():
            if packet.size:
                at = cast("int", packet.pts) * packet.time_base
                found[packet.stream.index].append((at, hashlib.sha256(bytes(packet)).hexdigest()))
        return list(found.values())


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let no file of this process grow over `room` bytes, as a disk without more of them would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def copy(
    source: Path, target: Path, video: Video | None = None, *, limits: Limits | None = None, plan: Plan | None = None
) -> VideoWriter:  # fmt: skip
    """Read and write without hiding anything."""
    plan = plan or Plan(video=video or Video())
    covered = plan.video.on_damage == "cover"
    with (
        media.open_source(source, limits or Limits(), cover_damage=covered) as reader,
        media.open_sink(target, reader, plan, overwrite=True) as writer,
    ):
        for frame in reader.frames():
            writer.write(frame)
    assert isinstance(reader, VideoReader)
    assert isinstance(writer, VideoWriter)
    return writer
