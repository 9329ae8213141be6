"""Attacks that invert a technique return an image nearer to the original than the hidden one."""

import numpy as np
import pytest

from velum.evaluation.reidentification.attack import hide
from velum.evaluation.reidentification.descriptors import FINE, Values, downscale
from velum.evaluation.reidentification.inversion import invert_technique
from velum.evaluation.reidentification.samples import HEIGHT, WIDTH, Pictures
from velum.techniques.blacken import Blacken
from velum.techniques.blur import Blur
from velum.techniques.pixelate import Pixelate


def pictures() -> Pictures:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [120 + 40 * np.sin(x / a + y / b) + 40 * np.cos(x / b - y / a) for a, b in ((9, 14), (7, 11), (12, 8))]
    return np.stack([np.stack(waves, axis=-1), np.stack(waves[::-1], axis=-1)]).astype(np.uint8)


def away(one: Pictures | Values, other: Pictures | Values) -> float:
    return float(np.abs(downscale(one, FINE) - downscale(other, FINE))[:, 4:-4, 4:-4].mean())


def test_inverts_a_blend_with_black_up_to_rounding() -> None:
    hidden = hide(Blacken(0.9), pictures())
    assert away(hidden, pictures()) > 50
    assert away(invert_technique(Blacken(0.9), hidden)["stretched"], pictures()) < 3


@pytest.mark.parametrize("way", ["wiener 0.001", "wiener 0.0001", "richardson-lucy"])
def test_sharpens_a_narrow_blur(way: str) -> None:
    hidden = hide(Blur(0.2), pictures())
    assert away(invert_technique(Blur(0.2), hidden)[way], pictures()) < 0.7 * away(hidden, pictures())


def test_interpolates_pixelated_cells() -> None:
    hidden = hide(Pixelate(0.05), pictures())
    assert away(invert_technique(Pixelate(0.05), hidden)["interpolated"], pictures()) < 0.7 * away(hidden, pictures())


def test_does_not_invert_black_or_unknown_techniques() -> None:
    class Strange:
        destroys = False
        labels = None

        def hide(self, patch: object) -> None:
            """Hide nothing."""

    assert (
        invert_technique(Blacken(), pictures())
        == invert_technique(Blacken(0), pictures())
        == invert_technique(Strange(), pictures())
        == {}
    )
