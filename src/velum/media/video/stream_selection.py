"""Chooses which audio and subtitle tracks of a source go into a result, and names those that are left out."""

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import av
from av.audio.stream import AudioStream

from velum.errors import BadPlan
from velum.media.formats import VIDEO_SUFFIXES
from velum.media.sound.speech import require_detector, threshold_for
from velum.media.sources import LiveSource
from velum.media.video.containers import CONTAINERS, Container, container_for_codecs, open_muxer, supported_codecs
from velum.media.video.file_input import SideStreams
from velum.media.video.info import SideStream, VideoInfo, VideoSource
from velum.media.video.probe import to_fraction
from velum.media.video.side_streams import BITMAP_SUBTITLES, tracks_with_places
from velum.plan import Plan, Video

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_TRIED_PACKETS = 24
"""Packets of a track that are written on trial; some containers refuse a codec only when they see packets."""

_UNIVERSAL_CODECS = frozenset({"aac", "ac3", "eac3", "mp2", "mp3"})
"""Codecs that every container can hold that claims to."""

_BROKEN_CODECS = frozenset({"tta"})
"""Codecs that are damaged by copying, because their header states the length of the file."""

_BLOCK_CODECS = ("adpcm_ima", "adpcm_ms", "adpcm_swf", "adpcm_yamaha", "wma")
"""Prefixes of codecs whose time AVI counts in blocks."""

_SUGGESTED = ("MKV", "MOV", "MP4", "AVI", "TS")
_AUDIO_WARNING = "audio is kept as it was: voices and names can identify people"
VOICE_WARNING = "words are muted, and all other sound is kept as it was: voices can identify people"
_SUBTITLE_WARNING = "subtitles are kept as they were: names in them can identify people"


@dataclass(frozen=True, slots=True)
class TrackChoice:
    """The tracks that go into a result, and warnings about those that do not."""

    tracks: tuple[SideStream, ...]
    notes: tuple[str, ...] = ()
    bit_rates: dict[int, int | None] = field(default_factory=dict)
    """By track index: measured bits per second, where the header may state others; AVI computes times from it."""
    copyable: frozenset[int] = frozenset()
    """Tracks to mute spans of whose packets the result can hold; they are copied where there is none."""

    def warnings(self, video: Video) -> list[str]:
        """Return warnings about the tracks: those left out, and content that can identify people."""
        kinds = {track.kind for track in self.tracks}
        with_sound = "audio" in kinds and video.audio == "copy"
        return [
            *self.notes,
            *([VOICE_WARNING if video.mute else _AUDIO_WARNING] if with_sound else []),
            *([_SUBTITLE_WARNING] if "subtitle" in kinds else []),
        ]

    def tracks_to_search(self, video: Video) -> frozenset[int]:
        """Return the tracks of which spans are muted, with those of which none is."""
        is_searched = video.mutes_spans
        return frozenset(track.index for track in self.tracks if is_searched and track.kind == "audio")

    def container_for(self, video: Video, format: str, *, sent: bool = False) -> Container:
        """Return the container settings for a file with these tracks; with `sent`, for a forward-only target."""
        copied = {
            track.codec or ""
            for track in self.tracks
            if track.kind != "audio" or _is_copied(video) or track.index in self.copyable
        }
        return container_for_codecs(format, copied, sent=sent) or CONTAINERS[format]


