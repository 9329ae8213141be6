"""Track objects through a video: the stage between locating and hiding, and one object that a person points at."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from velum import media
from velum.annotations import Annotations
from velum.engine.prepare import PreparedPlan
from velum.engine.stages import FrameRegions, RunStats, look_again, timed_decode
from velum.errors import BadInput, BadPlan
from velum.frame import Frame
from velum.limits import Limits
from velum.plan import Plan
from velum.plugins import Localizer, LooksAgain, looks_to_track_of, track_threshold_of
from velum.region import Region
from velum.track.scene_cuts import AHEAD
from velum.track.template_matcher import Observation, Thumbnail, thumbnail_of

T = TypeVar("T")

PAD_SECONDS = 0.2
"""How long an object stays hidden before it is first and after it is last detected."""

HELD_BYTES = 192 << 20
"""Memory for frames that wait for their regions: two seconds of 1080p at 25 frames a second, less of larger frames."""

FEWEST_HELD = 8

MOST_SECONDS = 10.0
MOST_FRAMES = 600
"""How far one object is tracked each way at most: a person waits for it, and thumbnails of all frames are held."""

_SEGMENT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _ObservedFrame:
    """A frame on its way into the tracker, with the regions that a second look at it has dropped."""

    item: FrameRegions
    thumbnail: Thumbnail
    dropped: list[Region]


@dataclass(frozen=True, slots=True)
class TrackingWindow:
    """How many frames tracking looks ahead. `window_frames` None: the whole video, holding regions but no planes."""

    window_frames: int | None
    pad_frames: int

    @classmethod
    def of(cls, plan: Plan, reader: media.Reader, *, whole: bool = False) -> "TrackingWindow | None":
        """Return the window that a plan asks for; None where nothing is tracked, as in images.

        It is shorter where the frames that it holds back would take more than `HELD_BYTES`. `whole` is for a pass that
        only locates.
        """
        info = reader.info
        if info.fps is None or not plan.video.track:
            return None
        pad = math.ceil(PAD_SECONDS * float(info.fps))
        if whole:
            return cls(None, pad)
        most_frames = max(FEWEST_HELD, HELD_BYTES // info.frame_bytes)
        return cls(min(most_frames, math.ceil(plan.video.window_seconds * float(info.fps))), pad)

    @property
    def context_frames(self) -> int:
        """Number of frames before and after a frame that can change what is hidden in it."""
        from velum.track.tracker import BEHIND  # noqa: PLC0415 - loaded when it is used

        return (self.window_frames or 0) + self.pad_frames + BEHIND + AHEAD


def decode(
    reader: media.Reader, stats: RunStats, segment: media.Segment | None, window: TrackingWindow | None
) -> Iterator[Frame]:
    """Decode a source: all frames, or those of a segment with those around it that tracking needs."""
    frames = timed_decode(reader.frames(), stats)
    if segment is None:
        return frames
    context = 0 if window is None else window.context_frames  # readers give whole groups of pictures
    return (frame for frame in frames if segment.first.frame - context <= frame.index < segment.end.frame + context)


def track(
    located: Iterable[FrameRegions], work: PreparedPlan, window: TrackingWindow | None,
    segment: media.Segment | None = None,
) -> Iterator[FrameRegions]:  # fmt: skip
    """Yield the frames, of a segment only its own, with final regions: tracked, or as they are without a window."""
    tracked = iter(located) if window is None else track_regions(located, work, window)
    if segment is None:
        return tracked
    return (item for item in tracked if segment.first.frame <= item.frame.index < segment.end.frame)


def track_regions(
    located: Iterable[FrameRegions], work: PreparedPlan, window: TrackingWindow
) -> Iterator[FrameRegions]:
    """Yield the frames with regions without gaps: interpolated, tracked back and ahead, padded.

    The regions of each localizer are tracked apart. A frame is held back until its regions are final. A window over
    the whole video yields frames without planes.
    """
    from velum.track.tracker import track_observations  # noqa: PLC0415 - loaded when it is used

    waiting: deque[tuple[FrameRegions, list[Region]]] = deque()

    def observe() -> Iterator[_ObservedFrame]:
        for item in located:
            thumbnail = thumbnail_of(item.frame) if item.thumbnail is None else item.thumbnail
            observed = _ObservedFrame(item, thumbnail, [])
            if window.window_frames is None:
                item = replace(item, frame=_without_planes(item.frame))  # noqa: PLW2901 - the planes are to go
            waiting.append((item, observed.dropped))
            yield observed
            del observed  # or its planes would be held while the next one is decoded

    streams = [
        track_observations(
            _observations(branch, place, work.localizers[place]),
            window.window_frames,
            window.pad_frames,
            _start_scores(work, place),
            looks_to_track_of(work.localizers[place]),
        )
        for place, branch in enumerate(_split(observe(), len(work.localizers)))
    ]
    for tracked in zip(*streams, strict=True):
        item, dropped = waiting.popleft()
        regions = tuple(
            (*_keep_untracked(work, before, after, dropped), *_with_unique_tracks(after, place, len(streams)))
            for place, (before, after) in enumerate(zip(item.regions, tracked, strict=True))
        )
        yield replace(item, regions=regions, final=True)


def track_one_object(
    source: Path, limits: Limits, at: int, region: Region, seconds: float = MOST_SECONDS
) -> Annotations:
    """Track the object in `region` of frame `at`, in that frame and up to `seconds` before and after it.

    Of a long video only the segment around the frame is decoded, where the container has an index. Raises `BadInput`
    for an image, for a frame that the video does not have and for a region outside of it, `BadPlan` for more seconds
    than `MOST_SECONDS`.
    """
    if not 0 <= seconds <= MOST_SECONDS:
        raise BadPlan(f"seconds are {seconds!r}; they must be from 0 to {MOST_SECONDS:g}")
    with media.open_source(source, limits) as reader:
        info, sha256 = reader.info, reader.sha256
        fps = info.fps
        if fps is None:
            raise BadInput("this is an image; objects are followed in videos only")
        box = region.box.clip(info.width, info.height)
        if box is None:
            raise BadInput(
                f"the region {region.box.xyxy} lies outside of the frame of {info.width} x {info.height} pixels"
            )
        most = min(MOST_FRAMES, math.ceil(seconds * float(fps)))
        segments = media.split_video(reader, info.format, seconds=_SEGMENT_SECONDS, overlap_frames=most)
        observations = [] if not isinstance(segments, str) else list(_observe_around(reader.frames(), at, most))
    if not isinstance(segments, str):
        for segment in (item for item in segments if item.first.frame <= at < item.end.frame):
            with media.open_segment(source, limits, segment) as segment_reader:
                observations = list(_observe_around(segment_reader.frames(), at, most))
    start = next((i for i, observation in enumerate(observations) if observation.index == at), None)
    if start is None:
        raise BadInput(f"the video has no frame {at}; frames are counted from 0")
    from velum.track.tracker import track_object  # noqa: PLC0415 - loaded when it is used

    target = Region(box, region.label, origin="manual")
    tracked = track_object(observations, start, target, math.ceil(PAD_SECONDS * float(fps)))
    regions = {index: (tracked_region,) for index, tracked_region in sorted(tracked.items())}
    return Annotations(info.width, info.height, regions, sha256)


def _split(items: Iterator[T], readers: int) -> list[Iterator[T]]:
    """Return an iterator over the items for each reader. Unlike `tee`, they hold no item that all have read."""
    queues = [deque[T]() for _ in range(readers)]

    def branch(queue: deque[T]) -> Iterator[T]:
        while True:
            if not queue:
                item = next(items, None)
                if item is None:
                    return
                for other in queues:
                    other.append(item)
                del item
            yield queue.popleft()

    return [branch(queue) for queue in queues]


def _start_scores(work: PreparedPlan, place: int) -> dict[str, float]:
    """Return, by label, the score from which a localizer's detections start tracks; lower ones only continue them."""
    part = work.localizers[place]
    least = track_threshold_of(part)
    rules = [rule for rule in work.rules if rule.localizer == place]
    return {
        label: max([least, *(rule.rule.min_score for rule in rules if rule.covers(label))]) for label in part.labels
    }


