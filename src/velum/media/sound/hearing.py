"""Listens to the audio tracks of an opened video: where speech is in them, and how loud they are in given spans."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from math import ceil, floor
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from velum.errors import BadInput
from velum.media.sound.samples import Block, TrackDecoder, format_of_track, is_tone, normalize_samples
from velum.media.sound.speech import (
    DETECTOR_RATE,
    GAP_SECONDS,
    GUARD_SECONDS,
    SPEECH_THRESHOLD,
    Span,
    SpeechDetector,
    cut_spans,
    merge_spans,
    threshold_for,
)
from velum.media.sound.transcript import WordSpans
from velum.media.video.file_input import SideStreams, translate_read_errors
from velum.media.video.info import TrackSource
from velum.media.video.packets import AudioPtsOrder, clocked_packets, is_usable
from velum.media.video.probe import to_fraction
from velum.plan import Video
from velum.report import say_count

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet
    from numpy.typing import NDArray

    from velum.limits import Limits


CLOCK_SECONDS = 0.01
"""Seconds by which clocks may differ that are one."""

LATE_SECONDS = 1.0
"""Seconds after the end of the sound up to which words may begin: some recognisers round up."""

MENTIONED_REST_SECONDS = 10.0
"""Sound after the end of a transcript that is mentioned."""

_LOWEST_RATE, _HIGHEST_RATE = 4000, 768_000
"""Samples per second of sound in which speech can be found: with fewer it has no vowels, and with more no format."""

CHANGED_WARNING = (
    "voices are changed, which is weak: what is said stays, and with recordings of a few people it may be told who "
    "speaks; speech-mute and silence are safe"
)

_MEASURED_SECONDS = 0.02
"""Sound that is measured at a time, or more."""

MENTIONED_SECONDS = 0.1
"""Overlap that is mentioned; less is the unevenness of clocks. Encoders have a delay that is shorter."""


@dataclass(frozen=True, slots=True)
class HeardTrack:
    """What the first pass found in one track: spans of speech in its source's time, and how it is coded."""

    spans: tuple[Span, ...]
    bit_rate: int
    """Measured bits per second."""
    damaged: int
    """Number of packets that could not be decoded."""
    first: float = 0.0
    """Time of the first sample in seconds."""
    overlap: float = 0.0
    """Seconds that are left out, because other sound has the same times."""
    skipped: float = 0.0
    """Seconds by which the packets are longer than what was decoded of them: players skip that."""
    end: float = 0.0
    """Time of the end of the last sample in seconds."""
    start: float = 0.0
    """Time at which the first stream of the file begins, in seconds: players show it as 0."""
    doubtful: float = 0.0
    """Seconds that are muted because some of their samples are no numbers, or far beyond full scale."""

    @property
    def is_plain(self) -> bool:
        """True where every sample was searched and none is speech, so that the packets may stay as they are."""
        return not (self.spans or self.damaged or self.overlap) and self.skipped < MENTIONED_SECONDS


class SpeechSearch:
    """Searches one track for speech, packet by packet."""

    def __init__(
        self, stream: "AudioStream", name: object, limits: "Limits", *, cover_damage: bool,
        threshold: float | None = SPEECH_THRESHOLD,
    ) -> None:  # fmt: skip
        context = stream.codec_context
        if not _LOWEST_RATE <= context.sample_rate <= _HIGHEST_RATE:
            raise BadInput(
                f"cannot find what is said in {name}: its sound has {context.sample_rate:,} samples per second; "
                f"allowed are {_LOWEST_RATE:,} to {_HIGHEST_RATE:,}; write silence (audio = silence)"
            )
        wanted = "dblp" if context.format.name.startswith("dbl") else "fltp"  # 1e-300 is no number in 32 bits
        made = format_of_track(stream, format=wanted, rate=DETECTOR_RATE)
        self._decoder = TrackDecoder(stream, name, made, limits, cover_damage=cover_damage)
        self._detector = None if threshold is None else SpeechDetector(threshold)
        self._first: int | None = None
        self._bytes = self._samples = 0
        self._seconds = 0.0

    def add(self, packet: "Packet[Any] | None") -> None:
        """Take the next packet; None ends the track."""
        if packet is not None:
            self._bytes += packet.size
            self._seconds += float((packet.duration or 0) * to_fraction(packet.time_base))
        for block in self._decoder.decode(packet):
            self._first = block.start if self._first is None else self._first
            self._samples += block.samples.shape[1]
            if self._detector is not None:
                self._detector.add(normalize_samples(block.samples))

    def finish(self) -> HeardTrack:
        """Return what was found."""
        self.add(None)
        origin = (self._first or 0) / DETECTOR_RATE
        doubtful = [] if self._detector is None else self._decoder.doubtful
        found = [] if self._detector is None else self._detector.finish()
        guarded = merge_spans(doubtful, gap=GAP_SECONDS, guard=GUARD_SECONDS)
        shifted = [(start + origin, end + origin) for start, end in found]
        spans = tuple(merge_spans([*shifted, *guarded], gap=GAP_SECONDS, guard=0.0))
        unclear = sum(end - start for start, end in merge_spans(doubtful, gap=0.0, guard=0.0))
        bit_rate = ceil(8 * self._bytes * DETECTOR_RATE / self._samples) if self._samples else 0
        overlap, skipped = self._decoder.overlapping / DETECTOR_RATE, self._seconds - self._samples / DETECTOR_RATE
        end = origin + self._samples / DETECTOR_RATE
        return HeardTrack(spans, bit_rate, self._decoder.damaged, origin, overlap, skipped, end=end, doubtful=unclear)


