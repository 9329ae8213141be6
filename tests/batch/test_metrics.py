"""Metrics of a batch, as Prometheus reads them."""

import socket
from pathlib import Path
from urllib.request import urlopen

import pytest
from tests.cli.conftest import Command, site, velum_command  # noqa: F401 - fixtures

from velum import Plan
from velum.storage.objects import FolderTree

pytest.importorskip("prometheus_client", reason="the extra batch is not installed")
pytest.importorskip("pyarrow", reason="the extra batch is not installed")

from velum.batch.item import ItemOutcome
from velum.batch.listing import Listing, Selection
from velum.batch.manifest import BatchRun, RunConfig
from velum.batch.metrics import BatchMetrics
from velum.errors import Unavailable


def read_metrics(port: int) -> list[str]:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return list(answer.read().decode().splitlines())


def test_outcomes_are_counted() -> None:
    metrics = BatchMetrics()
    port = metrics.serve("127.0.0.1", 0)
    metrics.expect(3)
    metrics.add(ItemOutcome("a.jpg", "", 10, "hidden", labels={"face": 2}, result_size=7, seconds={"cpu": 1.5}))
    metrics.add(ItemOutcome("b.jpg", "", 5, "refused", "no image", "BadInput"))
    lines = read_metrics(port)
    for line in (
        "velum_batch_expected_files 3.0",
        'velum_batch_files_total{status="hidden"} 1.0',
        'velum_batch_files_total{status="failed"} 0.0',
        'velum_batch_failures_total{error="BadInput"} 1.0',
        "velum_batch_hidden_objects_total 2.0",
        "velum_batch_read_bytes_total 15.0",
        "velum_batch_written_bytes_total 7.0",
        "velum_batch_cpu_seconds_total 1.5",
    ):
        assert line in lines
    with pytest.raises(Unavailable, match="choose another address"):
        BatchMetrics().serve("127.0.0.1", port)


def test_status_serves_the_counts_of_all_machines(
    velum_command: Command,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("velum.batch.listing.SHARD_ITEMS", 2)
    source, target = FolderTree(tmp_path / "in"), FolderTree(velum_command.folder / "out")
    for name in "abcde":
        source.put_new(f"{name}.jpg", b"1")
    run = BatchRun.start(target, RunConfig(Plan(), source.url, target.url))
    listing, _ = run.list_sources(source, Selection())
    assert isinstance(listing, Listing)

    def finish(shard: int, node: str) -> None:
        items = run.items(listing, shard)
        run.finish(listing, shard, [ItemOutcome(i.key, i.etag, i.size, "hidden", node=node) for i in items], {})

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    turns = iter(("first", "second", "third"))

    def wait(seconds: float) -> None:
        turn = next(turns)
        lines = read_metrics(port)
        assert "velum_batch_expected_files 5.0" in lines
        count = {"first": 2.0, "second": 5.0, "third": 5.0}[turn]
        assert f'velum_batch_files_total{{status="hidden"}} {count}' in lines
        if turn == "third":
            raise KeyboardInterrupt
        for shard, node in ((1, "two"), (2, "three")):
            finish(shard, node)

    finish(0, "one")
    monkeypatch.setattr("velum.cli.batch.sleep", wait)
    velum_command("batch", "status", "out", "--metrics", f"127.0.0.1:{port}")
