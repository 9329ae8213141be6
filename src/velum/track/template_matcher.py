"""Following what lies in a box from picture to picture by what it looks like, forwards or backwards in time."""

import math
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from velum.track.float_boxes import FloatBox, area, centre, share_inside, shift, zoom
from velum.track.observation import Observation, Thumbnail

Scores = npt.NDArray[np.float32]

LARGEST, SMALLEST = 32, 8
"""Sides in samples of what is compared: larger things are compared in a smaller picture, of smaller ones a bit of
their surroundings belongs to it."""

SAME_AS_FIRST = 0.7
SAME_AS_LAST = 0.8
"""Normalised correlation from which a place shows the thing as it was found first, or as it was one picture before.
The second is for things that turn; it must be higher because its errors add up."""

LEAST_CONTRAST = 2.0
"""Standard deviation in grey levels below which a patch looks like any other."""

LARGEST_GROWTH = 1.5
"""Of the sides, from the find on: a trend of a few frames says little of the far future."""

FAR_COSTS = 0.15
"""How much less a place at the rim of the search counts than the expected one: small patches have doubles."""


class Pyramid:
    """A thumb at half, quarter, ... size as needed, and how it relates to the frame's pixels."""

    __slots__ = ("_levels", "height", "scale_x", "scale_y", "width")

    def __init__(self, look: Observation) -> None:
        self.width, self.height = look.width, look.height
        self.scale_x, self.scale_y = look.thumb.shape[1] / look.width, look.thumb.shape[0] / look.height
        self._levels = [look.thumb]

    def level(self, number: int) -> Thumbnail:
        """Return the thumb halved `number` times."""
        while len(self._levels) <= number:
            self._levels.append(np.asarray(cv2.pyrDown(self._levels[-1]), np.uint8))
        return self._levels[number]


class TemplateMatcher:
    """Where a thing is now, as far as its looks tell.

    `lost` counts the pictures since it was last recognised; meanwhile it is taken to move on as before.
    """

    __slots__ = ("_first", "_grown", "_growth", "_last", "_level", "_plain", "_wh", "edges", "lost", "velocity")

    def __init__(
        self, picture: Pyramid, edges: FloatBox, velocity: tuple[float, float] | None = None, growth: float = 1.0
    ) -> None:
        """Start at `edges` in `picture`. `velocity` and `growth` (of the sides) are per picture; None: unknown."""
        self.edges, self.velocity, self.lost, self._growth, self._grown = edges, velocity, 0, growth, 1.0
        width, height = (edges[2] - edges[0]) * picture.scale_x, (edges[3] - edges[1]) * picture.scale_y
        self._level = min(max(0, math.ceil(math.log2(max(width, height) / LARGEST))), _most_halvings(picture))
        self._wh = _samples(width, self._level), _samples(height, self._level)
        self._first = self._last = self._cut(picture, centre(edges), 0)
        self._plain = float(self._first.std()) < LEAST_CONTRAST

    def step(self, picture: Pyramid) -> bool:
        """Go on to the next picture. Return whether the thing was recognised there."""
        known = self.velocity is not None and not self.lost
        dx, dy = self.velocity or (0.0, 0.0)
        guess = shift(self.edges, dx, dy)
        radius = max(3, math.ceil((0.3 * max(self._wh) + 8 / 2**self._level) * (1.0 if known else 2.0)))
        seen = self._cut(picture, centre(guess), radius)
        found = self._find(seen, radius)
        held = found is not None
        if found is not None:
            step_x, step_y = found[0] * 2**self._level / picture.scale_x, found[1] * 2**self._level / picture.scale_y
            self._settle(dx + step_x, dy + step_y)
            guess = shift(guess, step_x, step_y)
            self._last = self._cut(picture, centre(guess), 0)
        self.lost = 0 if held else self.lost + 1
        growth = min(self._growth, LARGEST_GROWTH / self._grown)
        self.edges, self._grown = zoom(guess, growth), self._grown * growth
        return held

    def leaving(self, picture: Pyramid) -> bool:
        """Tell whether it lies across the picture's border and moves outwards: then it is there until it is out."""
        if self.velocity is None or share_inside(self.edges, picture.width, picture.height) > 0.98:
            return False
        (dx, dy), (x0, y0, x1, y1) = self.velocity, self.edges
        still = 0.01 * math.sqrt(area(self.edges))
        return (
            (x0 < 0 and dx < -still)
            or (y0 < 0 and dy < -still)
            or (x1 > picture.width and dx > still)
            or (y1 > picture.height and dy > still)
        )

    def _find(self, seen: Thumbnail, radius: int) -> tuple[float, float] | None:
        """Return by how many samples the thing lies off the middle of `seen`, None when it is not there."""
        if self._plain:
            return None
        scores, x, y = _match(self._first, seen, radius)
        least = SAME_AS_FIRST
        if scores[y, x] < least:
            scores, x, y = _match(self._last, seen, radius)
            least = SAME_AS_LAST
        if scores[y, x] < least:
            return None
        return x - radius + _vertex(scores[y, :], x), y - radius + _vertex(scores[:, x], y)

    def _settle(self, dx: float, dy: float) -> None:
        old = self.velocity
        # After a loss the step bridges several pictures; it says nothing of one.
        if old is None:
            self.velocity = (dx, dy)
        elif not self.lost:
            self.velocity = ((old[0] + dx) / 2, (old[1] + dy) / 2)

    def _cut(self, picture: Pyramid, middle: tuple[float, float], radius: int) -> Thumbnail:
        """Return the samples around a point given in the frame's pixels, `radius` wider on each side than the thing."""
        x, y = (
            (middle[0] * picture.scale_x - 0.5) / 2**self._level,
            (middle[1] * picture.scale_y - 0.5) / 2**self._level,
        )
        size = self._wh[0] + 2 * radius, self._wh[1] + 2 * radius
        return np.asarray(cv2.getRectSubPix(picture.level(self._level), size, (x, y)), np.uint8)


def _match(patch: Thumbnail, seen: Thumbnail, radius: int) -> tuple[Scores, int, int]:
    """Return the correlations of the patch with every place in `seen`, and the column and row of the best one."""
    scores = np.asarray(cv2.matchTemplate(seen, patch, cv2.TM_CCOEFF_NORMED), np.float32)
    _, _, _, (x, y) = cv2.minMaxLoc(scores - _distance_costs(radius))
    return scores, x, y


def _vertex(scores: Scores, at: int) -> float:
    """Return how far off `at` the parabola through it and its neighbours has its vertex, at most half a sample."""
    if not 0 < at < len(scores) - 1:
        return 0.0
    before, here, after = float(scores[at - 1]), float(scores[at]), float(scores[at + 1])
    bend = before - 2 * here + after
    return min(0.5, max(-0.5, (before - after) / (2 * bend))) if bend < 0 else 0.0


@lru_cache(maxsize=64)
def _distance_costs(radius: int) -> Scores:
    line = np.arange(-radius, radius + 1, dtype=np.float32) / radius
    return np.asarray(FAR_COSTS * np.hypot(line[None, :], line[:, None]), np.float32)


def _samples(side: float, level: int) -> int:
    return max(SMALLEST, round(side / (1 << level)))


def _most_halvings(picture: Pyramid) -> int:
    rows, columns = picture.level(0).shape
    return max(0, math.floor(math.log2(min(rows, columns) / SMALLEST)))
