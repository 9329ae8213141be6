"""CenterFace's heads become faces."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import Signature, Tensors, family


def heads(rows: int, columns: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "537": random.random((1, rows, columns)).astype(np.float32),
        "538": random.normal(1, 1, (2, rows, columns)).astype(np.float32),
        "539": random.random((2, rows, columns)).astype(np.float32),
        "540": random.random((10, rows, columns)).astype(np.float32),
    }


def slow(outputs: Tensors, threshold: float) -> list[list[float]]:
    """Decode cell by cell."""
    heat, size, offset, _ = outputs.values()
    rows = []
    for y in range(heat.shape[1]):
        for x in range(heat.shape[2]):
            if heat[0, y, x] >= threshold:
                height, width = (4 * math.exp(size[i, y, x]) for i in (0, 1))
                cy, cx = 4 * (y + offset[0, y, x] + 0.5), 4 * (x + offset[1, y, x] + 0.5)
                rows.append([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2, heat[0, y, x]])
    return rows


def test_an_encoded_face_is_found_at_its_place() -> None:
    outputs = {name: np.zeros_like(values) for name, values in heads(16, 24).items()}
    outputs["537"][0, 5, 7] = 0.75
    outputs["538"][:, 5, 7] = math.log(10), math.log(8)  # height, width, in cells of 4 pixels
    outputs["539"][:, 5, 7] = 0.25, 0.5
    found = family("centerface").decode(outputs, (96, 64), 0.2)
    np.testing.assert_allclose(found.xyxy, [[32 - 16, 23 - 20, 32 + 16, 23 + 20]], atol=1e-4)
    assert found.score.tolist() == [0.75]
    assert found.kind.tolist() == [0]


def test_landmarks_are_placed_in_the_box() -> None:
    outputs = {name: np.zeros_like(values) for name, values in heads(16, 24).items()}
    outputs["537"][0, 5, 7] = 0.75
    outputs["538"][:, 5, 7] = math.log(10), math.log(8)
    shares = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]  # across, down
    outputs["540"][:, 5, 7] = np.array(shares)[:, ::-1].ravel()
    found = family("centerface").decode(outputs, (96, 64), 0.2)
    ((x0, y0, x1, y1),) = found.xyxy
    assert found.points is not None
    expected = [[(x0 + x * (x1 - x0), y0 + y * (y1 - y0)) for x, y in shares]]
    np.testing.assert_allclose(found.points, expected, rtol=1e-5)


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99), st.sampled_from([0.0, 0.2, 0.9, 1.0]))
def test_decoding_gives_the_same_as_cell_by_cell(rows: int, columns: int, seed: int, threshold: float) -> None:
    outputs = heads(rows, columns, seed)
    found = family("centerface").decode(outputs, (4 * columns, 4 * rows), threshold)
    expected = np.array(slow(outputs, threshold)).reshape(-1, 5)
    np.testing.assert_allclose(np.column_stack((found.xyxy, found.score)), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_low_scores_give_no_faces(threshold: float) -> None:
    outputs = {name: values * 0 for name, values in heads(4, 4).items()}
    assert len(family("centerface").decode(outputs, (16, 16), threshold)) == 0


def test_the_format_is_recognised_by_its_signature() -> None:
    maps = {"537": (10, 1, 8, 8), "538": (10, 2, 8, 8), "539": (10, 2, 8, 8), "540": (10, 10, 8, 8)}
    assert family("centerface").recognise(Signature({"input": (10, 3, 32, 32)}, maps))
    assert not family("centerface").recognise(Signature({"input": (1, 3, 32, 32)}, {"heat": (1, 1, 8, 8)}))
