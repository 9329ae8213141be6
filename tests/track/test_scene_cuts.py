"""Scene cuts in drawn clips, and changes that only look like cuts."""

import cv2
import numpy as np
import pytest

from velum.errors import BadInput
from velum.track.scene_cuts import scenes
from velum.track.template_matcher import Observation, Thumbnail


def ground(seed: int, mean: float = 128, contrast: float = 40) -> Thumbnail:
    noise = np.random.default_rng(seed).standard_normal((270, 960)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 30)
    return np.asarray(np.clip(mean + contrast * soft / soft.std(), 0, 255), np.uint8)


def shot(seed: int, frames: int, pan: int = 0) -> list[Thumbnail]:
    wide = ground(seed)
    return [wide[:, pan * n : pan * n + 480] for n in range(frames)]


def lit(thumbs: list[Thumbnail], more: int) -> list[Thumbnail]:
    return [np.asarray(np.clip(one.astype(np.int16) + more, 0, 255), np.uint8) for one in thumbs]


def grainy(thumbs: list[Thumbnail]) -> list[Thumbnail]:
    rng = np.random.default_rng(0)
    return [np.asarray(np.clip(one + rng.normal(0, 12, one.shape), 0, 255), np.uint8) for one in thumbs]


ONE, OTHER = shot(1, 12), shot(2, 12)
WHITE = [np.full((270, 480), 255, np.uint8)]
CASES = {
    "still": (ONE, []),
    "still, with grain": (grainy(ONE), []),
    "pan": (shot(1, 40, pan=10), []),
    "cut": (ONE + OTHER, [12]),
    "cut, with grain": (grainy(ONE + OTHER), [12]),
    "cut and back after half a second": (ONE + OTHER + ONE, [12, 24]),
    "cut during a pan": (shot(1, 30, pan=8) + shot(2, 30, pan=8), [30]),
    "cut two frames before the end": (ONE + OTHER[:2], [12]),
    "flash of one frame": (ONE + lit(ONE[:1], 150) + ONE, []),
    "flash to plain white for three frames": (ONE + WHITE * 3 + ONE, []),
    "strobe": ((ONE[:2] + WHITE * 2) * 6, []),
    "photographer's flash during a pan": (shot(1, 20, 6) + lit(shot(1, 22, 6)[20:], 120) + shot(1, 40, 6)[22:], []),
    "light is switched off and stays off": (ONE + lit(ONE, -60), []),
    "cross-fade: no frame is the first": (
        [np.asarray((a * (1 - n / 30) + b * (n / 30)).astype(np.uint8))
         for n in range(31) for a, b in [(ONE[0], OTHER[0])]],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_cuts_are_detected_where_scenes_start(name: str) -> None:
    thumbs, expected = CASES[name]
    told = list(scenes(Observation(n, 960, 540, None, thumb) for n, thumb in enumerate(thumbs)))
    assert [look.index for look, _ in told] == list(range(len(thumbs)))
    assert [look.index for look, cut in told if cut] == expected


@pytest.mark.parametrize(
    "thumb",
    [
        np.zeros((270, 480, 3), np.uint8),  # colour
        np.zeros((270, 480), np.float32),  # not samples
        np.zeros((8, 480), np.uint8),  # nothing can be told from so little
    ],
)
def test_an_invalid_thumbnail_is_refused(thumb: Thumbnail) -> None:
    with pytest.raises(BadInput, match=r"thumbnail of frame 3 is .* must be uint8"):
        Observation(3, 960, 540, None, thumb)
