"""Sound and subtitles next to the pictures: packets copied as they are, or silence of the same length."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.codec import Codec
from av.stream import Discard

from velum.errors import BadInput, BadPlan
from velum.media.video.along import Order, along, together
from velum.media.video.coming import Coming
from velum.media.video.containers import held
from velum.media.video.feed import move
from velum.media.video.info import Track, VideoInfo
from velum.media.video.probe import fraction
from velum.media.video.source import translated
from velum.plan import Video

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_SILENCE_SAMPLES = 1024
_FALLBACKS = {"WEBM": "libopus", "MPEG": "mp2"}
_PAUSE = b"\0\0"  # 3GPP TS 26.245, 5.17: a line of no characters
_SPOKEN = "audio is kept as it was: voices and names can identify people"
_WRITTEN = "subtitles are kept as they were: names in them can identify people"


def chosen(info: VideoInfo, video: Video, format: str) -> list[Track]:
    """Return the tracks that go into the result. Raises `BadPlan` when the container cannot hold one of them."""
    tracks = [track for track in info.tracks if _wanted(track, video)]
    for track in tracks:
        copied = not (track.kind == "audio" and video.audio == "mute")
        if copied and (track.codec is None or track.codec not in held(format)):
            setting = "audio" if track.kind == "audio" else "subtitles"
            raise BadPlan(
                f"{format} cannot hold the {track.kind} of {info.source.name} ({track.codec or 'unknown codec'}); "
                f"choose another suffix, such as {info.source.suffix or '.mkv'}, or set video.{setting} to drop"
            )
    return tracks


def warnings(tracks: list[Track], video: Video) -> list[str]:
    """Return what to doubt about copied tracks."""
    kinds = {track.kind for track in tracks}
    spoken = "audio" in kinds and video.audio == "copy"
    return [*([_SPOKEN] if spoken else []), *([_WRITTEN] if "subtitle" in kinds else [])]


def _wanted(track: Track, video: Video) -> bool:
    return video.audio != "drop" if track.kind == "audio" else video.subtitles == "copy"


class Companions:
    """The tracks of one result. Reads the source beside the pictures, never further ahead than they are."""

    def __init__(
        self, info: VideoInfo, tracks: list[Track], target: "OutputContainer", video: Video, format: str
    ) -> None:  # fmt: skip
        self._info, self._target = info, target
        self._streams: dict[int, Stream] = {}
        self._silences: dict[int, _Silence] = {}
        self._source = info.file.beside(info.limits)
        self._skipped = 0
        self._order = Order(format)
        self.ahead = Fraction(0)
        """Seconds by which the result's clock is ahead of the source's."""
        with translated(info.source):
            self._add(tracks, video, format)
            self._packets = self._demuxed()
        self._next: Coming | None = None

    @property
    def skipped(self) -> int:
        """How many damaged packets were left out."""
        return self._skipped

    @property
    def untimed(self) -> int:
        """How many packets before the first time stamp were left out."""
        return self._order.untimed

    def until(self, seconds: Fraction | None) -> None:
        """Mux what belongs before `seconds`; everything when None. Raises `BadInput` where the source is damaged."""
        while (one := self._peeked()) is not None:
            if seconds is not None and _start_seconds(one.packet) > seconds:
                return
            self._next = None
            self._put(one.packet, damaged=one.damaged)
        if seconds is None:
            for silence in self._silences.values():
                self._target.mux(silence.rest())

    def _peeked(self) -> Coming | None:
        """Return the next packet, None where there is none: of a stream there may be one later."""
        if self._next is None:
            with translated(self._info.source):
                self._next = next(self._packets, None)
        return self._next

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()

    def _add(self, tracks: list[Track], video: Video, format: str) -> None:
        by_index = {track.index: track for track in tracks}
        for stream in self._source.streams:
            track = by_index.get(stream.index)
            if track is None and together(self._info):
                continue
            if track is None:
                stream.discard = Discard.all
            elif track.kind == "audio" and video.audio == "mute":
                self._silences[stream.index] = _Silence(cast("AudioStream", stream), self._target, format)
            else:
                copy = self._target.add_stream_from_template(stream)
                copy.disposition = stream.disposition
                _keep_language(stream, copy)
                self._streams[stream.index] = copy

    def _demuxed(self) -> Iterator[Coming]:
        return along(self._info, self._source, {*self._streams, *self._silences})

    def _put(self, packet: "Packet[Any]", *, damaged: bool) -> None:
        index = packet.stream.index
        if packet.has_sidedata("encryption_info"):
            raise BadInput(f"cannot read {self._info.source}: its sound is encrypted; decrypt it first")
        if damaged:
            if not self._info.cover_damage:
                raise BadInput(
                    f"cannot read {self._info.source}: its {packet.stream.type} is damaged at "
                    f"{float(_start_seconds(packet)):.3f} s; copy the file again, or drop it"
                )
            self._skipped += 1
            return
        if not self._order.put_right(packet):
            return
        move(packet, self.ahead)
        if index in self._silences:
            self._target.mux(self._silences[index].reach(packet))
            return
        if packet.size == len(_PAUSE) and bytes(packet) == _PAUSE and self._streams[index].name == "mov_text":
            return  # the muxer fills the gaps between lines itself
        packet.stream = self._streams[index]
        self._target.mux(packet)


def _start_seconds(packet: "Packet[Any]") -> Fraction:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return Fraction(0) if stamp is None else stamp * fraction(packet.time_base)


def _keep_language(source: "Stream", copy: "Stream") -> None:
    copy.metadata.clear()
    if source.language:
        copy.metadata["language"] = source.language


class _Silence:
    """One track of silence, as long as the sound it stands for."""

    def __init__(self, source: AudioStream, target: "OutputContainer", format: str) -> None:
        context = source.codec_context
        name = _encoder(context.codec.canonical_name, format)
        rates = Codec(name, "w").audio_rates
        rate = context.sample_rate if not rates or context.sample_rate in rates else 48_000
        self._stream = cast("AudioStream", target.add_stream(name, rate=rate))
        self._stream.codec_context.layout = context.layout.name if context.layout.nb_channels <= 2 else "stereo"
        self._rate, self._done = rate, None if source.start_time is None else 0
        self._base = Fraction(1, rate)
        self._stream.codec_context.time_base = self._base
        _keep_language(source, self._stream)

    def reach(self, packet: "Packet[Any]") -> "list[Packet[Any]]":
        """Return silence up to the end of a packet of the sound."""
        if packet.pts is None:
            return []
        start = round(packet.pts * fraction(packet.time_base) / self._base)
        end = round((packet.pts + (packet.duration or 0)) * fraction(packet.time_base) / self._base)
        if not self._done:
            self._done = max(start, 0)
        made: list[Packet[Any]] = []
        while self._done < end:
            count = min(end - self._done, self._stream.codec_context.frame_size or _SILENCE_SAMPLES)
            made += self._stream.encode(self._frame(count))
            self._done += count
        return made

    def rest(self) -> "list[Packet[Any]]":
        """Return what the encoder still holds."""
        return self._stream.encode(None) if self._done else []

    def _frame(self, count: int) -> AudioFrame:
        context = self._stream.codec_context
        frame = av.AudioFrame(context.format.name, context.layout.name, count)
        for plane in frame.planes:
            # Unsigned samples of 8 bits are silent in the middle.
            plane.update((b"\x80" if context.format.name.startswith("u8") else b"\0") * plane.buffer_size)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._done, self._base
        return frame


def _encoder(codec: str, format: str) -> str:
    usual = {"opus": "libopus", "vorbis": "libvorbis", "mp3": "libmp3lame"}.get(codec, codec)
    for name in (usual, _FALLBACKS.get(format, "aac")):
        if (codec in held(format) or name in held(format)) and _exists(name):
            return name
    raise BadPlan(f"video.audio is mute; {format} can hold no silence that velum can make, set it to drop")


def _exists(name: str) -> bool:
    try:
        return Codec(name, "w").type == "audio"
    except ValueError:
        return False
