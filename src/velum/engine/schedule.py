"""Which frames of a video localizers run on: a few a second and both sides of each scene cut; tracking does the rest.

An object that a localizer misses in one frame it finds in another one, so localizers may use a lower threshold when
they run on fewer frames: see `velum.plugins.InVideo`. For measurements see docs/benchmarks.md, "How often a video is
looked at".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from velum.engine.prepare import PreparedPlan
from velum.frame import Frame
from velum.plan import Effort, Plan
from velum.plugins import InVideo, Localizer, PerFrame
from velum.track.scene_cuts import AHEAD, FrameSignature, changes_scene
from velum.track.template_matcher import Thumbnail, thumbnail_of

SECONDS_BETWEEN: Mapping[Effort, float] = {"fast": 0.4, "balanced": 0.3, "thorough": 0.1}
"""Longest time between two frames on which localizers run. An object that is visible for less can be missed."""


@dataclass(frozen=True, slots=True, eq=False)
class ScheduledFrame:
    """A frame, whether localizers run on it, and its thumbnail where one was made."""

    frame: Frame
    due: bool = True
    thumbnail: Thumbnail | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Localizers run on every `interval`-th frame and, with `scenes`, on the first and last frame of each scene."""

    interval: int = 1
    scenes: bool = False

    @classmethod
    def of(cls, plan: Plan, fps: Fraction | None, window_frames: int | None, *, animation: bool = False) -> "Schedule":
        """Return the schedule of a plan for a source: every frame of an image, and of a video that is not tracked.

        An animation is an image: its frames are few, may differ in everything, and may be shown for long.
        `window_frames` is how far tracking looks ahead, None for the whole video. When localizers run on a frame,
        tracking must still hold those since the last such frame.
        """
        if fps is None:
            return EVERY_FRAME
        if plan.video.every is not None:
            return cls(plan.video.every)
        if animation or not plan.video.track:
            return EVERY_FRAME
        interval = round(SECONDS_BETWEEN[plan.effort] * float(fps))
        if window_frames is not None:
            interval = min(interval, (window_frames - min(AHEAD, window_frames // 4)) // 2)
        return cls(interval, scenes=True) if interval > 1 else EVERY_FRAME

    def prepare(self, work: PreparedPlan) -> PreparedPlan:
        """Return the plan with the localizers for a video, and which of them run on frames that are not due, too.

        Zones that people place run on every frame, since the tracker cannot track them. Where the plan does not say how
        often localizers run, frames are skipped only for localizers that support that.
        """
        others = [_for_video(part, sparse=self.scenes) for part in work.localizers]
        localizers = tuple(other or part for other, part in zip(others, work.localizers, strict=True))
        per_frame = frozenset(
            i for i, part in enumerate(work.localizers) if _is_per_frame(part) or (self.scenes and others[i] is None)
        )
        return replace(work, localizers=localizers, per_frame=per_frame)

    def frames(self, frames: Iterable[Frame]) -> Iterator[ScheduledFrame]:
        """Yield each frame with whether localizers run on it; with `scenes` one frame late.

        Depends on each frame's index and its neighbours only, so that the segments of a video come out as the whole.
        """
        if not self.scenes:
            for frame in frames:
                yield ScheduledFrame(frame, frame.index % self.interval == 0)
            return
        previous: ScheduledFrame | None = None
        before: FrameSignature | None = None
        for frame in frames:
            thumbnail = thumbnail_of(frame)
            signature = FrameSignature.of(thumbnail)
            cut = before is not None and changes_scene(before, signature)
            if previous is not None:
                yield ScheduledFrame(previous.frame, previous.due or cut, previous.thumbnail)
            previous, before = ScheduledFrame(frame, cut or frame.index % self.interval == 0, thumbnail), signature
            del frame  # or its planes would be held while the next one is decoded
        if previous is not None:
            yield ScheduledFrame(previous.frame, due=True, thumbnail=previous.thumbnail)


def _for_video(part: Localizer, *, sparse: bool) -> Localizer | None:
    return part.for_video(sparse=sparse) if isinstance(part, InVideo) else None


def _is_per_frame(part: Localizer) -> bool:
    return isinstance(part, PerFrame) and part.per_frame


EVERY_FRAME = Schedule()
