"""Audio tracks of a result that are not copied: muted where speech is, or silent, and encoded again."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from velum.media.sound.encoder import TrackEncoder
from velum.media.sound.hearing import HeardTrack
from velum.media.sound.samples import Block, TrackDecoder, mute
from velum.media.sound.speech import cut_spans
from velum.media.video.info import TrackSource
from velum.media.video.probe import to_fraction

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet


class MutedTrack:
    """A track that is decoded, muted in spans, and encoded again, each sample at its time.

    With `to_zero`, the first sample comes to time 0, in formats that know no times.
    """

    def __init__(
        self, stream: "AudioStream", target: "OutputContainer", format: str, video: TrackSource, heard: HeardTrack,
        *, to_zero: bool = False,
    ) -> None:  # fmt: skip
        self._encoder = TrackEncoder(stream, target, format, setting="speech-mute", bit_rate=heard.bit_rate)
        made = self._encoder.made
        self._decoder = TrackDecoder(stream, video.info.source, made, video.limits, cover_damage=video.cover_damage)
        self._spans, self._rate = heard.spans, made.rate
        self._to_zero, self._first = to_zero, 0
        self.note = self._encoder.note

    def encode(self, packet: "Packet[Any] | None", ahead: Fraction) -> "Iterator[Packet[Any]]":
        """Yield the packets of the result for the next packet, `ahead` seconds later; None ends the track."""
        shift = round(ahead * self._rate)
        for block in self._decoder.decode(packet):
            if self._to_zero:
                self._to_zero, self._first = False, block.start
            yield from self._encoder.encode(Block(block.start - self._first + shift, self._mute_spans(block)))
        if packet is None:
            yield from self._encoder.flush()

    def _mute_spans(self, block: Block) -> Any:
        where = list(cut_spans(self._spans, block.start, block.samples.shape[1], self._rate))
        samples = block.samples.copy() if where else block.samples
        for part in where:
            mute(samples, part)
        return samples


class SilentTrack:
    """A silent track, as long as the track that it replaces. Nothing of that track is decoded."""

    def __init__(self, stream: "AudioStream", target: "OutputContainer", format: str) -> None:
        self._encoder = TrackEncoder(stream, target, format, setting="silence")
        self._rate, self._done = self._encoder.made.rate, None if stream.start_time is None else 0
        self.note = self._encoder.note

    def encode(self, packet: "Packet[Any]", most_seconds: Fraction) -> "Iterator[Packet[Any]]":
        """Yield packets of silence up to the end of an audio packet, but not beyond `most_seconds`."""
        if packet.pts is None:
            return
        base = to_fraction(packet.time_base) * self._rate
        start, end = round(packet.pts * base), round((packet.pts + (packet.duration or 0)) * base)
        end = min(end, ceil(most_seconds * self._rate))
        if not self._done:
            self._done = max(start, 0)
        while self._done < end:
            count = min(end - self._done, self._rate)
            yield from self._encoder.encode(Block(self._done, self._zeros(count)))
            self._done += count

    def flush(self) -> "Iterator[Packet[Any]]":
        """Yield the packets that the encoder still holds."""
        return self._encoder.flush()

    def _zeros(self, count: int) -> Any:
        made = self._encoder.made
        samples = np.zeros((made.channels, count), made.dtype)
        mute(samples, slice(None))
        return samples
