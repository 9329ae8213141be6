"""One report from those of all spans of a video."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from velum.engine.stages import OnRegions
from velum.errors import BadInput
from velum.media import Segment
from velum.region import Region
from velum.report import Report, TrackSummary

Key = tuple[int, str, int | None, str]


def numbered(tracks: Sequence[TrackSummary], span: Segment) -> tuple[TrackSummary, ...]:
    """Return what was followed in one span, with numbers that no other span has."""
    return tuple(replace(one, track=_number(one.track, span)) for one in tracks)


def numbering(on_regions: OnRegions, span: Segment) -> OnRegions:
    """Return what tells of the regions of one span with the numbers that `numbered` gives to their tracks."""

    def numbered_tell(frame: int, regions: tuple[Region, ...]) -> None:
        on_regions(frame, tuple(replace(one, track=_number(one.track, span)) for one in regions))

    return numbered_tell


def _number(track: int | None, span: Segment) -> int | None:
    return None if track is None else track * span.count + span.index


def summed(reports: Sequence[Report]) -> Report:
    """Return the sum of the reports of all spans, in their order. Raises `BadInput` when they are not of one result."""
    if len({(one.plan, one.input_sha256, one.width, one.height, one.format) for one in reports}) != 1:
        raise BadInput("the reports are not of spans of one video, hidden by one plan; make the spans again")
    tracks = _merged(reports)
    seconds: Counter[str] = Counter()
    for one in reports:
        seconds.update(one.seconds)
    models = {tuple(sorted(model.items())): model for one in reports for model in one.models}
    warnings = dict.fromkeys(warning for one in reports for warning in one.warnings)
    return replace(
        reports[0], frames=sum(one.frames for one in reports), tracks=tracks, models=tuple(models.values()),
        seconds=dict(seconds), warnings=tuple(warnings),
    )  # fmt: skip


def _merged(reports: Sequence[Report]) -> tuple[TrackSummary, ...]:
    """Return the tracks, those of the same number as one: numbers that were given go on in the next span."""
    found: dict[Key, TrackSummary] = {}
    for one in _all(reports):
        key = one.rule, one.label, one.track, one.technique
        found[key] = _together(found[key], one) if key in found else one
    return tuple(found.values())


def _all(reports: Sequence[Report]) -> Iterator[TrackSummary]:
    for report in reports:
        yield from report.tracks


def _together(before: TrackSummary, after: TrackSummary) -> TrackSummary:
    return replace(
        before,
        last_frame=after.last_frame,
        frames=before.frames + after.frames,
        found=dict(Counter(before.found) + Counter(after.found)),
        best_score=max(before.best_score, after.best_score),
        largest_side=max(before.largest_side or 0, after.largest_side or 0) or None,
    )
