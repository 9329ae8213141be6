"""Frames in which a thing was not found although it was there: between two finds, and before the first."""

from collections.abc import Mapping
from dataclasses import replace

from velum.region import Region
from velum.track.association import LEAST_IOU
from velum.track.float_boxes import FloatBox, edges_of, iou, mix, share_inside, union
from velum.track.template_matcher import Pyramid, TemplateMatcher
from velum.track.window import Detection, FrameSlot, FrameWindow, TrackPoint, margin

PROVEN_IOU = 0.5
"""When a find overlaps the place to which the thing was followed by so much, it was followed rightly."""

LOST_MOST = 30
"""Frames for which a thing that is not recognised any more is looked for."""

GONE = 0.02
"""A thing of which no larger share is inside the picture is gone."""

SAME_IOU = 0.7
"""Two boxes of a label that overlap by so much show one thing."""


def between(strip: FrameWindow, number: int, before: Detection, after: Detection, expected: FloatBox) -> None:
    """Fill the frames between two finds of a track.

    `expected` is where the thing was thought to be at the second find, followed from the first. If that was right, the
    error is spread over the frames in between. If not, the thing is also followed back from the second find; where
    neither direction recognises it, it is taken to have moved evenly from where the one ends to where the other does.
    Where it was recognised stays part of it either way, so that two things taken for one are both covered.
    """
    since, until, target = before.place, after.place, after.edges
    places = list(strip.at_hand(since, until))
    forward = {place: spot for place in places if (spot := strip[place].spots.get(number))}
    if len(forward) == len(places) and all(s.held for s in forward.values()) and iou(expected, target) >= PROVEN_IOU:
        for place, spot in forward.items():
            share = (place - since) / (until - since)
            drift = tuple(e + (t - x) * share for e, t, x in zip(spot.edges, target, expected, strict=True))
            away = min(place - since, until - place)
            strip[place].spots[number] = replace(
                spot, edges=union(spot.edges, (drift[0], drift[1], drift[2], drift[3])), margin=margin(away, 0),
                nearest=(before if place - since <= until - place else after).region, found="interpolated",
            )  # fmt: skip
        return
    _bridge(strip, number, forward, _chased_back(strip, after, since), before, after)


def backwards(strip: FrameWindow, number: int, first: Detection, pad: int) -> None:
    """Follow a thing back from its first find to where it appeared, and `pad` frames further.

    Ends at the scene's start, where it left the picture, where another track has taken it over for longer than `pad`
    frames, or where it is not recognised. Doubtful finds on the way are part of it.
    """
    picture = strip[first.place].picture
    if picture is None:
        return
    chase, near, away, taken = TemplateMatcher(picture, first.edges), first.region, 0, 0
    held_at = first.place
    for before, slot, seen in strip.back_from(first.place):
        held, away = chase.step(seen), away + 1
        doubtful = _claim(slot, near.label, chase.edges)
        if doubtful is not None:
            chase = TemplateMatcher(seen, edges_of(doubtful.box), chase.velocity)
            near, away, held = doubtful, 0, True
        if not worth_following(chase, seen):
            return
        shown = held or chase.lost <= pad or chase.leaving(seen)
        slot.spots[number] = TrackPoint(
            chase.edges, near, "detected" if doubtful else "back-filled", held, shown, margin(away, chase.lost)
        )
        if held:
            reveal(strip, number, before, held_at)
            held_at = before
        taken = taken + 1 if taken_over(slot.spots, number, near.label, chase.edges) else 0
        if taken > pad:
            return


def reveal(strip: FrameWindow, number: int, sooner: int, later: int) -> None:
    """Show the guesses between two places where the thing was recognised, moved evenly from the one to the other."""
    places = list(strip.at_hand(sooner, later))
    ends = strip.spot(sooner, number), strip.spot(later, number)
    for place in places:
        spot = strip[place].spots.get(number)
        if spot is None:
            continue
        if ends[0] is None or ends[1] is None:
            strip[place].spots[number] = replace(spot, shown=True)
            continue
        even = mix(ends[0].edges, ends[1].edges, (place - sooner) / (later - sooner))
        lost = min(place - sooner, later - place)
        widest = max(ends[0].margin, ends[1].margin) + margin(0, lost)
        strip[place].spots[number] = replace(spot, edges=even, shown=True, margin=widest)


def worth_following(chase: TemplateMatcher, seen: Pyramid) -> bool:
    """Tell whether a thing can still be in the picture, and was recognised not too long ago."""
    gone = share_inside(chase.edges, seen.width, seen.height) < GONE
    return not gone and (chase.lost <= LOST_MOST or chase.leaving(seen))


def taken_over(spots: Mapping[int, TrackPoint], number: int, label: str, edges: FloatBox) -> bool:
    """Tell whether another track shows the same thing."""
    return any(
        other != number and spot.shown and spot.nearest.label == label and iou(spot.edges, edges) >= SAME_IOU
        for other, spot in spots.items()
    )


def _claim(slot: FrameSlot, label: str, edges: FloatBox) -> Region | None:
    """Take the doubtful find that lies at `edges` out of the slot."""
    fits = [(iou(edges_of(r.box), edges), i) for i, r in enumerate(slot.unused) if r.label == label]
    best, index = max(fits, default=(0.0, -1))
    return slot.unused.pop(index) if best >= LEAST_IOU else None


def _chased_back(strip: FrameWindow, find: Detection, since: int) -> dict[int, TrackPoint]:
    """Return where the thing is recognised without a break, going back from a find to after `since`."""
    picture, spots = strip[find.place].picture, dict[int, TrackPoint]()
    if picture is None:
        return spots
    chase = TemplateMatcher(picture, find.edges)
    for before, _, seen in strip.back_from(find.place):
        if before <= since or not chase.step(seen):
            break
        spots[before] = TrackPoint(chase.edges, find.region, "interpolated", margin=margin(find.place - before, 0))
    return spots


def _bridge(
    strip: FrameWindow,
    number: int,
    forward: Mapping[int, TrackPoint],
    backward: Mapping[int, TrackPoint],
    before: Detection,
    after: Detection,
) -> None:
    """Write the places of a gap: what either direction recognised, both where both did, and the way between them."""
    held = {place: spot for place, spot in forward.items() if spot.held}
    ends = {find.place: TrackPoint(find.edges, find.region, "detected") for find in (before, after)}
    known = {**ends, **backward, **held}
    for place in strip.at_hand(before.place, after.place):
        one, two = held.get(place), backward.get(place)
        if one and two:
            spot = replace(one, edges=union(one.edges, two.edges), margin=min(one.margin, two.margin))
        else:
            spot = one or two or _on_the_way(known, place, forward.get(place))
        strip[place].spots[number] = replace(spot, shown=True, found="interpolated")


def _on_the_way(known: Mapping[int, TrackPoint], place: int, guess: TrackPoint | None) -> TrackPoint:
    """Return the spot between the nearest known ones; a guess that would be shown anyway is part of it."""
    left, right = max(p for p in known if p < place), min(p for p in known if p > place)
    one, two = known[left], known[right]
    edges = mix(one.edges, two.edges, (place - left) / (right - left))
    if guess is not None and guess.shown:
        edges = union(edges, guess.edges)
    near = one if place - left <= right - place else two
    unsure = near.margin + margin(0, min(place - left, right - place))
    return replace(near, edges=edges, held=False, margin=unsure)
