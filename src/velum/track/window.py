"""The stretch of film that is still at hand: what each frame shows, and where the things in it are."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from velum.region import Origin, Region
from velum.track.float_boxes import FloatBox, edges_of
from velum.track.template_matcher import Pyramid

MARGIN_HELD, MARGIN_HELD_MOST = 0.01, 0.15
MARGIN_LOST, MARGIN_LOST_MOST = 0.04, 0.4
"""By which share of its side a box grows on each side per frame away from the nearest find, and at most: while the
thing is recognised, and (in addition) while it is not."""


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A region that was found, and in which frame."""

    region: Region
    place: int

    @property
    def edges(self) -> FloatBox:
        """Edges of the region's box."""
        return edges_of(self.region.box)


@dataclass(frozen=True, slots=True, eq=False)
class TrackPoint:
    """Where one thing is in one frame, in pixels.

    `nearest` is the find that it was followed from. `held` tells whether something in the frame itself says so: a find
    or its looks. `margin` is how unsure the place is, as a share of the box's side. What is not `shown` is a mere
    guess, kept in case that the thing is found again.
    """

    edges: FloatBox
    nearest: Region
    found: Origin
    held: bool = True
    shown: bool = True
    margin: float = 0.0


@dataclass(slots=True, eq=False)
class FrameSlot:
    """One frame: its picture while at hand, its things by the number of their track."""

    width: int
    height: int
    picture: Pyramid | None
    starts_scene: bool
    spots: dict[int, TrackPoint] = field(default_factory=dict)
    unused: list[Region] = field(default_factory=list)
    """Finds too doubtful to start a track, which continue none so far."""


class FrameWindow:
    """Slots by place, counted in frames since the beginning; old ones are dropped."""

    def __init__(self, pictures: int) -> None:
        """Keep the pictures of the last `pictures` slots."""
        self._slots: dict[int, FrameSlot] = {}
        self._pictures = pictures
        self.end = 0

    def __getitem__(self, place: int) -> FrameSlot:
        return self._slots[place]

    def append(self, slot: FrameSlot) -> None:
        """Add the next frame."""
        self._slots[self.end] = slot
        self.end += 1
        old = self._slots.get(self.end - 1 - self._pictures)
        if old is not None:
            old.picture = None

    def drop(self, place: int) -> None:
        """Forget a frame."""
        self._slots.pop(place, None)

    def at_hand(self, sooner: int, later: int) -> Iterator[int]:
        """Go through the places between the two, both excluded, as far as they are not dropped."""
        return (place for place in range(sooner + 1, later) if place in self._slots)

    def spot(self, place: int, track: int) -> TrackPoint | None:
        """Return where the track is shown in a frame, None where it is not."""
        slot = self._slots.get(place)
        spot = slot.spots.get(track) if slot else None
        return spot if spot and spot.shown else None

    def back_from(self, place: int) -> Iterator[tuple[int, FrameSlot, Pyramid]]:
        """Go back from before `place` to the scene's first frame, while the pictures are at hand."""
        while not self._slots[place].starts_scene:
            place -= 1
            slot = self._slots.get(place)
            if slot is None or slot.picture is None:
                return
            yield place, slot, slot.picture


def margin(away: int, lost: int) -> float:
    """Return the margin of a box `away` frames from the nearest find, not recognised in the last `lost` of them."""
    return min(MARGIN_HELD * away, MARGIN_HELD_MOST) + min(MARGIN_LOST * lost, MARGIN_LOST_MOST)
