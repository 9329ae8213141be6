"""Class maps of every layout become probabilities."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.errors import PluginFault
from velum.locate.output_formats import Signature
from velum.locate.output_formats.semantic import FAMILY

SCORES = np.random.default_rng(0).normal(0, 3, (5, 4, 6)).astype(np.float32)
SOFT = np.exp(SCORES) / np.exp(SCORES).sum(axis=0)
INDEX = np.array([[0, 1, 2], [3, 4, 0]])
HALF = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)
LOGITS = np.array([[-3.0, 0.0], [math.log(3), 9.0]], np.float32)
HOT = (np.arange(5)[:, None, None] == INDEX).astype(np.float32)


@pytest.mark.parametrize(
    ("values", "labels", "expected"),
    [
        (SCORES, 5, SOFT),  # logits, as PyTorch lays them out
        (SCORES.transpose(1, 2, 0), 5, SOFT),  # as TensorFlow does
        (SOFT, 5, SOFT),  # softmax in the network already
        (SCORES[:, :4, :5].copy() * 0 + 0.5, 5, np.full((5, 4, 5), 0.5)),  # independent sigmoids; w == labels as well
        (INDEX, 5, HOT),  # argmax in the network
        (INDEX[None].astype(np.int64), 5, HOT),
        (INDEX[..., None].astype(np.float32), 5, HOT),  # indices as floats
        (HALF[None], 1, HALF[None]),  # one sigmoid: selfie
        (HALF[..., None], 1, HALF[None]),
        (HALF, 2, np.stack((1 - HALF, HALF))),  # background and one class in one channel
        (LOGITS[None], 1, 1 / (1 + np.exp(-LOGITS[None]))),
        (np.array([[0, 1]], np.uint8), 1, [[[0, 1]]]),  # a hard mask of the only class
    ],
)
def test_every_layout_gives_probabilities_by_class(values: np.ndarray, labels: int, expected: np.ndarray) -> None:
    found = FAMILY.read({"out": values}, labels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(st.integers(2, 9), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_the_likeliest_class_has_the_highest_score(labels: int, rows: int, columns: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(0, 50, (labels, rows, columns)).astype(np.float32)
    found = FAMILY.read({"out": scores}, labels)
    assert found.shape == scores.shape
    assert (found.argmax(axis=0) == scores.argmax(axis=0)).all()
    assert (np.abs(found.sum(axis=0) - 1) < 1e-4).all()


@pytest.mark.parametrize(
    ("values", "labels", "says"),
    [
        (SCORES, 4, "5, 4, 6"),  # one label too few: which is missing cannot be guessed
        (INDEX, 3, "classes 0 to 4"),
        (HALF, 3, "one channel"),
        (np.zeros(7, np.float32), 7, "class map"),
    ],
)
def test_a_layout_that_does_not_fit_the_labels_is_refused(values: np.ndarray, labels: int, says: str) -> None:
    with pytest.raises(PluginFault, match=says):
        FAMILY.read({"out": values}, labels)


@pytest.mark.parametrize(
    ("taken", "given_", "is_map"),
    [
        ((1, 257, 257, 3), (1, 257, 257, 21), True),  # DeepLab
        ((1, 512, 896, 3), (1, 512, 896, 4), True),  # road
        ((1, 256, 256, 3), (1, 256, 256, 1), True),  # selfie
        ((1, 3, 512, 512), (1, 150, 128, 128), True),  # SegFormer: a quarter
        ((1, 3, 192, 192), (1, 2, 192, 192), True),
        ((1, 3, 512, 512), (1, 512, 512), True),  # argmax in the network
        ((None, 3, None, None), (None, 19, None, None), True),
        ((None, 3, None, None), (None, 1, None, None), False),  # DB
        ((1, 3, 352, 352), (1, 85, 22, 22), False),  # FastestDet: the cells of a detector
        ((1, 3, 640, 640), (1, 84, 8400), False),  # YOLO
        ((1, 3, 300, 300), (1, 1, 200, 7), False),  # SSD
        ((1, 3, 224, 224), (1, 1000), False),  # a classifier
    ],
)
def test_the_format_is_recognised_by_its_shape(taken: tuple[int, ...], given_: tuple[int, ...], is_map: bool) -> None:
    assert (FAMILY.recognise(Signature({"in": taken}, {"out": given_})) is not None) == is_map
