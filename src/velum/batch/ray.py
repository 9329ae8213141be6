"""Shards on a Ray cluster: a pool of actors, each with a process that hides; Ray scales the pool and the cluster.

Errors of Ray are translated here.
"""

import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from velum.batch.manifest import BatchRun, refuse_other_node
from velum.batch.shard import ShardRunner
from velum.engine.subprocess_engine import SubprocessPool
from velum.errors import Unavailable, VelumError
from velum.limits import Limits
from velum.plugins import RuntimeConfig
from velum.storage.objects import open_tree
from velum.storage.scratch import WorkerScratch

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import pyarrow as pa
    import ray
    import ray.data
except ImportError as missing:
    raise Unavailable(
        f"the runner ray needs a library that is not installed ({missing}); pip install 'velum-anonymizer[ray]'"
    ) from missing


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Resources of an actor, and the largest number of actors. `cpus` and `gpus` may be fractions."""

    most_actors: int | None = None
    """None: as many as the cluster can grow to."""
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None
    """Address of the cluster; None: that in `RAY_ADDRESS`, or a new cluster on this machine."""


class ShardActor:
    """Hides shards in its process of Ray. `host` is called on the node, where the models are."""

    def __init__(self, name: str, source: str, target: str, host: Callable[[], RuntimeConfig], limits: Limits) -> None:
        self._run = BatchRun.open(open_tree(target), name)
        self._engines = SubprocessPool(1, host, limits)
        checked = self._engines.check(self._run.config.plan, fingerprint=True)
        refuse_other_node(self._run.config, checked)
        self._scratch = WorkerScratch(Path(gettempdir()) / f"velum-batch-{os.getuid()}").__enter__()
        node = f"{platform.node()}:{os.getpid()}"
        self._runner = ShardRunner(self._run, open_tree(source), self._engines, self._scratch.path, node, 2)
        self._runner.fingerprint = checked.fingerprint

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return a row for each shard: its number, and why it is unfinished; an error would lose rows of others."""
        listing = self._run.listings()[-1]
        rows = []
        for shard in batch["shard"].to_pylist():
            try:
                self._runner.hide_shard(listing, shard)
                rows.append({"shard": shard, "left": ""})
            except VelumError as error:
                rows.append({"shard": shard, "left": str(error)})
        return pa.Table.from_pylist(rows, pa.schema([("shard", pa.int64()), ("left", pa.string())]))


def hide_on_ray(
    run: BatchRun, shards: Sequence[int], host: Callable[[], RuntimeConfig], limits: Limits, options: RayOptions,
    notify: Callable[[int], None],
) -> Mapping[int, str]:  # fmt: skip
    """Hide shards of the last listing; return those that are left for the next run, each with the reason.

    `notify` is called with the number of each shard that ends. Raises `Unavailable` when the cluster fails.
    """
    left: dict[int, str] = {}
    if not shards:
        return left
    try:
        logging.getLogger("ray.data").setLevel(logging.WARNING)  # the caller shows progress
        ray.init(
            address=options.address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.WARNING
        )  # fmt: skip
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
        hidden = rows.map_batches(
            ShardActor,
            fn_constructor_args=(run.name, run.config.source, run.config.target, host, limits),
            batch_size=1, batch_format="pyarrow", num_cpus=options.cpus, num_gpus=options.gpus or None,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=options.most_actors),
        )  # fmt: skip
        for table in hidden.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in table.to_pylist():
                notify(row["shard"])
                if row["left"]:
                    left[row["shard"]] = row["left"]
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise Unavailable(
            f"the Ray cluster failed: {_first_line(error)}; run the same command again to continue"
        ) from error
    return left


def _first_line(error: BaseException) -> Any:
    return str(error).strip().partition("\n")[0][:500]
