"""Matching of detections with objects, hidden shares of objects, and rates with their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.evaluation import evaluator
from velum.evaluation.ground_truth import GroundTruthBox
from velum.evaluation.metrics import Rate
from velum.plan import Rule
from velum.region import SIZE_CLASSES, Box, Region, size_class

RULES = [Rule.parse("face: x -> blacken with grow=0"), Rule.parse("vehicle: x -> blacken with grow=0.5")]
SAME = evaluator.make_label_relation(RULES)


def find(x0: int, y0: int, x1: int, y1: int, score: float = 0.9, label: str = "face") -> Region:
    return Region(Box(x0, y0, x1, y1), label, score)


def thing(
    x0: float, y0: float, x1: float, y1: float, label: str = "face", ignore: bool = False, area: bool = False
) -> GroundTruthBox:
    return GroundTruthBox(label, (x0, y0, x1, y1), ignore, area)


@pytest.mark.parametrize(
    ("finds", "things", "found", "wrong"),
    [
        ([], [], {}, ()),
        ([find(0, 0, 10, 10)], [], {}, (0,)),
        ([], [thing(0, 0, 10, 10)], {}, ()),
        # The surest find chooses first; a second find of the same thing is wrong.
        ([find(0, 0, 10, 10, 0.5), find(0, 0, 10, 9, 0.8)], [thing(0, 0, 10, 10)], {0: 1}, (0,)),
        # It takes what it overlaps most.
        ([find(0, 0, 10, 10)], [thing(0, 0, 10, 5), thing(0, 0, 10, 9)], {1: 0}, ()),
        # Too little in common.
        ([find(0, 0, 10, 10)], [thing(5, 5, 15, 15)], {}, (0,)),
        # Ignored things neither count nor accuse, nor do they take a find from a thing that counts.
        ([find(0, 0, 10, 10)], [thing(0, 0, 10, 10, ignore=True)], {}, ()),
        ([find(0, 0, 10, 10)], [thing(0, 0, 10, 10, ignore=True), thing(0, 0, 10, 8)], {1: 0}, ()),
        ([find(2, 2, 4, 4)], [thing(0, 0, 90, 90, ignore=True, area=True)], {}, ()),
        ([find(2, 2, 4, 4)], [thing(0, 0, 90, 90, ignore=True)], {}, (0,)),
        # One rule asks for all vehicles.
        ([find(0, 0, 10, 10, label="truck")], [thing(0, 0, 10, 10, "car")], {0: 0}, ()),
        ([find(0, 0, 10, 10, label="truck")], [thing(0, 0, 10, 10)], {}, (0,)),
    ],
)
def test_matches_detections_with_objects(
    finds: list[Region], things: list[GroundTruthBox], found: dict[int, int], wrong: tuple[int, ...]
) -> None:
    assert evaluator.match(finds, things, SAME, 0.3) == (found, list(wrong))


def test_the_smallest_rule_counts_minus_excluded_areas() -> None:
    rules = [*RULES, Rule.parse("face: x -> blacken with grow=1")]
    mask = evaluator.hidden_mask([find(4, 4, 8, 8)], [find(0, 0, 5, 5)], rules, 20, 10)
    expected = np.zeros((10, 20), bool)
    expected[4:8, 4:8] = True
    expected[:5, :5] = False
    assert np.array_equal(mask, expected)
    assert not evaluator.hidden_mask([find(4, 4, 8, 8, label="tree")], [], rules, 20, 10).any()


@pytest.mark.parametrize(
    ("labelled", "share"),
    [
        (thing(0, 0, 10, 10), 0.5),
        (thing(0, 0, 5, 10), 1.0),
        (thing(-10, 0, 5, 10), 1.0),
        (thing(30, 0, 40, 10), 0.0),
        (GroundTruthBox("face", (0, 0, 10, 9), outline=((0, 0, 4, 0, 4, 9, 0, 9),)), 1.0),
        (GroundTruthBox("face", (0, 0, 10, 9), outline=((6, 0, 9, 0, 9, 9, 6, 9),)), 0.0),
    ],
)
def test_measures_the_hidden_share_of_an_object(labelled: GroundTruthBox, share: float) -> None:
    mask = np.zeros((10, 20), bool)
    mask[:, :5] = True
    assert evaluator.hidden_share(mask, labelled) == pytest.approx(share)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    # Roots of (p - hits / total)² = z² p (1 - p) / total, in decimal arithmetic of 40 digits.
    [(9, 10, 0.59585, 0.98212), (0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (450, 500, 0.87058, 0.92332)],
)
def test_computes_wilson_intervals(hits: int, total: int, low: float, high: float) -> None:
    assert Rate(hits, total).interval == pytest.approx((low, high), abs=1e-5)


def test_a_rate_without_objects_has_no_share() -> None:
    assert (Rate(0, 0).share, Rate(0, 0).interval) == (None, (0.0, 1.0))


@given(st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_an_interval_contains_its_share(counted: tuple[int, int]) -> None:
    low, high = Rate(*counted).interval
    assert 0 <= low <= counted[0] / counted[1] <= high <= 1


@pytest.mark.parametrize(
    ("height", "name"),
    [(1, "under 16 px"), (15.9, "under 16 px"), (16, "16 to 31 px"), (127, "64 to 127 px"), (128, "128 px and more")],
)
def test_assigns_heights_to_size_classes(height: float, name: str) -> None:
    assert size_class(height) == name
    assert name in SIZE_CLASSES
