"""Interpolation: where an object is in frames in which it was not detected, between detections and before the first."""

from collections.abc import Mapping
from dataclasses import replace

from velum.region import Region
from velum.track.association import LEAST_IOU
from velum.track.float_boxes import FloatBox, edges_of, iou, mix, share_inside, union
from velum.track.template_matcher import Pyramid, TemplateMatcher
from velum.track.window import Detection, FrameSlot, FrameWindow, TrackPoint, margin

PROVEN_IOU = 0.5
"""IoU of a detection and the tracked box from which the tracking counts as right."""

LOST_MOST = 30
"""Frames for which the tracker searches for an object after it was last recognised."""

GONE = 0.02
"""An object has left when at most this share of it is inside the frame."""

SAME_IOU = 0.7
"""IoU from which two boxes of a label show one object."""


def fill_gap(window: FrameWindow, track_id: int, before: Detection, after: Detection, expected: FloatBox) -> None:
    """Fill the frames between two detections of a track.

    `expected` is where the object was expected at the second detection, tracked from the first. If that was right, the
    error is spread over the frames in between. If not, the object is also tracked back from the second detection;
    where neither direction recognises it, it is taken to have moved evenly from where the one ends to where the other
    does. Boxes in which it was recognised stay covered either way, so that two objects taken for one are both hidden.
    """
    since, until, target = before.frame, after.frame, after.edges
    frames = list(window.frames_between(since, until))
    forward = {frame: point for frame in frames if (point := window[frame].points.get(track_id))}
    if (
        len(forward) == len(frames)
        and all(s.recognised for s in forward.values())
        and iou(expected, target) >= PROVEN_IOU
    ):
        for frame, point in forward.items():
            share = (frame - since) / (until - since)
            drift = tuple(e + (t - x) * share for e, t, x in zip(point.edges, target, expected, strict=True))
            away = min(frame - since, until - frame)
            window[frame].points[track_id] = replace(
                point, edges=union(point.edges, (drift[0], drift[1], drift[2], drift[3])), margin=margin(away, 0),
                nearest=(before if frame - since <= until - frame else after).region, origin="interpolated",
            )  # fmt: skip
        return
    _join_ways(window, track_id, forward, _recognise_back(window, after, since), before, after)


def track_back(window: FrameWindow, track_id: int, first: Detection, pad: int) -> None:
    """Track an object back from its first detection to where it appeared, and `pad` frames further.

    Ends at the scene's start, where the object left the frame, where another track has shown it for longer than `pad`
    frames, or where it is not recognised. Weak detections on the way become part of the track.
    """
    pyramid = window[first.frame].pyramid
    if pyramid is None:
        return
    matcher, near, away, duplicate_frames = TemplateMatcher(pyramid, first.edges), first.region, 0, 0
    recognised_at = first.frame
    for before, slot, picture in window.back_from(first.frame):
        recognised, away = matcher.step(picture), away + 1
        weak_detection = _take_weak(slot, near.label, matcher.edges)
        if weak_detection is not None:
            matcher = TemplateMatcher(picture, edges_of(weak_detection.box), matcher.velocity)
            near, away, recognised = weak_detection, 0, True
        if not can_be_tracked(matcher, picture):
            return
        shown = recognised or matcher.lost <= pad or matcher.leaving(picture)
        slot.points[track_id] = TrackPoint(
            matcher.edges,
            near,
            "detected" if weak_detection else "back-filled",
            recognised,
            shown,
            margin(away, matcher.lost),
        )
        if recognised:
            show_between(window, track_id, before, recognised_at)
            recognised_at = before
        duplicate_frames = duplicate_frames + 1 if is_duplicate(slot.points, track_id, near.label, matcher.edges) else 0
        if duplicate_frames > pad:
            return


