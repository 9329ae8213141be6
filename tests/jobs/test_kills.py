"""The service and its workers are killed while a client submits jobs, waits and downloads: no job is lost."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from tests.rows import exhaustive

from velum import Limits, RuntimeConfig
from velum.jobs import EngineProcessor, Submission

from .conftest import Office
from .service_processes import ZONE, Plant, clips, disturbed, photographs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Trial:
    """How many jobs are handed in, and how often something is disturbed: each so many seconds, and for so many."""

    clip_seconds: int
    photographs: int
    faults: int
    every: float
    seconds: float


SHORT = Trial(2, 2, faults=3, every=0.8, seconds=1.0)
LONG = Trial(4, 5, faults=3, every=1.5, seconds=3.0)
KINDS: Sequence[tuple[int, tuple[str, ...]]] = [(2, ("kill",)), (0, ("kill",)), (2, ("store", "stop"))]
EVERYTHING = (2, ("kill", "store", "stop"))

Undisturbed = Callable[[Trial], tuple[list[Path], dict[str, str]]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Sources for a trial, and the SHA-256 of their results where nothing happens, by name."""

    @cache
    def run(trial: Trial) -> tuple[list[Path], dict[str, str]]:
        folder = tmp_path_factory.mktemp("undisturbed")
        ground = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        sources = [*clips(folder, 1, trial.clip_seconds, [ground]), *photographs(folder, trial.photographs, (64, 48))]
        office = Office(f"sqlite:///{folder}/j.sqlite", folder)
        with office.working(partial(EngineProcessor, RuntimeConfig, Limits(), span_seconds=1.0)):
            done = office.ended(
                *(
                    office.desk.submit(Submission(office.store.put([source.read_bytes()]).key, source.name, ZONE))
                    for source in sources
                )
            )
        office.database.close()
        return sources, {job.submission.name: hashlib.sha256(office.content(job)).hexdigest() for job in done}

    return run


@pytest.mark.parametrize(
    ("trial", "workers", "faults"),
    [(SHORT, *EVERYTHING), *exhaustive((trial, *kind) for trial in (SHORT, LONG) for kind in KINDS)],
)
def test_results_are_the_same_when_the_service_and_workers_are_killed(
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
    assert outcome.digests == expected
