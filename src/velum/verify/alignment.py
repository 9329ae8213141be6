"""Which frames of a finished file stand for which of its source: an animation may show one for as long as several."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from velum.frame import Frame

_SIDE = 128
"""Pixels of the longer side at which frames are compared."""

SAME = 1.0
"""Mean difference, in levels, up to which two frames of an animation are the same but for their coding."""


@dataclass(frozen=True, slots=True, eq=False)
class FramePair:
    """A frame of the finished file and the one of its source that it shows; None for what is missing on either side.

    `again`: the frame of the file was paired before, or shows the same as the one before it.
    """

    after: Frame | None
    before: Frame | None
    again: bool = False


def one_by_one(after: Iterable[Frame], before: Iterable[Frame]) -> Iterator[FramePair]:
    """Pair frame by frame, up to the first that is missing on either side."""
    afters, befores = iter(after), iter(before)
    while True:
        one, other = next(afters, None), next(befores, None)
        if one is None and other is None:
            return
        yield FramePair(one, other)
        if one is None or other is None:
            return


def merged(after: Iterable[Frame], before: Iterable[Frame]) -> Iterator[FramePair]:
    """Pair the frames of an animation in which neighbours that are equal may be stored as one.

    A frame of the source belongs to the next frame of the file where that is nearer to it than the current one. A
    frame of the file to which none belongs must show the same as the one before; else it is one that the source does
    not have.
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


def _is_nearer(one: Frame, other: Frame, to: Frame) -> bool:
    return distance(one, to) < distance(other, to)


def distance(one: Frame, other: Frame) -> float:
    """Return the mean difference of two frames, in levels of their small pictures."""
    scale = min(1.0, _SIDE / max(one.width, one.height))
    size = max(1, round(one.width * scale)), max(1, round(one.height * scale))
    return float(np.abs(one.rgb(*size).astype(np.int16) - other.rgb(*size)).mean())