def hear_tracks(
    video: TrackSource, indices: Collection[int], format: str, *, threshold: float | None = SPEECH_THRESHOLD,
    words: WordSpans | None = None,
) -> dict[int, HeardTrack]:  # fmt: skip
    """Return what is heard in these audio tracks of a video, in one pass; `format` is that of the result.

    With a `threshold` of None, speech is not searched; the spans are those of `words`. Raises `BadInput` for a track
    that is encrypted or cannot be decoded, and for words of another recording.
    """
    if not indices:
        return {}
    source = video.file.open_side_streams(video.limits)
    with closing(source), translate_read_errors(video.info.source):
        searches = {
            stream.index: SpeechSearch(
                stream, video.info.source, video.limits, cover_damage=video.cover_damage, threshold=threshold
            )
            for stream in _audio_streams(source, indices)
        }
        for packet in packets_of(video, source, indices, format):
            searches[packet.stream.index].add(packet)
        start = _start_of(source)
        heard = {index: replace(search.finish(), start=start) for index, search in searches.items()}
        return heard if words is None else _add_words(heard, words, video.info.source)


def _start_of(source: SideStreams) -> float:
    times = (
        float(stream.start_time * to_fraction(stream.time_base))
        for stream in source.streams
        if stream.start_time is not None
    )
    return min(times, default=0.0)


def place_words(track: HeardTrack, spans: Sequence[Span]) -> list[Span]:
    """Return spans of a transcript's clock in the time of a track.

    Recognisers of speech count from the first sample, subtitles from the start of the file: both are meant.
    """
    origins = [track.start] if abs(track.start - track.first) < CLOCK_SECONDS else [track.start, track.first]
    return merge_spans([(a + origin, b + origin) for origin in origins for a, b in spans], gap=0, guard=0)


def _add_words(heard: Mapping[int, HeardTrack], words: WordSpans, name: object) -> dict[int, HeardTrack]:
    """Return what was heard with the spans of words. Raises `BadInput` for words that begin after the sound's end."""
    ends = [track.end - min(track.start, track.first) for track in heard.values()]
    if ends and words.last > max(ends) + LATE_SECONDS:
        raise BadInput(
            f"the last words of the transcript begin at {words.last:.1f} s, and the sound of {name} ends at "
            f"{max(ends):.1f} s; give the transcript of this recording"
        )
    return {
        index: replace(
            track, spans=tuple(merge_spans((*track.spans, *place_words(track, words.spans)), gap=0, guard=0))
        )
        for index, track in heard.items()
    }


def loudness_in(video: TrackSource, spans: Mapping[int, Sequence[Span]], *, but_tone: bool = False) -> dict[int, float]:
    """Return the largest swing of samples in the spans of each track, as a share of full scale: half of high less low.

    A constant is no sound: telephone codecs have no code for zero. With `but_tone`, neither is the tone that velum puts
    in place of words. Raises as `hear_tracks` does.
    """
    loudest = dict.fromkeys(spans, 0.0)
    for index, rate, samples in _samples_in(video, spans):
        swing = float((samples.max(axis=1) - samples.min(axis=1)).max()) / 2
        if swing > loudest[index] and not (but_tone and is_tone(samples, rate)):
            loudest[index] = swing
    return loudest


