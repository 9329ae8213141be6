"""Audio and subtitles of the result: packets copied unchanged, or silence of the same length."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any, cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.codec import Codec
from av.stream import Discard

from velum.errors import BadInput, BadPlan
from velum.media.sources import LiveSource
from velum.media.video.containers import supported_codecs
from velum.media.video.encoder_input import shift_packet
from velum.media.video.file_input import translate_read_errors
from velum.media.video.info import SideStream, VideoSource
from velum.media.video.packets import AudioPtsOrder, ClockedPacket, clocked_packets, needs_every_stream
from velum.media.video.probe import to_fraction
from velum.media.video.side_streams import is_text, text_in
from velum.media.video.stream_selection import TrackChoice, add_copy, place_note, plain_layout
from velum.plan import Plan, Video

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_SILENCE_SAMPLES = 1024
_TAIL_SECONDS = 2
"""Silence may exceed the video by this much; a damaged file may claim that its audio lasts for years."""

_FALLBACKS = {"WEBM": ("libopus",), "MPEG": ("mp2",), "AVI": ("libmp3lame", "mp2")}
_SILENT_AS_THEMSELVES = ("aac", "ac3", "alac", "mp2", "mp3", "opus", "pcm_f", "pcm_s", "pcm_u", "vorbis")
"""Prefixes of codecs whose silence keeps the codec; other silence is coded in the container's usual codec."""

_PAUSE = b"\0\0"  # 3GPP TS 26.245, 5.17: a line of no characters


class PassthroughStreams:
    """Copies the audio and subtitle tracks into one result, never further ahead than the video is."""

    def __init__(
        self, video: VideoSource, choice: TrackChoice, target: "OutputContainer", plan: Plan, format: str
    ) -> None:  # fmt: skip
        info = video.info
        self._video, self._info, self._target = video, info, target
        self._watched = isinstance(info.source, LiveSource) and "gps" not in plan.metadata
        self._places: dict[int, SideStream] = {}
        self._streams: dict[int, Stream] = {}
        self._silences: dict[int, _Silence] = {}
        self._source = video.file.open_side_streams(video.limits)
        self._skipped_packets, self._latest = 0, Fraction(0)
        self._order = AudioPtsOrder(format)
        self.ahead = Fraction(0)
        """Seconds to add to the source's times."""
        with translate_read_errors(info.source):
            self._add(choice, plan.video, format)
            self._packets = self._demux()
        self._next: ClockedPacket | None = None

    @property
    def skipped_packets(self) -> int:
        """Number of damaged packets that were left out."""
        return self._skipped_packets

    @property
    def untimed_packets(self) -> int:
        """Number of packets before the first time stamp, which were left out."""
        return self._order.untimed_packets

    @property
    def notes(self) -> list[str]:
        """Warnings about text tracks in which coordinates turned up while they were copied."""
        return [place_note(track, "found") for track in self._places.values()]

    def mux_until(self, seconds: Fraction | None) -> None:
        """Mux all packets up to `seconds` of the source's time; all that are left when None.

        Raises `BadInput` where the source is damaged or encrypted.
        """
        self._latest = max(self._latest, seconds or Fraction(0))
        while (clocked := self._peek()) is not None:
            if seconds is not None and _start_seconds(clocked.packet) > seconds:
                return
            self._next = None
            self._put(clocked.packet, damaged=clocked.damaged)
        if seconds is None:
            for silence in self._silences.values():
                self._target.mux(silence.flush())

    def _peek(self) -> ClockedPacket | None:
        """Return the next packet without taking it; None where none is there (of a live stream, none yet)."""
        if self._next is None:
            with translate_read_errors(self._info.source):
                self._next = next(self._packets, None)
        return self._next

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _add(self, choice: TrackChoice, video: Video, format: str) -> None:
        self._by_index = {track.index: track for track in choice.tracks}
        for stream in self._source.streams:
            track = self._by_index.get(stream.index)
            if track is None and needs_every_stream(self._info):
                continue
            if track is None:
                stream.discard = Discard.all
            elif track.kind == "audio" and video.audio == "mute":
                self._silences[stream.index] = _Silence(cast("AudioStream", stream), self._target, format)
            else:
                rate = choice.bit_rates.get(stream.index)
                self._streams[stream.index] = add_copy(self._target, stream, rate)

    def _demux(self) -> Iterator[ClockedPacket]:
        return clocked_packets(self._video, self._source, {*self._streams, *self._silences})

    def _put(self, packet: "Packet[Any]", *, damaged: bool) -> None:
        index = packet.stream.index
        if packet.has_sidedata("encryption_info"):
            raise BadInput(f"cannot read {self._info.source}: its audio is encrypted; decrypt it first")
        if damaged:
            if not self._video.cover_damage:
                raise BadInput(
                    f"cannot read {self._info.source}: its {packet.stream.type} is damaged at "
                    f"{float(_start_seconds(packet)):.3f} s; copy the file again, or drop it"
                )
            self._skipped_packets += 1
            return
        if not self._order.correct_times(packet):
            return
        shift_packet(packet, self.ahead)
        if index in self._silences:
            self._target.mux(self._silences[index].silence_until(packet, self._latest + self.ahead + _TAIL_SECONDS))
            return
        if packet.size == len(_PAUSE) and bytes(packet) == _PAUSE and self._streams[index].name == "mov_text":
            return  # the muxer fills gaps between subtitles itself
        if self._watched and self._holds_place(packet):
            return
        packet.stream = self._streams[index]
        self._target.mux(packet)

    def _holds_place(self, packet: "Packet[Any]") -> bool:
        """Tell whether a packet belongs to a text track in which coordinates were found, now or before."""
        index = packet.stream.index
        if index not in self._places and is_text(packet.stream) and text_in(packet).place is not None:
            self._places[index] = self._by_index[index]
        return index in self._places


