"""Audio and subtitles of the result: packets copied unchanged, tracks without speech, or silence of the same length."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from av.stream import Discard

from velum.media.sound.hearing import HeardTrack, hear_tracks, notes_on, report_spans
from velum.media.sound.muted_track import MutedTrack, SilentTrack
from velum.media.sound.speech import threshold_for
from velum.media.sound.transcript import WordSpans
from velum.media.sources import LiveSource
from velum.media.video.encoder_input import shift_packet
from velum.media.video.file_input import translate_read_errors
from velum.media.video.info import SideStream, VideoSource
from velum.media.video.packets import (
    AudioPtsOrder,
    ClockedPacket,
    clocked_packets,
    is_usable,
    needs_every_stream,
    start_seconds,
)
from velum.media.video.side_streams import is_text, text_in
from velum.media.video.stream_selection import TrackChoice, add_copy, place_note
from velum.plan import Plan, Video

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_TAIL_SECONDS = 2
"""Silence may exceed the video by this much; a damaged file may claim that its audio lasts for years."""

_PAUSE = b"\0\0"  # 3GPP TS 26.245, 5.17: a line of no characters


class PassthroughStreams:
    """Copies the audio and subtitle tracks into one result, never further ahead than the video is."""

    def __init__(
        self, video: VideoSource, choice: TrackChoice, target: "OutputContainer", plan: Plan, format: str,
        words: WordSpans | None = None,
    ) -> None:  # fmt: skip
        info = video.info
        self._video, self._info, self._target = video, info, target
        self._settings, self._words = plan.video, words
        self._watched = isinstance(info.source, LiveSource) and "gps" not in plan.metadata
        self._places: dict[int, SideStream] = {}
        self._streams: dict[int, Stream] = {}
        self._silences: dict[int, SilentTrack] = {}
        self._muted: dict[int, MutedTrack] = {}
        self._heard: dict[int, HeardTrack] = {}
        self._source = video.file.open_side_streams(video.limits)
        self._skipped_packets, self._latest = 0, Fraction(0)
        self._order = AudioPtsOrder(format)
        self.ahead = Fraction(0)
        """Seconds to add to the source's times."""
        with translate_read_errors(info.source):
            threshold, indices = threshold_for(plan.video.audio), choice.tracks_to_search(plan.video)
            self._heard = hear_tracks(video, indices, format, threshold=threshold, words=words)
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
        """Warnings about text tracks in which coordinates turned up, and about tracks that were encoded otherwise."""
        changes = [track.note for track in self._silences.values()] + [track.note for track in self._muted.values()]
        return [
            *(place_note(track, "found") for track in self._places.values()),
            *filter(None, changes),
            *notes_on(self._heard, self._settings, self._words),
        ]

    def sound(self, origin: float) -> tuple[dict[str, Any], ...]:
        """Return what was done to each audio track, for the report; times are seconds after `origin`."""
        silent = ({"stream": index, "action": "silence"} for index in self._silences)
        action = "mute" if self._settings.audio == "copy" else self._settings.audio
        done = "changed" if action == "voice" else "muted"
        searched = (
            {"stream": index, "action": action, done: report_spans(heard.spans, origin)}
            for index, heard in self._heard.items()
        )
        return (*silent, *searched)

    def mux_until(self, seconds: Fraction | None) -> None:
        """Mux all packets up to `seconds` of the source's time; all that are left when None.

        Raises `BadInput` where the source is damaged or encrypted.
        """
        self._latest = max(self._latest, seconds or Fraction(0))
        while (clocked := self._peek()) is not None:
            if seconds is not None and start_seconds(clocked.packet) > seconds:
                return
            self._next = None
            self._put(clocked)
        if seconds is None:
            for silence in self._silences.values():
                self._mux(silence.flush())
            for muted in self._muted.values():
                self._mux(muted.encode(None, self.ahead))

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
            elif track.kind == "audio" and video.audio == "silence":
                self._silences[stream.index] = SilentTrack(cast("AudioStream", stream), self._target, format)
            elif (heard := self._heard.get(stream.index)) and not self._is_copied(heard, stream.index, choice):
                values = cast("AudioStream", stream), self._target, format, self._video, heard
                self._muted[stream.index] = MutedTrack(*values, video)
            else:
                rate = choice.bit_rates.get(stream.index)
                self._streams[stream.index] = add_copy(self._target, stream, rate)

    def _is_copied(self, heard: HeardTrack, index: int, choice: TrackChoice) -> bool:
        return heard.is_plain and index in choice.copyable

    def _demux(self) -> Iterator[ClockedPacket]:
        return clocked_packets(self._video, self._source, {*self._streams, *self._silences, *self._muted})

    def _mux(self, packets: "Iterator[Packet[Any]]") -> None:
        for packet in packets:
            self._target.mux(packet)

    def _put(self, clocked: ClockedPacket) -> None:
        packet, index = clocked.packet, clocked.packet.stream.index
        if not is_usable(self._video, clocked):
            self._skipped_packets += 1
            return
        if not self._order.correct_times(packet):
            return
        if index in self._muted:
            self._mux(self._muted[index].encode(packet, self.ahead))
            return
        shift_packet(packet, self.ahead)
        if index in self._silences:
            self._mux(self._silences[index].encode(packet, self._latest + self.ahead + _TAIL_SECONDS))
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
