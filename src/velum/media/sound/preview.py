"""Sound for people at a browser: a preview that every browser plays, and a picture of how loud it is."""

import io
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from PIL import Image

from velum.errors import BadInput
from velum.limits import Limits
from velum.media.sound.hearing import packets_of
from velum.media.sound.samples import Block, SampleFormat, TrackDecoder
from velum.media.sound.sound_file import open_sound, sound_format_of
from velum.media.video.file_input import translate_read_errors

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from numpy.typing import NDArray

_MADE = SampleFormat("fltp", "stereo", 48_000, 2)
_BITS = 160_000
_FRAME = 1024
"""Samples of a frame of AAC."""

_PEAKS_EACH_SECOND = 50
_WIDTH, _ASPECT = 1200, 16 / 9
_GROUND, _BAR = (19, 23, 22), (92, 196, 180)
_LEAST_BAR = 1


def write_sound_preview(source: Path, target: Path, limits: Limits) -> Iterator[tuple[int, int | None]]:
    """Write the first track of a sound file as AAC in MP4; yield (seconds done, None) as it goes on.

    Samples keep their times. Where packets are damaged, it is silent. Raises `BadInput` for a file that is no sound.
    The file is complete only when the iterator is exhausted.
    """
    with av.open(str(target), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("aac", rate=_MADE.rate)
        stream.codec_context.layout, stream.codec_context.format = _MADE.layout, av.AudioFormat(_MADE.format)
        stream.bit_rate, origin, told = _BITS, None, 0
        for block in _frame_blocks(_blocks(source, limits)):
            origin = block.start if origin is None else origin
            # Samples beyond full scale would overflow in the encoder; a player cuts them off.
            samples = np.ascontiguousarray(np.clip(block.samples, -1, 1), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, _MADE.format, _MADE.layout)
            frame.sample_rate, frame.pts, frame.time_base = _MADE.rate, block.start - origin, Fraction(1, _MADE.rate)
            container.mux(stream.encode(frame))
            if (seconds := (block.end - origin) // _MADE.rate) > told:
                told = seconds
                yield seconds, None
        container.mux(stream.encode(None))


def draw_levels(source: Path, limits: Limits, side: int = 0) -> tuple[bytes, float]:
    """Return a JPEG of how loud the first track of a sound file is over time, and the length of that in seconds.

    `side` is the width of the picture in pixels; 0: the usual one. Where nothing can be heard, there is a thin line.
    Raises `BadInput` for a file that is no sound.
    """
    step, parts, count = _MADE.rate // _PEAKS_EACH_SECOND, list["NDArray[np.float32]"](), 0
    rest = np.zeros(0, np.float32)
    for block in _blocks(source, limits):
        loud = np.concatenate([rest, np.abs(block.samples).max(axis=0).astype(np.float32)])
        count += block.samples.shape[1]
        whole = len(loud) // step * step
        parts.append(loud[:whole].reshape(-1, step).max(axis=1))
        rest = loud[whole:]
    parts.append(rest.max(keepdims=True) if len(rest) else rest)
    peaks, width = np.concatenate(parts), min(side or _WIDTH, 4 * _WIDTH)
    picture = _draw(_columns(peaks, width), max(2, round(width / _ASPECT)))
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=85)
    return buffer.getvalue(), count / _MADE.rate


def _columns(peaks: "NDArray[np.float32]", width: int) -> "NDArray[np.float32]":
    """Return the loudest of the peaks in each column of a picture."""
    if not len(peaks):
        return np.zeros(width, np.float32)
    edges = np.linspace(0, len(peaks), width + 1)
    starts = np.minimum(edges[:-1].astype(int), len(peaks) - 1)
    ends = np.maximum(np.ceil(edges[1:]).astype(int), starts + 1)
    return np.array([peaks[start:end].max() for start, end in zip(starts, ends, strict=True)], np.float32)


def _draw(columns: "NDArray[np.float32]", height: int) -> "NDArray[np.uint8]":
    # The root shows a whisper: at a hundredth of full scale it is a tenth of the height.
    halves = np.maximum(np.sqrt(np.minimum(columns, 1)) * (height / 2 - 1), _LEAST_BAR / 2)
    from_middle = np.abs(np.arange(height) + 0.5 - height / 2)
    picture = np.empty((height, len(columns), 3), np.uint8)
    picture[:] = _GROUND
    picture[from_middle[:, None] <= halves[None, :]] = _BAR
    return picture


def _blocks(source: Path, limits: Limits) -> Iterator[Block]:
    """Yield the first track of a sound file, in stereo. Raises `BadInput` for a file that is no sound."""
    if (kind := sound_format_of(source)) is None:
        raise BadInput(f"{source} is no sound file")
    with (
        open_sound(source, kind, limits, cover_damage=True) as sound,
        closing(sound.file.open_side_streams(limits)) as demuxer,
        translate_read_errors(source),
    ):
        index = sound.info.tracks[0].index
        stream = cast("AudioStream", next(stream for stream in demuxer.streams if stream.index == index))
        decoder = TrackDecoder(stream, source, _MADE, limits, cover_damage=True)
        for packet in packets_of(sound, demuxer, [index], kind):
            yield from decoder.decode(packet)
        yield from decoder.decode(None)


def _frame_blocks(blocks: Iterator[Block]) -> Iterator[Block]:
    """Yield the same samples in blocks of the size that the encoder takes; only the last one may be shorter."""
    start, waiting, held = 0, list["NDArray[np.float32]"](), 0
    for block in blocks:
        start = start if held else block.start
        waiting.append(block.samples)
        held += block.samples.shape[1]
        if held < _FRAME:
            continue
        samples = np.concatenate(waiting, axis=1)
        whole = held // _FRAME * _FRAME
        for at in range(0, whole, _FRAME):
            yield Block(start + at, samples[:, at : at + _FRAME])
        waiting, held, start = [samples[:, whole:]], held - whole, start + whole
    if held:
        yield Block(start, np.concatenate(waiting, axis=1))
