"""Template matching: find an object in the next frame, or the one before, by its appearance."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from velum.errors import BadInput
from velum.frame import Frame
from velum.region import Region
from velum.track.float_boxes import FloatBox, area, centre, share_inside, shift, zoom

Thumbnail = npt.NDArray[np.uint8]
"""The upright frame in grey (rows, columns), about 480 columns wide."""

THUMBNAIL_WIDTH = 480
SMALLEST_THUMBNAIL = 16

Scores = npt.NDArray[np.float32]

LARGEST, SMALLEST = 32, 8
"""Sides of a template in samples: larger objects are matched at a smaller scale, with smaller ones a bit of their
surroundings belongs to the template."""

SAME_AS_FIRST = 0.7
SAME_AS_LAST = 0.8
"""Normalised correlation from which a place shows the object as it was first, or as it was one frame before. The second
is for objects that turn; it must be higher because its errors add up."""

LEAST_CONTRAST = 2.0
"""Standard deviation in grey levels below which a template resembles any other."""

LARGEST_GROWTH = 1.5
"""Factor by which the sides grow in all: a trend of a few frames says little of the far future."""

FAR_COSTS = 0.15
"""How much less correlation counts at the rim of the search area than at its centre, since small templates can match in
several places."""


def thumbnail_of(frame: Frame) -> Thumbnail:
    """Return the frame as the tracker needs it: small, grey, upright."""
    scale = min(1.0, THUMBNAIL_WIDTH / frame.width)
    width, height = (max(SMALLEST_THUMBNAIL, round(side * scale)) for side in (frame.width, frame.height))
    return frame.grey(width, height)


LookAgain = Callable[[Sequence[Region]], Sequence[float | None]]
"""Returns the score of each region at a second look, 0 where nothing is there, None where it was not looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """All that the tracker needs of one frame: its regions and its thumbnail.

    `width` and `height` are of the upright frame, in whose pixels the regions are. `regions` is None for a frame on
    which no localizer was run.
    """

    index: int
    width: int
    height: int
    regions: tuple[Region, ...] | None
    thumbnail: Thumbnail
    look_again: LookAgain | None = None
    """Looks a second time at regions that continue no track; None where the localizer cannot."""

    def __post_init__(self) -> None:
        if self.thumbnail.ndim != 2 or self.thumbnail.dtype != np.uint8 or min(self.thumbnail.shape) < 16:
            raise BadInput(
                f"thumbnail of frame {self.index} is {self.thumbnail.dtype} {self.thumbnail.shape}; "
                "it must be uint8 (rows, columns), at least 16 x 16"
            )


class Pyramid:
    """A thumbnail at half, quarter, ... size as needed, and its scale to the frame's pixels."""

    __slots__ = ("_levels", "height", "scale_x", "scale_y", "width")

    def __init__(self, observation: Observation) -> None:
        self.width, self.height = observation.width, observation.height
        self.scale_x, self.scale_y = (
            observation.thumbnail.shape[1] / observation.width,
            observation.thumbnail.shape[0] / observation.height,
        )
        self._levels = [observation.thumbnail]

    def level(self, track_id: int) -> Thumbnail:
        """Return the thumbnail halved `number` times."""
        while len(self._levels) <= track_id:
            self._levels.append(np.asarray(cv2.pyrDown(self._levels[-1]), np.uint8))
        return self._levels[track_id]


