"""Arithmetic on boxes whose edges lie between pixels: `(x0, y0, x1, y1)` in pixels of the upright picture."""

import math

from velum.region import Box

Edges = tuple[float, float, float, float]


def edges_of(box: Box) -> Edges:
    """Return the edges of a box of whole pixels."""
    return float(box.x0), float(box.y0), float(box.x1), float(box.y1)


def centre(a: Edges) -> tuple[float, float]:
    """Return the point in the middle."""
    return (a[0] + a[2]) / 2, (a[1] + a[3]) / 2


def side(a: Edges) -> float:
    """Return the side of the square of the same area."""
    return math.sqrt(area(a))


def area(a: Edges) -> float:
    """Return width times height."""
    return (a[2] - a[0]) * (a[3] - a[1])


def union(a: Edges, b: Edges) -> Edges:
    """Return the smallest box that contains both."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def mix(a: Edges, b: Edges, share: float) -> Edges:
    """Return the box on the way from `a` (share 0) to `b` (share 1); exactly `b` at 1."""
    rest = 1 - share
    return (
        a[0] * rest + b[0] * share, a[1] * rest + b[1] * share,
        a[2] * rest + b[2] * share, a[3] * rest + b[3] * share,
    )  # fmt: skip


def shift(a: Edges, dx: float, dy: float) -> Edges:
    """Return the box moved by `dx`, `dy` pixels."""
    return a[0] + dx, a[1] + dy, a[2] + dx, a[3] + dy


def grow(a: Edges, share: float) -> Edges:
    """Return the box widened on each side by a share of its mean side, the same number of pixels everywhere."""
    by = share * side(a)
    return a[0] - by, a[1] - by, a[2] + by, a[3] + by


def zoom(a: Edges, factor: float) -> Edges:
    """Return the box with its sides multiplied by `factor` about its middle."""
    dx, dy = (a[2] - a[0]) * (factor - 1) / 2, (a[3] - a[1]) * (factor - 1) / 2
    return a[0] - dx, a[1] - dy, a[2] + dx, a[3] + dy


def shared(a: Edges, b: Edges) -> float:
    """Return the area that both have in common."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def iou(a: Edges, b: Edges) -> float:
    """Return the area in common as a share of the area of both together."""
    both = shared(a, b)
    return both / (area(a) + area(b) - both)


def share_inside(a: Edges, width: int, height: int) -> float:
    """Return which share of the box lies in a picture of `width` x `height` pixels."""
    return shared(a, (0.0, 0.0, float(width), float(height))) / area(a)
