"""The attack tells strong techniques from weak ones: it identifies visible faces, and only guesses destroyed ones."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from tests.rows import exhaustive

from velum.errors import BadInput, PluginFault
from velum.evaluation.reidentification.attack import (
    ATTACKS,
    HEADING,
    NETWORK_ATTACKS,
    AttackResult,
    AttackTrial,
    chance,
    hide,
    hits,
    region_size,
    result_row,
)
from velum.evaluation.reidentification.samples import HEIGHT, LANDMARKS, WIDTH
from velum.frame import Frame, Plane, Rgb, Role
from velum.locate.embedding.face_quality import fault_of
from velum.plugins import Embeddings, Patch, Technique
from velum.region import Points
from velum.techniques.blacken import Blacken
from velum.techniques.blur import Blur
from velum.techniques.pixelate import Pixelate

FACES = 10


def painted(seed: int) -> Rgb:
    """Return a sample with spots of its own: not a face, but as different from other samples as faces are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:192, :144]
    rgb = np.full((192, 144, 3), 128.0)
    for _ in range(25):
        spot = np.exp(
            -((x - rng.uniform(20, 124)) ** 2 + (y - rng.uniform(30, 162)) ** 2) / (2 * rng.uniform(5, 16) ** 2)
        )
        rgb += spot[..., None] * rng.uniform(-70, 70, 3)
    whole: Rgb = np.clip(rgb, 0, 255).astype(np.uint8)
    return whole


@pytest.fixture(scope="module")
def trial() -> AttackTrial:
    return AttackTrial([painted(seed) for seed in range(FACES)])


def tried(trial: AttackTrial, technique: Technique | None) -> dict[str, AttackResult]:
    return {result.shot: result for result in trial.results("it", technique)}


@pytest.mark.slow
def test_identifies_faces_that_nothing_hides(trial: AttackTrial) -> None:
    found = tried(trial, None)
    assert found["copy"].worst > 0.95
    assert found["reshot"].worst > 0.5
    assert set(found["copy"].right) == set(ATTACKS) - {"undone"}


@pytest.mark.slow
def test_identifies_blackened_faces_only_by_chance(trial: AttackTrial) -> None:
    for result in tried(trial, Blacken()).values():
        assert list(result.right.values()) == pytest.approx([1 / FACES] * len(result.right))
        assert result.worst <= result.by_chance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("technique", "attack"),
    [
        pytest.param(Blacken(0.9), "undone", id="opacity that stretching takes back"),
        pytest.param(Pixelate(0.2), "candidates", id="a coarse grid still tells a photograph from others"),
        *exhaustive(
            [
                pytest.param(Blur(0.1), "undone", id="a narrow blur"),
                pytest.param(Pixelate(0.05), "candidates", id="a fine grid, against candidates with the same grid"),
            ]
        ),
    ],
)
def test_identifies_faces_behind_weak_techniques(trial: AttackTrial, technique: Technique, attack: str) -> None:
    copy = next(trial.results("it", technique))
    assert copy.shot == "copy"
    assert copy.right[attack] > max(0.6, copy.by_chance)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_equal_faces_give_equal_figures(trial: AttackTrial) -> None:
    again = AttackTrial([painted(seed) for seed in range(FACES)])
    assert list(again.results("it", Pixelate(0.5))) == list(trial.results("it", Pixelate(0.5)))


def test_hides_as_the_engine_does_and_keeps_the_originals() -> None:
    pictures = np.full((2, HEIGHT, WIDTH, 3), 90, np.uint8)
    assert not hide(Blacken(), pictures).any()
    assert (pictures == 90).all()


