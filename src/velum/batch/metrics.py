"""Prometheus metrics of a batch, on one machine or on all. Every label has a bounded number of values."""

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from velum.batch.item import STATUSES, ItemOutcome
from velum.batch.manifest import BatchRun
from velum.errors import Unavailable


class BatchMetrics:
    """Counts outcomes. Safe to share between threads."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._expected = Gauge("velum_batch_expected_files", "Files of the listings at work.", registry=registry)
        self._files = Counter("velum_batch_files", "Files by status of their outcome.", ["status"], registry=registry)
        self._failures = Counter(
            "velum_batch_failures", "Files without a result by error.", ["error"], registry=registry
        )
        self._objects = Counter("velum_batch_hidden_objects", "Objects that were hidden.", registry=registry)
        self._read = Counter("velum_batch_read_bytes", "Bytes of the sources.", registry=registry)
        self._written = Counter("velum_batch_written_bytes", "Bytes of the results.", registry=registry)
        self._cpu = Counter("velum_batch_cpu_seconds", "Processor time of the results.", registry=registry)
        for status in STATUSES:
            self._files.labels(status)
        self._counted: dict[str, set[int]] = {}
        """Numbers of the shards that were counted, by the name of their listing."""

    def expect(self, files: int) -> None:
        """Count files that are about to be hidden."""
        self._expected.inc(files)

    def add(self, outcome: ItemOutcome) -> None:
        """Count an outcome."""
        self._files.labels(outcome.status).inc()
        if outcome.error:
            self._failures.labels(outcome.error).inc()
        self._objects.inc(sum(outcome.labels.values()))
        self._read.inc(outcome.size)
        self._written.inc(outcome.result_size)
        self._cpu.inc(outcome.seconds.get("cpu", 0.0))

    def add_finished(self, run: BatchRun) -> None:
        """Count the outcomes of the shards that any machine has finished since the last call. For one thread."""
        for listing in run.listings():
            if listing.name not in self._counted:
                self.expect(listing.items)
            counted = self._counted.setdefault(listing.name, set())
            for shard in set(range(listing.shards)) - set(run.unfinished_shards(listing)) - counted:
                for outcome in run.outcomes(listing, shard) or ():
                    self.add(outcome)
                counted.add(shard)

    def serve(self, host: str, port: int) -> int:
        """Serve the metrics until the process ends, and return the port; 0 is a free one. Raises `Unavailable`."""
        try:
            server, _ = start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise Unavailable(
                f"metrics cannot be served at {host}:{port}: {error.strerror or error}; choose another address"
            ) from error
        return int(server.server_port)
