"""Shards on Ray: a cluster of two nodes, one of which is lost."""

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from velum import Engine, Limits, Plan, RuntimeConfig
from velum.storage.objects import FolderTree

pytest.importorskip("pyarrow", reason="the extra batch is not installed")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytest.importorskip("ray.data", reason="the extra ray is not installed")

from ray.cluster_utils import Cluster  # noqa: E402 - where Ray is

from velum.batch.listing import Selection  # noqa: E402 - where Ray is
from velum.batch.manifest import BatchRun, RunConfig  # noqa: E402 - where Ray is
from velum.batch.ray import hide_on_ray  # noqa: E402 - where Ray is

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]

ZONE = Plan.of("zone: fixed(box=[4, 4, 20, 20]) -> blacken with grow=0")


def two_nodes() -> tuple[Cluster, object]:
    """Return a cluster and its second node. Ray waits 30 s for one to start, which is little on a busy machine."""
    for attempt in range(3):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            second = cluster.add_node(num_cpus=1)
            cluster.wait_for_nodes()
        except Exception:  # Ray raises no narrower class when a node is late
            cluster.shutdown()
            if attempt == 2:
                raise
        else:
            return cluster, second
    raise AssertionError


def test_a_node_that_goes_away_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velum.batch.listing.SHARD_ITEMS", 4)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    chance = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(80):
        Image.fromarray(chance.integers(20, 230, (32, 32, 3), np.uint8)).save(tmp_path / "in" / f"{number:03}.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    source, target = FolderTree(tmp_path / "in"), FolderTree(tmp_path / "out")
    run = BatchRun.start(target, RunConfig(ZONE, source.url, target.url))
    listing, _ = run.list_sources(source, Selection())
    assert listing is not None
    cluster, leaving = two_nodes()
    try:
        ended: list[int] = []

        def leave() -> None:
            while len(ended) < 3:
                time.sleep(0.05)
            cluster.remove_node(leaving, allow_graceful=False)

        thread = threading.Thread(target=leave, daemon=True)
        thread.start()
        shards, left = range(listing.shards), dict[int, str]()
        for shard, reason in hide_on_ray(
            run, shards, RuntimeConfig, Limits(), most_actors=2, cpus=1, address=cluster.address
        ):
            ended.append(shard)
            left[shard] = reason
        thread.join(60)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert left == dict.fromkeys(shards, "")
    assert list(run.unfinished_shards(listing)) == []
    outcomes = list(run.latest())
    assert [outcome.key for outcome in outcomes] == [found.key for found in source.list()]
    assert sum(outcome.status == "hidden" for outcome in outcomes) == 80
    with Engine() as engine:
        for number in (0, 41, 79):
            engine.hide(tmp_path / "in" / f"{number:03}.png", tmp_path / "same.png", ZONE, overwrite=True)
            assert (tmp_path / "same.png").read_bytes() == (tmp_path / "out" / f"{number:03}.png").read_bytes()
