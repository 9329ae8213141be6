"""Prometheus metrics of the service. Every label has a bounded number of values, whatever clients send."""

import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, start_http_server
from prometheus_client import Counter as Total
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from velum.errors import BadPlan, Unavailable, VelumError
from velum.plan import Rule

MOST_KINDS = 200
"""Pairs of label and model with a counter of their own; all further pairs count as `other`."""

PATH = "/metrics"

OTHER = ("other", "other")

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds of the histograms' buckets: from a cached page to a long video."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class JobFigures(Protocol):
    """Figures of all jobs in the database. Each call raises a `VelumError` when the database does not answer."""

    def counts(self) -> Mapping[str, int]:
        """Return the number of jobs by state."""

    def longest_wait_seconds(self) -> float:
        """Return how long the oldest waiting job has waited; 0 where none waits."""


class Metrics:
    """The metrics of one process. Safe to share between threads."""

    def __init__(self, jobs: JobFigures | None = None) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        if jobs is not None:
            registry.register(_Jobs(jobs))
        self._lock = threading.Lock()
        self._kinds: set[tuple[str, str]] = set()
        labels = ("route", "method")
        self._requests = Total("velum_requests", "Requests.", (*labels, "status"), registry=registry)
        self._took = Histogram(
            "velum_request_seconds", "Time from the request to the end of its answer.", labels, registry=registry,
            buckets=SECONDS,
        )  # fmt: skip
        self._received = Total("velum_received_bytes", "Bytes of the bodies of requests.", registry=registry)
        self._stages = Histogram(
            "velum_stage_seconds", "Time that one source spent in a stage.", ("stage",), registry=registry,
            buckets=SECONDS,
        )  # fmt: skip
        self._frames = Total("velum_frames", "Processed images and frames of videos.", registry=registry)
        self._hidden = Total(
            "velum_hidden", "Hidden regions of images and tracks of videos.", ("label", "model"),
            registry=registry,
        )  # fmt: skip
        self._failures = Total("velum_failures", "Failed sources by error code.", ("error",), registry=registry)
        self.inside = Gauge("velum_requests_in_progress", "Requests in progress.", registry=registry)
        former = Gauge("velum_requests_inside", "Old name of velum_requests_in_progress.", registry=registry)
        former.set_function(self._in_progress)
        self.waiting = Gauge("velum_pictures_waiting", "Images that wait for a processor slot.", registry=registry)
        self.working = Gauge("velum_pictures_working", "Images being processed.", registry=registry)
        self.unaudited = Total(
            "velum_audit_failures", "Lines that could not be written to the audit log.", registry=registry
        )

    def watch(self, is_ready: Callable[[], bool], folders: Mapping[str, Path]) -> None:
        """Ask at each scrape whether the service is ready, and how much space is free in each of the named folders."""
        ready = Gauge("velum_ready", "Whether the service can do its work, as /health/ready.", registry=self.registry)
        ready.set_function(lambda: float(is_ready()))
        self.registry.register(_FreeSpace(folders))

    def count_request(self, route: str, method: str, status: int, seconds: float, received: int) -> None:
        """Count a request. `route` is the template of its path, such as `/v1/jobs/{job}`."""
        method = method if method in _METHODS else "OTHER"
        self._requests.labels(route, method, str(status)).inc()
        self._took.labels(route, method).observe(seconds)
        self._received.inc(received)

    def _in_progress(self) -> float:
        return next(iter(self.inside.collect())).samples[0].value

    def count_report(self, report: Mapping[str, Any]) -> None:
        """Count the frames, stage times and hidden regions of a `Report`, passed as JSON values."""
        self._frames.inc(report["frames"])
        for stage, seconds in report["seconds"].items():
            self._stages.labels(stage).observe(seconds)
        models = [_model(rule) for rule in report["rules"]]
        hidden = Counter((region["label"], models[region["rule"]]) for region in (*report["hidden"], *report["tracks"]))
        for kind, number in hidden.items():
            self._hidden.labels(*self._limit_kinds(kind)).inc(number)

    def count_failure(self, error: VelumError) -> None:
        """Count a failed source."""
        self._failures.labels(error.code).inc()

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)

    def _limit_kinds(self, kind: tuple[str, str]) -> tuple[str, str]:
        with self._lock:
            if kind not in self._kinds and len(self._kinds) >= MOST_KINDS:
                return OTHER
            self._kinds.add(kind)
            return kind


class _Jobs(Collector):
    """Collects the figures of jobs from the database, at each scrape."""

    def __init__(self, figures: JobFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges, one of which tells whether the database answers; without an answer only that one."""
        up = GaugeMetricFamily("velum_jobs_database_up", "Whether the database of jobs answers.")
        wait = GaugeMetricFamily("velum_jobs_longest_wait_seconds", "Time that the oldest waiting job has waited.")
        jobs = GaugeMetricFamily("velum_jobs", "Jobs in each state.", labels=("state",))
        try:
            counts, seconds = self._figures.counts(), self._figures.longest_wait_seconds()
        except VelumError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        wait.add_metric([], seconds)
        for state, number in counts.items():
            jobs.add_metric([str(state)], number)
        yield from (up, jobs, wait)

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not query the database."""
        return ()


class _FreeSpace(Collector):
    """Collects the free space of disks, at each scrape."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def collect(self) -> Iterator[Metric]:
        """Yield the gauge of all folders that exist."""
        free = GaugeMetricFamily("velum_free_bytes", "Free bytes on the disk of a folder.", labels=("folder",))
        for name, folder in self._folders.items():
            try:
                free.add_metric([name], shutil.disk_usage(folder).free)
            except OSError:
                continue  # it is made on first use
        yield free

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering touches no disk."""
        return ()


@contextmanager
def serve_metrics(metrics: Metrics, address: str) -> Iterator[int]:
    """Serve the metrics alone at `HOST:PORT`, or at `PORT` on the loopback address, and yield the port.

    Raises `BadPlan` for a malformed address, `Unavailable` when it cannot be bound.
    """
    match = re.fullmatch(r"(?:(?P<host>[^:\s]+|\[[0-9a-fA-F:.]+\]):)?(?P<port>[0-9]{1,5})", address)
    if not match or int(match["port"]) > 65535:
        raise BadPlan(f"address {address[:80]!r} for metrics is malformed; write HOST:PORT, such as 127.0.0.1:9464")
    try:
        server, thread = start_http_server(
            int(match["port"]), addr=(match["host"] or "127.0.0.1").strip("[]"), registry=metrics.registry
        )
    except OSError as error:
        raise Unavailable(
            f"metrics cannot be served at {address}: {error.strerror or error}; choose another address"
        ) from error
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _model(rule: str) -> str:
    """Return the model, else the localizer, of a rule; "other" for a rule that cannot be parsed."""
    try:
        use = Rule.parse(rule).locate
    except BadPlan:
        return "other"
    return str(use.options.get("model") or use.options.get("name") or use.name)
