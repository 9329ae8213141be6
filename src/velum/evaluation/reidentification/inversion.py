"""Inversion of techniques: what an attacker restores of a hidden image who knows the technique and its degree."""

import cv2
import numpy as np

from velum.evaluation.reidentification.descriptors import FINE, Values, downscale
from velum.evaluation.reidentification.samples import HEIGHT, WIDTH, Pictures
from velum.plugins import Technique
from velum.techniques.blacken import Blacken
from velum.techniques.blur import Blur
from velum.techniques.pixelate import Pixelate

NOISES = (1e-2, 1e-3, 1e-4, 1e-5)
"""Noise levels to try in Wiener's filter: a blurred image is rounded to 8 bits."""

RICHARDSON_LUCY_STEPS = 30
"""Iterations of the Richardson-Lucy method."""


def invert_technique(
    technique: Technique, hidden: Pictures, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> dict[str, Values]:
    """Return the images restored by each way of inverting the technique, which hid them in regions of `size`.

    Empty for a foreign technique.
    """
    match technique:
        case Blacken(degree=degree) if 0 < degree < 1:
            return {"stretched": np.clip(hidden.astype(np.float32) / (1 - degree), 0, 255)}
        case Pixelate():
            return {"interpolated": _interpolate_cells(hidden, technique.grid(*size))}
        case Blur() if technique.degree:
            return _deblur(downscale(hidden, FINE), technique.sigma_pixels(*size) * FINE[0] / size[0])
    return {}


def _interpolate_cells(hidden: Pictures, grid: tuple[int, int]) -> Values:
    cells = downscale(hidden, grid)
    return np.stack([cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for picture in cells])


def _deblur(blurred: Values, sigma: float) -> dict[str, Values]:
    down, across = (_blur_matrix(side, sigma) for side in blurred.shape[1:3])
    guesses = {f"wiener {noise:g}": _wiener(blurred, down, across, noise) for noise in NOISES}
    guesses["richardson-lucy"] = _richardson_lucy(blurred, down, across)
    return {name: np.clip(guess, 0, 255) for name, guess in guesses.items()}


def _blur_matrix(side: int, sigma: float) -> Values:
    """Return the matrix (side, side) that blurs a line of samples, its ends repeated."""
    reach = int(np.ceil(4 * sigma))
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    matrix = np.zeros((side, side))
    for row in range(side):
        np.add.at(matrix[row], np.clip(row + np.arange(-reach, reach + 1), 0, side - 1), weights / weights.sum())
    return matrix.astype(np.float32)


def _blur(pictures: Values, down: Values, across: Values) -> Values:
    swapped = np.moveaxis(pictures, 3, 1)  # (pictures, colours, rows, columns), so that both are matrix products
    return np.moveaxis(down @ swapped @ across.T, 1, 3)


def _wiener(blurred: Values, down: Values, across: Values, noise: float) -> Values:
    """Wiener's filter, in the coordinates in which this blur only scales: the singular vectors of both directions."""
    left_y, scale_y, right_y = np.linalg.svd(down)
    left_x, scale_x, right_x = np.linalg.svd(across)
    scale = scale_y[:, None] * scale_x
    gain = (scale / (scale**2 + noise))[..., None]
    return _blur(_blur(blurred, left_y.T, left_x.T) * gain, right_y.T, right_x.T)


def _richardson_lucy(blurred: Values, down: Values, across: Values) -> Values:
    """W. H. Richardson, 1972; L. B. Lucy, 1974."""
    guess = np.maximum(blurred, 1)
    # Samples at the ends are repeated by the blur, so they count for more.
    weight = _blur(np.ones_like(blurred[:1]), down.T, across.T)
    for _ in range(RICHARDSON_LUCY_STEPS):
        ratio = np.maximum(blurred, 1) / np.maximum(_blur(guess, down, across), 1e-3)
        guess = np.minimum(guess * _blur(ratio, down.T, across.T) / weight, 1e4)
    return guess
