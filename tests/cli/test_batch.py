"""`velum batch`: folders and stores, failing files, repeated commands, and a driver that is killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Command
from tests.client.fake_service import working
from tests.rows import exhaustive
from tests.service.factories import on_the_wire, settings

from velum.storage.objects import FolderTree

pytest.importorskip("pyarrow", reason="the extra batch is not installed")

import pyarrow.parquet as pq

from velum.batch import manifest
from velum.batch.listing import Selection

pytestmark = pytest.mark.slow

FACES = ("--rule", "face: crashing -> blacken")

RULE = (*FACES, "--workers", "1")
"""One process: starting it is most of what such a run takes."""


def make_files(folder: Path, count: int) -> None:
    """Write small images in two folders, and at their end one that crashes the decoder, an empty one, and a text."""
    chance = np.random.default_rng(0)
    for number in range(count):
        path = folder / ("ü b" if number % 2 else "a") / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(0, 255, (16, 16, 3), np.uint8)).save(path)
    Image.new("RGB", (13, 13)).save(folder / "crash.png")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")


def results(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in {".png", ".jpg"}
    }


def rows(folder: Path) -> list[dict[str, object]]:
    tables = sorted(folder.glob("_velum/*/done/*/*.parquet"))
    return [row for table in tables for row in pq.read_table(table).to_pylist()]


@pytest.mark.parametrize("count", [27, *exhaustive([297])])
def test_a_repeated_command_hides_only_new_files_and_names_bad_ones(velum_command: Command, count: int) -> None:
    make_files(velum_command.folder / "in", count)
    done = velum_command("batch", "in", "-o", "out", *FACES, code=1)
    assert f"{count} hidden, 0 nothing found, 2 refused, 1 failed; {count} faces hidden" in done.stdout
    assert "crash.png: the decoder crashed on this file (SIGSEGV)" in done.stderr
    velum_command("hide", "in", "-o", "same", *RULE, code=1)
    assert results(velum_command.folder / "out") == results(velum_command.folder / "same")
    table = {str(row["key"]): row for row in rows(velum_command.folder / "out")}
    assert len(table) == count + 3
    assert {key: (row["status"], row["attempt"]) for key, row in table.items() if row["error"]} == {
        "crash.png": ("failed", 2), "empty.jpg": ("refused", 1), "text.jpg": ("refused", 1),
    }  # fmt: skip
    assert dict(table["ü b/001.png"]["labels"]) == {"face": 1}  # type: ignore[call-overload]

    again = velum_command("batch", "in", "-o", "out", *RULE, "--json", code=1)
    assert json.loads(again.stdout)["files"] == 0
    assert json.loads(again.stdout)["before"] == count + 3
    assert "3 unchanged files have no result since an earlier run (2 refused, 1 failed); try them again" in again.stderr
    Image.new("RGB", (20, 20)).save(velum_command.folder / "in" / "a" / "000.png")
    Image.new("RGB", (20, 20)).save(velum_command.folder / "in" / "crash.png")
    changed = velum_command("batch", "in", "-o", "out", *RULE, "--json", code=1)
    assert json.loads(changed.stdout)["statuses"] == {"hidden": 2, "nothing found": 0, "refused": 0, "failed": 0}
    retried = velum_command("batch", "in", "-o", "out", *RULE, "--json", "--retry", "refused", code=1)
    assert json.loads(retried.stdout)["statuses"]["refused"] == 2

    status = velum_command("batch", "status", "out")
    total = count + 3 + 2 + 2  # two of the files in a second listing, and two in a third
    assert f"{total} of {total} files done; {count + 1} hidden, 0 nothing found, 2 refused, 0 failed" in status.stdout
    velum_command("batch", "report", "out", "--html", "page.html")
    page = (velum_command.folder / "page.html").read_text()
    assert f"{count + 1} hidden" in page
    assert "the object is empty" in page


def test_no_file_is_hidden_twice_or_missed_because_clocks_differ(
    velum_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    year = 365 * 24 * 3600
    photos = velum_command.folder / "photos"
    make_files(photos, 4)
    for path in photos.rglob("*.png"):  # a camera of the future
        os.utime(path, (time.time() + 9 * year,) * 2)
    real, real_ns = time.time, time.time_ns
    for ahead, hidden in ((year, "4 hidden"), (-year, "0 hidden"), (2 * year, "1 hidden")):
        monkeypatch.setattr(time, "time", lambda ahead=ahead: real() + ahead)
        monkeypatch.setattr(time, "time_ns", lambda ahead=ahead: real_ns() + ahead * 10**9)
        if hidden == "1 hidden":  # another picture under the same name, of an earlier time
            Image.new("RGB", (16, 16), "navy").save(photos / "a" / "000.png")
            os.utime(photos / "a" / "000.png", (1e9, 1e9))
        assert hidden in velum_command("batch", "photos", "-o", "safe", *RULE, code=1).stdout


def test_a_changed_plan_hides_all_again(velum_command: Command) -> None:
    make_files(velum_command.folder / "in", 2)
    velum_command("batch", "in", "-o", "out", *RULE, "--exclude", "*.jpg", "--exclude", "crash*")
    other = ("--rule", "face: fake(x=0) -> blacken", "--exclude", "*.jpg", "--exclude", "crash*")
    done = velum_command("batch", "in", "-o", "out", *other, "--json")
    assert json.loads(done.stdout)["statuses"]["hidden"] == 2
    assert len(list((velum_command.folder / "out" / "_velum").iterdir())) == 2


def test_a_dry_run_counts_measures_and_writes_nothing(velum_command: Command) -> None:
    make_files(velum_command.folder / "in", 4)
    done = velum_command("batch", "in", "-o", "out", *RULE, "--dry-run", "--price-per-core-hour", "2", "--json")
    values = json.loads(done.stdout)
    assert (values["images"], values["sampled"], values["sampled_without_result"]) == (7, 7, 3)
    assert values["core_hours"] > 0
    assert values["price"] == pytest.approx(2 * values["core_hours"])
    assert not (velum_command.folder / "out").exists()
    assert "7 images and 0 videos" in velum_command("batch", "in", "-o", "out", *RULE, "--dry-run").stdout


@pytest.mark.parametrize("index", ["JOB_COMPLETION_INDEX", *exhaustive(["AWS_BATCH_JOB_ARRAY_INDEX"])])
def test_shards_can_be_hidden_one_at_a_time(
    velum_command: Command, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    make_files(velum_command.folder / "in", 5)
    monkeypatch.setattr("velum.batch.listing.SHARD_ITEMS", 3)
    call = ("batch", "in", "-o", "out", *RULE)
    assert "--list" in velum_command(*call, "--shard", "0", code=3).stderr
    # As in an array of one task that is submitted again: it would hide nothing, and end as if all were well.
    assert "from 0 to 0" in velum_command(*call, "--shard", "1", "--shards", "1", code=4).stderr
    assert "--shards needs --shard" in velum_command(*call, "--shards", "2", code=4).stderr
    assert velum_command(*call, "--list").stdout == "3\n"
    assert velum_command(*call, "--list").stdout == "3\n"  # the listing that is not finished
    velum_command(*call, "--shard", "1")
    assert "3 of 8 files done, in 1 of 3 shards finished;" in velum_command("batch", "status", "out").stdout
    monkeypatch.setenv(index, "0")
    velum_command(*call, "--shards", "2")
    assert len(rows(velum_command.folder / "out")) == 8
    monkeypatch.delenv(index)
    assert json.loads(velum_command(*call, "--json", code=1).stdout)["before"] == 8


@pytest.mark.parametrize("listed", [(), ("--list",)], ids=["hide", "list"])
def test_what_another_machine_lists_at_the_same_moment_is_not_listed_again(
    velum_command: Command, monkeypatch: pytest.MonkeyPatch, listed: tuple[str, ...]
) -> None:
    make_files(velum_command.folder / "in", 5)
    for name in ("crash.png", "empty.jpg", "text.jpg"):
        (velum_command.folder / "in" / name).unlink()
    look, others = manifest.BatchRun.listings, list[object]()

    def look_before_the_other(run: manifest.BatchRun, *before: Any) -> list[Any]:
        found = look(run, *before)
        if not others:
            others.append(run)
            other = manifest.BatchRun.start(run.target, run.config)
            other.list_sources(FolderTree(velum_command.folder / "in"), Selection())
        return found

    monkeypatch.setattr(manifest.BatchRun, "listings", look_before_the_other)
    velum_command("batch", "in", "-o", "out", *RULE, *listed)
    velum_command("batch", "in", "-o", "out", *RULE)
    count = len(results(velum_command.folder / "in"))
    assert f"{count} of {count} files done" in velum_command("batch", "status", "out").stdout


def test_the_tasks_of_a_slurm_array_hide_all_files(velum_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(velum_command.folder / "in", 27)
    (velum_command.folder / "in" / "crash.png").unlink()
    (velum_command.folder / "plan.toml").write_text('rules = ["face: crashing -> blacken"]\n')
    stub = velum_command.folder / "bin" / "velum"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    environment = {
        "PATH": f"{stub.parent}:{os.environ['PATH']}", "SOURCE": "in", "RESULTS": "the results", "PLAN": "plan.toml",
        "SLURM_CPUS_PER_TASK": "1", "SLURM_ARRAY_TASK_COUNT": "2",
    }  # fmt: skip

    def run_task(script: str, number: int = 0) -> str:
        call = ["/bin/sh", str(Path(__file__).parents[2] / "deploy/slurm" / script)]
        task = {**environment, "SLURM_ARRAY_TASK_ID": str(number)}
        arguments = subprocess.run(call, env=task, capture_output=True, text=True, check=True).stdout
        return velum_command(*arguments.splitlines()).stdout

    assert run_task("list.sh") == "2\n"
    assert [run_task("hide.sh", number).count("hidden, 0 nothing") for number in range(2)] == [1, 1]
    table = rows(velum_command.folder / "the results")
    assert sorted(str(row["key"]) for row in table) == sorted(results(velum_command.folder / "in"))


def test_a_sample_of_results_is_reviewed_on_the_page(
    velum_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("velum.batch.summary.SAMPLED", 4)
    make_files(velum_command.folder / "in", 9)
    velum_command("batch", "in", "-o", "out", *RULE, code=1)
    velum_command("batch", "report", "out", "--html", "page.html")
    page = (velum_command.folder / "page.html").read_text()
    sample = [unquote(link) for link in re.findall(r'href="file://([^"]*/out/[^"]*)"', page)]
    assert len(sample) == 4
    assert all(Path(link).is_file() for link in sample)
    originals = sorted(Path(link).name for link in sample)
    assert "velum batch review" in page
    (velum_command.folder / "in" / "a" / originals[0]).unlink(missing_ok=True)
    (velum_command.folder / "in" / "ü b" / originals[0]).unlink(missing_ok=True)
    (tmp_path / "service").mkdir()
    chosen = settings(tmp_path / "service")
    with on_the_wire(chosen) as url, working(chosen):
        done = velum_command("batch", "review", "out", "--server", url, code=1)
        jobs = json.loads(urlopen(f"{url}/v1/jobs").read())["jobs"]
    assert sorted(job["name"] for job in jobs) == originals[1:]
    assert {f"{url}/#/review/{job['id']}" for job in jobs} == {line.split()[0] for line in done.stdout.splitlines()}
    assert f"{originals[0]}: the original is no longer there" in done.stderr
    assert "shows them" in done.stderr


def test_an_interrupted_command_continues(velum_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(velum_command.folder / "in", 3)

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("velum.batch.shard.hide_shards", interrupt)
        done = velum_command("batch", "in", "-o", "out", *RULE, code=130)
    assert "stopped; results are complete" in done.stderr
    again = velum_command("batch", "in", "-o", "out", *RULE, "--json", code=1)
    assert json.loads(again.stdout)["files"] == 6


def test_evidence_signs_the_outcomes_of_every_shard(velum_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography", reason="the extra evidence is not installed")
    monkeypatch.setattr("velum.batch.listing.SHARD_ITEMS", 3)
    make_files(velum_command.folder / "in", 5)
    velum_command("batch", "in", "-o", "out", *RULE, code=1)
    velum_command("evidence", "keygen", "me.pem")
    done = velum_command("batch", "evidence", "out", "-o", "proof.json", "--key", "me.pem")
    assert "proof.json: 8 outcomes in 3 shards, signed" in done.stdout
    verified = velum_command("batch", "verify", "proof.json", "out", "--public-key", "me.pem.pub")
    assert "the outcomes of all 3 shards are those of the evidence" in verified.stdout

    table, *_ = sorted((velum_command.folder / "out").glob("_velum/*/done/*/000001.parquet"))
    rows = pq.read_table(table)
    changed = ["hidden"] * rows.num_rows
    pq.write_table(rows.set_column(rows.schema.names.index("reason"), "reason", [changed]), table)
    refused = velum_command("batch", "verify", "proof.json", "out", code=1)
    assert "the outcomes of 1 shards are missing or were changed: " in refused.stdout
    (velum_command.folder / "proof.json").write_text(
        (velum_command.folder / "proof.json").read_text().replace('"files": 3', '"files": 4')
    )
    assert "was changed after key" in velum_command("batch", "verify", "proof.json", "out", code=1).stdout


def test_the_audit_of_the_docs_is_a_query(velum_command: Command) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    page = (Path(__file__).parents[2] / "docs/batch.md").read_text()
    query = page.split("```sql\n")[1].split("```")[0].replace("RUN", "*")
    make_files(velum_command.folder / "in", 6)
    velum_command("batch", "in", "-o", "safe", *RULE, code=1)
    Image.new("RGB", (20, 20)).save(velum_command.folder / "in" / "crash.png")
    velum_command("batch", "in", "-o", "safe", *RULE, code=1)
    found = {(row[0], row[1]): row[2] for row in duckdb.sql(query).fetchall()}
    assert found == {("hidden", ""): 7, ("refused", "BadInput"): 2}


def test_a_killed_driver_hides_each_file_once_in_the_end(velum_command: Command, site: Path) -> None:
    make_files(velum_command.folder / "in", 60)
    out = velum_command.folder / "out"
    call = [sys.executable, "-m", "velum", "batch", "in", "-o", "out", *RULE]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    driver = subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while driver.poll() is None and len(list(out.glob("*/*.png"))) < 15:
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert len(list(out.glob("_velum/*/done/*/*.parquet"))) < 3  # of 63 files in three shards
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*.png")}
    velum_command("batch", "in", "-o", "out", *RULE, code=1)
    if "user.velumoutcome" in os.listxattr(next(iter(before))):
        assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(str(row["key"]) for row in rows(out)) == sorted(results(velum_command.folder / "in"))
    velum_command("hide", "in", "-o", "same", *RULE, code=1)
    assert results(out) == results(velum_command.folder / "same")


@pytest.mark.exhaustive
def test_a_disk_that_is_full_leaves_files_for_the_next_run(velum_command: Command, site: Path) -> None:
    folder = velum_command.folder / "in"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for name, side in {"large.png": 200, "small.png": 16}.items():
        Image.fromarray(chance.integers(0, 255, (side, side, 3), np.uint8)).save(folder / name)
    # A limit on the size of files fails as a full disk does, in whatever writes more: also a copy of a source.
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000)); "
    call = [sys.executable, "-c", limited + "from velum.cli.main import run; run()", "batch", "in", "-o", "out", *RULE]
    full = subprocess.run(
        call, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False, timeout=100
    )
    assert full.returncode == 8
    assert "1 files of shard 0 are left for the next run: cannot write" in full.stderr
    assert "File too large" in full.stderr
    assert [path.name for path in velum_command.folder.glob("out/*.png")] == ["small.png"]
    assert not list(velum_command.folder.rglob("*.part"))
    done = velum_command("batch", "in", "-o", "out", *RULE, "--json")
    assert json.loads(done.stdout)["statuses"]["hidden"] == 1  # the other one is not hidden again
    assert len(list(velum_command.folder.glob("out/*.png"))) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("in", "-o", "in/out"), 4, "overlap: results would be taken"),
        (("in/a", "-o", "in"), 4, "overlap: results would be taken"),
        (("nothing", "-o", "out"), 6, "does not exist"),
        (("empty", "-o", "out"), 3, "no images or videos"),
        (("in", "-o", "out", "--retry", "hidden"), 4, "allowed are failed, refused, missing"),
        (("in", "-o", "out", "--runner", "spark"), 4, "allowed are local and ray"),
        (("in", "-o", "out", "--metrics", "here"), 4, "write HOST:PORT"),
        (("in", "-o", "ftp://x"), 4, "file:///folder, memory://NAME, or the path of a folder"),
        (("in", "-o", "file.txt"), 8, "cannot write"),
        (("status", "nothing"), 6, "does not exist"),
        (("status", "empty"), 3, "there is no batch in empty"),
    ],
)
def test_impossible_options_are_refused(
    velum_command: Command, arguments: tuple[str, ...], code: int, message: str
) -> None:
    make_files(velum_command.folder / "in", 2)
    (velum_command.folder / "empty").mkdir()
    (velum_command.folder / "file.txt").write_text("")
    rule = () if arguments[0] == "status" else RULE
    assert message in velum_command("batch", *arguments, *rule, code=code).stderr
