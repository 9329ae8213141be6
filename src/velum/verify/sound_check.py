"""The check of the audio tracks of a finished file: silent ones are silent, and speech that was to be muted is gone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from velum import media
from velum.engine.spoken_words import find_words
from velum.errors import BadPlan
from velum.limits import Limits
from velum.locate.spoken import SpokenRule
from velum.media.sound.hearing import CHANGED_WARNING, hear_tracks, loudness_in, place_words
from velum.media.sound.sound_file import open_sound
from velum.media.sound.speech import CERTAIN_THRESHOLD, Span, shrink_spans
from velum.media.sound.transcript import read_transcript
from velum.media.video.info import TrackSource, VideoSource
from velum.plan import Plan
from velum.verify.result import CheckResult, Leak

SILENCE_LEVEL = 1e-3
"""Swing of samples up to which a muted span is silent, as a share of full scale (-60 dBFS): the noise of encoders."""

EDGE_SECONDS = 0.1
"""Seconds at the ends of muted spans that are not measured: encoders smear loud sound into them."""

WHOLE: Span = (-1e12, 1e12)
"""A span around everything."""

WORDS_UNKNOWN = "it is not verified that words are muted; give the redacted transcript (--transcript)"
OTHER_TRACKS = "its audio tracks are not those of its source, so that muted spans were not compared with the source"


def speech_leaks(after: media.Reader, before: media.Reader | None, plan: Plan) -> tuple[list[Leak], list[str]]:
    """Return the leaks of a video in which the plan mutes speech, and notes; both readers have read all frames.

    Raises `Unavailable` without the detector of speech, and `BadInput` for audio that cannot be decoded.
    """
    if plan.video.audio != "speech-mute" or isinstance(after.info, media.ImageInfo):
        return [], []
    video = media.video_of(after)
    source = None if before is None or isinstance(before.info, media.ImageInfo) else media.video_of(before)
    return _track_leaks(video, _origin(video), source, 0.0 if source is None else _origin(source))


def transcript_leaks(path: Path | None, source: TrackSource, plan: Plan, limits: Limits) -> list[Leak]:
    """Return the leaks of a redacted transcript: what the plan mutes is in it, or sound is where its marks are.

    Raises `BadPlan` for a plan that mutes no words, and `BadInput` for a transcript that cannot be read.
    """
    if path is None:
        return []
    if plan.video.mute is None:
        raise BadPlan("the plan mutes no words, so --transcript cannot be checked; add --mute 'phone|card'")
    transcript = read_transcript(path, limits)
    found = Counter(kind for some in find_words(transcript, SpokenRule.of(plan.video.mute)) for _, _, kind in some)
    leaks = [
        Leak("transcript", f"the transcript still has {count} of the kind {kind}") for kind, count in found.items()
    ]
    tracks = _audio_tracks(source) if plan.video.mutes_spans else []
    heard = hear_tracks(source, tracks, source.info.format, threshold=None)
    spans = {
        index: place_words(track, [(a, b) for a, b in transcript.spans_of_marks() if a < b])
        for index, track in heard.items()
    }
    return leaks + _loud(source, spans, "is not silent where the transcript says that words are muted")


def sound_file_leaks(
    file: Path, format: str, plan: Plan, source: Path | None, limits: Limits, transcript: Path | None = None
) -> CheckResult:  # fmt: skip
    """Return the result of the check of a sound file: its tags, covers and other streams, and its sound.

    Speech is a leak also where the plan says nothing about sound, but for one that mutes words. Raises as
    `speech_leaks` and `transcript_leaks` do.
    """
    with ExitStack() as stack:
        after = stack.enter_context(open_sound(file, format, limits))
        leaks = [Leak("rest", f"the file still contains {what}") for what in after.info.extras]
        leaks += [Leak(kind, f"the file still contains {what}") for kind, what in after.info.tags]
        before = None
        if source is not None:
            if (its_format := media.sound_format_of(source)) is None:
                raise BadPlan(f"{source} is no sound file, and {file} is one; give the source of {file}")
            before = stack.enter_context(open_sound(source, its_format, limits))
        if plan.video.audio == "silence":
            whole: dict[int, list[Span]] = {index: [WHOLE] for index in _audio_tracks(after)}
            found, notes = _loud(after, whole, "should be silent but is not", but_tone=False), list[str]()
        elif plan.video.audio == "voice":
            found, notes = [], [CHANGED_WARNING]
        elif plan.video.audio == "copy" and plan.video.mute is not None:
            found, notes = [], [] if transcript else [WORDS_UNKNOWN]
        else:
            found, notes = _track_leaks(after, 0.0, before, 0.0)
        leaks += transcript_leaks(transcript, after, plan, limits)
        return CheckResult(file.name, after.file.sha256, 0, (*leaks, *found), notes=tuple(notes))


def _track_leaks(
    after: TrackSource, after_origin: float, before: TrackSource | None, before_origin: float
) -> tuple[list[Leak], list[str]]:
    """Return the leaks of the audio tracks, and notes; the origins are the times of the first frames in seconds."""
    tracks = _audio_tracks(after)
    heard = hear_tracks(after, tracks, after.info.format, threshold=CERTAIN_THRESHOLD)
    leaks = [
        Leak("audio", f"speech is heard in stream {index} from {start:.2f} to {end:.2f} s", seconds=max(start, 0.0))
        for index, track in heard.items()
        for start, end in _shift_spans(track.spans, -after_origin)
    ]
    if before is None:
        return leaks, []
    if len(_audio_tracks(before)) != len(tracks):
        return leaks, [OTHER_TRACKS] if tracks else []
    expected = hear_tracks(before, _audio_tracks(before), before.info.format)
    shift = after_origin - before_origin
    spans = {
        index: shrink_spans(_shift_spans(track.spans, shift), EDGE_SECONDS)
        for index, track in zip(tracks, expected.values(), strict=True)
    }
    return leaks + _loud(after, spans, "is not silent where its source has speech"), []


def _loud(source: TrackSource, spans: Mapping[int, Sequence[Span]], what: str, *, but_tone: bool = True) -> list[Leak]:
    return [
        Leak("audio", f"stream {index} {what} ({100 * loudness:.2f} % of full scale)")
        for index, loudness in loudness_in(source, spans, but_tone=but_tone).items()
        if loudness > SILENCE_LEVEL
    ]


def _audio_tracks(source: TrackSource) -> list[int]:
    return [track.index for track in source.info.tracks if track.kind == "audio" and track.codec is not None]


def _shift_spans(spans: tuple[Span, ...], seconds: float) -> list[Span]:
    return [(start + seconds, end + seconds) for start, end in spans]


def _origin(video: VideoSource) -> float:
    """Return the time of the first frame in seconds."""
    return float(video.state.origin * video.info.coding.time_base)
