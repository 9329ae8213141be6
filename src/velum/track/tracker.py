"""Regions of single frames in, regions through time out.

Every frame passes four stations: is it a new scene (`scene_cuts`), which finds belong to which track (`association`),
where are the things that were not found (`template_matcher`, `interpolation`), what is hidden (`output`). It leaves
once the window behind it is full.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from velum.region import Region
from velum.track import interpolation, output
from velum.track.association import Track, pair_near, pair_overlapping
from velum.track.float_boxes import edges_of
from velum.track.observation import Observation
from velum.track.scene_cuts import AHEAD, scenes
from velum.track.template_matcher import Pyramid, TemplateMatcher
from velum.track.window import Detection, FrameSlot, FrameWindow, TrackPoint, margin

PICTURES = 600
"""Pictures kept, and so the frames through which a thing is followed by its looks, where there is no window: about
80 MB of thumbs of 480 x 270. Finds of one thing are linked and bridged within the same limit."""

BEHIND = 3
"""Frames kept after they were passed on: their neighbours are smoothed with them, and chases start from them."""


def track_observations(
    looks: Iterable[Observation], window: int | None, pad: int, sure: Mapping[str, float] | None = None
) -> Iterator[tuple[Region, ...]]:
    """Yield the final regions of each look, in the order of the looks, which is that of display.

    `window` is how many frames ahead are known before a frame's regions are final, and so by how many frames these are
    late and how many frames are held. The last four of them, or a quarter, only tell whether a scene ends. None holds
    the regions of all frames before it yields the first. `pad` is for how many frames a thing is hidden before its
    first and after its last sign within a scene, whatever they show. `sure` is the score by label (none: 0) below
    which a region continues a track but does not start one.

    Regions are those found, never smaller, with the number of their track, and those filled in: "interpolated" between
    and after finds, "back-filled" before the first. Regions in frames where nothing was found carry the score of the
    nearest find.
    """
    ahead = AHEAD if window is None else min(AHEAD, window // 4)
    tracker = _Tracker(PICTURES if window is None else max(window, pad), pad, sure or {})
    for look, cut in scenes(looks, ahead):
        tracker.add(look, starts_scene=cut)
        if window is not None:
            yield from tracker.final(window - ahead)
    yield from tracker.final(0)


class _Tracker:
    """The tracks that may go on, and the stretch of film that is still at hand."""

    def __init__(self, reach: int, pad: int, sure: Mapping[str, float]) -> None:
        """Follow things for at most `reach` frames from a find."""
        self._strip = FrameWindow(reach + BEHIND)
        self._reach, self._pad, self._sure = reach, pad, sure
        self._live: list[Track] = []
        self._made = 0
        self._told = 0

    def add(self, look: Observation, *, starts_scene: bool) -> None:
        """Take in the next frame."""
        place = self._strip.end
        self._strip.append(FrameSlot(look.width, look.height, Pyramid(look), starts_scene))
        if starts_scene:
            self._live = []
        if look.regions is None:
            for track in self._live:
                self._chase(track, place)
        else:
            for label in dict.fromkeys([t.label for t in self._live] + [r.label for r in look.regions]):
                self._link(label, [r for r in look.regions if r.label == label], place)
        self._live = [track for track in self._live if self._goes_on(track, place)]

    def final(self, held_back: int) -> Iterator[tuple[Region, ...]]:
        """Yield the regions of the frames that are older than the last `held_back`."""
        while self._told < self._strip.end - held_back:
            yield output.regions(self._strip, self._told)
            self._strip.drop(self._told - BEHIND)
            self._told += 1

    def _link(self, label: str, found: Sequence[Region], place: int) -> None:
        """Continue the tracks of a label with what was found, follow the others by their looks, start new ones.

        Sure finds come first, then doubtful ones for what is left, as in ByteTrack (Zhang et al. 2022).
        """
        least = self._sure.get(label, 0.0)
        sure, doubtful = [r for r in found if r.score >= least], [r for r in found if r.score < least]
        tracks = [track for track in self._live if track.label == label]
        tracks, sure = self._continue(tracks, sure, place)
        for track in tracks:
            self._chase(track, place)
        tracks, sure = self._continue(tracks, sure, place, near=True)
        _, doubtful = self._continue(tracks, doubtful, place)
        self._strip[place].unused += doubtful
        for region in sure:
            self._start(region, place)

    def _continue(
        self, tracks: list[Track], found: list[Region], place: int, *, near: bool = False
    ) -> tuple[list[Track], list[Region]]:
        """Continue tracks with finds where they fit. Return the tracks and the finds that are left."""
        expected, boxes = [track.expected_box(place) for track in tracks], [edges_of(region.box) for region in found]
        lost = [track.chase.lost if track.chase else 0 for track in tracks]
        pairs = pair_near(expected, lost, boxes) if near else pair_overlapping(expected, boxes)
        for row, column in pairs:
            track, find = tracks[row], Detection(found[column], place)
            if place - track.last.place > 1:
                interpolation.between(self._strip, track.number, track.last, find, expected[row])
            track.see(find)
            self._strip[place].spots[track.number] = TrackPoint(find.edges, find.region, "detected")
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        return (
            [track for row, track in enumerate(tracks) if row not in rows],
            [region for column, region in enumerate(found) if column not in columns],
        )

    def _start(self, region: Region, place: int) -> None:
        self._made += 1
        find = Detection(region, place)
        self._live.append(Track(self._made, find))
        self._strip[place].spots[self._made] = TrackPoint(find.edges, region, "detected")
        interpolation.backwards(self._strip, self._made, find, self._pad)

    def _chase(self, track: Track, place: int) -> None:
        """Follow a track into a frame in which it was not found."""
        picture, last = self._strip[place].picture, self._strip[place - 1].picture
        if picture is None or last is None:
            return
        chase = track.chase or TemplateMatcher(last, track.last.edges, track.velocity, track.growth)
        held_before = place - 1 - chase.lost
        held = chase.step(picture)
        track.chase, track.chased = chase, place
        shown = held or chase.lost <= self._pad or chase.leaving(picture)
        unsure = margin(place - track.last.place, chase.lost)
        spots = self._strip[place].spots
        spots[track.number] = TrackPoint(chase.edges, track.last.region, "interpolated", held, shown, unsure)
        if held and held_before < place - 1:
            interpolation.reveal(self._strip, track.number, held_before, place)

    def _goes_on(self, track: Track, place: int) -> bool:
        chase, slot = track.chase, self._strip[place]
        if chase is None:
            return True
        track.taken = (
            track.taken + 1 if interpolation.taken_over(slot.spots, track.number, track.label, chase.edges) else 0
        )
        return (
            place - track.last.place < self._reach
            and track.taken <= self._pad
            and (slot.picture is None or interpolation.worth_following(chase, slot.picture))
        )
