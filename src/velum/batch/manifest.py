"""A run of a batch: its sources, listed once, in shards; and their outcomes, one file a shard.

Under the results, as objects of the same store:

    _velum/RUN/run.json              plan, source, target, precision and hashes of models
    _velum/RUN/todo/000000.json      a finished listing: where its shards are and how many
    _velum/RUN/todo/000000-ID/N.parquet    items of a shard
    _velum/RUN/part/000000-ID/N/ID.parquet outcomes of a shard that is not finished
    _velum/RUN/segments/ID/N.part, ...     finished segments of a long video, until it is joined
    _velum/RUN/done/000000-ID/N.parquet    outcomes of a finished shard, written by whoever finishes it first

Running the same command again makes a new listing, of new and changed objects.
"""

import hashlib
import heapq
import json
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any, Literal, Self

from velum import __version__
from velum.batch.item import ItemOutcome, SourceItem, arithmetic_of, hashes_of
from velum.batch.listing import (
    FOLDER,
    Listing,
    ListingCounts,
    Retry,
    Selection,
    delete_unneeded,
    ignore_count,
    into_shards,
    select,
    without_finished,
)
from velum.batch.tables import decode_items, decode_outcomes, encode_items, encode_outcomes
from velum.engine.subprocess_engine import CheckedPlan
from velum.errors import BadInput, BadPlan
from velum.plan import Plan
from velum.storage.objects import ObjectGone, ObjectTree

FORMAT = "velum-batch/1"

OtherArithmetic = Literal["refuse", "mark"]


@dataclass(frozen=True, slots=True)
class RunConfig:
    """The configuration that all nodes of a run must share."""

    plan: Plan
    source: str
    target: str
    precision: str = "f32"
    models: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the weights by the name of the model."""
    arithmetic: str = ""
    """Runtimes of the models, with their versions and precision: others may round otherwise."""
    version: str = __version__
    fingerprint: str = ""
    """Hash of what the models give for a fixed image on the machine that began the run."""
    other_arithmetic: OtherArithmetic = "refuse"
    """What becomes of a machine with another fingerprint: it is refused, or its outcomes are marked by theirs."""

    @property
    def name(self) -> str:
        """Name of the run: the same for the same source and plan, so that a repeated command continues it."""
        digest = hashlib.sha256(json.dumps([self.source, self.plan.digest]).encode()).hexdigest()
        return f"run-{digest[:12]}"

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {"format": FORMAT, **values, "plan": self.plan.to_json(), "models": dict(self.models)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the configuration of `to_json`. Raises `BadInput` for anything else."""
        try:
            complete = {"fingerprint": "", "other_arithmetic": "refuse", **value}  # an older velum wrote neither
            fields = {name: complete[name] for name in cls.__slots__ if name != "plan"}
            if value["format"] != FORMAT:
                raise BadInput(f"the run is of format {value['format']!r}; this velum knows {FORMAT}")
            return cls(Plan.from_json(value["plan"]), **fields)
        except (KeyError, TypeError) as error:
            raise BadInput(f"run.json of the batch cannot be read: {type(error).__name__}: {error}") from error


