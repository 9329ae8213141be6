"""The listing of a run in shards, and which files a repeated command hides."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from velum import Plan
from velum.errors import BadInput, BadPlan
from velum.locate.runtime import model_facts
from velum.storage.objects import FolderTree, ObjectInfo, ObjectTree

pytest.importorskip("pyarrow", reason="the extra batch is not installed")

from velum.batch.item import ItemOutcome, SourceItem, arithmetic_of, hashes_of
from velum.batch.listing import Listing, Selection, into_shards
from velum.batch.manifest import BatchRun, RunConfig


@pytest.fixture
def source(tmp_path: Path) -> ObjectTree:
    return FolderTree(tmp_path / "in")


@pytest.fixture
def run(tmp_path: Path, source: ObjectTree) -> BatchRun:
    target = FolderTree(tmp_path / "out")
    return BatchRun.start(target, RunConfig(Plan(), source.url, target.url))


def put(source: ObjectTree, *keys: str, content: bytes = b"x") -> None:
    for key in keys:
        source.delete(key)
        assert source.put_new(key, content + secrets.token_bytes(4))


def keys_of(run: BatchRun, listing: Listing | None) -> list[str]:
    assert listing is not None
    return [item.key for shard in range(listing.shards) for item in run.items(listing, shard)]


def finish(run: BatchRun, listing: Listing, *failed: str) -> None:
    for shard in list(run.unfinished_shards(listing)):
        outcomes = [
            ItemOutcome(item.key, item.etag, item.size, "failed" if item.key in failed else "hidden")
            for item in run.items(listing, shard)
        ]
        assert run.finish(listing, shard, outcomes, {})


def test_a_repeated_command_lists_exactly_the_new_and_changed_files(run: BatchRun, source: ObjectTree) -> None:
    put(source, "a.jpg", "b/c.png", "d.mp4", "ü #%?.jpg")
    first, _ = run.list_sources(source, Selection())
    assert keys_of(run, first) == ["a.jpg", "b/c.png", "d.mp4", "ü #%?.jpg"]
    assert first is not None
    finish(run, first, "d.mp4")
    nothing, counts = run.list_sources(source, Selection())
    assert (nothing, counts.unchanged) == (None, {"hidden": 3, "failed": 1})
    put(source, "b/c.png", "b/new.png", content=b"longer")
    source.delete("a.jpg")
    second, _ = run.list_sources(source, Selection())
    assert keys_of(run, second) == ["b/c.png", "b/new.png"]
    assert second is not None
    finish(run, second)
    third, _ = run.list_sources(source, Selection(), retry=["failed"])
    assert keys_of(run, third) == ["d.mp4"]


def test_results_that_are_gone_are_listed_again_where_that_is_asked_for(run: BatchRun, source: ObjectTree) -> None:
    put(source, "a.jpg", "b/c.png", "b.jpg", "d.jpg", "z.mp4")
    first, _ = run.list_sources(source, Selection())
    assert first is not None
    finish(run, first, "d.jpg")
    put(run.target, "a.jpg", "b/other.png", "z.mp4")
    nothing, counts = run.list_sources(source, Selection())
    assert (nothing, counts.unchanged) == (None, {"hidden": 4, "failed": 1})
    second, counts = run.list_sources(source, Selection(), retry=["missing"])
    assert keys_of(run, second) == ["b.jpg", "b/c.png"]
    assert counts.unchanged == {"hidden": 2, "failed": 1}


def test_shards_end_by_items_or_by_minutes_of_video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velum.batch.listing.SHARD_ITEMS", 3)
    images = [SourceItem(f"{n}.jpg", "", 10) for n in range(4)]
    videos = [SourceItem(f"{n}.mp4", "", 2_000_000_000) for n in range(3)]  # about 33 minutes each
    sizes = [len(shard) for shard in into_shards([*images, *videos])]
    assert sizes == [3, 3, 1]
    assert [len(shard) for shard in into_shards(videos)] == [2, 1]


@pytest.mark.parametrize(("count", "shards"), [(24, 1), (60, 3), (1000, 40), (10_000, 133), (100_000, 249)])
def test_many_machines_can_share_a_listing_of_any_length(count: int, shards: int) -> None:
    sizes = [len(shard) for shard in into_shards(SourceItem(str(n), "", 10) for n in range(count))]
    assert (sum(sizes), len(sizes)) == (count, shards)
    assert max(sizes) <= max(25, min(1000, count // 40 + 1))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_tables_are_read_in_the_thread_that_asks() -> None:
    # A thread of pyarrow that still had the bytes at the end of the process aborted it: `velum batch` ended with 134.
    program = (
        "import os; from velum.batch import item, tables; "
        "data = tables.encode_items([item.SourceItem(str(n), 'e', 1) for n in range(1000)]); "
        "count = len(os.listdir('/proc/self/task')); tables.decode_items(data, 'shard'); "
        "assert len(os.listdir('/proc/self/task')) == count"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_shards_are_written_while_keys_are_listed(run: BatchRun, tmp_path: Path) -> None:
    written: list[int] = []

    class Endless(FolderTree):
        """Keys that are made up, of which no list is kept."""

        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            for number in range(5000):
                if number % 1000 == 999:
                    written.append(len(list(tmp_path.glob("out/_velum/*/todo/*/*.parquet"))))
                yield ObjectInfo(f"{number:06}.jpg", 10, "e")

    listing, _ = run.list_sources(Endless(tmp_path), Selection())
    assert written == [39, 67, 83, 95, 104]  # the first thousand in shards of 25, then of a fortieth of those before
    assert listing is not None
    assert (listing.shards, listing.items) == (105, 5000)


def test_files_that_are_left_out_are_counted(run: BatchRun, source: ObjectTree) -> None:
    put(source, "a.jpg", "notes.txt", "more.TXT", "no-suffix", "x.flv")
    source.put_new("folder", b"")  # as consoles make folders
    source.put_new("empty.jpg", b"")
    listing, counts = run.list_sources(source, Selection())
    assert keys_of(run, listing) == ["a.jpg", "empty.jpg", "no-suffix", "x.flv"]
    assert counts.left_out == {".txt": 2}
    other, _ = run.list_sources(source, Selection(include=["*.txt"], exclude=["more*"]))
    assert keys_of(run, other) == ["notes.txt"]


def test_documents_and_archives_are_taken_and_pictures_that_velum_does_not_write(
    run: BatchRun, source: ObjectTree
) -> None:
    keys = ["a.zip", "b.TAR.GZ", "c.docx", "d.pdf", "e.cbz", "f.nef", "g.jpg"]
    put(source, *keys, "h.gz", "i.txt", "j.mp3")
    listing, counts = run.list_sources(source, Selection())
    assert keys_of(run, listing) == keys
    assert counts.left_out == {".gz": 1, ".txt": 1, ".mp3": 1}


def test_links_to_nothing_and_pipes_are_named_and_not_read(run: BatchRun, source: ObjectTree, tmp_path: Path) -> None:
    put(source, "a.jpg", "folder/b.jpg")
    folder = tmp_path / "in"
    (folder / "dead.jpg").symlink_to("nothing")
    (folder / "dead").symlink_to("nothing")
    (folder / "alive.jpg").symlink_to("a.jpg")
    (folder / "linked").symlink_to("folder")
    os.mkfifo(folder / "pipe.mp4")
    os.mkfifo(folder / "pipe")
    listing, counts = run.list_sources(source, Selection())
    assert listing is not None
    faults = {item.key: item.fault.partition(";")[0] for item in run.items(listing, 0)}
    assert faults == {
        "a.jpg": "", "alive.jpg": "", "dead.jpg": "link to nothing", "folder/b.jpg": "",
        "pipe.mp4": "no regular file",
    }  # fmt: skip
    assert counts.left_out == {"link to nothing": 1, "link to a folder": 1, "no regular file": 1}


def test_two_nodes_that_list_at_once_follow_the_first(run: BatchRun, source: ObjectTree) -> None:
    put(source, "a.jpg")
    other = BatchRun.start(run.target, run.config)
    listings: list[Listing | None] = []

    def list_meanwhile(count: int) -> None:
        if not listings:
            listings.append(None)
            listings[0] = other.list_sources(source, Selection())[0]

    late, _ = run.list_sources(source, Selection(), progress=list_meanwhile)
    assert late == listings[0]
    assert run.listings() == [late]


def test_the_first_outcomes_of_a_shard_count(run: BatchRun, source: ObjectTree) -> None:
    put(source, "a.jpg")
    listing, _ = run.list_sources(source, Selection())
    assert listing is not None
    assert run.begin(listing, 0) is None
    outcomes = [
        ItemOutcome("a.jpg", "1", 5, "hidden", labels={"face": 2}, seconds={"cpu": 0.5}, node=name) for name in "AB"
    ]
    run.keep(listing, 0, outcomes[:1])
    assert run.begin(listing, 0) == {"a.jpg": outcomes[0]}
    assert run.finish(listing, 0, outcomes[:1], {})
    assert not run.finish(listing, 0, outcomes[1:], {})
    assert run.outcomes(listing, 0) == outcomes[:1]
    assert list(run.unfinished_shards(listing)) == []


def test_an_outcome_survives_in_the_metadata_of_its_result() -> None:
    item = SourceItem("ü.jpg", '"e-1"', 5)
    outcome = ItemOutcome(
        "ü.jpg", '"e-1"', 5, "hidden", "warning ü", labels={"face": 1}, seconds={"cpu": 0.25}, plan="p"
    )
    assert ItemOutcome.of_metadata(item, "p", outcome.to_metadata()) == outcome
    assert all(value.isascii() for value in outcome.to_metadata().values())
    assert ItemOutcome.of_metadata(item, "other plan", outcome.to_metadata()) is None
    assert ItemOutcome.of_metadata(SourceItem("ü.jpg", '"e-2"', 5), "p", outcome.to_metadata()) is None
    assert ItemOutcome.of_metadata(item, "p", {}) is None


def test_a_node_with_other_models_or_another_precision_is_refused(run: BatchRun) -> None:
    config = run.config
    for other in (
        RunConfig(config.plan, config.source, config.target, models={"centerface": "1"}),
        RunConfig(config.plan, config.source, config.target, "bf16"),
        RunConfig(config.plan, config.source, config.target, arithmetic="openvino 1 f32"),
    ):
        with pytest.raises(BadPlan, match="results would differ from node to node"):
            BatchRun.start(run.target, other)
    assert BatchRun.names(run.target) == [run.name]


@pytest.mark.parametrize(("policy", "refused"), [("refuse", True), ("mark", False)])
def test_a_node_whose_processor_rounds_otherwise(
    tmp_path: Path, policy: Literal["refuse", "mark"], refused: bool
) -> None:
    target = FolderTree(tmp_path / "out")
    config = RunConfig(Plan(), "in", target.url, fingerprint="a" * 64, other_arithmetic=policy)
    BatchRun.start(target, config)
    BatchRun.start(target, config)
    other = replace(config, fingerprint="b" * 64, other_arithmetic="refuse")  # the run says how, not who comes later
    if refused:
        with pytest.raises(BadPlan, match=r"fingerprint bbbbbbbbbbbb\) than where this batch was begun \(aaaaaaaaaaaa"):
            BatchRun.start(target, other)
    else:
        assert BatchRun.start(target, other).config.fingerprint == "b" * 64


def test_nodes_compare_weights_runtimes_and_precision() -> None:
    model = SimpleNamespace(name="tiny", fingerprint="sha256 of tiny", family="centerface")
    network = SimpleNamespace(runtime="fake 1", precision="f32")
    facts = (model_facts(model, network),)  # type: ignore[arg-type]  # what it reads of both
    assert hashes_of(facts) == {"tiny": "sha256 of tiny"}
    assert arithmetic_of(facts) == "fake 1 f32"


def test_a_missing_or_damaged_run_is_reported(run: BatchRun, source: ObjectTree) -> None:
    with pytest.raises(BadInput, match=f"known are {run.name}"):
        BatchRun.open(run.target, "run-nothing")
    put(source, "a.jpg")
    listing, _ = run.list_sources(source, Selection())
    assert listing is not None
    key = f"_velum/{run.name}/todo/{listing.name}/000000.parquet"
    run.target.delete(key)
    with pytest.raises(BadInput, match="shard 0 of the batch is missing"):
        run.items(listing, 0)
    run.target.put_new(key, b"no table")
    with pytest.raises(BadInput, match="is no table of a batch"):
        run.items(listing, 0)
