"""Sound files: recognised by content, opened like the audio tracks of a video, and written without speech."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.stream import Disposition

from velum.errors import BadInput, BadPlan, OutputFailed, VelumError
from velum.limits import Limits
from velum.media.formats import SOUND_FORMAT_SUFFIXES, VIDEO_HEAD_BYTES, sound_format_of_head, video_format_of
from velum.media.sound.hearing import HeardTrack, hear_tracks, notes_on, packets_of, report_spans
from velum.media.sound.muted_track import MutedTrack
from velum.media.sound.samples import TrackDecoder, format_of_track
from velum.media.sound.speech import threshold_for
from velum.media.sound.stated_length import stated_seconds, wave_block_bytes
from velum.media.sound.transcript import WordSpans
from velum.media.video.containers import SOUND_CONTAINERS, open_muxer, supported_codecs
from velum.media.video.file_input import FileInput, translate_read_errors
from velum.media.video.info import SideStream
from velum.media.video.packets import start_seconds
from velum.media.video.probe import codec_of, to_fraction
from velum.media.video.side_streams import Kind, metadata_entries
from velum.media.video.stream_selection import VOICE_WARNING, add_copy
from velum.plan import Plan, Video

if TYPE_CHECKING:
    from av.container import OutputContainer
    from numpy.typing import NDArray

_LACK_SECONDS = Fraction(1, 2)
"""By which a file may be shorter than its header states: encoders add a delay of some frames, which is not played."""

_ALL = ((float("-1e12"), float("1e12")),)
_OF_VIDEO = {"MP4": "M4A", "MOV": "M4A", "3GP": "M4A", "MKV": "MKA", "WEBM": "WEBA"}
"""Format of the sound files in containers of videos."""


@dataclass(frozen=True, slots=True)
class SoundInfo:
    """Properties of a sound file."""

    format: str
    source: Path
    tracks: tuple[SideStream, ...]
    extras: tuple[str, ...]
    """What it holds besides sound, such as a cover."""
    tags: tuple[tuple[Kind, str], ...]
    """Kind and description of each tag."""
    short: str | None = None
    """How it is shorter than its structure says, as text; None where it is whole."""


@dataclass(frozen=True, slots=True, eq=False)
class SoundSource:
    """An open sound file."""

    info: SoundInfo
    file: FileInput
    limits: Limits
    cover_damage: bool


@dataclass(frozen=True, slots=True)
class WrittenSound:
    """What was done to a sound file, for the report."""

    tracks: tuple[Mapping[str, Any], ...]
    encoding: str
    warnings: tuple[str, ...]


def sound_format_of(path: Path) -> str | None:
    """Return the format of a sound file by its content; None for all other files, and for one that cannot be read."""
    try:
        with path.open("rb") as opened:
            head = opened.read(VIDEO_HEAD_BYTES)
    except OSError:
        return None
    if sound := sound_format_of_head(head):
        return sound
    if (sound := _OF_VIDEO.get(video_format_of(head) or "")) is None:
        return None
    with suppress(VelumError), closing(FileInput(path, Limits())) as file, file.open(Limits()) as container:
        moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if container.streams.audio and not moving:
            return sound
    return None


@contextmanager
def open_sound(path: Path, format: str, limits: Limits, *, cover_damage: bool = False) -> Iterator[SoundSource]:
    """Open a sound file. Raises `BadInput` for one that is damaged, or has no audio track of a known codec."""
    with closing(FileInput(path, limits, format=format)) as file, file.open(limits) as container:
        with translate_read_errors(path):
            tracks = tuple(
                SideStream(stream.index, "audio", codec_of(stream))
                for stream in container.streams
                if stream.type == "audio"
            )
            others = [stream for stream in container.streams if stream.type != "audio"]
            extras = tuple("a cover" if stream.type == "video" else f"a stream of {stream.type}" for stream in others)
            tags = [*metadata_entries(container.metadata, "the file")]
            tags += [tag for track in container.streams.audio for tag in metadata_entries(track.metadata, "its sound")]
            tags += [("metadata", "chapters, and their names")] if container.chapters() else []
            if container.duration:
                limits.check("seconds", container.duration // 1_000_000, str(path))
        unknown = [track.index for track in tracks if track.codec is None]
        if not tracks or unknown:
            what = f"the codec of its track {unknown[0]} is unknown" if unknown else "it holds no sound"
            raise BadInput(f"cannot read {path}: {what}; convert it first")
        yield SoundSource(
            SoundInfo(format, path, tracks, extras, tuple(tags), file.find_truncation()), file, limits, cover_damage
        )


def refuse_sound_target(source: Path, target: Path, format: str, plan: Plan) -> None:
    """Raise `BadPlan` where the plan says nothing about the sound of a sound file, or another suffix is named."""
    audio = plan.video.audio
    if audio == "drop" or (audio == "copy" and plan.video.mute is None):
        reason = "as it is" if audio == "copy" else "without its sound, which is all it has"
        raise BadPlan(
            f"{source} is a sound file, and the plan would write it {reason}; choose --audio speech-mute to mute "
            f"speech and keep other sound, --audio voice to change voices, or --audio silence"
        )
    if target.suffix.lower() not in SOUND_FORMAT_SUFFIXES[format]:
        allowed = ", ".join(SOUND_FORMAT_SUFFIXES[format])
        raise BadPlan(f"cannot write {source} as {target.name}: its format stays; allowed are {allowed}")


def write_sound(source: SoundSource, part: Path, plan: Plan, words: WordSpans | None = None) -> WrittenSound:
    """Write a sound file without speech, without `words`, or silent, as the plan says.

    Raises `BadInput` for one that cannot be decoded, `OutputFailed` for one that cannot be written.
    """
    indices = [track.index for track in source.info.tracks]
    is_silent = plan.video.audio == "silence"
    silent = {index: HeardTrack(_ALL, 0, 0) for index in indices}
    threshold = threshold_for(plan.video.audio)
    heard = silent if is_silent else hear_tracks(
        source, indices, source.info.format, threshold=threshold, words=words
    )  # fmt: skip
    kind = SOUND_CONTAINERS[source.info.format]
    try:
        with open_muxer(str(part), kind, dict(kind.options) | {"fflags": "+bitexact"}) as target:
            tracks, reached = _write_tracks(source, target, heard, plan.video)
    except VelumError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputFailed(f"cannot write {part}: {reason}; nothing was published") from error
    if not part.stat().st_size or (not reached and not SOUND_CONTAINERS[source.info.format].stores_pts):
        raise BadInput(f"cannot read {source.info.source}: it has no samples; copy the file again")
    notes = [track.note for track in tracks.values() if track.note]
    notes += [f"left out: {what}" for what in source.info.extras]
    notes += notes_on(heard, plan.video, words)
    notes += [VOICE_WARNING] if plan.video.audio == "copy" else []
    if short := source.info.short or _find_lack(source, reached):
        notes.append(f"the file is truncated: {short}; the result ends there, too; copy the file again")
    done = "changed" if plan.video.audio == "voice" else "muted"
    told: tuple[dict[str, Any], ...] = tuple(
        {"stream": index, "action": "mute" if plan.video.audio == "copy" else plan.video.audio}
        | ({} if is_silent else {done: report_spans(track.spans, track.first)})
        for index, track in heard.items()
    )
    return WrittenSound(told, "re-encoded" if tracks else "copied", tuple(notes))


def _find_lack(source: SoundSource, reached: Fraction) -> str | None:
    """Return how a file that ends at that time has less sound than its header states, as text; None otherwise."""
    stated = stated_seconds(source.file.bytes, source.info.format)
    if stated is None or reached + _LACK_SECONDS > stated:
        return None
    return f"it has {float(reached):.2f} s of sound of {float(stated):.2f} s"


def mono_samples(path: Path, limits: Limits, rate: int) -> "NDArray[np.float32]":
    """Return the first track of a sound file, mixed to one channel, at `rate` samples a second.

    Raises `BadInput` for a file that is none, or cannot be decoded.
    """
    if (kind := sound_format_of(path)) is None:
        raise BadInput(f"{path} is no sound file")
    with open_sound(path, kind, limits) as source, closing(source.file.open_side_streams(limits)) as demuxer:
        index = source.info.tracks[0].index
        stream = cast("AudioStream", next(stream for stream in demuxer.streams if stream.index == index))
        made = format_of_track(stream, format="fltp", rate=rate)
        decoder = TrackDecoder(stream, path, made, limits, cover_damage=False)
        with translate_read_errors(path):
            packets = [*packets_of(source, demuxer, [index], kind), None]
            blocks = [block.samples.mean(axis=0) for packet in packets for block in decoder.decode(packet)]
        return np.concatenate([np.zeros(0, np.float32), *blocks]).astype(np.float32)


def _write_tracks(
    source: SoundSource, target: "OutputContainer", heard: Mapping[int, HeardTrack], video: Video
) -> tuple[dict[int, MutedTrack], Fraction]:
    """Write all tracks; return those that were encoded again, and where the last packet ends, in seconds."""
    info, demuxer = source.info, source.file.open_side_streams(source.limits)
    codecs = {track.index: track.codec or "" for track in info.tracks}
    block_bytes = wave_block_bytes(source.file.bytes, source.file.size) if info.format == "WAV" else 0
    encoded: dict[int, MutedTrack] = {}
    copied, reached = {}, Fraction(0)
    with closing(demuxer):
        for stream in demuxer.streams:
            if (track := heard.get(stream.index)) is None:
                continue
            if track.is_plain and codecs[stream.index] in supported_codecs(info.format):
                copied[stream.index] = add_copy(target, stream, None)
                continue
            to_zero = not SOUND_CONTAINERS[info.format].stores_pts
            values = cast("AudioStream", stream), target, info.format, source, track
            encoded[stream.index] = MutedTrack(*values, video, to_zero=to_zero, block_bytes=block_bytes)
        for packet in packets_of(source, demuxer, codecs, info.format):
            reached = max(reached, start_seconds(packet) + (packet.duration or 0) * to_fraction(packet.time_base))
            if muted := encoded.get(packet.stream.index):
                packets = list(muted.encode(packet, Fraction(0)))
            else:
                packet.stream, packets = copied[packet.stream.index], [packet]
            for ready in packets:
                target.mux(ready)
        for muted in encoded.values():
            for ready in muted.encode(None, Fraction(0)):
                target.mux(ready)
    return encoded, reached
