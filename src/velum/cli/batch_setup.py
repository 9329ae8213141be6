"""What `velum batch` and `velum watch` need before they hide: a checked plan, engines in processes, stores, metrics."""

import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from velum.cli import common
from velum.cli.common import Messages
from velum.errors import BadPlan, Unavailable

if TYPE_CHECKING:
    from velum.batch.manifest import BatchRun, OtherArithmetic, RunConfig
    from velum.batch.metrics import BatchMetrics
    from velum.batch.shard import ShardRunner
    from velum.engine.subprocess_engine import SubprocessPool
    from velum.plan import Plan
    from velum.plugins import Precision, RuntimeConfig
    from velum.storage.objects import ObjectTree


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """What a command needs to hide: the run's configuration, its stores, and engines in processes."""

    config: "RunConfig"
    source: "ObjectTree"
    target: "ObjectTree"
    engines: "SubprocessPool"
    scratch: Path
    threads: int
    """Files at the same time."""

    def runner(self, run: "BatchRun", stop: threading.Event | None = None) -> "ShardRunner":
        """Return a runner of the run's shards, which ends when `stop` is set."""
        from velum.batch.hide_item import ItemHider
        from velum.batch.shard import ShardRunner

        node = f"{platform.node()}:{os.getpid()}"
        hider = ItemHider(
            run, self.source, self.engines, self.scratch, node, self.threads, self.config.fingerprint,
            stop or threading.Event(),
        )  # fmt: skip
        return ShardRunner(hider)


@contextmanager
def prepare_batch(
    plan: "Plan",
    trees: "tuple[ObjectTree, ObjectTree]",
    workers: int | None,
    scratch: Path | None,
    messages: Messages,
    other_arithmetic: "OtherArithmetic" = "refuse",
) -> Iterator[PreparedBatch]:
    """Give what a command needs: the plan is checked, and its models are loaded in one process."""
    from velum.batch.item import arithmetic_of, hashes_of
    from velum.batch.manifest import RunConfig
    from velum.settings import Settings, available_cores
    from velum.storage.scratch import WorkerScratch

    settings = Settings.load()
    precision = "f32" if settings.precision == "auto" else settings.precision
    count = workers or available_cores()
    shared = scratch or Path(tempfile.gettempdir()) / f"velum-batch-{os.getuid()}"
    # One thread a process: the fastest way to share cores, and the same sums on every machine.
    processes = common.engine_processes(count, threads=1, precision=precision)
    with processes as (engines, fetching), WorkerScratch(shared) as own:
        checked = engines.check(plan, fetching, fingerprint=True)
        for warning in checked.warnings:
            messages.warn(warning)
        models = checked.models
        config = RunConfig(
            plan, trees[0].url, trees[1].url, precision, hashes_of(models), arithmetic_of(models),
            fingerprint=checked.fingerprint, other_arithmetic=other_arithmetic,
        )  # fmt: skip
        yield PreparedBatch(config, *trees, engines, own.path, 2 * count)


def refuse_overlap(source: str, target: str) -> None:
    """Raise `BadPlan` where results would land among the sources, or sources lie among the results."""
    urls = [url if "://" in url else os.path.realpath(url) for url in (source, target)]
    ends = [f"{url.rstrip('/')}/" for url in urls]
    if ends[0].startswith(ends[1]) or ends[1].startswith(ends[0]):
        raise BadPlan(f"{target} and {source} overlap: results would be taken for sources; write to another prefix")


def check_share(shard: int | None, shards: int | None) -> None:
    """Raise `BadPlan` where a machine has no share of the shards, which would hide nothing without a word."""
    if shards is None or (shard is not None and shard < shards):
        return
    if shard is None:
        raise BadPlan(f"--shards needs --shard, the number of this machine from 0 to {shards - 1}")
    raise BadPlan(
        f"--shard {shard} is no machine of --shards {shards}, which have the numbers from 0 to {shards - 1}; give the "
        "same --shards on all machines, also when a single one is started again"
    )


def host_of_node(precision: "Precision") -> "RuntimeConfig":
    """Return the configuration of parts by the settings of the machine that calls it, for one thread."""
    from velum.settings import Settings

    return Settings.load().host_factory(threads=1, precision=precision)()


def serve_metrics(address: str | None) -> "BatchMetrics | None":
    """Serve metrics at HOST:PORT. Raises `BadPlan` for another text, `Unavailable` where that cannot be done."""
    if address is None:
        return None
    host, _, port = address.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadPlan(f"--metrics {address!r} is no address; write HOST:PORT, such as 127.0.0.1:9464")
    try:
        from velum.batch.metrics import BatchMetrics
    except ImportError as error:
        raise Unavailable(
            f"--metrics needs a library that is not installed ({error}); pip install 'velum-anonymizer[batch]'"
        ) from error
    metrics = BatchMetrics()
    metrics.serve(host.strip("[]") or "127.0.0.1", int(port))
    return metrics