def _start_seconds(packet: "Packet[Any]") -> Fraction:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return Fraction(0) if stamp is None else stamp * to_fraction(packet.time_base)


class _Silence:
    """A silent audio track, as long as the track that it replaces."""

    def __init__(self, source: AudioStream, target: "OutputContainer", format: str) -> None:
        context = source.codec_context
        name = _encoder(context.codec.canonical_name, format)
        rates = Codec(name, "w").audio_rates
        rate = context.sample_rate if not rates or context.sample_rate in rates else 48_000
        self._stream = cast("AudioStream", target.add_stream(name, rate=rate))
        self._stream.codec_context.layout = plain_layout(source) if context.layout.nb_channels <= 2 else "stereo"
        self._rate, self._done = rate, None if source.start_time is None else 0
        self._base = Fraction(1, rate)
        self._stream.codec_context.time_base = self._base
        if source.language:
            self._stream.metadata["language"] = source.language

    def silence_until(self, packet: "Packet[Any]", most_seconds: Fraction) -> "list[Packet[Any]]":
        """Return packets of silence up to the end of an audio packet, but not beyond `most_seconds`."""
        if packet.pts is None:
            return []
        start = round(packet.pts * to_fraction(packet.time_base) / self._base)
        end = round((packet.pts + (packet.duration or 0)) * to_fraction(packet.time_base) / self._base)
        end = min(end, ceil(most_seconds / self._base))
        if not self._done:
            self._done = max(start, 0)
        packets: list[Packet[Any]] = []
        while self._done < end:
            count = min(end - self._done, self._stream.codec_context.frame_size or _SILENCE_SAMPLES)
            packets += self._stream.encode(self._frame(count))
            self._done += count
        return packets

    def flush(self) -> "list[Packet[Any]]":
        """Return the packets that the encoder still holds."""
        return self._stream.encode(None) if self._done else []

    def _frame(self, count: int) -> AudioFrame:
        context = self._stream.codec_context
        frame = av.AudioFrame(context.format.name, context.layout.name, count)
        for plane in frame.planes:
            # Silence of unsigned 8-bit samples is the middle value.
            plane.update((b"\x80" if context.format.name.startswith("u8") else b"\0") * plane.buffer_size)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._done, self._base
        return frame


def _encoder(codec: str, format: str) -> str:
    usual = {"opus": "libopus", "vorbis": "libvorbis", "mp3": "libmp3lame"}.get(codec, codec)
    own = [usual] if codec.startswith(_SILENT_AS_THEMSELVES) and codec in supported_codecs(format) else []
    for name in (*own, *_FALLBACKS.get(format, ("aac",))):
        if _exists(name) and supported_codecs(format) & {name, Codec(name, "w").canonical_name}:
            return name
    raise BadPlan(f"video.audio is mute, but no silent track can be encoded for {format}; set video.audio to drop")


def _exists(name: str) -> bool:
    try:
        return Codec(name, "w").type == "audio"
    except ValueError:
        return False
