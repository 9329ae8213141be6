"""The service and its workers are killed while a client hands jobs in, waits and fetches: nothing is lost."""

from pathlib import Path

import numpy as np
import pytest

from .service_processes import ZONE, Plant, clips, disturbed, photographs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(("workers", "faults"), [(2, ("kill",)), (0, ("kill",)), (2, ("store", "stop"))])
def test_faults_change_nothing_of_the_results(tmp_path: Path, workers: int, faults: tuple[str, ...]) -> None:
    ground = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    sources = [*clips(tmp_path, 1, 4, [ground]), *photographs(tmp_path, 5, (64, 48))]
    calm, harmed = (tmp_path / name for name in ("calm", "harmed"))
    for folder in (calm, harmed):
        folder.mkdir()
    expected = disturbed(Plant(calm, f"sqlite:///{calm}/j.sqlite"), sources, ZONE, kills=0, every=1, seed=0)
    assert (expected.lost, len(expected.digests)) == (0, len(sources))
    plant = Plant(harmed, f"sqlite:///{harmed}/j.sqlite", workers)
    outcome = disturbed(plant, sources, ZONE, kills=3, every=1.5, seed=4, faults=faults)
    assert sum(outcome.kills.values()) + sum(outcome.faults.values()) > 0
    assert outcome.filled == 0
    assert (outcome.lost, outcome.duplicated, outcome.leftover) == (0, 0, 0)
    assert outcome.differing(expected) == 0
