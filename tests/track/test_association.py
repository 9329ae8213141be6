"""Assignment of detections to tracks, and the estimated motion of tracks."""

import pytest

from velum.region import Box, Region
from velum.track.association import FASTEST_GROWTH, Pairs, Track, pair_near, pair_overlapping
from velum.track.float_boxes import FloatBox
from velum.track.window import Detection


def find(place: int, x: float, y: float = 100.0, size: float = 40.0) -> Detection:
    return Detection(Region(Box.around(x, y, x + size, y + size), "face"), place)


def track(*finds: Detection) -> Track:
    made = Track(1, finds[0])
    for one in finds[1:]:
        made.add(one)
    return made


@pytest.mark.parametrize(
    ("finds", "velocity"),
    [
        ([find(0, 10)], None),  # nothing is known from one
        ([find(0, 10), find(1, 14)], (4, 0)),
        ([find(0, 10), find(5, 30)], (4, 0)),  # per frame, not per find
        ([find(n, 10 + 4 * n) for n in range(20)], (4, 0)),
        ([find(n, 10 + 4 * n + (60 if n == 8 else 0)) for n in range(11)], (4, 0)),  # one wrong box
    ],
)
def test_the_velocity_of_a_track_follows_its_detections(
    finds: list[Detection], velocity: tuple[float, float] | None
) -> None:
    assert track(*finds).velocity == (velocity and pytest.approx(velocity))


@pytest.mark.parametrize(
    ("finds", "growth"),
    [
        ([find(n, 10, size=100 * 1.02**n) for n in range(9)], 1.02),
        ([find(n, 10, size=100 * 1.2**n) for n in range(9)], FASTEST_GROWTH),
        ([find(n, 10, size=100 * 0.9**n) for n in range(9)], 1.0),  # what is unsure must not get smaller
        ([find(0, 10, size=50), find(1, 10, size=60)], 1.0),  # two boxes are no trend
    ],
)
def test_the_growth_of_a_track_follows_its_detections(finds: list[Detection], growth: float) -> None:
    assert track(*finds).growth == pytest.approx(growth, abs=0.003)


A, B, SMALL = (0.0, 0.0, 40.0, 40.0), (100.0, 0.0, 140.0, 40.0), (0.0, 0.0, 10.0, 10.0)


@pytest.mark.parametrize(
    ("expected", "found", "pairs"),
    [
        ([], [A], []),
        ([A], [], []),
        ([A, B], [B, A], [(0, 1), (1, 0)]),
        ([A], [(10.0, 0.0, 50.0, 40.0), (3.0, 0.0, 43.0, 40.0)], [(0, 1)]),  # the better one
        ([A, (20.0, 0.0, 60.0, 40.0)], [(18.0, 0.0, 58.0, 40.0), (-8.0, 0.0, 32.0, 40.0)], [(0, 1), (1, 0)]),
        ([A], [B], []),
        ([A], [SMALL], []),
    ],
)
def test_overlapping_detections_are_assigned_to_tracks(
    expected: list[FloatBox], found: list[FloatBox], pairs: Pairs
) -> None:
    assert pair_overlapping(expected, found) == pairs


@pytest.mark.parametrize(
    ("lost", "found", "pairs"),
    [
        (0, (30.0, 0.0, 70.0, 40.0), []),  # it is seen elsewhere
        (1, (30.0, 0.0, 70.0, 40.0), [(0, 0)]),
        (1, B, []),
        (5, B, [(0, 0)]),  # out of sight for so long, it can have come so far
        (5, SMALL, []),  # but it cannot have shrunk so much
        (99, (400.0, 0.0, 440.0, 40.0), []),  # there is an end to it
    ],
)
def test_near_detections_are_assigned_to_tracks(lost: int, found: FloatBox, pairs: Pairs) -> None:
    assert pair_near([A], [lost], [found]) == pairs
