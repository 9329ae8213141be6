"""Where one scene ends and another begins."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from velum.track.observation import Observation, Thumbnail

AHEAD = 4
"""A cut is believed when so many frames later the old scene has not come back; a flash is over by then."""

GRID_WH = (32, 18)
LEAST_CHANGE = 14.0
"""Mean change of grey level (of 255) of the coarse picture, below which no two frames are different scenes."""

UNUSUAL = 4.0
"""A cut changes the picture so many times more than the frames before it changed."""

OTHER_SHAPE = 0.6
OTHER_TONES = 0.35
"""A picture is another when its light and shade lie elsewhere (correlation of the coarse pictures below the first) or
when its grey levels are others (share of pixels that changed bin, above the second) and the first is nearly so."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameSignature:
    """What a picture looks like from afar: coarse grey levels, and how many pixels have which."""

    grid: npt.NDArray[np.float32]
    tones: npt.NDArray[np.float32]

    @classmethod
    def of(cls, thumb: Thumbnail) -> Self:
        """Return the gist of a thumb."""
        grid = cv2.resize(thumb, GRID_WH, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
        tones = cv2.calcHist([thumb], [0], None, [32], [0, 256]).astype(np.float32).ravel()
        return cls(grid, tones / np.float32(thumb.size))

    def change(self, other: "FrameSignature") -> float:
        """Return the mean difference in grey level, of 255."""
        return float(np.abs(self.grid - other.grid).mean())

    def differs(self, other: "FrameSignature") -> bool:
        """Tell whether the two can hardly be the same scene, even brighter, darker or moved a little."""
        a, b = self.grid - self.grid.mean(), other.grid - other.grid.mean()
        size = float(np.sqrt((a @ a) * (b @ b)))
        alike = float(a @ b) / size if size > 0 else 0.0
        moved = float(np.abs(self.tones - other.tones).sum()) / 2
        return alike < OTHER_SHAPE or (alike < (1 + OTHER_SHAPE) / 2 and moved > OTHER_TONES)


def scenes(looks: Iterable[Observation], ahead: int = AHEAD) -> Iterator[tuple[Observation, bool]]:
    """Pass the looks on, each with whether a new scene starts with it, `ahead` looks late.

    A flash is no cut: frames after which the scene is as before belong to it. In doubt there is no cut: that hides too
    much for a moment, the other mistake too little. A change in the last `ahead` frames counts as a cut when none of
    the frames that are left shows the old scene. With `ahead` 0 a flash cannot be told from a cut.
    """
    waiting: deque[tuple[Observation, FrameSignature]] = deque()
    judge = _Judge()
    for look in looks:
        waiting.append((look, FrameSignature.of(look.thumb)))
        if len(waiting) > ahead:
            yield judge.next(waiting)
    while waiting:
        yield judge.next(waiting)


class _Judge:
    """Compares each look with the scene's latest ones."""

    def __init__(self) -> None:
        self._scene: deque[FrameSignature] = deque(maxlen=AHEAD + 1)
        self._changes: deque[float] = deque(maxlen=25)

    def next(self, waiting: deque[tuple[Observation, FrameSignature]]) -> tuple[Observation, bool]:
        """Take the first look off `waiting` and say whether it starts a scene; the others are what follows it."""
        look, gist = waiting.popleft()
        cut = bool(self._scene) and self._over(gist) and all(self._over(later) for _, later in waiting)
        if cut:
            self._scene.clear()
        elif self._scene:
            self._changes.append(self._scene[-1].change(gist))
        self._scene.append(gist)
        return look, cut

    def _over(self, gist: FrameSignature) -> bool:
        """Tell whether the picture is like none of the scene's latest: frames of a flash, and some from before it."""
        limit = max(LEAST_CHANGE, UNUSUAL * median(self._changes or [0.0]))
        return all(old.change(gist) > limit and gist.differs(old) for old in reversed(self._scene))
