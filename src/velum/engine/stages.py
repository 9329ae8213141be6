"""Stages of the pipeline: functions from iterator to iterator. A stage knows no thread, no file and no request."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from velum import __version__
from velum.annotations import Annotations
from velum.engine.apply import paint
from velum.engine.prepare import PreparedPlan
from velum.engine.schedule import EVERY_FRAME, Schedule, ScheduledFrame
from velum.errors import PluginFault, VelumError
from velum.frame import Frame
from velum.limits import Limits
from velum.plugins import Localizer, LooksAgain, part_name
from velum.region import Region
from velum.report import HiddenRegion, TrackSummary
from velum.track.template_matcher import Thumbnail

OnRegions = Callable[[int, tuple[Region, ...]], None]
"""Called with the index of each frame, in order, and the regions that its rules name."""

Progress = Callable[[int, int | None], None]
"""Called with the number of frames that are finished, and the number of all frames, None where it is unknown."""

NOTHING_FOUND = "nothing was found to hide; look at the result before you pass it on"

ALL_SHOWN = "nothing is hidden: the plan shows everybody who was found; look at the result before you pass it on"


@dataclass(frozen=True, slots=True, eq=False)
class FrameRegions:
    """A frame with its regions."""

    frame: Frame
    regions: tuple[Sequence[Region] | None, ...]
    """By localizer; None for a localizer that was not run on this frame."""
    exclusions: Sequence[Region] = ()
    """Regions that are never hidden."""
    thumbnail: Thumbnail | None = None
    """Thumbnail of the decoded frame, where one was made."""
    final: bool = False
    """True after tracking and for given regions: then all regions are hidden, whatever their scores."""


@dataclass(slots=True)
class RunStats:
    """Counters of one run, for its report. Regions are listed for images and summed up by track for videos."""

    by_track: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds by stage."""
    frames: int = 0
    hidden: list[HiddenRegion] = field(default_factory=list)
    limits: Limits | None = None
    """Bounds `work`; None for no bound."""
    work: float = 0.0
    """Seconds of work: processor time of the threads that run the stages, and wall-clock time of localizers, which have
    threads of their own."""
    people: Mapping[str, Any] | None = None
    """What was decided about people, where the plan names any."""
    people_warnings: tuple[str, ...] = ()
    _tracks: dict[tuple[int, str, int | None, str], TrackSummary] = field(default_factory=dict)

    @property
    def tracks(self) -> tuple[TrackSummary, ...]:
        """Hidden regions of a video, summed up by track."""
        return tuple(self._tracks.values())

    def count(self, frame: Frame, rule: int, technique: str, region: Region) -> None:
        """Count a region that was hidden."""
        if not self.by_track:
            entry = HiddenRegion(frame.index, region.label, region.box, region.score, region.origin, rule, technique)
            self.hidden.append(replace(entry, masked=region.mask is not None, points=region.points))
            return
        key = rule, region.label, region.track, technique
        before = self._tracks.get(key)
        if before is None:
            before = TrackSummary(region.track, region.label, rule, technique, frame.index, frame.index, 0, {}, 0.0)
        self._tracks[key] = replace(
            before,
            last_frame=frame.index,
            frames=before.frames + 1,
            found={**before.found, region.origin: before.found.get(region.origin, 0) + 1},
            best_score=max(before.best_score, region.score),
            largest_side=max(before.largest_side or 0, min(region.box.width, region.box.height)),
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to the stage of that name.

        Raises `LimitExceeded` at the end of the block when more seconds have been worked than the limits allow.
        """
        start, worked = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self.add(name, seconds)
        self.work += seconds if name == "locate" else time.thread_time() - worked
        if self.limits is not None:
            self.limits.check("work_seconds", math.ceil(self.work), "the processing of the image")

    def add(self, name: str, seconds: float) -> None:
        """Add seconds to the stage of that name."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def report_fields(self, work: PreparedPlan, notes: Sequence[str], given: Annotations | None) -> dict[str, Any]:
        """Return the fields of a `Report` that are the same for every kind of source; `notes` are more warnings."""
        shown = any(decision["result"] == "shown" for decision in (self.people or {}).get("decisions", ()))
        warnings = [] if self.hidden or self.tracks else [ALL_SHOWN if shown else NOTHING_FOUND]
        return {
            "frames": self.frames, "hidden": tuple(self.hidden), "tracks": self.tracks, "plan": work.plan.digest,
            "rules": tuple(str(rule.rule) for rule in work.rules),
            "models": work.models if given is None else given.models,
            "seconds": self.seconds, "warnings": (*warnings, *work.warnings, *self.people_warnings, *notes),
            "people": self.people, "version": __version__,
        }  # fmt: skip


def timed_decode(frames: Iterable[Frame], stats: RunStats) -> Iterator[Frame]:
    """Pass the frames on, counted and with the time of their decoding."""
    frames = iter(frames)
    while True:
        with stats.stage("decode"):
            frame = next(frames, None)
        if frame is None:
            return
        stats.frames += 1
        yield frame
        del frame  # or its buffers would be held while the next one is decoded


def locate_or_use(
    regions: Annotations | None, frames: Iterable[Frame], work: PreparedPlan, limits: Limits, stats: RunStats,
    schedule: Schedule, *, batch: int,
) -> Iterator[FrameRegions]:  # fmt: skip
    """Yield the frames with the regions that are given, or else with those that localizers find in each.

    Localizers get `batch` frames of a video at a time.
    """
    if regions is not None:
        return use_annotations(frames, work, regions, limits)
    return locate(frames, work, limits, stats, schedule, batch=batch if stats.by_track else 1)


def locate(
    frames: Iterable[Frame], work: PreparedPlan, limits: Limits, stats: RunStats, schedule: Schedule = EVERY_FRAME,
    *, batch: int = 1,
) -> Iterator[FrameRegions]:  # fmt: skip
    """Run each localizer of the plan on the frames that the schedule has for it, and the exclusions on all.

    Frames are taken `batch` at a time, and so many are held. A localizer that several rules name runs once per frame.
    """
    scheduled = schedule.frames(frames)
    while group := list(islice(scheduled, batch)):
        with stats.stage("locate"):
            located = [
                _run_when_due(part, group, limits, always=i in work.per_frame) for i, part in enumerate(work.localizers)
            ]
            excluded = [_run(part, [item.frame for item in group], limits) for part in work.exclusions]
        for i, item in enumerate(group):
            exclusions = [region for answer in excluded for region in answer[i]]
            yield FrameRegions(item.frame, tuple(answer[i] for answer in located), exclusions, item.thumbnail)
        del group, item  # or they would be held while the next ones are waited for


def use_annotations(
    frames: Iterable[Frame], work: PreparedPlan, given: Annotations, limits: Limits
) -> Iterator[FrameRegions]:
    """Take the regions from an annotation file instead of running localizers; all are hidden, whatever their scores."""
    places = max(1, len(work.localizers))  # with two passes, the first one has run localizers
    for frame in frames:
        exclusions = [region for part in work.exclusions for region in _run(part, [frame], limits)[0]]
        yield FrameRegions(frame, (given.frames.get(frame.index, ()),) * places, exclusions, final=True)


def notify(located: Iterable[FrameRegions], work: PreparedPlan, on_regions: OnRegions | None) -> Iterator[FrameRegions]:
    """Pass the frames on, calling `on_regions` with the regions of each, including those that people switched off."""
    for item in located:
        if on_regions is not None:
            on_regions(item.frame.index, unique(_regions_by_rule(work, item)))
        yield item


def hide(located: Iterable[FrameRegions], work: PreparedPlan, stats: RunStats) -> Iterator[Frame]:
    """Hide the regions of each frame in place, each as its rule says."""
    for item in located:
        regions = hidden_by_rule(work, item)
        with stats.stage("hide"):
            touched = paint(item.frame, regions, work, item.exclusions)
        for index, (rule, rule_regions) in enumerate(zip(work.rules, regions, strict=True)):
            for region in rule_regions:
                stats.count(item.frame, index, str(region.technique or rule.rule.hide), region)
        # The bytes of the source file still show what is hidden now.
        yield replace(item.frame, encoded=None, touched=touched)


def encode(
    frames: Iterable[Frame], write: Callable[[Frame], None], stats: RunStats, progress: Progress | None, *,
    first: int, count: int | None,
) -> None:  # fmt: skip
    """Write the frames; `progress` counts them from the index `first` on, out of `count`."""
    for frame in frames:
        with stats.stage("encode"):
            write(frame)
        if progress is not None:
            progress(frame.index + 1 - first, count)


def hidden_by_rule(work: PreparedPlan, item: FrameRegions) -> list[list[Region]]:
    """Return the regions of a frame that each rule of the plan hides."""
    return [[region for region in regions if not region.ignored] for regions in _regions_by_rule(work, item)]


def unique(regions_by_rule: Iterable[Iterable[Region]]) -> tuple[Region, ...]:
    """Return the regions of all rules; one that several rules hide comes once."""
    return tuple({id(region): region for regions in regions_by_rule for region in regions}.values())


def touched_frames(work: PreparedPlan, annotations: Annotations) -> frozenset[int]:
    """Return the indices of the frames in which any rule hides a region, whatever its score."""
    return frozenset(
        index
        for index, regions in annotations.frames.items()
        if any(rule.covers(region.label) for region in regions if not region.ignored for rule in work.rules)
    )


def _regions_by_rule(work: PreparedPlan, item: FrameRegions) -> list[list[Region]]:
    """Return the regions of a frame that each rule names: those it hides, and those that people switched off."""
    return [
        [region for region in item.regions[rule.localizer] or () if rule.takes(region, any_score=item.final)]
        for rule in work.rules
    ]


def _run_when_due(
    localizer: Localizer, group: Sequence[ScheduledFrame], limits: Limits, *, always: bool
) -> list[list[Region] | None]:
    """Return the localizer's regions in each frame, None for a frame on which it was not run."""
    answers = iter(_run(localizer, [item.frame for item in group if always or item.due], limits))
    return [next(answers) if always or item.due else None for item in group]


def look_again(
    localizer: LooksAgain, frame: Frame, dropped: list[Region], regions: Sequence[Region]
) -> Sequence[float | None]:
    """Return the localizer's second scores, None where the first counts; add what it has not found to `dropped`.

    Raises `PluginFault` when the localizer breaks its contract.
    """
    try:
        scores = localizer.look_again(frame, regions)
    except VelumError:
        raise
    except Exception as error:
        raise PluginFault(
            f"localizer {part_name(localizer)} failed to look again at frame {frame.index}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if len(scores) != len(regions):
        raise PluginFault(
            f"localizer {part_name(localizer)} gave {len(scores)} scores at a second look at {len(regions)} regions"
        )
    dropped += [region for region, score in zip(regions, scores, strict=True) if score == 0]
    return scores


def _run(localizer: Localizer, frames: Sequence[Frame], limits: Limits) -> list[list[Region]]:
    """Return a list of regions for each frame. Raises `PluginFault` when the localizer breaks its contract."""
    if not frames:
        return []
    try:
        answers = localizer.locate(frames)
    except VelumError:
        raise
    except Exception as error:
        where = f"frame {frames[0].index}" + (f" to {frames[-1].index}" if len(frames) > 1 else "")
        raise PluginFault(
            f"localizer {part_name(localizer)} failed at {where}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(answers, list) or len(answers) != len(frames):
        raise PluginFault(
            f"localizer {part_name(localizer)} did not return one list of regions for each of {len(frames)} frames"
        )
    for frame, regions in zip(frames, answers, strict=True):
        limits.check("regions", len(regions), f"frame {frame.index}")
        if any(region.technique is not None or region.ignored for region in regions):
            raise PluginFault(
                f"localizer {part_name(localizer)} gave a region a technique, or switched it off; only people may"
            )
    return answers