def show_between(window: FrameWindow, track_id: int, sooner: int, later: int) -> None:
    """Show the guesses between two frames in which the object was recognised, moved evenly from one to the other."""
    frames = list(window.frames_between(sooner, later))
    ends = window.point(sooner, track_id), window.point(later, track_id)
    for frame in frames:
        point = window[frame].points.get(track_id)
        if point is None:
            continue
        if ends[0] is None or ends[1] is None:
            window[frame].points[track_id] = replace(point, shown=True)
            continue
        even = mix(ends[0].edges, ends[1].edges, (frame - sooner) / (later - sooner))
        lost = min(frame - sooner, later - frame)
        widest = max(ends[0].margin, ends[1].margin) + margin(0, lost)
        window[frame].points[track_id] = replace(point, edges=even, shown=True, margin=widest)


def can_be_tracked(matcher: TemplateMatcher, pyramid: Pyramid) -> bool:
    """Tell whether an object can still be in the frame, and was recognised not too long ago."""
    has_left = share_inside(matcher.edges, pyramid.width, pyramid.height) < GONE
    return not has_left and (matcher.lost <= LOST_MOST or matcher.leaving(pyramid))


def is_duplicate(points: Mapping[int, TrackPoint], track_id: int, label: str, edges: FloatBox) -> bool:
    """Tell whether another track shows the same object."""
    x0, y0, x1, y1 = edges
    for other, point in points.items():
        left, top, right, bottom = point.edges
        if (
            left < x1
            and right > x0
            and top < y1
            and bottom > y0
            and (  # in crowds, most lie elsewhere
                other != track_id
                and point.shown
                and point.nearest.label == label
                and iou(point.edges, edges) >= SAME_IOU
            )
        ):
            return True
    return False


def _take_weak(slot: FrameSlot, label: str, edges: FloatBox) -> Region | None:
    """Take the weak detection that lies at `edges` out of the slot; None when there is none."""
    fits = [(iou(edges_of(r.box), edges), i) for i, r in enumerate(slot.weak) if r.label == label]
    best, index = max(fits, default=(0.0, -1))
    return slot.weak.pop(index) if best >= LEAST_IOU else None


def _recognise_back(window: FrameWindow, detection: Detection, since: int) -> dict[int, TrackPoint]:
    """Return where the object is recognised, by frame, back from a detection to frame `since` without a break."""
    pyramid, points = window[detection.frame].pyramid, dict[int, TrackPoint]()
    if pyramid is None:
        return points
    matcher = TemplateMatcher(pyramid, detection.edges)
    for before, _, picture in window.back_from(detection.frame):
        if before <= since or not matcher.step(picture):
            break
        points[before] = TrackPoint(
            matcher.edges, detection.region, "interpolated", margin=margin(detection.frame - before, 0)
        )
    return points


def _join_ways(
    window: FrameWindow,
    track_id: int,
    forward: Mapping[int, TrackPoint],
    backward: Mapping[int, TrackPoint],
    before: Detection,
    after: Detection,
) -> None:
    """Write the points of a gap: those recognised forwards or backwards, joined, and interpolated ones between them."""
    recognised = {frame: point for frame, point in forward.items() if point.recognised}
    ends = {detection.frame: TrackPoint(detection.edges, detection.region, "detected") for detection in (before, after)}
    points = {**ends, **backward, **recognised}
    for frame in window.frames_between(before.frame, after.frame):
        ahead, back = recognised.get(frame), backward.get(frame)
        if ahead and back:
            point = replace(ahead, edges=union(ahead.edges, back.edges), margin=min(ahead.margin, back.margin))
        else:
            point = ahead or back or _interpolate(points, frame, forward.get(frame))
        window[frame].points[track_id] = replace(point, shown=True, origin="interpolated")


def _interpolate(points: Mapping[int, TrackPoint], frame: int, guess: TrackPoint | None) -> TrackPoint:
    """Return the point between the nearest known ones; a guess that would be shown anyway is part of it."""
    left, right = max(p for p in points if p < frame), min(p for p in points if p > frame)
    before, after = points[left], points[right]
    edges = mix(before.edges, after.edges, (frame - left) / (right - left))
    if guess is not None and guess.shown:
        edges = union(edges, guess.edges)
    near = before if frame - left <= right - frame else after
    unsure = near.margin + margin(0, min(frame - left, right - frame))
    return replace(near, edges=edges, recognised=False, margin=unsure)
