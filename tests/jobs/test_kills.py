"""The service and its workers are killed while a client hands jobs in, waits and fetches: nothing is lost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tests.rows import exhaustive

from .service_processes import ZONE, Outcome, Plant, clips, disturbed, photographs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Trial:
    """How many jobs are handed in, and how often something is disturbed: each so many seconds, and for so many."""

    clip_seconds: int
    photographs: int
    faults: int
    every: float
    seconds: float


SHORT = Trial(2, 2, faults=2, every=0.8, seconds=1.0)
LONG = Trial(4, 5, faults=3, every=1.5, seconds=3.0)
KINDS: Sequence[tuple[int, tuple[str, ...]]] = [(2, ("kill",)), (0, ("kill",)), (2, ("store", "stop"))]

Undisturbed = Callable[[Trial], tuple[list[Path], Outcome]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Sources for a trial, and their results where nothing happens."""

    @cache
    def run(trial: Trial) -> tuple[list[Path], Outcome]:
        folder = tmp_path_factory.mktemp("undisturbed")
        ground = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        sources = [*clips(folder, 1, trial.clip_seconds, [ground]), *photographs(folder, trial.photographs, (64, 48))]
        outcome = disturbed(Plant(folder, f"sqlite:///{folder}/j.sqlite"), sources, ZONE, kills=0, every=1, seed=0)
        assert (outcome.lost, len(outcome.digests)) == (0, len(sources))
        return sources, outcome

    return run


@pytest.mark.parametrize(
    ("trial", "workers", "faults"),
    [*((SHORT, *kind) for kind in KINDS), *exhaustive((LONG, *kind) for kind in KINDS)],
)
def test_faults_change_nothing_of_the_results(
    tmp_path: Path, undisturbed: Undisturbed, trial: Trial, workers: int, faults: tuple[str, ...]
) -> None:
    sources, expected = undisturbed(trial)
    plant = Plant(tmp_path, f"sqlite:///{tmp_path}/j.sqlite", workers)
    outcome = disturbed(
        plant, sources, ZONE, kills=trial.faults, every=trial.every, seed=4, faults=faults, seconds=trial.seconds
    )
    assert sum(outcome.kills.values()) + sum(outcome.faults.values()) > 0
    assert outcome.filled == 0
    assert (outcome.lost, outcome.duplicated, outcome.leftover) == (0, 0, 0)
    assert outcome.differing(expected) == 0
