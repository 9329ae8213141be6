"""Pairs the frames of a finished file with those of its source; an animation may store several equal frames as one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from velum.frame import Frame

_SIDE = 128
"""Longer side, in pixels, at which frames are compared."""

SAME = 1.0
"""Mean difference, in levels, up to which two frames of an animation count as equal; coding alone makes less."""


@dataclass(frozen=True, slots=True, eq=False)
class FramePair:
    """A frame of the finished file (`after`) and its frame of the source (`before`); None when one is missing.

    `again`: the frame of the file was paired before, or equals the previous one.
    """

    after: Frame | None
    before: Frame | None
    again: bool = False


def pair_in_order(after: Iterable[Frame], before: Iterable[Frame]) -> Iterator[FramePair]:
    """Pair frames in order, up to the first that is missing on either side."""
    afters, befores = iter(after), iter(before)
    while True:
        first, second = next(afters, None), next(befores, None)
        if first is None and second is None:
            return
        yield FramePair(first, second)
        if first is None or second is None:
            return


def pair_merged(after: Iterable[Frame], before: Iterable[Frame]) -> Iterator[FramePair]:
    """Pair the frames of an animation that may store equal neighbours as one frame.

    A frame of the source is paired with the next frame of the file when that is nearer to it than the current one. A
    frame of the file without a source frame must equal the previous one; otherwise the source does not have it.
    """
    afters = iter(after)
    current, following = next(afters, None), next(afters, None)
    last: Frame | None = None
    fresh = True
    for frame in before:
        if current is None:
            yield FramePair(None, frame)
            return
        while last is not None and following is not None and _is_nearer(following, current, frame):
            current, following, fresh = following, next(afters, None), True
        yield FramePair(current, frame, again=not fresh)
        last, fresh = frame, False
    while following is not None:
        if current is None or last is None or distance(following, current) > SAME:
            yield FramePair(following, None)
            return
        yield FramePair(following, last, again=True)
        current, following = following, next(afters, None)


def _is_nearer(first: Frame, second: Frame, to: Frame) -> bool:
    return distance(first, to) < distance(second, to)


def distance(first: Frame, second: Frame) -> float:
    """Return the mean absolute difference of two frames, scaled down, in levels from 0 to 255."""
    scale = min(1.0, _SIDE / max(first.width, first.height))
    size = max(1, round(first.width * scale)), max(1, round(first.height * scale))
    return float(np.abs(first.rgb(*size).astype(np.int16) - second.rgb(*size)).mean())
