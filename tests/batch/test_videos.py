"""Long videos of a batch: segments that any node hides, and a result that does not depend on who did."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Command, site, velum_command  # noqa: F401 - fixtures

from velum import Engine, Limits, Plan, RuntimeConfig
from velum.engine.subprocess_engine import SubprocessPool
from velum.errors import Unavailable
from velum.plan import Video
from velum.storage.objects import FolderTree

pytest.importorskip("pyarrow", reason="the extra batch is not installed")

from velum.batch import videos
from velum.batch.hide_item import ItemHider
from velum.batch.item import SourceItem
from velum.batch.listing import Listing, Selection
from velum.batch.manifest import BatchRun, RunConfig
from velum.batch.shard import ShardRunner

pytestmark = pytest.mark.slow

ZONE = replace(Plan.of("zone: fixed(box=[4, 4, 20, 20]) -> blacken with grow=0"), video=Video(track=False))
"""Without tracking, whose overlaps would make one segment of so short a clip."""


@pytest.fixture(scope="module")
def engines() -> Iterator[SubprocessPool]:
    with SubprocessPool(2, RuntimeConfig, Limits()) as pool:
        yield pool


def save_clip(path: Path, picture: "np.typing.NDArray[np.uint8]", scale: int, frames: int) -> None:
    """Write a clip in which an enlarged picture moves, with a group of pictures for every six frames."""
    large = picture.repeat(scale, 0).repeat(scale, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"g": "6", "sc_threshold": "0", "bf": "2"})
        stream.height, stream.width, stream.pix_fmt = *large.shape[:2], "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(large, index, 1), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderTree:
    """A folder with a clip that counts as long, of ten groups that are segments of their own."""
    monkeypatch.setattr(videos, "LONG_SECONDS", 0.001)
    monkeypatch.setattr(videos, "SEGMENT_SECONDS", 0.3)
    (tmp_path / "in").mkdir()
    picture = np.random.default_rng(0).integers(60, 230, (12, 16, 3), dtype=np.uint8)
    save_clip(tmp_path / "in" / "ü clip.mp4", picture, 4, 60)
    return FolderTree(tmp_path / "in")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not choose cores for a process")
def test_the_number_of_cores_changes_no_byte(tmp_path: Path) -> None:
    clip, plan = tmp_path / "clip.mp4", ZONE
    save_clip(clip, np.random.default_rng(0).integers(60, 230, (30, 40, 3), dtype=np.uint8), 8, 10)
    cores, results = os.sched_getaffinity(0), []
    for some in ({min(cores)}, cores):
        os.sched_setaffinity(0, some)
        try:
            with SubprocessPool(1, partial(RuntimeConfig, threads=1), Limits()) as pool:
                pool.hide(clip, tmp_path / "out.mp4", plan, overwrite=True)
        finally:
            os.sched_setaffinity(0, cores)
        results.append((tmp_path / "out.mp4").read_bytes())
    assert results[0] == results[1]


def begin(source: FolderTree, folder: Path) -> tuple[BatchRun, Listing]:
    target = FolderTree(folder)
    run = BatchRun.start(target, RunConfig(ZONE, source.url, target.url))
    listing, _ = run.list_sources(source, Selection())
    assert listing is not None
    return run, listing


def runner(run: BatchRun, source: FolderTree, engines: SubprocessPool, scratch: Path) -> ShardRunner:
    return ShardRunner(ItemHider(run, source, engines, scratch, "node", 2))


def test_two_nodes_share_a_video_and_one_makes_the_same(
    source: FolderTree, engines: SubprocessPool, tmp_path: Path
) -> None:
    run, listing = begin(source, tmp_path / "one")
    (outcome,) = runner(run, source, engines, tmp_path).hide_shard(listing, 0)
    assert (outcome.status, outcome.frames, dict(outcome.labels)) == ("hidden", 60, {"zone": 1})
    assert outcome.seconds["cpu"] > 0
    alone = (tmp_path / "one" / "ü clip.mp4").read_bytes()

    shared, shares = begin(source, tmp_path / "two")
    ends: list[object] = []
    threads = [
        threading.Thread(target=lambda: ends.append(runner(shared, source, engines, tmp_path).hide_shard(shares, 0)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == 2
    assert ends[0] == ends[1]
    assert (tmp_path / "two" / "ü clip.mp4").read_bytes() == alone
    assert not [path for path in tmp_path.rglob("*.part") if "segments" in str(path)]
    with Engine() as engine:
        report = engine.hide(tmp_path / "in" / "ü clip.mp4", tmp_path / "whole.mp4", ZONE)
    assert (report.frames, report.labels) == (60, {"zone": 1})


def test_a_machine_that_is_done_helps_with_the_long_videos_that_others_have_begun(
    source: FolderTree,
    velum_command: Command,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("velum.batch.listing.SHARD_ITEMS", 1)
    for name in ("a", "z"):
        Image.new("RGB", (40, 40)).save(velum_command.folder / "in" / f"{name}.png")
    call = ("batch", "in", "-o", "out", "--rule", "zone: fixed(box=[4, 4, 20, 20]) -> blacken", "--workers", "1")
    assert velum_command(*call, "--list").stdout == "3\n"
    target = FolderTree(velum_command.folder / "out")
    run = BatchRun.open(target, BatchRun.names(target)[0])
    (listing,) = run.listings()
    assert [run.items(listing, shard)[0].key for shard in range(3)] == ["a.png", "z.png", "ü clip.mp4"]
    velum_command(*call, "--shard", "0", "--shards", "3")
    assert list(run.unfinished_shards(listing)) == [1, 2]
    for shard in (1, 2):
        run.begin(listing, shard)
    velum_command(*call, "--shard", "0", "--shards", "3")
    assert list(run.unfinished_shards(listing)) == [1]  # images are left to the machine that has begun


def test_finished_segments_are_not_hidden_again(source: FolderTree, engines: SubprocessPool, tmp_path: Path) -> None:
    run, listing = begin(source, tmp_path / "out")
    item = SourceItem.of(next(source.list()))
    place = tmp_path / "out" / videos.segments_folder(run.root, item)
    first = runner(run, source, engines, tmp_path)

    store = run.target.put_new

    def stop_after_the_first(key: str, data: bytes) -> bool:
        stored = store(key, data)
        if "/segments/" in key and len(list(place.glob("[0-9]*.json"))) > 0:
            first.hider.stop.set()
        return stored

    run.target.put_new = stop_after_the_first  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="stopped; 1 files of shard 0 are left"):
        first.hide_shard(listing, 0)
    run.target.put_new = store  # type: ignore[method-assign]
    before = {path.name: path.stat().st_mtime_ns for path in place.glob("*.json")}

    assert 1 < len(before) < len(json.loads((place / "spans.json").read_text())) + 1
    seen: dict[str, int] = {}
    delete = run.target.delete

    def note(key: str) -> None:
        path = tmp_path / "out" / key
        if path.parent == place:
            seen[path.name] = path.stat().st_mtime_ns
        delete(key)

    run.target.delete = note  # type: ignore[method-assign]
    (outcome,) = runner(run, source, engines, tmp_path).hide_shard(listing, 0)
    assert outcome.status == "hidden"
    assert {name: seen[name] for name in before} == before
