"""Decodes the packets of one audio track to samples on one time line, without gaps and overlaps."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.audio.frame import AudioFrame

from velum.errors import BadInput
from velum.limits import Limits
from velum.media.video.probe import to_fraction

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet
    from numpy.typing import NDArray

_TOLERANCE_SECONDS = 0.005
"""Deviations of time stamps that are rounding, as of containers that count milliseconds."""

_ZEROS_SECONDS = 1
"""Gaps are filled with blocks of zeros of this length."""


_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """How samples are decoded: FFmpeg's names of the sample format and the channel layout, and samples per second."""

    format: str
    layout: str
    rate: int
    channels: int

    @property
    def dtype(self) -> str:
        """NumPy's name of the samples' type."""
        return _TYPES[self.format.removesuffix("p")]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive samples, (channels, n); `start` is the number of the first one, counted from time 0."""

    start: int
    samples: "NDArray[Any]"

    @property
    def end(self) -> int:
        """Number of the sample after the last one."""
        return self.start + int(self.samples.shape[1])


class TrackDecoder:
    """Decodes packets of one track, in order, to blocks that follow each other.

    Each sample stays at its time: gaps of more than some milliseconds are filled with zeros, and what overlaps earlier
    samples is left out. Damage raises `BadInput`, or becomes a gap with `cover_damage`.
    """

    def __init__(
        self, stream: "AudioStream", name: object, made: SampleFormat, limits: Limits, *, cover_damage: bool
    ) -> None:
        self._context, self._name, self._made = stream.codec_context, name, made
        self._base = to_fraction(stream.time_base)
        self._limits, self._cover_damage = limits, cover_damage
        self._resampler: av.AudioResampler | None = None
        self._key: tuple[str, str, int] | None = None
        self._first: int | None = None
        self._end: int | None = None
        self._tolerance = ceil(_TOLERANCE_SECONDS * made.rate)
        self.damaged = 0
        """Number of packets that could not be decoded."""
        self.overlapping = 0
        """Number of samples that were left out, because others were before them at their time."""

    def decode(self, packet: "Packet[Any] | None") -> Iterator[Block]:
        """Yield the blocks of the next packet; None ends the track. Raises `BadInput` for one that is damaged."""
        try:
            frames = self._context.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            if packet is not None and not self._cover_damage:
                raise self._damage_error(packet, error) from error
            self.damaged += 1
            frames = []
        for frame in frames:
            yield from self._place(self._resample(frame))
        if packet is None and self._resampler is not None:
            yield from self._place(self._resampler.resample(None))

    def _damage_error(self, packet: "Packet[Any]", error: Exception) -> BadInput:
        seconds = float((packet.pts or 0) * to_fraction(packet.time_base))
        reason = getattr(error, "strerror", None) or str(error)
        return BadInput(
            f"cannot read {self._name}: its audio cannot be decoded at {seconds:.3f} s ({reason}), so speech in it "
            f"cannot be found; copy the file again, mute such places (on_damage = cover), or drop the sound"
        )

    def _resample(self, frame: AudioFrame) -> Iterable[AudioFrame]:
        made, key = self._made, (frame.format.name, frame.layout.name, frame.sample_rate)
        alike = frame.format.name == made.format and frame.sample_rate == made.rate
        if self._resampler is None and alike and frame.layout.nb_channels == made.channels:
            return [frame]
        rest: list[AudioFrame] = []
        if self._resampler is None or key != self._key:  # broadcasters change from two channels to six within a track
            rest = [] if self._resampler is None else self._resampler.resample(None)
            self._resampler, self._key = av.AudioResampler(made.format, made.layout, made.rate), key
        return [*rest, *self._resampler.resample(frame)]

    def _place(self, frames: Iterable[AudioFrame]) -> Iterator[Block]:
        for frame in frames:
            samples = samples_of(frame, self._made.channels)
            start = self._start_of(frame)
            expected = self._end
            if expected is not None and abs(start - expected) <= self._tolerance:
                start = expected
            if expected is not None and start > expected:
                yield from self._zeros(expected, start, samples)
            if expected is not None and start < expected:
                self.overlapping += min(expected - start, samples.shape[1])
                samples, start = samples[:, expected - start :], expected
            self._end = start + samples.shape[1]
            if samples.shape[1]:
                yield Block(start, samples)

    def _start_of(self, frame: AudioFrame) -> int:
        if frame.pts is None:
            return self._end or 0
        base = to_fraction(frame.time_base) or self._base
        start = round(frame.pts * base * self._made.rate)
        self._first = start if self._first is None else self._first
        self._limits.check("seconds", (start - self._first) // self._made.rate, str(self._name))
        return start

    def _zeros(self, start: int, end: int, like: "NDArray[Any]") -> Iterator[Block]:
        step = self._made.rate * _ZEROS_SECONDS
        for at in range(start, end, step):
            silent = np.empty((like.shape[0], min(step, end - at)), like.dtype)
            mute(silent, slice(None))
            yield Block(at, silent)


def samples_of(frame: AudioFrame, channels: int) -> "NDArray[Any]":
    """Return the samples of a frame as (channels, n)."""
    samples = frame.to_ndarray()
    return samples if frame.format.is_planar else samples.reshape(-1, channels).T


def mute(samples: "NDArray[Any]", where: slice) -> None:
    """Set samples to silence in place; that of unsigned samples is the middle value."""
    samples[:, where] = 1 << (8 * samples.itemsize - 1) if samples.dtype.kind == "u" else 0


def normalize_samples(samples: "NDArray[Any]") -> "NDArray[np.float32]":
    """Return samples of any format as numbers from -1 to 1."""
    if samples.dtype.kind == "f":
        return np.nan_to_num(samples.astype(np.float32))
    full = float(1 << (8 * samples.itemsize - 1))
    middle = full if samples.dtype.kind == "u" else 0.0
    return ((samples.astype(np.float64) - middle) / full).astype(np.float32)


def format_of_track(stream: "AudioStream", *, format: str = "", rate: int = 0) -> SampleFormat:
    """Return how a track is decoded: as it is coded, but for another sample format or rate where these are given."""
    context = stream.codec_context
    count = context.layout.nb_channels
    layout = {1: "mono", 2: "stereo"}.get(count, context.layout.name)
    return SampleFormat(format or context.format.name, layout, rate or context.sample_rate, count)
