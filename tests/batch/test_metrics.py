"""Metrics of a batch, as Prometheus reads them."""

from urllib.request import urlopen

import pytest

pytest.importorskip("prometheus_client", reason="the extra batch is not installed")

from velum.batch.item import ItemOutcome
from velum.batch.metrics import BatchMetrics
from velum.errors import Unavailable


def test_outcomes_are_counted() -> None:
    metrics = BatchMetrics()
    port = metrics.serve("127.0.0.1", 0)
    metrics.expect(3)
    metrics.add(ItemOutcome("a.jpg", "", 10, "hidden", labels={"face": 2}, result_size=7, seconds={"cpu": 1.5}))
    metrics.add(ItemOutcome("b.jpg", "", 5, "refused", "no image", "BadInput"))
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
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
