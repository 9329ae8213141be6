"""The window: the frames whose regions can still change, with their thumbnails and the objects in them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from velum.region import Origin, Region
from velum.track.float_boxes import FloatBox, edges_of
from velum.track.template_matcher import Pyramid

MARGIN_HELD, MARGIN_HELD_MOST = 0.01, 0.15
MARGIN_LOST, MARGIN_LOST_MOST = 0.04, 0.4
"""Share of its side by which a box grows on each side, for each frame away from the nearest detection, and at most:
while the object is recognised, and (in addition) while it is not."""


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A region that was detected, and the number of its frame."""

    region: Region
    frame: int

    @property
    def edges(self) -> FloatBox:
        """The region's box, as edges."""
        return edges_of(self.region.box)


@dataclass(frozen=True, slots=True, eq=False)
class TrackPoint:
    """Where the object of a track is in one frame."""

    edges: FloatBox
    nearest: Region
    """The detection that the object was tracked from."""
    origin: Origin
    recognised: bool = True
    """True when the frame itself shows the object there: it was detected, or recognised by its appearance."""
    shown: bool = True
    """False for a guess, which counts only if the object is detected or recognised again."""
    margin: float = 0.0
    """Uncertainty of the edges, as a share of the box's side."""


@dataclass(slots=True, eq=False)
class FrameSlot:
    """One frame: its thumbnail as long as it is held, and its objects by track id."""

    width: int
    height: int
    pyramid: Pyramid | None
    starts_scene: bool
    points: dict[int, TrackPoint] = field(default_factory=dict)
    weak: list[Region] = field(default_factory=list)
    """Detections whose scores are too low to start a track, and which continue none so far."""


class FrameWindow:
    """Slots by frame number, counted from the first frame of the video; old ones are dropped."""

    def __init__(self, thumbnails: int) -> None:
        """Hold the thumbnails of the last `thumbnails` slots."""
        self._slots: dict[int, FrameSlot] = {}
        self._thumbnails = thumbnails
        self.end = 0

    def __getitem__(self, frame: int) -> FrameSlot:
        return self._slots[frame]

    def append(self, slot: FrameSlot) -> None:
        """Add the next frame."""
        self._slots[self.end] = slot
        self.end += 1
        old = self._slots.get(self.end - 1 - self._thumbnails)
        if old is not None:
            old.pyramid = None

    def drop(self, frame: int) -> None:
        """Drop a frame."""
        self._slots.pop(frame, None)

    def frames_between(self, sooner: int, later: int) -> Iterator[int]:
        """Yield the numbers of the frames between two, both excluded, that were not dropped."""
        return (frame for frame in range(sooner + 1, later) if frame in self._slots)

    def point(self, frame: int, track: int) -> TrackPoint | None:
        """Return the point of a track in a frame, None where it is not shown."""
        slot = self._slots.get(frame)
        point = slot.points.get(track) if slot else None
        return point if point and point.shown else None

    def back_from(self, frame: int) -> Iterator[tuple[int, FrameSlot, Pyramid]]:
        """Yield the frames before `frame`, back to the first of the scene, as long as their thumbnails are held."""
        while not self._slots[frame].starts_scene:
            frame -= 1
            slot = self._slots.get(frame)
            if slot is None or slot.pyramid is None:
                return
            yield frame, slot, slot.pyramid


def margin(away: int, lost: int) -> float:
    """Return the margin of a box `away` frames from the nearest detection, not recognised in the last `lost` frames."""
    return min(MARGIN_HELD * away, MARGIN_HELD_MOST) + min(MARGIN_LOST * lost, MARGIN_LOST_MOST)
