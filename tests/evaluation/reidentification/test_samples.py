"""Shots show the region, cropped again and in other light, and are equal for equal seeds."""

import numpy as np
import pytest

from velum.evaluation.reidentification.samples import HEIGHT, WIDTH, Shot, originals, sample, shots
from velum.frame import Rgb
from velum.region import Box


def pattern(seed: int, height: int, width: int) -> Rgb:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(seed: int) -> Rgb:
    return np.kron(pattern(seed, 12, 9), np.ones((16, 16, 1), np.uint8))


def test_the_original_is_the_region_that_a_rule_hides() -> None:
    rgb = np.zeros((400, 400, 3), np.uint8)
    # A face of 100 x 100 whose rule hides 20 more on each side.
    rgb[130:270, 130:270] = 200
    (original,) = originals([sample(rgb, Box(150, 150, 250, 250))])
    assert original.shape == (HEIGHT, WIDTH, 3)
    assert original[3:-3, 3:-3].min() >= 195
    rgb[...] = 200
    rgb[130:270, 130:270] = 0
    assert originals([sample(rgb, Box(150, 150, 250, 250))])[0][3:-3, 3:-3].max() <= 5


@pytest.mark.parametrize("xyxy", [(0, 0, 20, 30), (180, 90, 200, 120), (-5, -5, 30, 40)])
def test_repeats_the_edge_of_a_face_at_the_border_of_the_image(xyxy: tuple[int, int, int, int]) -> None:
    rgb = np.full((120, 200, 3), 77, np.uint8)
    assert (originals([sample(rgb, Box(*xyxy))]) == 77).all()


@pytest.mark.parametrize("shot", ["copy", "reshot"])
def test_a_seed_decides_the_shots(shot: Shot) -> None:
    samples = [smooth(seed) for seed in range(3)]
    once = shots(samples, shot, 2, seed=5)
    assert once.shape == (6, HEIGHT, WIDTH, 3)
    assert (once == shots(samples, shot, 2, seed=5)).all()
    assert (once != shots(samples, shot, 2, seed=6)).any(axis=(1, 2, 3)).all()
    assert (once[0] != once[1]).any()


def test_a_copy_keeps_the_photograph_and_a_reshot_only_the_face() -> None:
    dark, bright = np.full((192, 144, 3), 40, np.uint8), np.full((192, 144, 3), 160, np.uint8)
    copies, again = (shots([dark, bright], shot, 8, seed=0).astype(float)[:8] for shot in ("copy", "reshot"))
    middle, corner = np.s_[:, 60:68, 44:52], np.s_[:, :6, :6]
    assert copies[middle].mean() == pytest.approx(copies[corner].mean(), abs=5)
    assert again[corner].mean() - again[middle].mean() > 60
