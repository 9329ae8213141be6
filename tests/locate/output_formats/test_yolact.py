"""Prototypes become outlines: at the right place, whatever the box and the resolution."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import Floats, family
from velum.locate.output_formats.yolact import prototype_masks, sample_box


def slow_at(plane: Floats, x: float, y: float) -> float:
    """Interpolate at a place given in cells, of which the middle of the first is at 0.5."""
    rows, columns = plane.shape
    x, y = min(max(x - 0.5, 0), columns - 1), min(max(y - 0.5, 0), rows - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
    above = plane[top, left] * (1 - x + left) + plane[top, right] * (x - left)
    below = plane[bottom, left] * (1 - x + left) + plane[bottom, right] * (x - left)
    return float(above * (1 - y + top) + below * (y - top))


coordinates = st.floats(-4, 24, width=32)


@given(st.integers(1, 20), st.integers(1, 20), st.tuples(*[coordinates] * 4), st.integers(0, 99))
def test_sampling_a_box_gives_the_same_as_place_by_place(
    rows: int, columns: int, edges: tuple[float, float, float, float], seed: int
) -> None:
    plane = np.random.default_rng(seed).normal(0, 1, (rows, columns)).astype(np.float32)
    (x0, x1), (y0, y1) = sorted(edges[::2]), sorted(edges[1::2])
    found = sample_box(plane, (x0, y0, x1, y1))
    down, across = found.shape
    assert 1 <= down <= rows
    assert 1 <= across <= columns
    expected = [
        [slow_at(plane, x0 + (j + 0.5) * (x1 - x0) / across, y0 + (i + 0.5) * (y1 - y0) / down) for j in range(across)]
        for i in range(down)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.floats(20, 60), st.floats(20, 60), st.floats(12, 40), st.floats(0.5, 8), st.floats(0.5, 8))
def test_a_mask_keeps_its_place_at_any_resolution(x: float, y: float, radius: float, dx: float, dy: float) -> None:
    """A disc drawn into a prototype comes back within a prototype's cell, out of a box that fits it anyhow."""
    width, height, cell = 120, 88, 4
    down, across = np.indices((height // cell, width // cell))
    distance = np.hypot((across + 0.5) * cell - x, (down + 0.5) * cell - y)
    box = np.array([[x - radius - dx, y - radius - dy, x + radius + dy, y + radius + dx]], np.float32)
    signs = np.stack((radius - distance, np.zeros_like(distance))).astype(np.float32)
    (mask,) = prototype_masks(signs, np.array([[1, 5]], np.float32), box, (width, height))
    x0, y0, x1, y1 = box[0].tolist()
    # Stretched over the box as whoever hides it does, ten values a pixel, so that the outline is seen finely.
    fine = cv2.resize(mask, (round((x1 - x0) * 10), round((y1 - y0) * 10)), interpolation=cv2.INTER_LINEAR)
    rows, columns = np.indices(fine.shape)
    px, py = x0 + (columns + 0.5) / fine.shape[1] * (x1 - x0), y0 + (rows + 0.5) / fine.shape[0] * (y1 - y0)
    seen = (px > cell / 2) & (py > cell / 2) & (px < width - cell / 2) & (py < height - cell / 2)
    off = np.hypot(px - x, py - y) - radius
    assert ((fine > 0.5) | (off > -cell))[seen].all()
    assert ((fine <= 0.5) | (off < cell))[seen].all()


def test_decoding_gives_the_same_as_row_by_row() -> None:
    random = np.random.default_rng(0)
    low = random.uniform(0, 0.5, (50, 2))
    outputs = {
        "proto": random.normal(0, 1, (20, 16, 4)).astype(np.float32),
        "conf": random.dirichlet(np.ones(3), 50).astype(np.float32),
        "mask": random.normal(0, 1, (50, 4)).astype(np.float32),
        "boxes": np.concatenate((low, low + random.uniform(0.1, 0.5, (50, 2))), axis=1).astype(np.float32),
    }
    found = family("yolact").decode(outputs, (64, 80), 0.6)
    expected = [(i, kind) for i in range(50) for kind in (1, 2) if outputs["conf"][i, kind] >= 0.6]
    assert found.kind.tolist() == [kind for _, kind in expected]
    assert found.masks is not None
    for (i, _), xyxy, mask in zip(expected, found.xyxy, found.masks, strict=True):
        np.testing.assert_allclose(xyxy, outputs["boxes"][i] * [64, 80, 64, 80], rtol=1e-5)
        logits = sum(outputs["mask"][i, k] * outputs["proto"][:, :, k] for k in range(4))
        x0, y0, x1, y1 = (xyxy / 4).tolist()
        y, x = (np.indices(mask.shape) + 0.5) / np.array(mask.shape)[:, None, None]
        at = [slow_at(logits, a, b) for a, b in zip((x0 + x * (x1 - x0)).flat, (y0 + y * (y1 - y0)).flat, strict=True)]
        np.testing.assert_allclose(mask.ravel(), [1 / (1 + math.exp(-value)) for value in at], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"conf": (50, 1)}, "no class beside the background"),
        ({"conf": (49, 3)}, "a box without score"),
        ({"mask": (50, 3)}, "fewer coefficients than prototypes"),
        ({"proto": (20, 16)}, "a prototype without values"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, tuple[int, ...]], reason: str) -> None:
    shapes = {"boxes": (50, 4), "conf": (50, 3), "mask": (50, 4), "proto": (20, 16, 4)} | change
    with pytest.raises(ValueError, match="are not"):
        family("yolact").decode({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, (64, 80), 0.5)
