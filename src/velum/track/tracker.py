"""The tracker: regions of single frames in, regions through time out.

Each frame passes four steps: does it start a scene (`scene_cuts`), which detection belongs to which track
(`association`), where are the objects that were not detected (`template_matcher`, `interpolation`), and what is hidden:
rather too much than too little. A frame leaves once the window of frames after it is full. `track_object` tracks one
object that a person has pointed at.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from velum.region import Box, Mask, Origin, Points, Region
from velum.track import interpolation
from velum.track.association import Track, pair_near, pair_overlapping
from velum.track.float_boxes import FloatBox, edges_of, grow, mix, side, union
from velum.track.scene_cuts import AHEAD, scenes
from velum.track.template_matcher import LookAgain, Observation, Pyramid, TemplateMatcher
from velum.track.window import Detection, FrameSlot, FrameWindow, TrackPoint, margin

MOST_THUMBNAILS = 600
"""Thumbnails that are held where there is no window, about 80 MB of 480 x 270: the most frames through which an object
is tracked by its appearance, and the longest gap between two detections of one track."""

BEHIND = 3
"""Frames that are held after they were yielded: later ones are smoothed with them, and templates are cut from them."""

NEIGHBOURS = (1, 2)
"""Distances in frames of the pairs of neighbours between which a box is expected to lie."""


def track_observations(
    observations: Iterable[Observation],
    window: int | None,
    pad: int,
    start_scores: Mapping[str, float] | None = None,
    looks: int = 1,
) -> Iterator[tuple[Region, ...]]:
    """Yield the final regions of each observation, in the order of the observations, which is that of display.

    `window` is the number of frames that are read ahead before the regions of a frame are final, and so the delay in
    frames. The last four of them, or a quarter, serve only to tell whether a scene ends. With None, all frames are read
    before the first regions are yielded. `pad` is the number of frames for which an object is hidden before its first
    and after its last sign within a scene. `start_scores` has, by label, the score below which a region continues a
    track but does not start one (default: 0). With `looks` 2, a region starts a track only where at most `pad` frames
    before another one was detected, which has continued none.

    The regions are those detected, never smaller, with the id of their track, and those filled in: "interpolated"
    between and after detections, "back-filled" before the first one. A region that was filled in has the score of the
    nearest detection.
    """
    ahead = AHEAD if window is None else min(AHEAD, window // 4)
    tracker = _Tracker(MOST_THUMBNAILS if window is None else max(window, pad), pad, start_scores or {}, looks)
    for observation, cut in scenes(observations, ahead):
        tracker.add(observation, starts_scene=cut)
        if window is not None:
            yield from tracker.final(window - ahead)
    yield from tracker.final(0)


class _Tracker:
    """The active tracks, and the window of frames whose regions can still change."""

    def __init__(self, most_frames: int, pad: int, start_scores: Mapping[str, float], looks: int) -> None:
        """Track each object for at most `most_frames` frames after its last detection."""
        self._window = FrameWindow(most_frames + BEHIND)
        self._most_frames, self._pad, self._start_scores, self._looks = most_frames, pad, start_scores, looks
        self._active: list[Track] = []
        self._last_id = 0
        self._next_final = 0

    def add(self, observation: Observation, *, starts_scene: bool) -> None:
        """Add the next frame."""
        frame = self._window.end
        self._window.append(FrameSlot(observation.width, observation.height, Pyramid(observation), starts_scene))
        if starts_scene:
            self._active = []
        if observation.regions is None:
            for track in self._active:
                self._match(track, frame)
        else:
            for label in dict.fromkeys([t.label for t in self._active] + [r.label for r in observation.regions]):
                labelled = [r for r in observation.regions if r.label == label]
                self._associate(label, labelled, frame, observation.look_again)
        self._active = [track for track in self._active if self._continues(track, frame)]

    def final(self, held_back: int) -> Iterator[tuple[Region, ...]]:
        """Yield the regions of all frames but the last `held_back`, of each frame once."""
        while self._next_final < self._window.end - held_back:
            yield _regions(self._window, self._next_final)
            self._window.drop(self._next_final - BEHIND)
            self._next_final += 1

    def _associate(self, label: str, detected: Sequence[Region], frame: int, look_again: LookAgain | None) -> None:
        """Continue the tracks of a label with its detections, track the others by their appearance, start new ones.

        Strong detections come first, then weak ones for the tracks that are left, as in ByteTrack (Zhang et al. 2022).
        Those that continue no track are looked at again, where that is possible; what they score then decides.
        """
        least = self._start_scores.get(label, 0.0)
        strong, weak = [r for r in detected if r.score >= least], [r for r in detected if r.score < least]
        tracks = [track for track in self._active if track.label == label]
        tracks, strong = self._continue(tracks, strong, frame)
        for track in tracks:
            self._match(track, frame)
        tracks, strong = self._continue(tracks, strong, frame, near=True)
        _, weak = self._continue(tracks, weak, frame)
        unpaired = [*strong, *weak]
        again = [None] * len(unpaired) if look_again is None or not unpaired else look_again(unpaired)
        scores = [region.score if score is None else score for region, score in zip(unpaired, again, strict=True)]
        starts = [
            region
            for region, score in zip(unpaired, scores, strict=True)
            if score >= least and (self._looks < 2 or self._was_detected_before(region, frame))
        ]
        # A detection that starts no track may still be that of a track that comes here from later.
        started = {id(region) for region in starts}
        self._window[frame].weak += [region for region in unpaired if id(region) not in started]
        for region in starts:
            self._start(region, frame)

    def _was_detected_before(self, region: Region, frame: int) -> bool:
        """Tell whether a frame shortly before has a detection near a region that has continued no track."""
        for before, slot, _ in self._window.back_from(frame):
            if frame - before > self._pad:
                return False
            earlier = [edges_of(other.box) for other in slot.weak if other.label == region.label]
            if pair_near(earlier, [frame - before - 1] * len(earlier), [edges_of(region.box)]):
                return True
        return False

    def _continue(
        self, tracks: list[Track], detected: list[Region], frame: int, *, near: bool = False
    ) -> tuple[list[Track], list[Region]]:
        """Continue tracks with the detections that fit. Return the tracks and the detections that are left."""
        expected, boxes = [track.expected_box(frame) for track in tracks], [edges_of(region.box) for region in detected]
        lost = [track.matcher.lost if track.matcher else 0 for track in tracks]
        pairs = pair_near(expected, lost, boxes) if near else pair_overlapping(expected, boxes)
        for row, column in pairs:
            track, detection = tracks[row], Detection(detected[column], frame)
            if frame - track.last.frame > 1:
                interpolation.fill_gap(self._window, track.track_id, track.last, detection, expected[row])
            track.add(detection)
            self._window[frame].points[track.track_id] = TrackPoint(detection.edges, detection.region, "detected")
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        return (
            [track for row, track in enumerate(tracks) if row not in rows],
            [region for column, region in enumerate(detected) if column not in columns],
        )

    def _start(self, region: Region, frame: int) -> None:
        """Start a track with a detection, and track it back to where the object appeared."""
        self._last_id += 1
        detection = Detection(region, frame)
        self._active.append(Track(self._last_id, detection))
        self._window[frame].points[self._last_id] = TrackPoint(detection.edges, region, "detected")
        interpolation.track_back(self._window, self._last_id, detection, self._pad)

    def _match(self, track: Track, frame: int) -> None:
        """Track an object by its appearance into a frame in which it was not detected."""
        pyramid, last = self._window[frame].pyramid, self._window[frame - 1].pyramid
        if pyramid is None or last is None:
            return
        matcher = track.matcher or TemplateMatcher(last, track.last.edges, track.velocity, track.growth)
        recognised_before = frame - 1 - matcher.lost
        recognised = matcher.step(pyramid)
        track.matcher, track.matched_frame = matcher, frame
        shown = recognised or matcher.lost <= self._pad or matcher.leaving(pyramid)
        unsure = margin(frame - track.last.frame, matcher.lost)
        points = self._window[frame].points
        points[track.track_id] = TrackPoint(matcher.edges, track.last.region, "interpolated", recognised, shown, unsure)
        if recognised and recognised_before < frame - 1:
            interpolation.show_between(self._window, track.track_id, recognised_before, frame)

    def _continues(self, track: Track, frame: int) -> bool:
        """Tell whether a track stays active, and count the frames in which another one shows its object."""
        matcher, slot = track.matcher, self._window[frame]
        if matcher is None:
            return True
        duplicate = interpolation.is_duplicate(slot.points, track.track_id, track.label, matcher.edges)
        track.duplicate_frames = track.duplicate_frames + 1 if duplicate else 0
        return (
            frame - track.last.frame < self._most_frames
            and track.duplicate_frames <= self._pad
            and (slot.pyramid is None or interpolation.can_be_tracked(matcher, slot.pyramid))
        )


def track_object(observations: Sequence[Observation], start: int, region: Region, pad: int) -> dict[int, Region]:
    """Track the object that `region` shows in `observations[start]`, both ways; return its regions by frame index.

    Each way ends at a scene cut, where the object leaves the frame, and `pad` frames after it was last recognised.
    Boxes grow with the distance from the frame that the person pointed at.
    """
    begins = [new for _, new in scenes(observations)]
    first = next((i for i in range(start, 0, -1) if begins[i]), 0)
    last = next((i for i in range(start + 1, len(observations)) if begins[i]), len(observations))
    region_by_frame = {observations[start].index: region}
    ways: tuple[tuple[Sequence[Observation], Origin], ...] = (
        (observations[start:last], "interpolated"), (observations[first : start + 1][::-1], "back-filled"),
    )  # fmt: skip
    for way, origin in ways:
        for observation, edges in _track_one_way(way, edges_of(region.box), pad):
            box = Box.around(*edges).clip(observation.width, observation.height)
            if box is not None:
                region_by_frame[observation.index] = replace(region, box=box, mask=None, origin=origin, points=None)
    return region_by_frame


def _track_one_way(way: Sequence[Observation], edges: FloatBox, pad: int) -> Iterator[tuple[Observation, FloatBox]]:
    """Yield the observations after the first, each with the object's box; guesses only up to where it is recognised."""
    matcher = TemplateMatcher(Pyramid(way[0]), edges)
    guesses: list[tuple[Observation, FloatBox]] = []
    for away, observation in enumerate(way[1:], 1):
        pyramid = Pyramid(observation)
        recognised = matcher.step(pyramid)
        if not interpolation.can_be_tracked(matcher, pyramid):
            break
        guesses.append((observation, grow(matcher.edges, margin(away, matcher.lost))))
        if recognised or matcher.leaving(pyramid):
            yield from guesses
            guesses.clear()
    yield from guesses[:pad]