def _keep_untracked(
    work: PreparedPlan, located: Sequence[Region] | None, tracked: Sequence[Region], dropped: Sequence[Region]
) -> list[Region]:
    """Return the regions that stay as located: zones that a person placed, and detections that continue no track.

    Those that a second look has `dropped` do not stay.
    """
    dropped_ids = {id(region) for region in dropped}

    def is_inside(region: Region) -> bool:
        return any(other.box.join(region.box) == other.box for other in tracked)

    def is_hidden(region: Region) -> bool:
        return any(rule.takes(region) for rule in work.rules)

    return [
        region
        for region in located or ()
        if region.origin == "manual" or (id(region) not in dropped_ids and is_hidden(region) and not is_inside(region))
    ]  # fmt: skip


def _with_unique_tracks(regions: Sequence[Region], place: int, localizers: int) -> list[Region]:
    """Return the regions with track ids that no other localizer's regions have."""
    return [replace(region, track=(region.track or 0) * localizers + place) for region in regions]


def _without_planes(frame: Frame) -> Frame:
    return Frame((), frame.width, frame.height, frame.index, frame.time, frame.orientation)


def _observations(items: Iterable[_ObservedFrame], place: int, localizer: Localizer) -> Iterator[Observation]:
    """Yield what the tracker needs of each frame: thumbnail and regions of one localizer, without zones of people."""
    for observed in items:
        frame, located = observed.item.frame, observed.item.regions[place]
        regions = None if located is None else tuple(region for region in located if region.origin != "manual")
        again = partial(look_again, localizer, frame, observed.dropped) if isinstance(localizer, LooksAgain) else None
        yield Observation(frame.index, frame.width, frame.height, regions, observed.thumbnail, again)
        del observed, frame, again  # or its planes would be held while the next one is decoded


def _observe_around(frames: Iterator[Frame], at: int, most: int) -> Iterator[Observation]:
    """Yield the frames up to `most` before and after frame `at`, without regions."""
    for frame in takewhile(lambda frame: frame.index <= at + most, frames):
        if frame.index >= at - most:
            yield Observation(frame.index, frame.width, frame.height, None, thumbnail_of(frame))
