"""Which objects of a source a run hides: selected by their keys, compared with outcomes, and put into shards."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal, get_args

from velum.batch.arrange import is_selected
from velum.batch.item import ItemOutcome, SourceItem
from velum.errors import OutputFailed
from velum.media import SUFFIXES, archive
from velum.media.formats import (
    DICOM_SUFFIXES,
    OTHER_SUFFIXES,
    READ_ONLY_SUFFIXES,
    SOUND_FORMAT_SUFFIXES,
    VIDEO_SUFFIXES,
)
from velum.plan import Plan
from velum.storage.objects import ObjectInfo, ObjectTree

Retry = Literal["failed", "refused", "missing"]
"""Which unchanged files are tried again: those of a status, or those whose result is no longer in its place."""

RETRIES: tuple[Retry, ...] = get_args(Retry)

FOLDER = "_velum"
"""First segment of all keys that a batch writes beside the results."""

SHARD_ITEMS, SHARD_VIDEO_SECONDS = 1000, 3600.0
"""A shard ends when it has so many items or so many seconds of video; the first ones of a listing end before."""

FEWEST_ITEMS, FIRST_SHARDS = 25, 40
"""The first shards have so many items, or as large a share of the seconds. A later one is a fortieth of all before it:
so about forty machines can share a listing of any length."""

_SOUND = frozenset(suffix for suffixes in SOUND_FORMAT_SUFFIXES.values() for suffix in suffixes)
_MEDIA = frozenset({*SUFFIXES, *DICOM_SUFFIXES, *VIDEO_SUFFIXES, *READ_ONLY_SUFFIXES, *OTHER_SUFFIXES})


def ignore_count(count: int) -> None:
    """Ignore the number of objects that were listed."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The keys of a source that are listed: of images, videos, documents and archives by suffix, and without suffix.

    With `include`, the keys that match a pattern, whatever their suffix; never those that match `exclude`.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    sound: bool = False
    """True to list sound files, too, which only some plans hide in."""

    @classmethod
    def of(cls, plan: Plan, include: Sequence[str], exclude: Sequence[str]) -> "Selection":
        """Return the selection for a plan: with sound files where it says what becomes of all sound."""
        return cls(include, exclude, plan.video.audio in {"silence", "speech-mute", "voice"})

    def takes(self, object_info: ObjectInfo) -> bool:
        """Tell whether an object is listed. An empty object without a suffix is a folder, as consoles make them."""
        path = PurePosixPath(object_info.key)
        suffix = path.suffix.lower()
        if not object_info.size and (object_info.key.endswith("/") or not suffix):
            return False
        is_media = not suffix or suffix in _MEDIA or (self.sound and suffix in _SOUND)
        is_media = is_media or bool(archive.suffix_of_container(path.name))
        return is_selected(path, self.include, self.exclude) and (is_media or bool(self.include))


@dataclass(frozen=True, slots=True)
class Listing:
    """A finished listing: its name, the folder of its shards, and what it counted."""

    number: int
    name: str
    shards: int
    items: int
    size: int
    video_seconds: float = 0.0
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Number of objects that are neither images nor videos by their names, by suffix."""


@dataclass(slots=True)
class ListingCounts:
    """Counts of a listing: new items, unchanged ones by their last status, and objects that were left out."""

    items: int = 0
    size: int = 0
    video_seconds: float = 0.0
    unchanged: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, items: Sequence[SourceItem]) -> None:
        """Count the items of a shard."""
        self.items += len(items)
        self.size += sum(item.size for item in items)
        self.video_seconds += sum(item.video_seconds for item in items)


def select(
    source: ObjectTree, selection: Selection, left_out: Counter[str],
    progress: Callable[[int], None] = ignore_count,
) -> Iterator[ObjectInfo]:  # fmt: skip
    """Yield the selected objects of a source, sorted by key; count the others by suffix."""
    for count, object_info in enumerate(source.list(), 1):
        progress(count)
        if object_info.key.startswith(f"{FOLDER}/"):
            continue
        if selection.takes(object_info):
            yield object_info
        elif object_info.fault:
            left_out[object_info.fault.partition(";")[0]] += 1
        elif object_info.size:
            left_out[PurePosixPath(object_info.key).suffix.lower() or "no suffix"] += 1


def into_shards(items: Iterable[SourceItem]) -> Iterator[list[SourceItem]]:
    """Yield the items in groups of `SHARD_ITEMS` items or `SHARD_VIDEO_SECONDS` of video; see `FIRST_SHARDS`."""
    shard: list[SourceItem] = []
    seconds, full_shards = 0.0, 0.0
    for item in items:
        shard.append(item)
        seconds += item.video_seconds
        share = max(len(shard) / SHARD_ITEMS, seconds / SHARD_VIDEO_SECONDS)
        if share >= min(1.0, max(FEWEST_ITEMS / SHARD_ITEMS, full_shards / FIRST_SHARDS)):
            yield shard
            shard, seconds, full_shards = [], 0.0, full_shards + share
    if shard:
        yield shard


def without_finished(
    items: Iterator[SourceItem], outcomes: Iterator[ItemOutcome], target: Iterator[ObjectInfo],
    retry: Collection[Retry], counts: ListingCounts,
) -> Iterator[SourceItem]:  # fmt: skip
    """Yield items without an outcome of the same ETag, and those to be retried. All inputs are sorted by key.

    `target` has the objects of the results; they are listed only to retry what is missing.
    """
    results = (found.key for found in target if not found.key.startswith(f"{FOLDER}/"))
    outcome, result = next(outcomes, None), next(results, None) if "missing" in retry else None
    for item in items:
        while outcome is not None and outcome.key < item.key:
            outcome = next(outcomes, None)
        while result is not None and result < item.key:
            result = next(results, None)
        is_same = outcome is not None and (outcome.key, outcome.etag) == (item.key, item.etag)
        status = outcome.status if outcome is not None and is_same else None
        is_gone = status in {"hidden", "nothing found"} and "missing" in retry and result != item.key
        if status is None or status in retry or is_gone:
            yield item
        else:
            counts.unchanged[status] += 1


def delete_unneeded(store: ObjectTree, folder: str) -> None:
    """Delete the objects under a folder that no run reads any more, as far as the store allows it."""
    unneeded: list[ObjectInfo] = list(store.list(folder))
    # Whoever may write results need not have the right to delete: what stays takes room, and nothing else.
    with suppress(OutputFailed):
        for info in unneeded:
            store.delete(info.key)