def _regions(window: FrameWindow, frame: int) -> tuple[Region, ...]:
    """Return the regions of one frame, clipped to it, in the order of their track ids."""
    slot = window[frame]
    shown = ((track_id, point) for track_id, point in sorted(slot.points.items()) if point.shown)
    regions = (_region(window, frame, track_id, point) for track_id, point in shown)
    return tuple(region for region in regions if region is not None)


def smooth(edges: FloatBox, around: list[tuple[FloatBox, FloatBox]]) -> FloatBox:
    """Return the box, enlarged to contain the box halfway between each pair of neighbours; never smaller.

    A box that jitters leaves a part of the object uncovered in some frames; its neighbours tell which.
    """
    for before, after in around:
        edges = union(edges, mix(before, after, 0.5))
    return edges


def _region(window: FrameWindow, frame: int, track_id: int, point: TrackPoint) -> Region | None:
    slot, near = window[frame], point.nearest
    if near.mask is not None:
        return _region_with_mask(point, track_id, slot.width, slot.height)
    pairs = ((window.point(frame - n, track_id), window.point(frame + n, track_id)) for n in NEIGHBOURS)
    edges = smooth(point.edges, [(a.edges, b.edges) for a, b in pairs if a and b])
    box = Box.around(*grow(edges, point.margin)).clip(slot.width, slot.height)
    if box is None:
        return None
    return replace(near, box=box, track=track_id, origin=_origin_of(point), points=_points_of(point))


