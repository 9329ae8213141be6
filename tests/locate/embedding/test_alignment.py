"""A face is turned and scaled to the template, whatever its size and angle."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.frame import Frame, Orientation, Plane, Role
from velum.locate.embedding.alignment import Template, align, scale_of, similarity

TEMPLATE = Template(100, ((30.0, 35.0), (70.0, 35.0), (50.0, 55.0), (35.0, 78.0), (65.0, 78.0)))
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]


def placed(scale: float, degrees: float, x: float, y: float) -> list[tuple[float, float]]:
    turn = math.radians(degrees)
    return [
        (x + scale * (a * math.cos(turn) - b * math.sin(turn)), y + scale * (a * math.sin(turn) + b * math.cos(turn)))
        for a, b in TEMPLATE.points
    ]


@given(st.floats(0.1, 9), st.floats(-180, 180), st.floats(-99, 999), st.floats(-99, 999))
def test_similar_points_come_to_lie_on_the_template(scale: float, degrees: float, x: float, y: float) -> None:
    points = placed(scale, degrees, x, y)
    matrix = similarity(tuple(points), TEMPLATE)
    moved = np.array(points) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(moved, TEMPLATE.points, atol=1e-6)
    assert scale_of(matrix) == pytest.approx(1 / scale)


@pytest.mark.parametrize("stored", [Orientation.from_exif(value) for value in (1, 3, 6, 8)], ids=[1, 3, 6, 8])
@pytest.mark.parametrize(("scale", "degrees"), [(0.5, 0), (1, 30), (3, -90), (7.3, 180)])
def test_pixels_at_the_points_lie_at_those_of_the_template(stored: Orientation, scale: float, degrees: float) -> None:
    points = placed(scale, degrees, 800, 700)
    shown = np.zeros((1400, 1600, 3), np.uint8)
    for (x, y), colour in zip(points, COLOURS, strict=True):
        cv2.circle(shown, (round(x - 0.5), round(y - 0.5)), round(6 * scale), colour, -1)
    others = (Orientation.from_exif(value) for value in range(1, 9))
    pixels = next(one for one in others if one.then(stored) == Orientation()).upright(shown)
    frame = Frame.of(Plane(np.ascontiguousarray(pixels, np.uint8), Role.RGB), orientation=stored)
    face = align(frame, tuple(points), TEMPLATE)
    assert face.shape == (100, 100, 3)
    for (x, y), colour in zip(TEMPLATE.points, COLOURS, strict=True):
        mask = (face == colour).all(axis=2) if scale < 1 else (np.abs(face.astype(int) - colour) < 40).all(axis=2)
        rows, columns = np.nonzero(mask)
        assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((x, y), abs=1.2)


OUTSIDE = ((-900.0, -900.0), (-860.0, -900.0), (-880.0, -880.0), (-890.0, -860.0), (-870.0, -860.0))


@pytest.mark.parametrize("points", [((5.0, 5.0),) * 5, OUTSIDE], ids=["in one place", "outside"])
def test_impossible_points_still_give_an_image(points: tuple[tuple[float, float], ...]) -> None:
    frame = Frame.of(Plane(np.full((40, 60, 3), 9, np.uint8), Role.RGB))
    assert align(frame, points, TEMPLATE).shape == (100, 100, 3)
