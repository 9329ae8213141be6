"""Segments of a video that are hidden on their own, on any machine: their frames, track ids, reports and reuse."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from velum import __version__, media
from velum.engine.stages import NOTHING_FOUND, OnRegions, RunStats
from velum.engine.tracking import TrackingWindow
from velum.errors import BadInput, OutputFailed, Unavailable
from velum.plan import Plan
from velum.region import Region
from velum.report import Report, TrackSummary
from velum.track.float_boxes import FloatBox, edges_of

LEAST_OWN = 5
"""Least length of a segment, as a multiple of its overlap on one side."""

RenderedSegment = tuple[Mapping[str, Any], Path]
"""A segment's report as JSON values, and its region file: one line of JSON for each of its frames."""

TrackIds = Mapping[int, int]
"""Maps a segment's track id to the id of the same object in the segments before. Ids that stay are left out."""

_Digests = Mapping[int, bytes]
"""Digest of the regions by frame index. The regions of a long video would take hundreds of megabytes."""

_NO_REGIONS = b""


def why_not_split(plan: Plan) -> str:
    """Return why a plan is for whole files only; empty when it is not."""
    if plan.video.mute:
        return "words are muted by the transcript of the whole file"
    if plan.verify:
        return "verify looks at the finished file"
    if plan.people:
        return "people are decided over the whole file"
    return "two_pass and smart look at the whole file" if plan.video.two_pass or plan.video.smart else ""


def split(
    reader: media.Reader, format: str, plan: Plan, *, seconds: float, given: bool
) -> tuple[media.Segment, ...] | str:  # fmt: skip
    """Split an opened video into segments of about `seconds`, or say why it is hidden as a whole.

    Segments overlap by the frames that tracking needs, none with `given` regions, and are longer than `seconds` where
    they would otherwise mostly overlap. Raises as `Reader.frames` does.
    """
    fps = reader.info.fps
    if fps is None or reader.sha256 is None:
        return "it is no video"
    window = None if given else TrackingWindow.of(plan, reader)
    context = 0 if window is None else window.context_frames
    seconds = max(seconds, LEAST_OWN * context / float(fps))
    return media.split_video(reader, format, seconds=seconds, overlap_frames=context)


def concat(
    reader: media.Reader, parts: Sequence[tuple[Path, Report]], target: Path, plan: Plan, stats: RunStats,
    *, overwrite: bool,
) -> Report:  # fmt: skip
    """Write the result of all segments of an opened video, in their order, and return its report.

    Raises `BadInput` when segments are missing, or are of another source or plan, and writes nothing.
    """
    source = reader.info.source
    total = sum_reports([report for _, report in parts])
    if total.input_sha256 != reader.sha256:
        raise BadInput(f"cannot join segments of {source}: it has changed since they were made; make them again")
    if total.plan != plan.digest:
        raise BadInput(f"cannot join segments of {source}: they were made by another plan; make them again")
    with stats.stage("encode"):
        writer = media.join_segments(target, reader, plan, [file for file, _ in parts], overwrite=overwrite)
    warnings = [text for text in (*total.warnings, *writer.warnings) if text != NOTHING_FOUND or not total.tracks]
    seconds = {stage: total.seconds.get(stage, 0.0) + stats.seconds.get(stage, 0.0) for stage in total.seconds}
    return replace(
        total, source=str(source), target=str(target), output_sha256=writer.sha256, encoding=writer.encoding,
        seconds=seconds, warnings=tuple(dict.fromkeys(warnings)), sound=writer.sound,
    )  # fmt: skip


def number_tracks(tracks: Sequence[TrackSummary], segment: media.Segment) -> tuple[TrackSummary, ...]:
    """Return the tracks of a segment with ids that no other segment has."""
    return tuple(replace(track, track=_unique_id(track.track, segment)) for track in tracks)


def number_regions(on_regions: OnRegions, segment: media.Segment) -> OnRegions:
    """Return a callback that passes a segment's regions on with the track ids that `number_tracks` gives."""

    def call_numbered(frame: int, regions: tuple[Region, ...]) -> None:
        on_regions(frame, tuple(replace(region, track=_unique_id(region.track, segment)) for region in regions))

    return call_numbered


def _unique_id(track: int | None, segment: media.Segment) -> int | None:
    return None if track is None else track * segment.count + segment.index


def sum_reports(reports: Sequence[Report]) -> Report:
    """Return the sum of the reports of all segments, in order. Raises `BadInput` when they are of several runs."""
    if len({(report.plan, report.input_sha256, report.width, report.height, report.format) for report in reports}) != 1:
        raise BadInput("the reports are not of segments of one video, hidden by one plan; make the segments again")
    tracks: dict[tuple[int, str, int | None, str], TrackSummary] = {}
    seconds: Counter[str] = Counter()
    for report in reports:
        seconds.update(report.seconds)
        for track in report.tracks:  # ids of given regions go on in the next segment
            key = track.rule, track.label, track.track, track.technique
            tracks[key] = _sum_tracks(tracks[key], track) if key in tracks else track
    models = {tuple(sorted(model.items())): model for report in reports for model in report.models}
    warnings = dict.fromkeys(warning for report in reports for warning in report.warnings)
    return replace(
        reports[0], frames=sum(report.frames for report in reports), tracks=tuple(tracks.values()),
        models=tuple(models.values()), seconds=dict(seconds), warnings=tuple(warnings),
    )  # fmt: skip