def _region_with_mask(point: TrackPoint, track_id: int, width: int, height: int) -> Region | None:
    """Return the region with the nearest detection's mask, moved and scaled to the point and widened by its margin."""
    near = point.nearest
    if near.mask is None or point.edges == edges_of(near.box):
        return replace(near, track=track_id, origin=_origin_of(point), points=_points_of(point))
    by = max(1, math.ceil(point.margin * side(point.edges)))
    inner = Box.around(*point.edges)
    box = inner.pad(by, by)
    visible = box.clip(width, height)
    if visible is None:
        return None
    mask = _stretch_mask(near.mask, inner, by)[visible.move(-box.x0, -box.y0).slices]
    return Region(visible, near.label, near.score, mask, track_id, _origin_of(point)) if mask.any() else None


def _stretch_mask(mask: Mask, box: Box, by: int) -> Mask:
    """Return the mask in the size of `box`, widened by `by` pixels on every side."""
    stretched = cv2.resize(mask.astype(np.uint8), (box.width, box.height), interpolation=cv2.INTER_NEAREST_EXACT)
    room = cv2.copyMakeBorder(stretched, by, by, by, by, cv2.BORDER_CONSTANT, value=(0,))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return np.asarray(cv2.dilate(room, disc), np.bool_)


def _origin_of(point: TrackPoint) -> Origin:
    """Return the origin of a point's region; a detection keeps its own, such as `manual`."""
    return point.nearest.origin if point.origin == "detected" else point.origin


def _points_of(point: TrackPoint) -> Points | None:
    """Return the landmarks of a detection; those of the nearest one would be wrong in a frame that was filled in."""
    return point.nearest.points if point.origin == "detected" else None