def choose_tracks(source: VideoSource, video: Video, format: str, *, sent: bool = False) -> TrackChoice:
    """Choose the audio and subtitle tracks for a result; with `sent`, for a forward-only target.

    A track is left out when its codec is unknown, or when velum cannot write it even into the source's own container
    format. Raises `BadPlan` when another container format could hold a track that this one cannot.
    """
    info = source.info
    wanted = [track for track in info.tracks if _is_wanted(track, video)]
    silenced = not _is_copied(video)
    subtitles = [track for track in info.tracks if track.kind == "subtitle"] if video.mute else []
    notes = [f"{_describe_track(track)} was left out: it may say the words that are muted" for track in subtitles]
    readable = [track for track in wanted if track.codec is not None]
    notes += [f"{_describe_track(track)} was left out: its codec is unknown" for track in wanted if track.codec is None]
    copied = [track for track in readable if not (track.kind == "audio" and silenced)]
    trial = _Trial(source, copied)
    refused = [track for track in copied if not trial.holds(track, format, sent=sent)]
    if refused:
        other = _find_other_suffix(trial, copied, info, format) if format != info.format else None
        if other is not None:
            raise _unsupported_track_error(info, refused[0], format, other)
        notes += [f"{_describe_track(track)} was left out: {format} cannot hold {track.codec}" for track in refused]
    tracks = tuple(track for track in readable if track not in refused)
    rates = {track.index: trial.bit_rate(track) for track in tracks} if format == "AVI" else {}
    searched = TrackChoice(tracks).tracks_to_search(video)
    if searched and threshold_for(video.audio) is not None:
        require_detector()
    held = frozenset(
        track.index for track in tracks if track.index in searched and trial.holds(track, format, sent=sent)
    )
    return TrackChoice(tracks, tuple(notes), rates, held)


def drop_tracks_with_places(choice: TrackChoice, source: VideoSource, plan: Plan) -> TrackChoice:
    """Return the choice without text tracks that hold coordinates, unless the plan keeps `gps`.

    Tracks of a live stream are checked while they are written.
    """
    texts = frozenset(
        track.index for track in choice.tracks if track.kind == "subtitle" and track.codec not in BITMAP_SUBTITLES
    )
    if not texts or "gps" in plan.metadata or isinstance(source.info.source, LiveSource):
        return choice
    places = tracks_with_places(source.file, source.limits, texts)
    dropped = [track for track in choice.tracks if track.index in places]
    notes = tuple(place_note(track, places[track.index]) for track in dropped)
    return TrackChoice(
        tuple(track for track in choice.tracks if track not in dropped), (*choice.notes, *notes),
        choice.bit_rates, choice.copyable,
    )  # fmt: skip


def place_note(track: SideStream, place: str) -> str:
    """Return the warning that a text track is left out for its coordinates; `place` is empty where it is too long."""
    if not place:
        return f"{_describe_track(track)} was left out: it is too long to search for coordinates; --keep gps keeps it"
    # Not the coordinates themselves: reports are passed on.
    return f"{_describe_track(track)} was left out: its text holds coordinates; --keep gps keeps it"


def _is_wanted(track: SideStream, video: Video) -> bool:
    return video.audio != "drop" if track.kind == "audio" else video.subtitles == "copy" and video.mute is None


def _is_copied(video: Video) -> bool:
    """Tell whether all packets of audio tracks stay as they are."""
    return video.audio == "copy" and not video.mutes_spans


def _describe_track(track: SideStream) -> str:
    return f"{track.kind} track {track.index}{f' ({track.codec})' if track.codec else ''}"


def _unsupported_track_error(info: VideoInfo, track: SideStream, format: str, other: str) -> BadPlan:
    setting = "audio" if track.kind == "audio" else "subtitles"
    return BadPlan(
        f"{format} cannot hold the {track.kind} of {info.source.name} ({track.codec}); choose another suffix, such as "
        f"{other}, or set video.{setting} to drop"
    )


def _find_other_suffix(trial: "_Trial", tracks: Sequence[SideStream], info: VideoInfo, format: str) -> str | None:
    """Return a suffix whose container can hold all these tracks; None where no container can."""
    if isinstance(info.source, LiveSource):
        return None
    for other in dict.fromkeys((info.format, *_SUGGESTED)):
        if other != format and other in CONTAINERS and all(trial.holds(track, other) for track in tracks):
            own = info.source.suffix.lower()
            if VIDEO_SUFFIXES.get(own) == other:
                return own
            return next(suffix for suffix, kind in VIDEO_SUFFIXES.items() if kind == other)
    return None


