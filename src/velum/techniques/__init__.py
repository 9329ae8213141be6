"""Techniques, one file each. They know a patch and nothing else.

A technique is applied to a region once, or as often as the BMW Anonymization API applies it: `count_passes`.
"""

from velum.errors import BadPlan
from velum.plugins import Patch

MOST_ENTRIES = 1000
"""Largest value of `per_object` and `per_overlap`; a million passes leave nothing at any degree above 0."""

MOST_PASSES = 1_000_000


def count_passes(patch: Patch, per_object: int, per_overlap: int) -> int:
    """Return the number of times that the region of a patch is processed; 1 where both options are 0.

    The BMW API processes each of N boxes N times: the more boxes a frame has, the less of them shows. A pixel counts
    for each box that covers it, hence `per_object` times N for each region over a pixel. Outlines of a segmentation are
    processed once for each that covers a pixel: `per_overlap`.
    """
    return min(MOST_PASSES, max(1, per_object * patch.objects + per_overlap * patch.overlaps))


def check_passes(name: str, per_object: int, per_overlap: int) -> None:
    """Raise `BadPlan` when `per_object` or `per_overlap` of technique `name` is out of range."""
    for option, value in (("per_object", per_object), ("per_overlap", per_overlap)):
        if type(value) is not int or not 0 <= value <= MOST_ENTRIES:
            raise BadPlan(f"{option} of {name} is {value!r}; it must be a whole number from 0 to {MOST_ENTRIES}")
