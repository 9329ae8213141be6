"""Shards on this machine: stores that fail or change, disks that are full, and two runners at once."""

import secrets
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.jobs import bad_parts
from tests.media.sound.factories import decode_sound, noise, write_wave

from velum import Engine, Limits, Plan, RuntimeConfig
from velum.engine.subprocess_engine import SubprocessPool
from velum.errors import OutputFailed, Unavailable
from velum.plan import Video
from velum.storage import StoreAway
from velum.storage.objects import FolderTree, ObjectInfo, ObjectTree, open_tree

pytest.importorskip("pyarrow", reason="the extra batch is not installed")
pytest.importorskip("obstore", reason="the extra cloud is not installed")

from velum.batch import shard as shards
from velum.batch.hide_item import ItemHider
from velum.batch.item import ItemOutcome, SourceItem
from velum.batch.listing import Listing, Selection
from velum.batch.manifest import BatchRun, RunConfig
from velum.batch.shard import ShardRunner, hide_shards, shards_to_hide

ZONE = Plan.of("zone: fixed(box=[4, 4, 20, 20]) -> blacken with grow=0")


@pytest.fixture(scope="module")
def engines() -> Iterator[SubprocessPool]:
    with SubprocessPool(2, RuntimeConfig, Limits()) as pool:
        yield pool


@pytest.fixture
def source(tmp_path: Path) -> ObjectTree:
    """A store in memory with twelve images under odd keys."""
    tree = open_tree(f"memory://{secrets.token_hex(4)}")
    chance = np.random.default_rng(0)
    for number in range(12):
        file = tmp_path / "image.png"
        Image.fromarray(chance.integers(20, 230, (32, 32, 3), np.uint8)).save(file)
        tree.put_new(f"ü #{number:02}?/[a] %.png", file.read_bytes())
    return tree


@pytest.fixture
def target() -> ObjectTree:
    return open_tree(f"memory://{secrets.token_hex(4)}")


