"""Estimates what a batch would cost, from a sample that is hidden and then deleted."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from velum.batch.hide_item import ItemHider
from velum.batch.item import ItemOutcome, SourceItem
from velum.batch.listing import Selection, ignore_count, select
from velum.batch.manifest import BatchRun, RunConfig
from velum.engine.subprocess_engine import SubprocessPool
from velum.storage.objects import FolderTree, ObjectTree

SAMPLE_ITEMS = 20
"""Items that are hidden to measure; a fifth of them videos where there are both."""

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class BatchEstimate:
    """Counts of a source, and the cost of hiding in it as estimated from the sample. Times are processor times."""

    images: int
    videos: int
    size: int
    left_out: Counter[str]
    sampled: Sequence[ItemOutcome]
    core_hours: float
    result_size: int

    @property
    def without_result(self) -> int:
        """Number of sampled items without a result."""
        return sum(outcome.status in {"refused", "failed"} for outcome in self.sampled)


@dataclass(slots=True)
class _Reservoir:
    """A uniform random sample of a stream (algorithm R of Vitter, 1985)."""

    most: int
    random: random.Random
    count: int = 0
    size: int = 0
    sample: list[SourceItem] = field(default_factory=list)

    def add(self, item: SourceItem) -> None:
        self.count += 1
        self.size += item.size
        if len(self.sample) < self.most:
            self.sample.append(item)
        elif (place := self.random.randrange(self.count)) < self.most:
            self.sample[place] = item


def estimate_batch(
    source: ObjectTree, selection: Selection, config: RunConfig, engines: SubprocessPool, scratch: Path, *,
    threads: int, progress: Callable[[int], None] = ignore_count,
) -> BatchEstimate:  # fmt: skip
    """List a source, hide in a sample of it, and return the estimated cost of the whole. Writes to `scratch` only.

    Assumes that an image costs the mean of the sampled ones, and a video in proportion to its bytes. Raises as
    `ItemHider.hide` does.
    """
    chance = random.Random(0)  # noqa: S311 - the same sample each time
    images, videos = _Reservoir(SAMPLE_ITEMS, chance), _Reservoir(SAMPLE_ITEMS, chance)
    left_out: Counter[str] = Counter()
    for object_info in select(source, selection, left_out, progress):
        item = SourceItem.of(object_info)
        (videos if item.video_seconds else images).add(item)
    if images.count and videos.count:
        images.sample, videos.sample = images.sample[: SAMPLE_ITEMS * 4 // 5], videos.sample[: SAMPLE_ITEMS // 5]
    run = BatchRun(FolderTree(scratch / "results"), config, "estimate")
    hider = ItemHider(run, source, engines, scratch, "estimate", threads)
    sampled = {False: list(_outcomes(hider, images.sample)), True: list(_outcomes(hider, videos.sample))}
    seconds = _mean(sampled[False], _cpu_seconds) * images.count
    seconds += _share(sampled[True], _cpu_seconds) * videos.size
    result_size = _share(sampled[False], _result_size) * images.size + _share(sampled[True], _result_size) * videos.size
    return BatchEstimate(
        images.count, videos.count, images.size + videos.size, left_out, [*sampled[False], *sampled[True]],
        seconds / _HOUR, round(result_size),
    )  # fmt: skip


def _outcomes(hider: ItemHider, items: Iterable[SourceItem]) -> Iterable[ItemOutcome]:
    for item in items:
        if (outcome := hider.hide(item)) is not None:
            yield outcome


def _cpu_seconds(outcome: ItemOutcome) -> float:
    return outcome.seconds.get("cpu", 0.0)


def _result_size(outcome: ItemOutcome) -> float:
    return outcome.result_size


def _mean(outcomes: Sequence[ItemOutcome], value: Callable[[ItemOutcome], float]) -> float:
    return sum(map(value, outcomes)) / len(outcomes) if outcomes else 0.0


def _share(outcomes: Sequence[ItemOutcome], value: Callable[[ItemOutcome], float]) -> float:
    """Return the sum of a value per byte of the sources."""
    size = sum(outcome.size for outcome in outcomes)
    return sum(map(value, outcomes)) / size if size else 0.0
