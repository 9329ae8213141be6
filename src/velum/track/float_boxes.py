"""Arithmetic on boxes whose edges lie between pixels: `(x0, y0, x1, y1)` in pixels of the upright frame."""

import math

from velum.region import Box

FloatBox = tuple[float, float, float, float]


def edges_of(box: Box) -> FloatBox:
    """Return the edges of a box of whole pixels."""
    return float(box.x0), float(box.y0), float(box.x1), float(box.y1)


def centre(a: FloatBox) -> tuple[float, float]:
    """Return the point in the middle."""
    return (a[0] + a[2]) / 2, (a[1] + a[3]) / 2


def side(a: FloatBox) -> float:
    """Return the side of the square of the same area."""
    return math.sqrt(area(a))


def area(a: FloatBox) -> float:
    """Return width times height."""
    return (a[2] - a[0]) * (a[3] - a[1])


def union(a: FloatBox, b: FloatBox) -> FloatBox:
    """Return the smallest box that contains both."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def mix(a: FloatBox, b: FloatBox, share: float) -> FloatBox:
    """Return the box on the way from `a` (share 0) to `b` (share 1); exactly `b` at 1."""
    rest = 1 - share
    return (
        a[0] * rest + b[0] * share, a[1] * rest + b[1] * share,
        a[2] * rest + b[2] * share, a[3] * rest + b[3] * share,
    )  # fmt: skip


def shift(a: FloatBox, dx: float, dy: float) -> FloatBox:
    """Return the box moved by `dx`, `dy` pixels."""
    return a[0] + dx, a[1] + dy, a[2] + dx, a[3] + dy


def grow(a: FloatBox, share: float) -> FloatBox:
    """Return the box widened on each side by a share of its mean side, the same number of pixels everywhere."""
    by = share * side(a)
    return a[0] - by, a[1] - by, a[2] + by, a[3] + by


def zoom(a: FloatBox, factor: float) -> FloatBox:
    """Return the box with its sides multiplied by `factor` about its middle."""
    dx, dy = (a[2] - a[0]) * (factor - 1) / 2, (a[3] - a[1]) * (factor - 1) / 2
    return a[0] - dx, a[1] - dy, a[2] + dx, a[3] + dy


def intersection_area(a: FloatBox, b: FloatBox) -> float:
    """Return the area that both have in common."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def iou(a: FloatBox, b: FloatBox) -> float:
    """Return the area in common as a share of the area of both together."""
    both = intersection_area(a, b)
    return both / (area(a) + area(b) - both)


def share_inside(a: FloatBox, width: int, height: int) -> float:
    """Return the share of the box that lies inside a frame of `width` x `height` pixels."""
    return intersection_area(a, (0.0, 0.0, float(width), float(height))) / area(a)
