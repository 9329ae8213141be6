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


MOST_PLANES, MOST_CHANNELS = 7, 64
"""Channels that PyAV reads where each is by itself (it counts up to a null in a list that has room for eight), and
channels that FFmpeg resamples."""

_LARGEST = {"flt": 1e30, "dbl": 1e290}
"""Largest samples that are taken as they are. Sums of larger ones overflow."""

_LOUD, _FAR_BEYOND, _THROUGHOUT = 2.0, 100.0, 0.9
"""Samples beyond full scale, those far beyond it, and the share of the former in sound that is too loud throughout."""

TONE_HERTZ, TONE_LEVEL, _TONE_FADE_SECONDS = 1000, 0.1, 0.03
"""The tone that sounds in place of what is muted: its level is a share of full scale (-20 dBFS)."""

_TONE_NOISE = 0.2
"""Noise of encoders beside the tone, as a share of its level: ADPCM has up to 15 %, others have less than 4 %."""

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
        self.doubtful: list[tuple[float, float]] = []
        """Start and end in seconds of sound of which nobody can tell what players play."""

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
            finite, is_doubtful = _finite(frame)
            if is_doubtful:
                start = self._start_of(frame) / self._made.rate
                self.doubtful.append((start, start + frame.samples / frame.sample_rate))
            yield from self._place(self._resample(finite))
        if packet is None and self._resampler is not None:
            yield from self._place(self._resampler.resample(None))

    def _damage_error(self, packet: "Packet[Any]", error: Exception) -> BadInput:
        seconds = float((packet.pts or 0) * to_fraction(packet.time_base))
        reason = getattr(error, "strerror", None) or str(error)
        return BadInput(
            f"cannot read {self._name}: its audio cannot be decoded at {seconds:.3f} s ({reason}), so speech in it "
            f"cannot be found; copy the file again, or mute such places (on_damage = cover)"
        )

    def _resample(self, frame: AudioFrame) -> Iterable[AudioFrame]:
        made, key = self._made, (frame.format.name, frame.layout.name, frame.sample_rate)
        alike = frame.format.name == made.format and frame.sample_rate == made.rate
        if self._resampler is None and alike and frame.layout.nb_channels == made.channels:
            return [frame]
        if frame.layout.nb_channels > MOST_CHANNELS:
            raise BadInput(
                f"cannot read {self._name}: its sound has {frame.layout.nb_channels} channels, and velum mixes "
                f"{MOST_CHANNELS} at most; split its channels into several files first"
            )
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


def add_tone(samples: "NDArray[Any]", start: int, span: tuple[int, int], rate: int) -> None:
    """Put a tone of fixed level in place of the samples of a span; `start` is the number of the first sample.

    It does not depend on what was there, and begins and ends softly.
    """
    numbers = np.arange(max(start, span[0]), min(start + samples.shape[1], span[1]))
    gain = np.minimum(numbers - span[0], span[1] - 1 - numbers) / (_TONE_FADE_SECONDS * rate)
    wave = TONE_LEVEL * np.clip(gain, 0, 1) * np.sin(2 * np.pi * TONE_HERTZ * numbers / rate)
    if samples.dtype.kind != "f":
        full = float(1 << (8 * samples.itemsize - 1))
        wave = np.round(wave * full) + (full if samples.dtype.kind == "u" else 0)
    samples[:, numbers - start] = wave


def is_tone(samples: "NDArray[Any]", rate: int) -> bool:
    """Tell whether normalized samples are the tone of `add_tone` alone, up to the noise of encoders."""
    turns = 2 * np.pi * TONE_HERTZ * np.arange(samples.shape[1]) / rate
    parts = np.stack([np.ones_like(turns), np.sin(turns), np.cos(turns)], axis=1)
    shares = np.linalg.lstsq(parts, samples.T, rcond=None)[0]
    levels = np.hypot(shares[1], shares[2])
    rest = np.abs(samples - (parts @ shares).T).max(axis=1)
    return bool((levels <= 1.5 * TONE_LEVEL).all() and (rest <= _TONE_NOISE * levels).all())


def normalize_samples(samples: "NDArray[Any]") -> "NDArray[Any]":
    """Return samples of any format as floating-point numbers; 1 is full scale."""
    if samples.dtype.kind == "f":
        return samples
    full = float(1 << (8 * samples.itemsize - 1))
    middle = full if samples.dtype.kind == "u" else 0.0
    return ((samples.astype(np.float64) - middle) / full).astype(np.float32)


def _finite(frame: AudioFrame) -> tuple[AudioFrame, bool]:
    """Return a frame whose samples are numbers that can be filtered, and whether it is doubtful what players play.

    That is so where some samples are no numbers or far beyond full scale, and others are not: one of them spoils what a
    filter makes of a thousand others, but a player cuts it off. Sound that is too loud throughout is not doubtful.
    """
    kind = frame.format.name.removesuffix("p")
    if kind not in _LARGEST or (frame.format.is_planar and frame.layout.nb_channels > MOST_PLANES):
        return frame, False
    samples, most = frame.to_ndarray(), _LARGEST[kind]
    with np.errstate(invalid="ignore"):
        sizes = np.abs(samples)
        if (sizes <= _FAR_BEYOND).all():
            return frame, False
        doubtful = bool(np.count_nonzero(sizes > _LOUD) < _THROUGHOUT * np.count_nonzero(sizes))
        if (sizes <= most).all():
            return frame, doubtful
    whole = np.clip(np.nan_to_num(samples, nan=0.0, posinf=most, neginf=-most), -most, most)
    made = AudioFrame.from_ndarray(whole, format=frame.format.name, layout=frame.layout.name)
    made.sample_rate, made.pts, made.time_base = frame.sample_rate, frame.pts, frame.time_base
    return made, doubtful or not bool(np.isfinite(samples).all())


def format_of_track(stream: "AudioStream", *, format: str = "", rate: int = 0) -> SampleFormat:
    """Return how a track is decoded: as it is coded, but for another sample format or rate where these are given."""
    context = stream.codec_context
    count = context.layout.nb_channels
    layout = {1: "mono", 2: "stereo"}.get(count, context.layout.name)
    name = format or context.format.name
    # With more channels, only samples that are interleaved can be read.
    name = name.removesuffix("p") if count > MOST_PLANES else name
    return SampleFormat(name, layout, rate or context.sample_rate, count)