def test_processes_start_side_by_side_before_the_first_file(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> Any:
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    with SubprocessPool(2, RuntimeConfig, Limits()) as pool:
        pool.start()
        pool.check(ZONE)
        assert [process.poll() for process in started] == [None, None]
    assert None not in [process.poll() for process in started]


def begin(source: ObjectTree, target: ObjectTree) -> tuple[BatchRun, Listing]:
    run = BatchRun.start(target, RunConfig(ZONE, source.url, target.url))
    listing, _ = run.list_sources(source, Selection())
    assert listing is not None
    return run, listing


def runner(run: BatchRun, source: ObjectTree, engines: SubprocessPool, folder: Path, node: str = "node") -> ShardRunner:
    return ShardRunner(ItemHider(run, source, engines, folder, node, 3))


def results(target: ObjectTree) -> dict[str, bytes]:
    return {found.key: target.read(found.key) for found in target.list() if not found.key.startswith("_velum/")}


class Trouble(FolderTree):
    """A store in front of another one, some of whose calls are troubled."""

    def __init__(self, inner: ObjectTree, folder: Path) -> None:
        super().__init__(folder)
        self.inner, self.url = inner, inner.url
        self.away = threading.Event()
        self.changes: dict[str, int] = {}
        self.reads = list[str]()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self.inner.list(prefix)

    def head(self, key: str) -> ObjectInfo:
        return self.inner.head(key)

    def fetch(self, item: ObjectInfo, file: Path) -> None:
        self.reads.append(item.key)
        if self.away.is_set() and len(self.reads) > 4:
            raise StoreAway("the store is down")
        if self.changes.get(item.key, 0) > 0:
            self.changes[item.key] -= 1
            other = file.with_name("other")
            other.write_bytes(self.inner.read(item.key))
            self.inner.put_file(item.key, other, {})
        self.inner.fetch(item, file)


def test_sound_files_are_taken_where_the_plan_says_what_becomes_of_sound(
    target: ObjectTree, engines: SubprocessPool, tmp_path: Path
) -> None:
    source = open_tree(f"memory://{secrets.token_hex(4)}")
    source.put_new("talk.wav", write_wave(tmp_path / "a.wav", [noise(1)]).read_bytes())
    plan = replace(ZONE, video=Video(audio="silence"))
    run = BatchRun.start(target, RunConfig(plan, source.url, target.url))
    listing, _ = run.list_sources(source, Selection.of(ZONE, (), ()))
    assert listing is None or not listing.items
    listing, _ = run.list_sources(source, Selection.of(plan, (), ()))
    assert listing is not None
    hide_shards(runner(run, source, engines, tmp_path), listing, shards_to_hide(run, listing))
    (tmp_path / "b.wav").write_bytes(results(target)["talk.wav"])
    assert not decode_sound(tmp_path / "b.wav")[1].any()


def test_results_are_those_of_the_engine_and_carry_plan_and_etag(
    source: ObjectTree, target: ObjectTree, engines: SubprocessPool, tmp_path: Path
) -> None:
    run, listing = begin(source, target)
    hide_shards(runner(run, source, engines, tmp_path), listing, shards_to_hide(run, listing))
    found = results(target)
    assert len(found) == 12
    with Engine() as engine:
        for source_info in source.list():
            (tmp_path / "a.png").write_bytes(source.read(source_info.key))
            engine.hide(tmp_path / "a.png", tmp_path / "b.png", ZONE, overwrite=True)
            assert found[source_info.key] == (tmp_path / "b.png").read_bytes()
            metadata = target.metadata(source_info.key)
            assert metadata["velumplan"] == ZONE.digest
            assert metadata["velumetag"].strip('"').replace("\\", "").strip('"') == source_info.etag.strip('"')
    outcomes = run.outcomes(listing, 0)
    assert outcomes is not None
    assert all(outcome.labels == {"zone": 1} and outcome.seconds["cpu"] > 0 for outcome in outcomes)


@pytest.mark.parametrize(("how", "advice"), [("killed", "use fewer --workers"), ("leave", "velum.anonymize in Python")])
def test_a_process_that_dies_has_advice_that_a_command_can_follow(
    target: ObjectTree, source: ObjectTree, tmp_path: Path, how: str, advice: str
) -> None:
    plan = Plan.of(f"face: bad(how={how!r}) -> blacken")
    run = BatchRun.start(target, RunConfig(plan, source.url, target.url))
    with SubprocessPool(1, bad_parts.host, Limits()) as pool:
        outcome = runner(run, source, pool, tmp_path).hider.hide(SourceItem.of(next(iter(source.list()))))
    assert outcome is not None
    assert (outcome.status, outcome.attempt) == ("failed", 2)
    assert advice in outcome.reason
    assert "log" not in outcome.reason


def test_two_runners_on_one_shard_write_the_same_results(
    source: ObjectTree, target: ObjectTree, engines: SubprocessPool, tmp_path: Path
) -> None:
    run, listing = begin(source, target)
    ends: dict[str, list[ItemOutcome]] = {}

    def hide(node: str) -> None:
        ends[node] = list(runner(run, source, engines, tmp_path, node).hide_shard(listing, 0))

    threads = [threading.Thread(target=hide, args=(node,)) for node in "AB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends["A"] == ends["B"] == run.outcomes(listing, 0)
    assert len(results(target)) == 12
    assert not [found for found in target.list("_velum") if "/part/" in found.key]


def test_a_store_that_goes_away_leaves_the_rest_for_the_next_run(
    source: ObjectTree, target: ObjectTree, engines: SubprocessPool, tmp_path: Path
) -> None:
    troubled = Trouble(source, tmp_path)
    run, listing = begin(troubled, target)
    troubled.away.set()
    with pytest.raises(Unavailable, match="8 files of shard 0 are left for the next run: the store is down"):
        runner(run, troubled, engines, tmp_path).hide_shard(listing, 0)
    assert len(troubled.reads) <= 4 + shards.MOST_TROUBLES + 3  # it does not go on with a store that is down
    assert run.outcomes(listing, 0) is None
    troubled.away.clear()
    troubled.reads.clear()
    assert len(runner(run, troubled, engines, tmp_path).hide_shard(listing, 0)) == 12
    assert len(troubled.reads) == 8  # nothing is done twice


def test_results_without_an_outcome_are_recognised_by_their_metadata(
    source: ObjectTree, target: ObjectTree, engines: SubprocessPool, tmp_path: Path
) -> None:
    troubled = Trouble(source, tmp_path)
    run, listing = begin(troubled, target)
    outcomes = runner(run, troubled, engines, tmp_path).hide_shard(listing, 0)
    target.delete(f"_velum/{run.name}/done/{listing.name}/000000.parquet")
    assert run.begin(listing, 0) is None  # as a runner left it that was killed before it wrote any outcome
    troubled.reads.clear()
    again = runner(run, troubled, engines, tmp_path).hide_shard(listing, 0)
    assert troubled.reads == []
    assert [outcome.output_sha256 for outcome in again] == [outcome.output_sha256 for outcome in outcomes]


@pytest.mark.parametrize(("times", "status", "attempt"), [(1, "hidden", 2), (9, "failed", 2)])
def test_an_object_that_changes_while_it_is_read_is_read_again(
    source: ObjectTree, target: ObjectTree, engines: SubprocessPool, tmp_path: Path,
    times: int, status: str, attempt: int,
) -> None:  # fmt: skip
    troubled = Trouble(source, tmp_path)
    run, listing = begin(troubled, target)
    key = next(source.list()).key
    troubled.changes[key] = times
    outcomes = {outcome.key: outcome for outcome in runner(run, troubled, engines, tmp_path).hide_shard(listing, 0)}
    assert (outcomes[key].status, outcomes[key].attempt) == (status, attempt)
    if status == "hidden":
        assert outcomes[key].etag == source.head(key).etag
        assert run.list_sources(troubled, Selection())[0] is None
    else:
        assert "changed while it was read" in outcomes[key].reason
        new, _ = run.list_sources(troubled, Selection())
        assert new is not None
        assert new.items == 1


def test_a_deleted_object_gets_an_outcome(
    source: ObjectTree, target: ObjectTree, engines: SubprocessPool, tmp_path: Path
) -> None:
    run, listing = begin(source, target)
    key = next(source.list()).key
    source.delete(key)
    outcomes = {outcome.key: outcome for outcome in runner(run, source, engines, tmp_path).hide_shard(listing, 0)}
    assert (outcomes[key].status, outcomes[key].reason) == ("refused", "the object no longer exists")


def test_an_older_result_of_a_source_without_a_new_one_is_named(engines: SubprocessPool, tmp_path: Path) -> None:
    source, target = (open_tree(f"memory://{secrets.token_hex(4)}") for _ in range(2))
    for key in ("a.png", "b.png"):
        source.put_new(key, b"no picture")
    target.put_new("a.png", b"as it was hidden before")
    run, listing = begin(source, target)
    first, second = runner(run, source, engines, tmp_path).hide_shard(listing, 0)
    assert (first.status, second.status) == ("refused", "refused")
    assert "an older result, of another source or plan, is still in its place" in first.reason
    assert "older" not in second.reason
    assert results(target) == {"a.png": b"as it was hidden before"}


def test_an_unwritable_scratch_folder_leaves_all_files_for_the_next_run(
    source: ObjectTree, target: ObjectTree, engines: SubprocessPool, tmp_path: Path
) -> None:
    run, listing = begin(source, target)
    with pytest.raises(OutputFailed, match="12 files of shard 0 are left"):
        runner(run, source, engines, tmp_path / "missing").hide_shard(listing, 0)
    assert results(target) == {}
