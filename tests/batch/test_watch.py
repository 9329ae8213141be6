"""Sources that are watched: what is taken when, and what becomes of originals. Times are given, never waited for."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Command, site, velum_command  # noqa: F401 - fixtures

from velum import Limits, Plan, RuntimeConfig
from velum.engine.subprocess_engine import SubprocessPool
from velum.errors import Unavailable
from velum.storage import StoreAway
from velum.storage.objects import FolderTree, ObjectInfo

pytest.importorskip("pyarrow", reason="the extra batch is not installed")

from velum.batch import watch
from velum.batch.hide_item import ItemHider
from velum.batch.item import ItemOutcome
from velum.batch.listing import Selection
from velum.batch.manifest import BatchRun, RunConfig
from velum.batch.shard import ShardRunner
from velum.batch.watch import Watcher

pytestmark = pytest.mark.slow

ZONE = Plan.of("zone: fixed(box=[4, 4, 20, 20]) -> blacken with grow=0")

RULE = ("--rule", "face: crashing -> blacken", "--workers", "1")

DAY = 86400.0


@pytest.fixture(scope="module")
def engines() -> Iterator[SubprocessPool]:
    with SubprocessPool(1, RuntimeConfig, Limits()) as pool:
        yield pool


class Desk:
    """A watched folder, its results, and what was told. Each call of `new_watcher` is a process that starts again."""

    def __init__(self, folder: Path, engines: SubprocessPool) -> None:
        self.folder, self.engines = folder, engines
        self.source, self.target = FolderTree(folder / "in"), FolderTree(folder / "out")
        (folder / "in").mkdir()
        self.hidden: list[str] = []
        self.originals: dict[str, str] = {}

    def save(self, *names: str) -> None:
        for name in names:
            path = self.folder / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.frombuffer(secrets.token_bytes(32 * 32 * 3), np.uint8).reshape(32, 32, 3)
            Image.fromarray(pixels).save(path)

    def new_watcher(self, source: FolderTree | None = None, **options: object) -> Watcher:
        scratch = self.folder / secrets.token_hex(4)
        scratch.mkdir()
        place = source or self.source

        def new_runner(run: BatchRun) -> ShardRunner:
            return ShardRunner(ItemHider(run, place, self.engines, scratch, "node", 2))

        def note(outcome: ItemOutcome) -> None:
            self.hidden.append(outcome.key)

        config = RunConfig(ZONE, self.source.url, self.target.url)
        return Watcher(
            config, place, Selection(), new_runner, self.target, scratch, notify=note,
            notify_original=self.originals.__setitem__, **options,  # type: ignore[arg-type]
        )  # fmt: skip

    def names(self, folder: str) -> list[str]:
        root = self.folder / folder
        return sorted(
            str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "_velum" not in path.parts
        )


@pytest.fixture
def desk(tmp_path: Path, engines: SubprocessPool) -> Desk:
    return Desk(tmp_path, engines)


def test_new_and_changed_objects_are_hidden_once(desk: Desk) -> None:
    desk.save("a.png", "b/c.png")
    (desk.folder / "in" / "text.jpg").write_text("no picture")
    watcher = desk.new_watcher()
    assert watcher.run_pass(0) == 3
    assert watcher.run_pass(60) == 0
    desk.save("new.png", "b/c.png")
    assert watcher.run_pass(120) == 2
    assert desk.new_watcher().run_pass(180) == 0  # another process knows what was done
    assert sorted(desk.hidden) == ["a.png", "b/c.png", "b/c.png", "new.png", "text.jpg"]
    assert desk.names("out") == ["a.png", "b/c.png", "new.png"]
    (name,) = BatchRun.names(desk.target)
    assert sum(outcome.status == "hidden" for outcome in BatchRun.open(desk.target, name).latest()) == 3


def test_a_file_that_is_being_written_is_not_taken(desk: Desk) -> None:
    desk.save("a.png")
    whole = (desk.folder / "in" / "a.png").read_bytes()
    growing = desk.folder / "in" / "growing.png"
    watcher = desk.new_watcher(settle_seconds=10)
    for second in range(0, 30, 5):
        growing.write_bytes(whole[: 100 + second])
        watcher.run_pass(second)
    assert desk.names("out") == ["a.png"]
    growing.write_bytes(whole)
    watcher.run_pass(30)
    assert desk.new_watcher(settle_seconds=10).run_pass(39) == 0  # the time goes on in another process
    assert desk.new_watcher(settle_seconds=10).run_pass(40) == 1
    assert desk.hidden == ["a.png", "growing.png"]


def test_a_clock_that_is_set_back_delays_and_does_not_hurry(desk: Desk) -> None:
    desk.save("a.png")
    watcher = desk.new_watcher(settle_seconds=10)
    assert [watcher.run_pass(now) for now in (1000, 500, 505, 510)] == [0, 0, 0, 1]


def test_originals_are_deleted_after_their_time_and_not_without_a_result(desk: Desk) -> None:
    desk.save("a.png", "gone.png", "other.png", "changed.png")
    (desk.folder / "in" / "text.jpg").write_text("no picture")
    watcher = desk.new_watcher(release="delete", after_seconds=7 * DAY)
    assert watcher.run_pass(0) == 5
    watcher.run_pass(7 * DAY - 1)
    assert len(desk.names("in")) == 5
    (desk.folder / "out" / "gone.png").unlink()
    (desk.folder / "out" / "other.png").write_bytes(b"somebody else's")
    desk.save("changed.png")
    desk.new_watcher(release="delete", after_seconds=7 * DAY).run_pass(7 * DAY)
    assert desk.names("in") == ["changed.png", "gone.png", "other.png", "text.jpg"]
    assert desk.originals == {
        "a.png": "", "gone.png": "the result is not there", "other.png": "the result is not the one that was written",
    }  # fmt: skip
    assert desk.hidden.count("changed.png") == 2
    watcher = desk.new_watcher(release="delete", after_seconds=7 * DAY)
    assert watcher.run_pass(14 * DAY) == 0
    assert desk.names("in") == ["gone.png", "other.png", "text.jpg"]
    assert desk.names("out") == ["a.png", "changed.png", "other.png"]


def test_an_original_that_changes_at_the_last_moment_stays(desk: Desk) -> None:
    desk.save("a.png")

    class Late(FolderTree):
        """A folder in which a file changes once it was listed."""

        def head(self, key: str) -> ObjectInfo:
            found = super().head(key)
            if late:
                desk.save("a.png")
            return found

    late = False
    watcher = desk.new_watcher(Late(desk.folder / "in"), release="delete", after_seconds=1)
    watcher.run_pass(0)
    late = True
    watcher.run_pass(1)
    assert desk.names("in") == ["a.png"]
    late = False
    assert watcher.run_pass(3) == 1


def test_originals_are_moved_and_read_again_before_they_are_deleted(desk: Desk) -> None:
    desk.save("a.png", "b/c.png")
    pictures = {name: (desk.folder / "in" / name).read_bytes() for name in desk.names("in")}
    archive = FolderTree(desk.folder / "archive")
    desk.new_watcher(release="move", archive=archive).run_pass(0)
    assert desk.names("in") == []
    assert {name: (desk.folder / "archive" / name).read_bytes() for name in desk.names("archive")} == pictures
    assert desk.names("out") == ["a.png", "b/c.png"]
    desk.save("a.png")  # a camera uses the name again
    assert desk.new_watcher().run_pass(60) == 1


def test_a_store_in_trouble_ends_the_pass_and_the_next_one_goes_on(desk: Desk) -> None:
    desk.save("a.png", "b.png", "c.png")

    class Troubled(FolderTree):
        """A folder of which one file cannot be read now."""

        def fetch(self, item: ObjectInfo, file: Path) -> None:
            if item.key in away:
                raise StoreAway("the disk is away")
            super().fetch(item, file)

    away = {"b.png"}
    watcher = desk.new_watcher(Troubled(desk.folder / "in"), release="delete", after_seconds=DAY)
    for second in (0, 1):
        with pytest.raises(Unavailable, match="the disk is away"):
            watcher.run_pass(second)
    desk.save("d.png")
    with pytest.raises(Unavailable, match="the disk is away"):
        watcher.run_pass(2)
    assert desk.names("out") == ["a.png", "c.png", "d.png"]  # one bad file keeps none of the others waiting
    assert len(desk.names("in")) == 4
    away.clear()
    watcher.run_pass(3)
    assert desk.names("out") == ["a.png", "b.png", "c.png", "d.png"]


@pytest.mark.parametrize("most", [100, 2])
def test_named_objects_are_hidden_without_a_listing_and_not_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(watch, "MOST_ITEMS", most)  # as many are kept in memory
    desk.save("a.png", "b/c.png", "later.png")
    (desk.folder / "in" / "text.jpg").write_text("no picture")
    (desk.folder / "in" / "notes.txt").write_text("no picture")
    watcher = desk.new_watcher(release="delete", after_seconds=10)
    assert watcher.hide_named(["b/c.png", "a.png", "gone.png", "text.jpg", "notes.txt", "_velum/x.png"], 0) == 3
    assert watcher.hide_named(["b/c.png", "a.png"], 1) == 0
    desk.save("a.png")
    assert watcher.hide_named(["a.png"], 2) == 1
    assert watcher.run_pass(3) == 1  # the one that no notification has named
    watcher.run_pass(10)
    assert desk.names("in") == ["a.png", "later.png", "notes.txt", "text.jpg"]
    assert desk.new_watcher().run_pass(11) == 0
    assert desk.hidden.count("a.png") == 2
    assert desk.hidden.count("text.jpg") == desk.hidden.count("later.png") == 1
    (name,) = BatchRun.names(desk.target)
    outcomes = list(BatchRun.open(desk.target, name).latest())
    assert [(outcome.key, outcome.status) for outcome in outcomes] == [
        ("a.png", "hidden"), ("b/c.png", "hidden"), ("later.png", "hidden"), ("text.jpg", "refused"),
    ]  # fmt: skip


def test_more_objects_than_a_pass_takes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_ITEMS", 2)
    desk.save("a.png", "b.png", "c.png")
    watcher = desk.new_watcher()
    assert (watcher.run_pass(0), watcher.more) == (2, True)
    assert (watcher.run_pass(0), watcher.more) == (1, False)


def test_one_pass_of_the_command(velum_command: Command) -> None:  # noqa: F811
    folder = velum_command.folder / "in"
    folder.mkdir()
    Image.new("RGB", (16, 16), "red").save(folder / "a.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    call = ("watch", "in", "-o", "out", *RULE, "--once")
    first = velum_command(*call)
    assert first.stdout == ""
    assert "2 files wait until unchanged for 10 s (--settle); repeat the command then" in first.stderr
    move = ("--originals", "move", "--move-to", "archive", "--after", "0s")
    done = velum_command(*call, "--settle", "0s", *move, code=1)
    assert "a.png: 1 face hidden" in done.stdout
    assert "broken.jpg" in done.stderr
    assert "a.png: the original was moved to archive" in done.stdout
    assert (velum_command.folder / "archive" / "a.png").exists()
    assert [path.name for path in folder.iterdir()] == ["broken.jpg"]
    status = velum_command("batch", "status", "out").stdout
    assert "1 hidden, 0 nothing found, 1 refused" in status


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in", "-o", "in/safe"), "overlap: results would be taken"),
        (("in", "-o", "link/safe"), "overlap: results would be taken"),
        (
            ("in", "-o", "out", "--originals", "move", "--move-to", "in/old", "--after", "1d"),
            "overlap: results would be taken",
        ),
        (
            ("in", "-o", "out", "--originals", "move", "--move-to", "out", "--after", "1d"),
            "overlap: results would be taken",
        ),
        (("in", "-o", "out", "--originals", "delete"), "needs --after"),
        (("in", "-o", "out", "--after", "7d"), "with keep there is none"),
        (("in", "-o", "out", "--originals", "move", "--after", "7d"), "--move-to PLACE belong together"),
        (("in", "-o", "out", "--originals", "burn", "--after", "7d"), "allowed are keep, delete and move"),
        (("in", "-o", "out", "--interval", "soon"), "--interval is 'soon'; write it as"),
    ],
)
def test_what_is_refused(velum_command: Command, arguments: tuple[str, ...], message: str) -> None:  # noqa: F811
    (velum_command.folder / "in").mkdir()
    (velum_command.folder / "link").symlink_to("in")
    done = velum_command("watch", *arguments, *RULE, code=4)
    assert message in " ".join(done.stderr.split())


def test_a_signal_ends_the_command_cleanly(velum_command: Command, site: Path) -> None:  # noqa: F811
    folder, out = velum_command.folder / "in", velum_command.folder / "out"
    folder.mkdir()
    Image.new("RGB", (16, 16), "red").save(folder / "a.png")
    call = [sys.executable, "-c", "from velum.cli.main import run; run()", "watch", "in", "-o", "out", *RULE]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    with subprocess.Popen(
        [*call, "--settle", "0", "--interval", "1h"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    ) as command:  # fmt: skip
        assert command.stdout is not None
        try:
            assert command.stdout.readline() == "a.png: 1 face hidden\n"
            command.send_signal(signal.SIGTERM)
            assert "stopped; results are complete" in command.stdout.read()
            assert command.wait(60) == 0
        finally:
            command.kill()
    assert (out / "a.png").exists()
    assert not list(velum_command.folder.rglob("*.part"))
