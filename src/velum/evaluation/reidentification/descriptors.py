"""Features by which an attacker compares faces: pixels and descriptors, without trained weights."""

import cv2
import numpy as np
import numpy.typing as npt

from velum.evaluation.reidentification.samples import GROW, Pictures

Values = npt.NDArray[np.floating]
"""Array (images, ...)."""

ROUGH = 24, 32
"""Size (width, height) at which pixels are compared."""

FINE = 48, 64
"""Size at which descriptors are computed and blur is inverted."""

CELL = 8
"""Side of a descriptor's cell, in pixels."""

BINS = 9
_FAINTEST = 0.5  # a vector shorter than this, over hundreds of grey levels, is rounding


def downscale(pictures: Pictures | Values, size: tuple[int, int]) -> Values:
    """Return the images at a smaller size (width, height), as float."""
    # As float: rounding again would take more than the technique left.
    return np.stack(
        [cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA) for picture in pictures]
    )


def pixel_kinds(pictures: Pictures | Values) -> dict[str, Values]:
    """Return unit vectors (images, values) of pixels: of all or the face only; without light, or also without shade."""
    small = downscale(pictures, ROUGH)
    kinds = {}
    for area, inside in (("region", np.ones(ROUGH[::-1], bool)), ("face", _face())):
        points = small[:, inside]
        y, x = np.nonzero(inside)
        for removed, terms in (("light", [np.ones(len(x))]), ("shade", [np.ones(len(x)), x, y])):
            basis, _ = np.linalg.qr(np.stack(terms, axis=1).astype(np.float64))
            basis = basis.astype(np.float32)
            rest = points - basis @ (basis.T @ points)
            kinds[f"{area} without {removed}"] = unit(rest.reshape(len(rest), -1))
    return kinds


def descriptor(pictures: Pictures | Values) -> Values:
    """Return unit vectors (images, values): histograms of gradients (HOG) and of local binary patterns (LBP).

    Dalal and Triggs, Histograms of oriented gradients for human detection, 2005; Ahonen, Hadid and Pietikainen, Face
    recognition with local binary patterns, 2004.
    """
    grey = downscale(pictures, FINE) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.concatenate([unit(_gradients(grey)), unit(np.sqrt(_patterns(grey)))], axis=1)


def unit(vectors: Values) -> Values:
    """Return the vectors (n, values) at length 1; those that are only rounding become zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > _FAINTEST, vectors / np.maximum(length, _FAINTEST), 0).astype(np.float32)


def _face() -> npt.NDArray[np.bool_]:
    width, height = ROUGH
    y, x = np.ogrid[:height, :width]
    share = 1 / (1 + 2 * GROW)
    across, down = (2 * (x + 0.5) / width - 1) / share, (2 * (y + 0.5) / height - 1) / share
    inside: npt.NDArray[np.bool_] = across**2 + down**2 <= 1
    return inside


def _gradients(grey: Values) -> Values:
    down, across = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(across, down)
    bins = np.minimum((np.arctan2(down, across) % np.pi) * BINS / np.pi, BINS - 1).astype(int)
    cells = _histogram(bins, strength, BINS)
    blocks = np.concatenate([cells[:, i : i - 1 or None, j : j - 1 or None] for i in (0, 1) for j in (0, 1)], axis=3)
    length = np.linalg.norm(blocks, axis=3, keepdims=True)
    vectors: Values = (blocks / np.maximum(length, 0.1)).reshape(len(grey), -1).astype(np.float32)
    return vectors


def _patterns(grey: Values) -> Values:
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = grey.shape[1:]
    around = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    bits = [(padded[:, y : y + height, x : x + width] > grey).astype(np.uint8) << i for i, (y, x) in enumerate(around)]
    codes = np.bitwise_or.reduce(bits)
    return _histogram(codes, np.ones_like(grey), 256).reshape(len(grey), -1)


def _histogram(bins: npt.NDArray[np.int_], weights: Values, count: int) -> Values:
    """Return the sum of weights for each bin of each cell (images, rows, columns, bins)."""
    pictures, height, width = bins.shape
    rows, columns = height // CELL, width // CELL
    cell = (np.arange(height) // CELL)[:, None] * columns + np.arange(width) // CELL
    index = (np.arange(pictures)[:, None, None] * (rows * columns) + cell) * count + bins
    sums = np.bincount(index.ravel(), weights.ravel(), pictures * rows * columns * count)
    return sums.reshape(pictures, rows, columns, count).astype(np.float32)
