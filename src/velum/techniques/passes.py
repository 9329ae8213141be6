"""How often a technique is applied to a region: once, or as often as the BMW Anonymization API applies it."""

from velum.errors import BadPlan
from velum.plugins import Patch

MOST_ENTRIES = 1000
"""Largest value of the options; more passes than a million leave nothing of any degree above 0."""

MOST_PASSES = 1_000_000


def passes(patch: Patch, per_object: int, per_overlap: int) -> int:
    """Return how often the region of a patch is to be processed; 1 where neither option asks for more.

    The BMW API processes each of N boxes N times, so that the more there are, the less shows. A box counts for the
    pixels that it covers, hence `per_object` times N for each region that lies over another; outlines of a
    segmentation are processed once for each that lies over another: `per_overlap`.
    """
    return min(MOST_PASSES, max(1, per_object * patch.objects + per_overlap * patch.overlaps))


def check(name: str, per_object: int, per_overlap: int) -> None:
    """Raise `BadPlan` for options of technique `name` that are out of range."""
    for option, value in (("per_object", per_object), ("per_overlap", per_overlap)):
        if type(value) is not int or not 0 <= value <= MOST_ENTRIES:
            raise BadPlan(f"{option} of {name} is {value!r}; it must be a whole number from 0 to {MOST_ENTRIES}")
