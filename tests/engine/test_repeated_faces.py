"""A doubtful find that is half of a person to keep does not cover the person; whatever else lies before a face does."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.engine.scripted_people import SHARES, Places, find_faces, host, plan, save_film, save_photo
from tests.engine.test_people import decoded, people
from tests.rows import exhaustive

from velum import Engine
from velum.frame import Frame
from velum.region import Box, Region
from velum.testing import FakeLocalizer

BOTH: Places = {"anna": (100, 40), "ben": (300, 40)}
COUNT = 8

Finder = Callable[[Frame], list[Region]]


def find(
    x: float, y: float, width: float, height: float, score: float = 0.3, points: Sequence[tuple[float, float]] = SHARES,
    whose: int = 0,
) -> Callable[[list[Region]], Region]:  # fmt: skip
    """Return what makes a find of a face: its box and its points, in shares of the face's box."""

    def of(faces: list[Region]) -> Region:
        box = faces[whose].box
        marks = tuple((round(box.x0 + a * box.width, 2), round(box.y0 + b * box.height, 2)) for a, b in points)
        x0, y0 = box.x0 + x * box.width, box.y0 + y * box.height
        return Region(Box.around(x0, y0, x0 + width * box.width, y0 + height * box.height), "face", score, points=marks)

    return of


HALF = ((0.6, 0.45), (0.75, 0.45), (0.7, 0.6), (0.55, 0.8), (0.7, 0.8))
"""Landmarks of a face whose right half is taken for a face in profile."""

right_half = find(0.5, 0.05, 0.55, 0.9, points=HALF)


def engine_with(extra: Callable[[list[Region]], Region], when: Callable[[int], bool] = lambda _: True) -> Engine:
    def locate(frame: Frame) -> list[Region]:
        faces = find_faces(frame)
        return [*faces, extra(faces)] if len(faces) == 2 and when(frame.index) else faces

    return Engine(host=replace(host(), localizers={"scripted": lambda: FakeLocalizer(locate)}))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    save_photo(tmp_path / "anna.png", {"anna": (200, 20)})
    return save_film(tmp_path / "in.mkv", [BOTH] * COUNT)


def covered(engine: Engine, film: Path, mode: str = "keep") -> dict[str, bool]:
    """Hide all but Anna, or Anna only; tell of each whether the half of the face that the find shows is covered."""
    target = film.with_name("out.mkv")
    engine.hide(film, target, plan(people=people(mode, f"Anna={film.with_name('anna.png')}")), overwrite=True)
    pictures = np.array(decoded(target))
    return {
        name: bool((pictures[:, y + 20 : y + 60, x + 50 : x + 70].max(axis=-1) < 60).any())
        for name, (x, y) in BOTH.items()
    }


@pytest.mark.parametrize("when", [lambda index: index == 4, lambda _: True], ids=["once", "always"])
def test_half_of_a_kept_face_that_is_found_once_more_does_not_cover_it(film: Path, when: Callable[[int], bool]) -> None:
    with engine_with(right_half, when) as engine:
        assert covered(engine, film) == {"anna": False, "ben": True}


TINY = tuple((0.5 + (a - 0.5) * 0.25, 0.7 + (b - 0.58) * 0.25) for a, b in SHARES)
BESIDE = tuple((1.0 + (a - 0.5) * 0.4, b) for a, b in SHARES)


@pytest.mark.parametrize(
    ("extra", "mode", "hidden"),
    [
        pytest.param(find(0.35, 0.6, 0.3, 0.3, points=TINY), "keep", "anna", id="a small face held before the mouth"),
        pytest.param(find(0.6, 0.1, 0.8, 0.9, points=BESIDE), "keep", "anna", id="somebody behind the shoulder"),
        pytest.param(find(0.5, 0.05, 0.55, 0.9, 0.8, HALF), "keep", "anna", id="a find that is sure of itself"),
        *exhaustive(
            [
                pytest.param(find(0.4, 0.5, 0.6, 0.5, points=HALF[:4]), "keep", "anna", id="four points"),
                pytest.param(find(0.5, 0.05, 0.55, 0.9, 0.3, HALF, 1), "keep", "ben", id="half of somebody hidden"),
                pytest.param(
                    find(0.5, 0.05, 0.55, 0.9, 0.3, HALF, 0), "only", "anna", id="half of who alone is hidden"
                ),
            ]
        ),
    ],
)
def test_any_other_find_before_a_kept_face_stays_hidden(
    film: Path, extra: Callable[[list[Region]], Region], mode: str, hidden: str
) -> None:
    with engine_with(extra) as engine:
        assert covered(engine, film, mode)[hidden]


def test_a_find_that_is_half_of_a_face_in_some_frames_only_stays_hidden(film: Path) -> None:
    """Somebody who walks past: beside Anna first, then where half of her face is."""

    def passes(faces: list[Region]) -> Region:
        return (right_half if engine_frames[-1] >= 4 else find(0.6, 0.05, 0.55, 0.9, points=BESIDE))(faces)

    engine_frames: list[int] = []

    def when(index: int) -> bool:
        engine_frames.append(index)
        return True

    with engine_with(passes, when) as engine:
        assert covered(engine, film)["anna"]


def test_the_report_says_that_a_find_is_part_of_a_face(film: Path) -> None:
    with engine_with(right_half) as engine:
        report = engine.hide(
            film, film.with_name("out.mkv"), plan(people=people("keep", f"Anna={film.with_name('anna.png')}"))
        )
    assert report.people is not None
    entry = next(one for one in report.people["decisions"] if "part of a face" in one["why"])
    assert (entry["result"], entry["nearness"], entry["faces"]) == ("shown", "not compared", 0)
