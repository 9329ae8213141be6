"""Queries of detection transformers become boxes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.locate.output_formats import Tensors, family

DECODE = family("detr").decode


def slow(boxes: np.ndarray, logits: np.ndarray, softmax: bool, threshold: float) -> list[list[float]]:
    found = []
    for (cx, cy, w, h), row in zip(boxes.tolist(), logits.tolist(), strict=True):
        weights = [math.exp(value) for value in row]
        scores = [w / sum(weights) for w in weights][:-1] if softmax else [w / (1 + w) for w in weights]
        found += [
            [640 * (cx - w / 2), 480 * (cy - h / 2), 640 * (cx + w / 2), 480 * (cy + h / 2), score, kind]
            for kind, score in enumerate(scores)
            if score >= threshold
        ]
    return found


NAMES = [
    ("logits", "pred_boxes", "RT-DETR and D-FINE"),
    ("pred_logits", "pred_boxes", "DETR"),
    ("labels", "dets", "RF-DETR"),
]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.sampled_from([1, 2, 4, 91]), st.integers(0, 99), st.booleans(), st.booleans())
def test_decoding_gives_the_same_as_query_by_query(
    names: tuple[str, str, str], classes: int, seed: int, softmax: bool, reverse: bool
) -> None:
    random = np.random.default_rng(seed)
    boxes = random.uniform(0, 1, (100, 4)).astype(np.float32)
    logits = random.normal(-4, 2, (100, classes)).astype(np.float32)
    logits[:10] += 6
    if softmax:
        # Most queries of the original hold nothing, and say so in a class of its own.
        logits = np.concatenate((logits, np.where(np.arange(100) < 10, -3, 5)[:, None]), axis=1).astype(np.float32)
    outputs = {names[0]: logits, names[1]: boxes}
    found = DECODE(dict(reversed(outputs.items())) if reverse else outputs, (640, 480), 0.5)
    expected = np.array(slow(boxes, logits, softmax, 0.5)).reshape(-1, 6)
    np.testing.assert_allclose(np.column_stack((found.xyxy, found.score, found.kind)), expected, rtol=1e-4, atol=1e-3)


def test_huge_logits_do_not_overflow() -> None:
    logits = np.array([[-1e4, 1e4]], np.float32)
    found = DECODE({"logits": np.repeat(logits[:, :1], 100, axis=0), "boxes": np.zeros((100, 4))}, (640, 480), 0.5)
    assert len(found) == 0


def test_finished_lists_are_decoded() -> None:
    outputs: Tensors = {
        "labels": np.array([3, 0], np.int64),
        "boxes": np.array([[10, 20, 30, 40], [1, 2, 3, 4]], np.float32),
        "scores": np.array([0.7, 0.2], np.float32),
    }
    found = DECODE(outputs, (640, 480), 0.5)
    assert (found.xyxy.tolist(), found.kind.tolist()) == ([[10, 20, 30, 40]], [3])


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"logits": (300, 80), "boxes": (299, 4)}, "a query without box"),
        ({"logits": (300, 80), "boxes": (300, 5)}, "five edges"),
        ({"logits": (300, 80)}, "no boxes"),
        ({"a": (300, 4), "b": (300, 4)}, "either could be the boxes"),
    ],
)
def test_impossible_shapes_are_refused(shapes: dict[str, tuple[int, ...]], reason: str) -> None:
    with pytest.raises(ValueError, match="are not boxes"):
        DECODE({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, (640, 640), 0.5)