class BatchRun:
    """The objects of one run; see the module. Memory does not grow with the number of keys."""

    def __init__(self, target: ObjectTree, config: RunConfig, name: str) -> None:
        self.target, self.config, self.name = target, config, name
        self.root = f"{FOLDER}/{name}"
        self.url = f"{target.url}/{self.root}"

    @classmethod
    def start(cls, target: ObjectTree, config: RunConfig, name: str | None = None) -> Self:
        """Begin a run, or continue it; its name is that of the configuration unless another is given.

        Raises `BadPlan` when it was begun with other models, another precision or arithmetic.
        """
        name = name or config.name
        if not target.put_new(f"{FOLDER}/{name}/run.json", json.dumps(config.to_json(), indent=1).encode()):
            begun = cls.open(target, name)
            _refuse_other(begun.config, config)
        return cls(target, config, name)

    @classmethod
    def open(cls, target: ObjectTree, name: str) -> Self:
        """Open a run that was begun. Raises `BadInput` when there is none of that name."""
        try:
            data = target.read(f"{FOLDER}/{name}/run.json")
        except ObjectGone as error:
            raise BadInput(f"there is no batch {name} in {target.url}; known are {_known_names(target)}") from error
        try:
            return cls(target, RunConfig.from_json(json.loads(data)), name)
        except ValueError as error:
            raise BadInput(f"run.json of the batch {name} cannot be read: {error}") from error

    @staticmethod
    def names(target: ObjectTree) -> list[str]:
        """Return the names of all runs into a target."""
        keys = (
            object_info.key.split("/") for object_info in target.list(FOLDER) if object_info.key.endswith("/run.json")
        )
        return [parts[1] for parts in keys if len(parts) == 3]

    def listings(self, listings_before: Sequence[Listing] = ()) -> list[Listing]:
        """Return the finished listings, the first one first; those that are `listings_before` are not read again."""
        listings = list(listings_before)
        while True:
            try:
                data = self.target.read(self._todo_key(len(listings)))
            except ObjectGone:
                return listings
            listings.append(Listing(**json.loads(data)))

    def items(self, listing: Listing, shard: int) -> list[SourceItem]:
        """Return the items of a shard. Raises `BadInput` when it cannot be read."""
        key = f"{self.root}/todo/{listing.name}/{shard:06}.parquet"
        try:
            return decode_items(self.target.read(key), key)
        except ObjectGone as error:
            raise BadInput(f"shard {shard} of the batch is missing: {key}; start the batch again") from error

    def outcomes(self, listing: Listing, shard: int) -> list[ItemOutcome] | None:
        """Return the outcomes of a finished shard by key; None when it is not finished."""
        key = self._done_key(listing, shard)
        try:
            return decode_outcomes(self.target.read(key), key)
        except ObjectGone:
            return None

    def unfinished_shards(self, listing: Listing) -> Iterator[int]:
        """Yield the numbers of the shards without outcomes."""
        keys = (object_info.key for object_info in self.target.list(f"{self.root}/done/{listing.name}"))
        done = next(keys, None)
        for shard in range(listing.shards):
            if done == self._done_key(listing, shard):
                done = next(keys, None)
            else:
                yield shard

    def begun_shards(self, listing: Listing) -> Iterator[int]:
        """Yield the numbers of the shards that a node has begun and none has finished."""
        for object_info in self.target.list(f"{self.root}/part/{listing.name}"):
            if object_info.key.endswith("/begun"):
                yield int(object_info.key.split("/")[-2])

    def files_left(self, listing: Listing) -> int:
        """Return how many files of a listing have no outcome yet, by what runners wrote so far."""
        remaining = 0
        for shard in self.unfinished_shards(listing):
            parts = [object_info.key for object_info in self.target.list(self._part_folder(listing, shard))]
            finished_keys = {outcome.key for key in parts if key.endswith(".parquet") for outcome in self._part(key)}
            remaining += len(self.items(listing, shard)) - len(finished_keys)
        return remaining

    def _part(self, key: str) -> list[ItemOutcome]:
        try:
            return decode_outcomes(self.target.read(key), key)
        except ObjectGone:  # its shard was finished meanwhile
            return []

    def finish(
        self, listing: Listing, shard: int, outcomes: Iterable[ItemOutcome], metadata: Mapping[str, str]
    ) -> bool:
        """Write the outcomes of a shard; False where another node was first, whose outcomes count."""
        data = encode_outcomes(outcomes, metadata)
        first = self.target.put_new(self._done_key(listing, shard), data)
        delete_unneeded(self.target, self._part_folder(listing, shard))
        return first

    def begin(self, listing: Listing, shard: int) -> dict[str, ItemOutcome] | None:
        """Mark a shard as begun; return the outcomes of earlier attempts by key, None where this is the first one."""
        parts = [outcomes.key for outcomes in self.target.list(self._part_folder(listing, shard))]
        outcomes = {
            outcome.key: outcome
            for key in parts
            if key.endswith(".parquet")
            for outcome in decode_outcomes(self.target.read(key), key)
        }
        if parts:
            return outcomes
        self.target.put_new(f"{self._part_folder(listing, shard)}/begun", b"1")
        return None

    def keep(self, listing: Listing, shard: int, outcomes: Sequence[ItemOutcome]) -> None:
        """Write outcomes of an unfinished shard."""
        key = f"{self._part_folder(listing, shard)}/{secrets.token_hex(8)}.parquet"
        self.target.put_new(key, encode_outcomes(outcomes))

    def list_sources(
        self, source: ObjectTree, selection: Selection, *, retry: Collection[Retry] = (),
        progress: Callable[[int], None] = ignore_count, earlier: Sequence[Listing] | None = None,
    ) -> tuple[Listing | None, ListingCounts]:  # fmt: skip
        """List the objects to hide, in shards; None when none is new, has changed, or is to be retried.

        Several nodes may list at the same time; all follow the listing that is finished first. `earlier` are the
        listings whose shards are known to be finished; by default, all there are.
        """
        earlier = self.listings() if earlier is None else earlier
        counts = ListingCounts()
        chosen = map(SourceItem.of, select(source, selection, counts.left_out, progress))
        new = without_finished(chosen, self._last_outcomes(earlier), self.target.list(), retry, counts)
        return self.add_listing(new if earlier else chosen, len(earlier), counts), counts

    def add_listing(
        self, new: Iterable[SourceItem], number: int, counts: ListingCounts, *, own: bool = False
    ) -> Listing | None:
        """Write items, sorted by key, as the listing of that number; return it, or what another node wrote first.

        With `own`, the number after it is taken in that case. None, and nothing is written, when there is no item.
        """
        name, shards = f"{number:06}-{secrets.token_hex(4)}", 0
        for items in into_shards(new):
            self.target.put_new(f"{self.root}/todo/{name}/{shards:06}.parquet", encode_items(items))
            counts.add(items)
            shards += 1
        if not shards:
            return None
        left_out = dict(counts.left_out.most_common(20))
        listing = Listing(number, name, shards, counts.items, counts.size, counts.video_seconds, left_out)
        while not self.target.put_new(key := self._todo_key(listing.number), json.dumps(asdict(listing)).encode()):
            if not own:
                return Listing(**json.loads(self.target.read(key)))
            listing = replace(listing, number=listing.number + 1)
        return listing

    def records(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Yield the name of each finished shard, and the records of its outcomes that evidence signs."""
        for listing in self.listings():
            for shard in range(listing.shards):
                if (outcomes := self.outcomes(listing, shard)) is not None:
                    yield f"{listing.name}/{shard:06}", [outcome.to_record() for outcome in outcomes]

    def latest(self) -> Iterator[ItemOutcome]:
        """Yield the last outcome of each key, by key."""
        return self._last_outcomes(self.listings())

    def _last_outcomes(self, listings: Sequence[Listing]) -> Iterator[ItemOutcome]:
        streams = [self._outcomes_of(listing) for listing in listings]
        merged = heapq.merge(*streams, key=lambda pair: (pair[1].key, pair[0]))
        for _, same in groupby(merged, key=lambda pair: pair[1].key):
            *_, (_, last) = same
            yield last

    def _outcomes_of(self, listing: Listing) -> Iterator[tuple[int, ItemOutcome]]:
        for shard in range(listing.shards):
            for outcome in self.outcomes(listing, shard) or ():
                yield listing.number, outcome

    def _todo_key(self, number: int) -> str:
        return f"{self.root}/todo/{number:06}.json"

    def _done_key(self, listing: Listing, shard: int) -> str:
        return f"{self.root}/done/{listing.name}/{shard:06}.parquet"

    def _part_folder(self, listing: Listing, shard: int) -> str:
        return f"{self.root}/part/{listing.name}/{shard:06}"


def refuse_other_node(begun: RunConfig, checked: CheckedPlan) -> None:
    """Raise `BadPlan` where a node has other models, another runtime or precision, or computes other numbers."""
    models, arithmetic = hashes_of(checked.models), arithmetic_of(checked.models)
    _refuse_other(begun, replace(begun, models=models, arithmetic=arithmetic, fingerprint=checked.fingerprint))


def _refuse_other(earlier: RunConfig, current: RunConfig) -> None:
    for name in ("models", "precision", "arithmetic"):
        then, now = getattr(earlier, name), getattr(current, name)
        if then != now:
            raise BadPlan(
                f"this batch was begun with the {name} {then}, and here they are {now}: results would differ from node "
                "to node; use the same velum and models on all nodes, or begin a batch in another place"
            )
    if earlier.fingerprint not in {"", current.fingerprint} and earlier.other_arithmetic == "refuse":
        raise BadPlan(
            f"the models give other numbers here (fingerprint {current.fingerprint[:12]}) than where this batch "
            f"was begun ({earlier.fingerprint[:12]}), most likely since the processor has other instructions: results "
            "would differ from node to node; use one kind of processor, or begin the batch in another place with "
            "--other-arithmetic mark"
        )


def _known_names(target: ObjectTree) -> str:
    return ", ".join(BatchRun.names(target)) or "none"
