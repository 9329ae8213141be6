"""All shards of a listing on this machine, one after the other: files of two shards fill its processes."""

import random
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from velum.batch.manifest import BatchRun, Listing
from velum.batch.shard import Notify, ShardRunner, ignore_outcome

SHARDS_AT_ONCE = 2
"""While the last files of a shard are hidden, those of the next one keep the other processes busy."""


def hide_shards(runner: ShardRunner, listing: Listing, shards: Iterable[int], notify: Notify = ignore_outcome) -> None:
    """Hide all items of the shards. Raises as `ShardRunner.hide_shard` does, after which nothing runs."""
    waiting = iter(shards)
    running: set[Future[object]] = set()
    with ThreadPoolExecutor(SHARDS_AT_ONCE, thread_name_prefix="velum-shard") as pool:
        try:
            while True:
                fresh = islice(waiting, SHARDS_AT_ONCE - len(running))
                running |= {pool.submit(runner.hide_shard, listing, shard, notify) for shard in fresh}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        finally:
            if running:
                runner.stop.set()


def shards_to_hide(run: BatchRun, listing: Listing, number: int | None = None, of: int | None = None) -> list[int]:
    """Return the shards without outcomes: all, or the one of that number, or every `of`-th from `number` on.

    All begin at another one on each call, so that two machines do not meet from the start.
    """
    unfinished = list(run.unfinished_shards(listing))
    if number is not None:
        return [shard for shard in unfinished if (shard == number if of is None else shard % of == number)]
    turn = random.randrange(len(unfinished)) if unfinished else 0  # noqa: S311 - no secret
    return unfinished[turn:] + unfinished[:turn]