class TemplateMatcher:
    """Tracks one object by its appearance, frame by frame.

    `edges` is where it is now. `lost` counts the frames since it was last recognised; meanwhile it is taken to move on
    as before.
    """

    __slots__ = ("_first", "_grown", "_growth", "_last", "_level", "_plain", "_wh", "edges", "lost", "velocity")

    def __init__(
        self, pyramid: Pyramid, edges: FloatBox, velocity: tuple[float, float] | None = None, growth: float = 1.0
    ) -> None:
        """Start at `edges`. `velocity` (pixels; None: unknown) and `growth` (factor of the sides) are per frame."""
        self.edges, self.velocity, self.lost, self._growth, self._grown = edges, velocity, 0, growth, 1.0
        width, height = (edges[2] - edges[0]) * pyramid.scale_x, (edges[3] - edges[1]) * pyramid.scale_y
        self._level = min(max(0, math.ceil(math.log2(max(width, height) / LARGEST))), _most_halvings(pyramid))
        self._wh = _samples(width, self._level), _samples(height, self._level)
        self._first = self._last = self._cut(pyramid, centre(edges), 0)
        self._plain = float(self._first.std()) < LEAST_CONTRAST

    def step(self, pyramid: Pyramid) -> bool:
        """Go on to the next frame. Return whether the object was recognised there."""
        is_predicted = self.velocity is not None and not self.lost
        dx, dy = self.velocity or (0.0, 0.0)
        guess = shift(self.edges, dx, dy)
        radius = max(3, math.ceil((0.3 * max(self._wh) + 8 / 2**self._level) * (1.0 if is_predicted else 2.0)))
        cutout = self._cut(pyramid, centre(guess), radius)
        match = self._find(cutout, radius)
        recognised = match is not None
        if match is not None:
            step_x, step_y = match[0] * 2**self._level / pyramid.scale_x, match[1] * 2**self._level / pyramid.scale_y
            self._update_velocity(dx + step_x, dy + step_y)
            guess = shift(guess, step_x, step_y)
            self._last = self._cut(pyramid, centre(guess), 0)
        self.lost = 0 if recognised else self.lost + 1
        growth = min(self._growth, LARGEST_GROWTH / self._grown)
        self.edges, self._grown = zoom(guess, growth), self._grown * growth
        return recognised

    def leaving(self, pyramid: Pyramid) -> bool:
        """Tell whether the object lies across the frame's border and moves out: then it is there until it is out."""
        if self.velocity is None or share_inside(self.edges, pyramid.width, pyramid.height) > 0.98:
            return False
        (dx, dy), (x0, y0, x1, y1) = self.velocity, self.edges
        still = 0.01 * math.sqrt(area(self.edges))
        return (
            (x0 < 0 and dx < -still)
            or (y0 < 0 and dy < -still)
            or (x1 > pyramid.width and dx > still)
            or (y1 > pyramid.height and dy > still)
        )

    def _find(self, cutout: Thumbnail, radius: int) -> tuple[float, float] | None:
        """Return how many samples (x, y) the object lies off the centre of `cutout`, None when it is not there."""
        if self._plain:
            return None
        scores, x, y = _match(self._first, cutout, radius)
        least = SAME_AS_FIRST
        if scores[y, x] < least:
            scores, x, y = _match(self._last, cutout, radius)
            least = SAME_AS_LAST
        if scores[y, x] < least:
            return None
        return x - radius + _vertex(scores[y, :], x), y - radius + _vertex(scores[:, x], y)

    def _update_velocity(self, dx: float, dy: float) -> None:
        old = self.velocity
        # After a loss the step is that of several frames; it says nothing of one.
        if old is None:
            self.velocity = (dx, dy)
        elif not self.lost:
            self.velocity = ((old[0] + dx) / 2, (old[1] + dy) / 2)

    def _cut(self, pyramid: Pyramid, middle: tuple[float, float], radius: int) -> Thumbnail:
        """Return the samples around a point in the frame's pixels: the object's size and `radius` on each side."""
        x, y = (
            (middle[0] * pyramid.scale_x - 0.5) / 2**self._level,
            (middle[1] * pyramid.scale_y - 0.5) / 2**self._level,
        )
        size = self._wh[0] + 2 * radius, self._wh[1] + 2 * radius
        return np.asarray(cv2.getRectSubPix(pyramid.level(self._level), size, (x, y)), np.uint8)


def _match(template: Thumbnail, cutout: Thumbnail, radius: int) -> tuple[Scores, int, int]:
    """Return the correlations of a template with every place in `cutout`, and the column and row of the best one."""
    scores = np.asarray(cv2.matchTemplate(cutout, template, cv2.TM_CCOEFF_NORMED), np.float32)
    _, _, _, (x, y) = cv2.minMaxLoc(scores - _distance_costs(radius))
    return scores, x, y


def _vertex(scores: Scores, at: int) -> float:
    """Return how far off `at` the parabola through it and its neighbours has its vertex, at most half a sample."""
    if not 0 < at < len(scores) - 1:
        return 0.0
    before, middle, after = float(scores[at - 1]), float(scores[at]), float(scores[at + 1])
    bend = before - 2 * middle + after
    return min(0.5, max(-0.5, (before - after) / (2 * bend))) if bend < 0 else 0.0


@lru_cache(maxsize=64)
def _distance_costs(radius: int) -> Scores:
    line = np.arange(-radius, radius + 1, dtype=np.float32) / radius
    return np.asarray(FAR_COSTS * np.hypot(line[None, :], line[:, None]), np.float32)


def _samples(side: float, level: int) -> int:
    return max(SMALLEST, round(side / (1 << level)))


def _most_halvings(pyramid: Pyramid) -> int:
    rows, columns = pyramid.level(0).shape
    return max(0, math.floor(math.log2(min(rows, columns) / SMALLEST)))