def _sum_tracks(before: TrackSummary, after: TrackSummary) -> TrackSummary:
    return replace(
        before,
        last_frame=after.last_frame,
        frames=before.frames + after.frames,
        found=dict(Counter(before.found) + Counter(after.found)),
        best_score=max(before.best_score, after.best_score),
        largest_side=max(before.largest_side or 0, after.largest_side or 0) or None,
    )


def link_tracks(region_files: Sequence[Path]) -> TrackIds:
    """Find the tracks that continue from one segment to the next, in the region files of all segments, in order.

    The last frame of a segment and the first of the next one follow each other: regions of one label that overlap
    there, as from any frame to the next, are the same object.
    """
    ids: dict[int, int] = {}
    before: Sequence[Region] = ()
    for path in region_files:
        first, last = _first_and_last(path)
        for earlier, later in _pair_tracks(before, first):
            ids[later] = ids.get(earlier, earlier)
        before = last
    return ids


def renumber_lines(lines: Iterable[str], ids: TrackIds) -> Iterator[str]:
    """Yield the lines of a region file with one id for each object in all segments."""
    for line in lines:
        if not ids:
            yield line
            continue
        frame = json.loads(line)
        regions = [_renumber(region, ids) for region in frame["regions"]]
        yield json.dumps({**frame, "regions": regions}, ensure_ascii=False)


def renumber_report(report: Mapping[str, Any], ids: TrackIds) -> Mapping[str, Any]:
    """Return a segment's report with one id for each object in all segments."""
    return {**report, "tracks": [_renumber(track, ids) for track in report["tracks"]]}


def _renumber(entry: Mapping[str, Any], ids: TrackIds) -> Mapping[str, Any]:
    track = ids.get(entry.get("track", -1))
    return entry if track is None else {**entry, "track": track}


def _pair_tracks(before: Sequence[Region], after: Sequence[Region]) -> Iterator[tuple[int, int]]:
    """Yield the ids of each object in the last frame of a segment and in the first of the next one."""
    from velum.track.association import pair_overlapping  # noqa: PLC0415 - loaded when it is used

    for label in sorted({region.label for region in before} & {region.label for region in after}):
        (earlier, boxes), (later, other_boxes) = _tracks_of(before, label), _tracks_of(after, label)
        for row, column in pair_overlapping(boxes, other_boxes):
            yield earlier[row], later[column]


def _tracks_of(regions: Sequence[Region], label: str) -> tuple[list[int], list[FloatBox]]:
    """Return the ids and the boxes of the tracked regions of a label."""
    chosen = [
        (region.track, edges_of(region.box)) for region in regions if region.label == label and region.track is not None
    ]
    return [track for track, _ in chosen], [box for _, box in chosen]


def _first_and_last(path: Path) -> tuple[Sequence[Region], Sequence[Region]]:
    """Return the regions of the first and of the last frame in a region file."""
    first = last = ""
    with path.open(encoding="utf-8") as file:
        for line in file:
            first, last = first or line, line
    return _regions_of(first), _regions_of(last)


def _regions_of(line: str) -> Sequence[Region]:
    return [Region.from_json(entry) for entry in json.loads(line)["regions"]] if line else []


def reusable_segments(
    rendered: Sequence[RenderedSegment | None], given: Path, *, detected: bool
) -> list[RenderedSegment | None]:
    """Return the segments of an earlier rendering whose frames have the very regions in the annotation file `given`.

    `rendered` are all segments of a video in their order, None for a missing one, and so is the result, with the track
    ids of `given`. `detected` says that localizers found the earlier regions. Raises `BadInput` for a file that is not
    an annotation file, `Unavailable` for one that cannot be read, and `OutputFailed`.
    """
    present = [segment for segment in rendered if segment is not None]
    if detected and len(present) < len(rendered):
        return [None] * len(rendered)  # the id of a track depends on all segments before
    ids = link_tracks([regions for _, regions in present]) if detected else {}
    digests = _digests(given)
    return [segment and _reuse(segment, digests, ids) for segment in rendered]


def _reuse(segment: RenderedSegment, digests: _Digests, ids: TrackIds) -> RenderedSegment | None:
    """Return the segment with the ids of the given regions; None when it cannot be used."""
    report, path = segment
    lines = list(renumber_lines(path.read_text(encoding="utf-8").splitlines(), ids))
    # Another version may encode differently, so that its segments could not be joined with others.
    if report.get("version") != __version__ or any(
        digests.get(index, _NO_REGIONS) != digest for index, digest in map(_parse_digests, lines)
    ):
        return None
    if not ids:
        return segment
    renumbered = path.with_name(f"{path.name}.renumbered")
    try:
        renumbered.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise OutputFailed(
            f"cannot write the regions of a segment: {error.strerror or error}; check that the disk has room"
        ) from error
    return renumber_report(report, ids), renumbered


def _digests(given: Path) -> _Digests:
    try:
        return dict(_parse_digests(given.read_bytes())["frames"])
    except OSError as error:
        raise Unavailable(f"the annotation file cannot be read: {error.strerror or error}; try again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"the annotation file cannot be read ({type(error).__name__}); put it again") from error


def _parse_digests(text: str | bytes) -> Any:
    """Parse JSON in which each frame with its regions becomes a pair: its index and the digest of the regions.

    All numbers are floats: who writes a file in another language may write 1 for 1.0.
    """
    return json.loads(text, object_hook=_digest_frame, parse_int=float)


def _digest_frame(value: dict[str, Any]) -> Any:
    if value.keys() != {"index", "regions"}:
        return value
    regions = value["regions"]
    text = json.dumps(regions, sort_keys=True).encode()
    return int(value["index"]), hashlib.blake2b(text, digest_size=16).digest() if regions else _NO_REGIONS