def _samples_in(video: TrackSource, spans: Mapping[int, Sequence[Span]]) -> "Iterator[tuple[int, int, NDArray[Any]]]":
    """Yield the samples in the spans of each track, of some hundredths of a second at a time, with their rate."""
    source = video.file.open_side_streams(video.limits)
    waiting: dict[int, list[Block]] = {index: [] for index in spans}
    with closing(source), translate_read_errors(video.info.source):
        decoders = {
            stream.index: (format_of_track(stream).rate, _decoder(stream, video))
            for stream in _audio_streams(source, spans)
        }
        last = ((index, None) for index in decoders)
        for index, packet in chain(
            ((packet.stream.index, packet) for packet in packets_of(video, source, spans, video.info.format)), last
        ):
            rate, decoder = decoders[index]
            for block in decoder.decode(packet):
                samples = normalize_samples(block.samples)
                for part in cut_spans(spans[index], block.start, samples.shape[1], rate):
                    parts = waiting[index]
                    is_next = not parts or parts[-1].end == block.start + part.start
                    if not is_next or sum(each.samples.shape[1] for each in parts) >= _MEASURED_SECONDS * rate:
                        yield index, rate, np.concatenate([each.samples for each in parts], axis=1)
                        parts.clear()
                    parts.append(Block(block.start + part.start, samples[:, part]))
    for index, parts in waiting.items():
        if parts:
            yield index, decoders[index][0], np.concatenate([each.samples for each in parts], axis=1)


def _decoder(stream: "AudioStream", video: TrackSource) -> TrackDecoder:
    return TrackDecoder(
        stream, video.info.source, format_of_track(stream), video.limits, cover_damage=video.cover_damage
    )


def _audio_streams(source: SideStreams, indices: Collection[int]) -> "list[AudioStream]":
    return [cast("AudioStream", stream) for stream in source.streams if stream.index in indices]


def packets_of(
    video: TrackSource, source: SideStreams, indices: Collection[int], format: str
) -> "Iterator[Packet[Any]]":
    """Yield the packets of these tracks with the times that they have in a result of that format."""
    order = AudioPtsOrder(format)
    for clocked in clocked_packets(video, source, indices):
        if format == "MP3" and not any(bytes(clocked.packet)):
            continue  # disks and programs that download fill files up with zeros, which are no frame
        if is_usable(video, clocked) and order.correct_times(clocked.packet):
            yield clocked.packet


def notes_on(heard: Mapping[int, HeardTrack], video: Video, words: WordSpans | None) -> list[str]:
    """Return warnings about tracks that were searched: no speech in them, or packets that could not be decoded."""
    notes = [
        f"audio track {i}: no speech was found in it; listen to it"
        for i, track in heard.items()
        if not track.spans and threshold_for(video.audio) is not None
    ]
    notes += [CHANGED_WARNING] if video.audio == "voice" and any(track.spans for track in heard.values()) else []
    length = max((track.end - track.first for track in heard.values()), default=0.0)
    if words and words.end and (rest := length - words.end) > MENTIONED_REST_SECONDS:
        notes.append(f"the transcript ends {rest:.0f} s before the sound; nothing was muted in the rest of it")
    notes += [
        f"audio track {index}: {track.overlap:.1f} s of it were left out, because other sound has the same times"
        for index, track in heard.items()
        if track.overlap >= MENTIONED_SECONDS
    ]
    notes += [
        f"audio track {index}: {track.doubtful:.2f} s of it are muted or changed, because some of their samples are no "
        f"numbers or far beyond full scale"
        for index, track in heard.items()
        if track.doubtful
    ]
    return notes + [
        f"audio track {index}: {say_count(track.damaged, 'packet', 'packets')} could not be decoded and are silent"
        for index, track in heard.items()
        if track.damaged
    ]


def report_spans(spans: Sequence[Span], origin: float) -> list[list[float]]:
    """Return spans for the report, in seconds after `origin`, rounded outwards to milliseconds."""
    return [[floor(1000 * (a - origin)) / 1000, ceil(1000 * (b - origin)) / 1000] for a, b in spans]
