"""Stages: functions from iterator to iterator. A stage knows no thread, no file and no request."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

from velum.annotations import Annotations
from velum.engine.apply import paint
from velum.engine.prepare import PreparedPlan
from velum.errors import PluginFault, VelumError
from velum.frame import Frame
from velum.limits import Limits
from velum.locate.labels import covers
from velum.plugins import Localizer, part_name
from velum.region import Region
from velum.report import HiddenRegion, TrackSummary

OnRegions = Callable[[int, tuple[Region, ...]], None]
"""Called with the index of each frame, in order, and with what is hidden in it."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameRegions:
    """A frame and what is known of it: regions by localizer, and those never to be hidden.

    A localizer that was not asked about the frame has None.
    """

    frame: Frame
    found: tuple[Sequence[Region] | None, ...]
    kept: Sequence[Region] = ()
    followed: bool = False
    """True when doubtful regions have served to continue tracks, and every region left is to be hidden."""


@dataclass(slots=True)
class RunStats:
    """What one run counts while it goes. Regions are listed where there are few, and summed up by track in videos."""

    by_track: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    frames: int = 0
    hidden: list[HiddenRegion] = field(default_factory=list)
    limits: Limits | None = None
    """Says for how long may be worked; None where nobody cares."""
    work: float = 0.0
    """Seconds that were worked: processor time of the threads that ran the stages, and all time of localizers, which
    have threads of their own."""
    _tracks: dict[tuple[int, str, int | None, str], TrackSummary] = field(default_factory=dict)

    @property
    def tracks(self) -> tuple[TrackSummary, ...]:
        """What was hidden, by track."""
        return tuple(self._tracks.values())

    def note(self, frame: Frame, rule: int, technique: str, region: Region) -> None:
        """Count one region that was hidden."""
        if not self.by_track:
            shown = HiddenRegion(frame.index, region.label, region.box, region.score, region.found, rule, technique)
            self.hidden.append(replace(shown, masked=region.mask is not None))
            return
        key = rule, region.label, region.track, technique
        before = self._tracks.get(key)
        if before is None:
            before = TrackSummary(region.track, region.label, rule, technique, frame.index, frame.index, 0, {}, 0.0)
        self._tracks[key] = replace(
            before,
            last_frame=frame.index,
            frames=before.frames + 1,
            found={**before.found, region.found: before.found.get(region.found, 0) + 1},
            best_score=max(before.best_score, region.score),
            largest_side=max(before.largest_side or 0, min(region.box.width, region.box.height)),
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the stage of that name.

        Raises `LimitExceeded` at its end when more has been worked than may be.
        """
        start, worked = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self.add(name, seconds)
        self.work += seconds if name == "locate" else time.thread_time() - worked
        if self.limits is not None:
            self.limits.check("work_seconds", math.ceil(self.work), "the work on the picture")

    def add(self, name: str, seconds: float) -> None:
        """Add seconds to the stage of that name."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def timed_decode(frames: Iterable[Frame], tally: RunStats) -> Iterator[Frame]:
    """Pass the frames on, timing their decoding."""
    frames = iter(frames)
    while True:
        with tally.stage("decode"):
            frame = next(frames, None)
        if frame is None:
            return
        tally.frames += 1
        yield frame
        del frame  # or its buffers would be held while the next one is decoded


def locate(
    frames: Iterable[Frame], work: PreparedPlan, limits: Limits, tally: RunStats, *, every: int = 1, together: int = 1
) -> Iterator[FrameRegions]:
    """Find regions. A localizer that several rules name runs once per frame.

    Localizers are asked about each `every`-th frame. Frames are taken `together` at a time, and held for so long.
    """
    frames = iter(frames)
    while group := list(islice(frames, together)):
        asked = [frame for frame in group if frame.index % every == 0]
        answers, kept = [], []
        for part in work.localizers:
            with tally.stage("locate"):
                answers.append(_run(part, asked, limits))
        for part in work.exclusions:
            with tally.stage("locate"):
                kept.append(_run(part, group, limits))
        found = {frame.index: tuple(one[i] for one in answers) for i, frame in enumerate(asked)}
        nobody = (None,) * len(work.localizers)
        for i, frame in enumerate(group):
            never = [region for one in kept for region in one[i]]
            yield FrameRegions(frame, found.get(frame.index, nobody), never)
        del group, asked, frame  # or they would be held while the next ones are waited for


def use_annotations(
    frames: Iterable[Frame], work: PreparedPlan, findings: Annotations, limits: Limits
) -> Iterator[FrameRegions]:
    """Take the regions from findings instead of looking for them. Each of them is to be hidden, however doubtful."""
    finders = max(work.finder, default=0) + 1
    for frame in frames:
        kept = [region for part in work.exclusions for region in _run(part, [frame], limits)[0]]
        yield FrameRegions(frame, (findings.frames.get(frame.index, ()),) * finders, kept, followed=True)


def notify(looked: Iterable[FrameRegions], work: PreparedPlan, on_regions: OnRegions | None) -> Iterator[FrameRegions]:
    """Pass the frames on, telling what is hidden in each."""
    for look in looked:
        if on_regions is not None:
            on_regions(look.frame.index, unique(_asked_for(work, look)))
        yield look


def unique(wanted: Iterable[Iterable[Region]]) -> tuple[Region, ...]:
    """Return the regions of all rules, each once, though several rules may hide it."""
    return tuple({id(region): region for regions in wanted for region in regions}.values())


def hide(looked: Iterable[FrameRegions], work: PreparedPlan, tally: RunStats) -> Iterator[Frame]:
    """Hide every region in place, as its rule says."""
    for look in looked:
        wanted = wanted_by(work, look)
        with tally.stage("hide"):
            touched = paint(look.frame, wanted, work, look.kept)
        for index, (rule, found) in enumerate(zip(work.plan.rules, wanted, strict=True)):
            for region in found:
                tally.note(look.frame, index, str(region.technique or rule.hide), region)
        # The file as it came shows what is hidden now.
        yield replace(look.frame, encoded=None, touched=touched)


def wanted_by(work: PreparedPlan, look: FrameRegions) -> list[list[Region]]:
    """Return the regions that each rule of the plan hides."""
    return [[region for region in regions if not region.off] for regions in _asked_for(work, look)]


def _asked_for(work: PreparedPlan, look: FrameRegions) -> list[list[Region]]:
    """Return the regions that each rule of the plan asks for: what it hides, and what people have switched off."""
    return [
        [
            region
            for region in look.found[which] or ()
            if covers(rule.label, region.label) and (look.followed or region.score >= rule.min_score)
        ]
        for rule, which in zip(work.plan.rules, work.finder, strict=True)
    ]


def touched_frames(work: PreparedPlan, findings: Annotations) -> frozenset[int]:
    """Return the frames in which any rule may hide anything: those that name a thing of its label, however doubtful."""
    return frozenset(
        index
        for index, regions in findings.frames.items()
        if any(covers(rule.label, region.label) for rule in work.plan.rules for region in regions if not region.off)
    )


def _run(localizer: Localizer, frames: Sequence[Frame], limits: Limits) -> list[list[Region]]:
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
        if any(region.technique is not None or region.off for region in regions):
            raise PluginFault(
                f"localizer {part_name(localizer)} gave a region a technique, or switched it off; only people may"
            )
    return answers