class _Trial:
    """Writes the first packets of tracks into containers on trial, because muxers claim more than they can hold."""

    def __init__(self, video: VideoSource, tracks: Sequence[SideStream]) -> None:
        self._video, self._tracks = video, tracks
        self._known: dict[tuple[int, str], bool] = {}

    def holds(self, track: SideStream, format: str, *, sent: bool = False) -> bool:
        """Tell whether a container format can hold a track."""
        codec = track.codec or ""
        if codec in _UNIVERSAL_CODECS and codec in supported_codecs(format):
            return True
        if codec in _BROKEN_CODECS or (sent and codec not in supported_codecs(format)):
            return False
        key = track.index, format
        if key not in self._known:
            self._known[key] = self._try_writing(track, format)
        return self._known[key]

    def bit_rate(self, track: SideStream) -> int | None:
        """Return the bits per second of a track's first packets; None where AVI does not need it, or it is unknown."""
        if not (track.codec or "").startswith(_BLOCK_CODECS) or isinstance(self._video.info.source, LiveSource):
            return None
        with closing(self._video.file.open_side_streams(self._video.limits)) as source:
            stream = next(candidate for candidate in source.streams if candidate.index == track.index)
            return _bit_rate(list(self._first(source, stream)))

    def _try_writing(self, track: SideStream, format: str) -> bool:
        kind = container_for_codecs(format, {track.codec or ""})
        if kind is None:
            return False
        options = {name: value for name, value in kind.options if name != "movflags"}  # those need a seekable file
        try:
            with (
                closing(self._video.file.open_side_streams(self._video.limits)) as source,
                TemporaryDirectory() as folder,
            ):
                stream = next(candidate for candidate in source.streams if candidate.index == track.index)
                rate = self.bit_rate(track) if format == "AVI" else None
                place = str(Path(folder, "trial")) if kind.skip_codec_check else io.BytesIO()
                with open_muxer(place, kind, options) as target:
                    copy = add_copy(target, stream, rate)
                    target.start_encoding()
                    for packet in self._first(source, stream):
                        packet.stream = copy
                        target.mux(packet)
        except (av.FFmpegError, OSError, ValueError):
            return False
        return True

    def _first(self, source: SideStreams, stream: "Stream") -> "Iterator[Packet[Any]]":
        """Yield the first packets of a track; none of a live stream, which cannot be read twice."""
        if isinstance(self._video.info.source, LiveSource):
            return
        packets = (packet for packet in source.demux(stream) if packet.size and packet.dts is not None)
        yield from islice(packets, _TRIED_PACKETS)


def _bit_rate(packets: "Sequence[Packet[Any]]") -> int | None:
    """Return the bits per second of consecutive packets, rounded up; None where their times do not tell it."""
    if len(packets) < 2:
        return None
    first, last = packets[0], packets[-1]
    seconds = ((last.dts or 0) - (first.dts or 0)) * to_fraction(first.time_base)
    return ceil(8 * sum(packet.size for packet in packets[:-1]) / seconds) if seconds > 0 else None


def add_copy(target: "OutputContainer", stream: "Stream", bit_rate: int | None) -> "Stream":
    """Add a stream to `target` for copied packets of `stream`; of its metadata, only the language is kept."""
    copy: Stream = target.add_stream_from_template(stream)
    copy.disposition = stream.disposition
    copy.metadata.clear()
    if stream.language:
        copy.metadata["language"] = stream.language
    if isinstance(copy, AudioStream) and isinstance(stream, AudioStream):
        context = copy.codec_context
        if context.codec.canonical_name.startswith("pcm_"):
            context.layout = plain_layout(stream)  # MP4 stores the position of each channel
        elif bit_rate:
            # AVI counts time in blocks of so many bits; some recorders state a wrong rate.
            context.bit_rate = bit_rate
    return copy


def plain_layout(stream: AudioStream) -> str:
    """Return the name of a channel layout: mono or stereo for one or two channels, even where the source has none."""
    layout = stream.codec_context.layout
    return {1: "mono", 2: "stereo"}.get(layout.nb_channels, layout.name)
