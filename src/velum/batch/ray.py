"""Shards on a Ray cluster: a pool of actors, each with a process that hides; Ray scales the pool and the cluster.

Errors of Ray are translated here.
"""

import logging
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import gettempdir

from velum.batch.hide_item import ItemHider
from velum.batch.manifest import BatchRun, refuse_other_node
from velum.batch.shard import ShardRunner, shards_to_share
from velum.engine.subprocess_engine import DeathAdvice, SubprocessPool
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


HELP, HELPERS = -1, 64
"""In place of the number of a shard: help with long videos of others; and how many rows at most say so."""

_ADVICE = DeathAdvice(
    "raise --cpus-per-worker, so that fewer actors share the memory of a node",
    "Ray's log of the actor on that node shows what the libraries print",
)


class ShardActor:
    """Hides shards of the last listing in its process of Ray. `host` is called on the node, where the models are."""

    def __init__(self, name: str, source: str, target: str, host: Callable[[], RuntimeConfig], limits: Limits) -> None:
        run, engines = BatchRun.open(open_tree(target), name), SubprocessPool(1, host, limits, advice=_ADVICE)
        checked = engines.check(run.config.plan, fingerprint=True)
        refuse_other_node(run.config, checked)
        self._listing = run.listings()[-1]
        self._scratch = WorkerScratch(Path(gettempdir()) / f"velum-batch-{os.getuid()}").__enter__()
        node = f"{platform.node()}:{os.getpid()}"
        self._runner = ShardRunner(
            ItemHider(run, open_tree(source), engines, self._scratch.path, node, 2, checked.fingerprint)
        )

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return a row for each shard: its number, and why it is unfinished, empty when it is not."""
        return pa.table({"shard": batch["shard"], "left": [self._hide(shard) for shard in batch["shard"].to_pylist()]})

    def _hide(self, shard: int) -> str:
        try:
            run = self._runner.hider.run
            for each in [shard] if shard != HELP else shards_to_share(run, self._listing, run.unfinished_shards):
                self._runner.hide_shard(self._listing, each)
        except VelumError as error:  # with an error, Ray would lose the rows of other shards
            return str(error)
        return ""


def hide_on_ray(
    run: BatchRun, shards: Sequence[int], host: Callable[[], RuntimeConfig], limits: Limits, *,
    most_actors: int | None = None, cpus: float = 1.0, gpus: float = 0.0, address: str | None = None,
) -> Iterator[tuple[int, str]]:  # fmt: skip
    """Yield each shard of the last listing as it ends, with the reason where it is left for the next run, else "".

    An actor has `cpus` and `gpus`, which may be fractions. There are at most `most_actors`; None: as many as the
    cluster can grow to. `address` None: that in `RAY_ADDRESS`, or a new cluster. Raises `Unavailable` when Ray fails.
    """
    logging.getLogger("ray.data").setLevel(logging.WARNING)  # the caller shows progress
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.WARNING)
        ray.data.DataContext.get_current().enable_progress_bars = False
        helpers = [HELP] * min(most_actors or HELPERS, HELPERS) if run.listings()[-1].video_seconds else []
        items = [{"shard": shard} for shard in (*shards, *helpers)]
        rows = ray.data.from_items(items, override_num_blocks=len(items))
        hidden = rows.map_batches(
            ShardActor, fn_constructor_args=(run.name, run.config.source, run.config.target, host, limits),
            batch_size=1, batch_format="pyarrow", num_cpus=cpus, num_gpus=gpus or None,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most_actors),
        )  # fmt: skip
        for table in hidden.iter_batches(batch_size=None, batch_format="pyarrow"):
            rows_ended = zip(table["shard"].to_pylist(), table["left"].to_pylist(), strict=True)
            yield from ((shard, files_left) for shard, files_left in rows_ended if shard != HELP)
    except (ray.exceptions.RayError, ConnectionError) as error:
        reason = str(error).strip().partition("\n")[0][:500]
        raise Unavailable(f"the Ray cluster failed: {reason}; run the same command again to continue") from error
