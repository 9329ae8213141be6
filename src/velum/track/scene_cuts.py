"""Scene cuts: which frames start a new scene."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from velum.track.template_matcher import Observation, Thumbnail

AHEAD = 4
"""Frames that are read ahead: a cut counts when the old scene has not come back in them; a flash is over by then."""

GRID_WH = (32, 18)
LEAST_CHANGE = 14.0
"""Mean change of grey level (of 255) in the coarse grid, below which two frames are never of different scenes."""

UNUSUAL = 4.0
"""A cut changes the frame at least this many times as much as the frames before it changed."""

OTHER_SHAPE = 0.6
OTHER_TONES = 0.35
"""Two frames differ when light and shade lie elsewhere (correlation of the coarse grids below the first), or when their
grey levels do (share of pixels in another bin of the histogram above the second) and the first is nearly so."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameSignature:
    """A frame from afar: a coarse grid of grey levels, and their histogram."""

    grid: npt.NDArray[np.float32]
    tones: npt.NDArray[np.float32]

    @classmethod
    def of(cls, thumbnail: Thumbnail) -> Self:
        """Return the signature of a thumbnail."""
        grid = cv2.resize(thumbnail, GRID_WH, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
        tones = cv2.calcHist([thumbnail], [0], None, [32], [0, 256]).astype(np.float32).ravel()
        return cls(grid, tones / np.float32(thumbnail.size))

    def change(self, other: "FrameSignature") -> float:
        """Return the mean difference in grey level, of 255."""
        return float(np.abs(self.grid - other.grid).mean())

    def differs(self, other: "FrameSignature") -> bool:
        """Tell whether the two can hardly be of one scene, even one that is brighter, darker or moved a little."""
        a, b = self.grid - self.grid.mean(), other.grid - other.grid.mean()
        size = float(np.sqrt((a @ a) * (b @ b)))
        alike = float(a @ b) / size if size > 0 else 0.0
        moved = float(np.abs(self.tones - other.tones).sum()) / 2
        return alike < OTHER_SHAPE or (alike < (1 + OTHER_SHAPE) / 2 and moved > OTHER_TONES)


def changes_scene(before: FrameSignature, after: FrameSignature) -> bool:
    """Tell, by two frames in a row alone, whether the second may start a scene. A flash counts as well."""
    return before.change(after) > LEAST_CHANGE and after.differs(before)


def scenes(observations: Iterable[Observation], ahead: int = AHEAD) -> Iterator[tuple[Observation, bool]]:
    """Yield each observation, and whether it starts a new scene, `ahead` frames late.

    A flash is not a cut: frames after which the scene is as before belong to it. In doubt there is no cut: a missed cut
    hides too much for a moment, a wrong one too little. A change in the last `ahead` frames counts as a cut when none
    of the frames that are left shows the old scene. With `ahead` 0 a flash cannot be told from a cut.
    """
    waiting: deque[tuple[Observation, FrameSignature]] = deque()
    scene: deque[FrameSignature] = deque(maxlen=AHEAD + 1)
    changes: deque[float] = deque(maxlen=25)

    def decide() -> tuple[Observation, bool]:
        """Take the first observation off `waiting`; return it, and whether it starts a scene. The others follow it."""
        observation, signature = waiting.popleft()
        cut = (
            bool(scene)
            and _leaves_scene(signature, scene, changes)
            and all(_leaves_scene(later, scene, changes) for _, later in waiting)
        )
        if cut:
            scene.clear()
        elif scene:
            changes.append(scene[-1].change(signature))
        scene.append(signature)
        return observation, cut

    for observation in observations:
        waiting.append((observation, FrameSignature.of(observation.thumbnail)))
        if len(waiting) > ahead:
            yield decide()
    while waiting:
        yield decide()


def _leaves_scene(signature: FrameSignature, scene: deque[FrameSignature], changes: deque[float]) -> bool:
    """Tell whether a frame is like none of the scene's latest ones: frames of a flash, and some from before it.

    `changes`: by how much the latest frames of the scene differ from the frame before them.
    """
    limit = max(LEAST_CHANGE, UNUSUAL * median(changes or [0.0]))
    return all(old.change(signature) > limit and signature.differs(old) for old in reversed(scene))
