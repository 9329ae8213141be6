"""The stage that follows things through time, between locating and hiding."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from velum.engine.prepare import PreparedPlan
from velum.engine.stages import FrameRegions
from velum.frame import Frame
from velum.locate.labels import covers
from velum.plan import Plan
from velum.plugins import TracksByScore
from velum.region import Region
from velum.track import Observation, follow
from velum.track.observation import Thumb
from velum.track.scene_cuts import AHEAD
from velum.track.tracker import BEHIND

T = TypeVar("T")

THUMB_WIDTH = 480
SMALLEST_THUMB = 16
PAD_SECONDS = 0.2
"""How long a thing stays hidden before its first and after its last sign."""

HELD_BYTES = 100 << 20
"""What the frames that wait for their regions may take: two seconds of 1080p, less of larger pictures."""

FEWEST_HELD = 8


@dataclass(frozen=True, slots=True)
class TrackingWindow:
    """How far things are followed. `window_frames` None: without end, which holds no pictures but all regions."""

    window_frames: int | None
    pad_frames: int

    @classmethod
    def of(cls, plan: Plan, fps: float, *, whole: bool) -> "TrackingWindow":
        """Return the reach that a plan asks for at that frame rate; `whole` is for a pass that only locates."""
        window = None if whole else math.ceil(plan.video.window_seconds * fps)
        return cls(window, math.ceil(PAD_SECONDS * fps))

    @property
    def around(self) -> int:
        """How many frames before and after one may decide what is hidden in it."""
        return (self.window_frames or 0) + self.pad_frames + BEHIND + AHEAD

    def within(self, frame: Frame) -> "TrackingWindow":
        """Return the reach for which the frames held back fit into memory."""
        if self.window_frames is None:
            return self
        size = sum(plane.pixels.nbytes for plane in frame.planes)
        return replace(self, window_frames=min(self.window_frames, max(FEWEST_HELD, HELD_BYTES // size)))


def followed(looked: Iterable[FrameRegions], work: PreparedPlan, reach: TrackingWindow) -> Iterator[FrameRegions]:
    """Yield the same frames with regions that leave no gap: bridged, followed back and ahead, padded.

    Each localizer's finds are followed for themselves. A frame is held back until its regions are final; with an
    endless reach frames are passed on without their pictures' planes being kept.
    """
    looked = iter(looked)
    first = next(looked, None)
    if first is None:
        return
    reach = reach.within(first.frame)
    held: deque[FrameRegions] = deque()

    def seen() -> Iterator[tuple[FrameRegions, Thumb]]:
        for look in chain([first], looked):
            thumb = thumb_of(look.frame)
            # Without end, only what is known of a frame is kept, not its picture.
            kept = look if reach.window_frames is not None else replace(look, frame=_without_planes(look.frame))
            held.append(kept)
            yield kept, thumb

    streams = [
        follow(_looks(branch, which), reach.window_frames, reach.pad_frames, _sure(work, which))
        for which, branch in enumerate(_shared(seen(), len(work.localizers)))
    ]
    for regions in zip(*streams, strict=True):
        look = held.popleft()
        found = tuple(
            (*_left_alone(work, before, after), *_numbered(after, which, len(streams)))
            for which, (before, after) in enumerate(zip(look.found, regions, strict=True))
        )
        yield replace(look, found=found, followed=True)


def _shared(items: Iterator[T], readers: int) -> list[Iterator[T]]:
    """Return an iterator over the items for each reader. Unlike `tee`, they hold no item that all have read."""
    queues = [deque[T]() for _ in range(readers)]

    def branch(mine: deque[T]) -> Iterator[T]:
        while True:
            if not mine:
                item = next(items, None)
                if item is None:
                    return
                for queue in queues:
                    queue.append(item)
                del item
            yield mine.popleft()

    return [branch(queue) for queue in queues]


def _sure(work: PreparedPlan, which: int) -> dict[str, float]:
    """Return, by label, the score from which a localizer's finds are followed."""
    part = work.localizers[which]
    least = part.sure if isinstance(part, TracksByScore) else 0.0
    rules = [rule for rule, finder in zip(work.plan.rules, work.finder, strict=True) if finder == which]
    return {
        label: max([least, *(rule.min_score for rule in rules if covers(rule.label, label))]) for label in part.labels
    }


def _left_alone(work: PreparedPlan, found: Sequence[Region] | None, followed: Sequence[Region]) -> list[Region]:
    """Return what stays as it was found: zones that a person placed, and doubtful finds that continue nothing."""

    def wanted(region: Region) -> bool:
        return any(covers(rule.label, region.label) and region.score >= rule.min_score for rule in work.plan.rules)

    def inside(region: Region) -> bool:
        return any(after.box.join(region.box) == after.box for after in followed)

    return [one for one in found or () if one.found == "manual" or (wanted(one) and not inside(one))]


def _numbered(regions: Sequence[Region], which: int, localizers: int) -> list[Region]:
    """Return the regions with numbers of tracks that no other localizer's regions have."""
    return [replace(region, track=(region.track or 0) * localizers + which) for region in regions]


def _without_planes(frame: Frame) -> Frame:
    return Frame((), frame.width, frame.height, frame.index, frame.time, frame.orientation)


def _looks(seen: Iterable[tuple[FrameRegions, Thumb]], which: int) -> Iterator[Observation]:
    for look, thumb in seen:
        found = look.found[which]
        regions = None if found is None else tuple(region for region in found if region.found != "manual")
        yield Observation(look.frame.index, look.frame.width, look.frame.height, regions, thumb)


def thumb_of(frame: Frame) -> Thumb:
    """Return the frame as the tracker sees it: small, grey, upright."""
    scale = min(1.0, THUMB_WIDTH / frame.width)
    return frame.grey(max(SMALLEST_THUMB, round(frame.width * scale)), max(SMALLEST_THUMB, round(frame.height * scale)))
