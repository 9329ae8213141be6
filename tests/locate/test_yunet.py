"""YuNet's heads become faces."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import Signature, Tensors, family

STRIDES = (8, 16, 32)
LANDMARKS = [0.1, -0.2, 0.9, -0.1, 0.5, 0.3, 0.2, 0.8, 0.8, 0.9]


def heads(width: int, height: int, seed: int | None) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed or 0)
    outputs = {}
    for head, columns in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in STRIDES:
            shape = (width // stride) * (height // stride), columns
            # Scores a little outside 0 to 1, as reduced precision gives them.
            values = np.zeros(shape) if seed is None else random.uniform(-0.1, 1.1, shape)
            outputs[f"{head}_{stride}"] = values.astype(np.float32)
    return outputs


def slow(outputs: Tensors, width: int, threshold: float) -> list[list[float]]:
    """Decode cell by cell."""
    rows = []
    for stride in STRIDES:
        for i, (kind, there) in enumerate(zip(outputs[f"cls_{stride}"], outputs[f"obj_{stride}"], strict=True)):
            score = math.sqrt(min(1, max(0, kind[0])) * min(1, max(0, there[0])))
            if score >= threshold:
                dx, dy, w, h = map(float, outputs[f"bbox_{stride}"][i])
                cx, cy = (i % (width // stride) + dx) * stride, (i // (width // stride) + dy) * stride
                w, h = math.exp(w) * stride, math.exp(h) * stride
                rows.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, score])
    return rows


def test_an_encoded_face_is_found_at_its_place() -> None:
    outputs = heads(96, 64, None)
    cell = 1 * (96 // 16) + 3  # second row, fourth column at stride 16
    outputs["cls_16"][cell], outputs["obj_16"][cell] = 0.81, 1.0
    outputs["bbox_16"][cell] = 0.5, 0.25, math.log(2), math.log(3)
    outputs["kps_16"][cell] = LANDMARKS
    found = family("yunet").decode(outputs, (96, 64), 0.5)
    np.testing.assert_allclose(found.xyxy, [[56 - 16, 20 - 24, 56 + 16, 20 + 24]], atol=1e-4)
    np.testing.assert_allclose(found.score, [0.9], rtol=1e-6)
    assert found.kind.tolist() == [0]
    assert found.points is not None
    expected = [(3 * 16 + 16 * x, 16 + 16 * y) for x, y in zip(LANDMARKS[::2], LANDMARKS[1::2], strict=True)]
    np.testing.assert_allclose(found.points, [expected], rtol=1e-5)


def test_a_network_without_landmarks_still_finds_faces() -> None:
    outputs = {name: values for name, values in heads(96, 64, 3).items() if not name.startswith("kps")}
    found = family("yunet").decode(outputs, (96, 64), 0.5)
    assert len(found) > 0
    assert found.points is None


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99), st.sampled_from([0.01, 0.5, 0.99]))
def test_decoding_gives_the_same_as_cell_by_cell(across: int, down: int, seed: int, threshold: float) -> None:
    width, height = 32 * across, 32 * down
    outputs = heads(width, height, seed)
    found = family("yunet").decode(outputs, (width, height), threshold)
    expected = np.array(slow(outputs, width, threshold)).reshape(-1, 5)
    np.testing.assert_allclose(np.column_stack((found.xyxy, found.score)), expected, rtol=1e-4, atol=1e-3)


def test_low_scores_give_no_faces() -> None:
    assert len(family("yunet").decode(heads(64, 64, None), (64, 64), 0.3)) == 0


def test_the_format_is_recognised_by_its_signature() -> None:
    heads = {f"{head}_{stride}": (1, 100, 1) for head in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)}
    assert family("yunet").recognise(Signature({"input": (1, 3, 640, 640)}, heads))
    assert not family("yunet").recognise(Signature({"input": (1, 3, 640, 640)}, {"cls_8": (1, 100, 1)}))
