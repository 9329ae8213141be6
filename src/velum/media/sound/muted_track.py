"""Audio tracks of a result that are not copied: muted or changed where speech is, or silent, and encoded again."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from velum.media.sound.encoder import TrackEncoder
from velum.media.sound.hearing import HeardTrack
from velum.media.sound.samples import Block, TrackDecoder, add_tone, mute
from velum.media.sound.speech import cut_spans, spans_in
from velum.media.sound.voice import MAX_PIECE_SAMPLES, PIECE_SECONDS, VoiceChange, change_voice
from velum.media.video.info import TrackSource
from velum.media.video.probe import to_fraction
from velum.plan import Video

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet


class MutedTrack:
    """A track that is decoded, muted or changed in spans, and encoded again, each sample at its time.

    Its spans get silence, a tone or other voices. With `to_zero`, the first sample comes to time 0, in formats that
    know no times.
    """

    def __init__(
        self, stream: "AudioStream", target: "OutputContainer", format: str, video: TrackSource, heard: HeardTrack,
        settings: Video, *, to_zero: bool = False, block_bytes: int = 0,
    ) -> None:  # fmt: skip
        self._encoder = TrackEncoder(
            stream, target, format, setting=settings.audio, bit_rate=heard.bit_rate, block_bytes=block_bytes
        )
        made = self._encoder.made
        self._decoder = TrackDecoder(stream, video.info.source, made, video.limits, cover_damage=video.cover_damage)
        self._spans, self._rate = heard.spans, made.rate
        self._is_changed, self._waiting, self._waiting_samples = settings.audio == "voice", list[Block](), 0
        self._most = max(1, min(round(PIECE_SECONDS * made.rate), MAX_PIECE_SAMPLES // made.channels))
        self._bleep, self._to_zero, self._first = settings.bleep, to_zero, 0
        self._block_bytes = block_bytes if self._encoder.block_samples else 0
        self._blocks: dict[int, bytes] = {}
        self.note = self._encoder.note

    def encode(self, packet: "Packet[Any] | None", ahead: Fraction) -> "Iterator[Packet[Any]]":
        """Yield the packets of the result for the next packet, `ahead` seconds later; None ends the track."""
        shift = round(ahead * self._rate)
        if packet is None or not self._block_bytes:
            yield from self._encode(packet, shift)
            return
        damaged = self._decoder.damaged
        self._keep_blocks(packet)
        for made in self._encode(packet, shift):
            yield self._restore_block(made, shift)
        if self._decoder.damaged > damaged:
            self._blocks.clear()

    def _keep_blocks(self, packet: "Packet[Any]") -> None:
        """Keep the blocks of a packet, by the number of their first sample."""
        data, count = bytes(packet), self._encoder.block_samples
        start = round((packet.pts or 0) * to_fraction(packet.time_base) * self._rate)
        for number in range(len(data) // self._block_bytes):
            at = number * self._block_bytes
            self._blocks[start + number * count] = data[at : at + self._block_bytes]

    def _restore_block(self, made: "Packet[Any]", shift: int) -> "Packet[Any]":
        """Return the source's block in place of an encoded one of the same samples, where nothing in it is muted."""
        start, count = (made.pts or 0) + self._first - shift, self._encoder.block_samples
        own = self._blocks.get(start, b"")
        self._blocks = {first: block for first, block in self._blocks.items() if first > start}
        if made.size != len(own) or any(cut_spans(self._spans, start, count, self._rate)):
            return made
        kept: Packet[Any] = av.Packet(own)
        kept.pts, kept.dts, kept.duration = made.pts, made.dts, made.duration
        kept.time_base, kept.stream = made.time_base, made.stream
        return kept

    def _encode(self, packet: "Packet[Any] | None", shift: int) -> "Iterator[Packet[Any]]":
        for block in self._decoder.decode(packet):
            if self._to_zero:
                self._to_zero, self._first = False, block.start
            blocks = self._change_spans(block) if self._is_changed else [Block(block.start, self._mute_spans(block))]
            for ready in blocks:
                yield from self._encoder.encode(Block(ready.start - self._first + shift, ready.samples))
        if packet is None:
            for ready in self._change_waiting():
                yield from self._encoder.encode(Block(ready.start - self._first + shift, ready.samples))
            yield from self._encoder.flush()

    def _change_spans(self, block: Block) -> "Iterator[Block]":
        """Yield the blocks that are ready: those outside the spans at once, the voices of a span when it is complete.

        A span longer than a piece is cut into pieces, each with another voice.
        """
        done = 0
        for part in [*cut_spans(self._spans, block.start, block.samples.shape[1], self._rate), None]:
            begin = block.samples.shape[1] if part is None else part.start
            if begin > done:
                yield from self._change_waiting()
                yield Block(block.start + done, block.samples[:, done:begin])
            if part is None:
                break
            done = begin
            while done < part.stop:
                count = min(part.stop - done, self._most - self._waiting_samples)
                self._waiting_samples += count
                self._waiting.append(Block(block.start + done, block.samples[:, done : done + count]))
                done += count
                if self._waiting_samples == self._most:
                    yield from self._change_waiting()

    def _change_waiting(self) -> "Iterator[Block]":
        """Yield the samples of a span up to here with a voice of their own."""
        if self._waiting:
            joined = np.concatenate([block.samples for block in self._waiting], axis=1)
            start, self._waiting, self._waiting_samples = self._waiting[0].start, [], 0
            yield Block(start, change_voice(joined, self._rate, VoiceChange.draw()))

    def _mute_spans(self, block: Block) -> Any:
        where = list(cut_spans(self._spans, block.start, block.samples.shape[1], self._rate))
        samples = block.samples.copy() if where else block.samples
        for part in where:
            mute(samples, part)
        for span in spans_in(self._spans, block.start, samples.shape[1], self._rate) if self._bleep else ():
            add_tone(samples, block.start, span, self._rate)
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
