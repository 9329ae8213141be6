"""The check of the audio tracks of a finished file: silent ones are silent, and speech that was to be muted is gone."""

from velum import media
from velum.media.sound.hearing import hear_tracks, loudness_in
from velum.media.sound.speech import CERTAIN_THRESHOLD, Span, shrink_spans
from velum.media.video.info import VideoSource
from velum.plan import Plan
from velum.verify.result import Leak

SILENCE_LEVEL = 1e-3
"""Swing of samples up to which a muted span is silent, as a share of full scale (-60 dBFS): the noise of encoders."""

EDGE_SECONDS = 0.1
"""Seconds at the ends of muted spans that are not measured: encoders smear loud sound into them."""

OTHER_TRACKS = "its audio tracks are not those of its source, so that muted spans were not compared with the source"


def speech_leaks(after: media.Reader, before: media.Reader | None, plan: Plan) -> tuple[list[Leak], list[str]]:
    """Return the leaks of a video in which the plan mutes speech, and notes; both readers have read all frames.

    Raises `Unavailable` without the detector of speech, and `BadInput` for audio that cannot be decoded.
    """
    if plan.video.audio != "speech-mute" or isinstance(after.info, media.ImageInfo):
        return [], []
    video = media.video_of(after)
    tracks = _audio_tracks(video)
    heard = hear_tracks(video, tracks, video.info.format, threshold=CERTAIN_THRESHOLD)
    leaks = [
        Leak("audio", f"speech is heard in stream {index} from {start:.2f} to {end:.2f} s", seconds=max(start, 0.0))
        for index, track in heard.items()
        for start, end in _shift_spans(track.spans, -_origin(video))
    ]
    if before is None or isinstance(before.info, media.ImageInfo):
        return leaks, []
    source = media.video_of(before)
    if len(_audio_tracks(source)) != len(tracks):
        return leaks, [OTHER_TRACKS] if tracks else []
    expected = hear_tracks(source, _audio_tracks(source), video.info.format)
    shift = _origin(video) - _origin(source)
    spans = {
        index: shrink_spans(_shift_spans(track.spans, shift), EDGE_SECONDS)
        for index, track in zip(tracks, expected.values(), strict=True)
    }
    return leaks + _loud(video, spans), []


def _loud(video: VideoSource, spans: dict[int, list[Span]]) -> list[Leak]:
    return [
        Leak(
            "audio", f"stream {index} is not silent where its source has speech ({100 * loudness:.2f} % of full scale)"
        )
        for index, loudness in loudness_in(video, spans).items()
        if loudness > SILENCE_LEVEL
    ]


def _audio_tracks(video: VideoSource) -> list[int]:
    return [track.index for track in video.info.tracks if track.kind == "audio" and track.codec is not None]


def _shift_spans(spans: tuple[Span, ...], seconds: float) -> list[Span]:
    return [(start + seconds, end + seconds) for start, end in spans]


def _origin(video: VideoSource) -> float:
    """Return the time of the first frame in seconds."""
    return float(video.state.origin * video.info.coding.time_base)