def test_small_faces_are_hidden_in_small_regions_and_compared_in_one_size() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pictures = np.repeat(((x // 12 + y // 16) % 2 * 200).astype(np.uint8)[None, ..., None], 3, axis=3)
    width, height = region_size(23)
    assert (width, height) == (24, 32)
    hidden = hide(Pixelate(0.05), pictures, (width, height))
    assert hidden.shape == pictures.shape
    assert Pixelate(0.05).grid(width, height) == (6, 8), "cells have at least 4 pixels"
    mixed = np.unique(hide(Pixelate(0.2), pictures, (width, height)))
    assert np.ptp(hidden) > np.ptp(mixed)
    assert (hide(None, pictures) == pictures).all()


@pytest.mark.exhaustive
@pytest.mark.slow
def test_results_name_the_height_of_the_faces() -> None:
    trial = AttackTrial([painted(seed) for seed in range(FACES)], face_heights=(6, 91), probes=1)
    results = {(result.face_height, result.shot): result for result in trial.results("it", Pixelate(0.2))}
    assert list(results) == [(6, "copy"), (6, "reshot"), (91, "copy"), (91, "reshot")]
    assert results[6, "copy"].right["descriptor"] < results[91, "copy"].right["descriptor"]


@pytest.mark.slow
def test_names_a_technique_that_fails(trial: AttackTrial) -> None:
    class Broken:
        destroys = True
        labels = None

        def hide(self, patch: Patch) -> None:
            raise ZeroDivisionError

    with pytest.raises(PluginFault, match="Broken"):
        next(trial.results("it", Broken()))


def test_refuses_too_few_faces() -> None:
    with pytest.raises(BadInput, match="3 faces are too few"):
        AttackTrial([painted(seed) for seed in range(3)])


@pytest.mark.parametrize(
    ("likeness", "expected", "why"),
    [
        ([[1, 0], [0, 1]], 1, "both right"),
        ([[0, 1], [1, 0]], 0, "both wrong"),
        ([[1, 1], [0, 1]], 0.75, "a tie between two is half a hit"),
        ([[0, 0], [0, 0]], 0.5, "all alike is guessing"),
        ([[1, 0], [1, 0], [0, 1], [1, 0]], 0.75, "two probes of each face, in the order of the faces"),
        ([[-1e9, -1e9 - 1], [-1e9 - 1, -1e9]], 0.5, "a difference that is rounding is none"),
    ],
)
def test_counts_hits_and_ties_as_guesses(likeness: list[list[float]], expected: float, why: str) -> None:
    assert hits(np.array(likeness)) == pytest.approx(expected), why


@pytest.mark.parametrize("faces", [10, 50, 123])
def test_chance_is_the_99th_percentile_of_guessing(faces: int) -> None:
    most = round(chance(faces) * faces)
    at_most = [
        sum(math.comb(faces, k) * (faces - 1) ** (faces - k) for k in range(n + 1)) / faces**faces
        for n in (most - 1, most)
    ]
    assert at_most[0] < 0.99 <= at_most[1]


def test_a_row_marks_attacks_above_chance() -> None:
    strong = AttackResult("strong", "copy", 100, {"pixels": 0.01, "descriptor": 0.01, "candidates": 0.02})
    weak = AttackResult("weak", "reshot", 100, {"pixels": 0.01, "descriptor": 0.01, "undone": 0.9, "candidates": 0.01})
    assert result_row(strong) == ["strong", "copy", "1.0 %", "1.0 %", "-", "2.0 %", "yes"]
    assert result_row(weak) == ["weak", "reshot", "1.0 %", "1.0 %", "90.0 %", "1.0 %", "no"]
    assert len(result_row(weak)) == len(HEADING)
    assert strong.to_json() == {
        "hidden": "strong", "shot": "copy", "face_px": 91, "faces": 100, "chance": 0.01, "by_chance": 0.04,
        "right": {"pixels": 0.01, "descriptor": 0.01, "candidates": 0.02},
        "intervals": {"pixels": [0.0018, 0.0545], "descriptor": [0.0018, 0.0545], "candidates": [0.0055, 0.07]},
    }  # fmt: skip


class ColourNetwork:
    """Compares pictures by their mean colours in 6 x 8 cells, as a trained network compares faces."""

    same, different = 0.1, 0.3

    def embed(self, frame: Frame, faces: Sequence[Points]) -> Embeddings:
        rows = [frame.rgb(6, 8).astype(np.float32).ravel() / 255 for _ in faces]
        return np.array(rows, np.float32)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_an_attacker_with_a_network_names_what_shows_and_guesses_what_is_destroyed() -> None:
    trial = AttackTrial([painted(seed) for seed in range(FACES)], network=ColourNetwork())
    (shows, _), (gone, _) = (list(trial.results("it", technique)) for technique in (None, Blacken()))
    assert shows.right["network"] > 0.9
    assert shows.right["network, told"] >= shows.right["network"]
    assert [gone.right[attack] for attack in NETWORK_ATTACKS] == pytest.approx([1 / FACES] * 2)
    assert len(result_row(shows)) == len(HEADING) + len(NETWORK_ATTACKS)


def test_landmarks_of_a_sample_lie_in_its_face() -> None:
    (left, right, nose, *mouth) = LANDMARKS
    assert WIDTH / 7 < left[0] < nose[0] < right[0] < WIDTH * 6 / 7
    assert left[1] < nose[1] < min(y for _, y in mouth) < HEIGHT * 6 / 7
    assert fault_of(Frame.of(Plane(painted(1)[:HEIGHT, :WIDTH], Role.RGB)), LANDMARKS) not in {"turned", "small"}
