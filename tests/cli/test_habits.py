"""Habits of a command line: -q, -v, --include, --report, warnings printed once, and how to resume."""

import io
import json
import os
import shlex
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image
from rich.console import Console
from tests.rows import but_for
from typer.testing import CliRunner, Result

from velum.batch import local
from velum.batch.arrange import BatchItem, is_selected
from velum.cli.common import Messages, Reports, command_again
from velum.cli.hide_folder import FolderRun
from velum.cli.jobs import print_jobs
from velum.cli.main import COMMANDS as REGISTERED
from velum.cli.main import EXAMPLES, app, command_line
from velum.cli.progress import frame_progress
from velum.client import Job
from velum.errors import BadPlan, OutputFailed
from velum.plan import Plan

Run = Callable[..., Result]
ZONE = "zone: fixed(box=[2, 2, 9, 9]) -> blur(degree=0.5)"
DOUBT = "does not destroy what it hides"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    for name in ("a.png", "b.png", "inner/c.png", "inner/d_thumb.PNG"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


def test_the_technique_may_be_called_what_it_is(run: Run) -> None:
    asked = ("plan", "show", "--hide", "face")
    assert run(*asked, "--technique", "blur").output == run(*asked, "--with", "blur").output != run(*asked).output


@pytest.mark.parametrize("command", ["hide", "locate", "check"])
def test_discards_output_of_libraries(
    run: Run, tmp_path: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:-2] + b"MotionPhoto" * 9 + data[-2:])  # of which libjpeg tells OpenCV's user
    more = ["-o", "b.jpg"] if command == "hide" else []
    run(command, "a.jpg", "--rule", ZONE, *more)
    assert capfd.readouterr().err == ""


def test_quiet_prints_errors_only_and_verbose_each_file(run: Run, photos: Path) -> None:
    quiet = run("hide", "photos", "-o", "one", "--rule", ZONE, "-q")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    assert len(list((photos.parent / "one").rglob("*.[pP]*"))) == 4
    loud = run("hide", "photos", "-o", "two", "--rule", ZONE, "-v")
    assert sum(" -> " in line and "1 zone hidden" in line for line in loud.stderr.splitlines()) == 4
    single = run("hide", "photos/a.png", "-o", "x.png", "--rule", ZONE, "-q")
    assert (single.stdout, single.stderr) == ("", "")
    broken = run("hide", "photos/a.png", "-o", "x.png", "--rule", ZONE, "-q")
    assert isinstance(broken.exception, OutputFailed), "errors are said all the same"


def test_says_what_it_left_out_of_a_folder(run: Run, photos: Path) -> None:
    assert "left out" not in run("hide", "photos", "-o", "before", "--rule", ZONE).stderr
    for name in ("song.m4a", "song.mp3", "notes.txt", "more.TXT", "README"):
        (photos / "inner" / name).write_bytes(b"something else")
    (photos / "dead").symlink_to("nothing")
    (photos / "there").symlink_to(photos / "inner")
    os.mkfifo(photos / "pipe")
    done = run("hide", "photos", "-o", "out", "--rule", ZONE)
    assert done.exit_code == 0
    assert "8 files are no image, video or document and left out: 2 .txt, 1 " in done.stderr.replace("\n", " ")
    assert "2 of other kinds" in done.stderr.replace("\n", " ")


def test_selects_files_of_folders_by_patterns(run: Run, photos: Path) -> None:
    def made(folder: str, *options: str) -> set[str]:
        assert run("hide", "photos", "-o", folder, "--rule", ZONE, *options).exit_code == 0
        root = photos.parent / folder
        return {path.relative_to(root).as_posix() for path in root.rglob("*.[pP]*")}

    assert made("1", "--include", "*.png", "--exclude", "*_THUMB.*") == {"a.png", "b.png", "inner/c.png"}
    assert made("2", "--include", "inner/*") == {"inner/c.png", "inner/d_thumb.PNG"}
    assert made("3", "--exclude", "inner/*", "--exclude", "b.*") == {"a.png"}
    none = run("hide", "photos", "-o", "4", "--include", "*.gif", "--rule", ZONE)
    assert "that --include and --exclude leave" in str(none.exception)


@pytest.mark.parametrize(
    ("path", "include", "exclude", "taken"),
    [
        ("a/b.jpg", [], [], True),
        ("a/B.JPG", ["*.jpg"], [], True),
        ("a/b.jpg", ["b.*"], ["a/*"], False),
        ("a/b.jpg", [], ["b.png"], True),
    ],
)
def test_matches_include_and_exclude_patterns(path: str, include: list[str], exclude: list[str], taken: bool) -> None:
    assert is_selected(Path(path), include, exclude) is taken


def test_writes_one_report_line_for_each_source(run: Run, photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run("hide", "photos", "-o", "safe", "--rule", ZONE, "--report", "made.jsonl").exit_code == 1
    lines = [json.loads(line) for line in (photos.parent / "made.jsonl").read_text().splitlines()]
    assert len(lines) == 5
    assert [line["error"]["kind"] for line in lines if "error" in line] == ["BadInput"]
    again = run("hide", "photos", "-o", "safe", "--rule", ZONE, "--report", "made.jsonl")
    assert isinstance(again.exception, OutputFailed)
    assert run("hide", "photos", "-o", "safe", "--rule", ZONE, "--report", "made.jsonl", "--resume").exit_code == 1
    again_lines = [json.loads(line) for line in (photos.parent / "made.jsonl").read_text().splitlines()]
    assert len({line["source"] for line in again_lines}) == len(again_lines) == 5  # the failure is told once
    own = run("hide", "photos/a.png", "-o", "x.png", "--rule", ZONE, "--report", "photos/a.png", "--overwrite")
    assert isinstance(own.exception, BadPlan)
    one = run("hide", "photos/a.png", "-o", "x.png", "--rule", ZONE, "--report", "one.json", "--json")
    assert json.loads(one.stdout) == json.loads((photos.parent / "one.json").read_text())


@pytest.mark.parametrize("option", [["--dry-run"], ["--evidence", "proof.json", "--key", "missing.pem"]])
def test_writes_no_report_file_when_nothing_runs(run: Run, photos: Path, option: list[str]) -> None:
    run("hide", "photos/a.png", "-o", "x.png", "--rule", ZONE, "--report", "made.jsonl", *option)
    assert not (photos.parent / "made.jsonl").exists()


def test_errors_name_a_file_once_and_counts_are_singular_for_one(run: Run, photos: Path) -> None:
    (photos / "inner" / "d_thumb.PNG").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = run("hide", "photos/inner", "-o", "safe", "--rule", ZONE)
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("velum: ")]
    assert error.count("d_thumb.PNG") == 1
    assert done.stdout.startswith("safe: 1 file, 1 zone hidden; ")


@pytest.mark.parametrize(("total", "shown"), [(None, "3/?"), (8, "3/8")])
def test_progress_bars_show_a_total_only_when_it_is_known(total: int | None, shown: str) -> None:
    messages = Messages()
    messages.console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with frame_progress("a.mp4", messages) as progress:
        progress(3, total)
    assert shown in messages.console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_of_jobs_fits_80_columns() -> None:
    job = Job(
        id="0" * 32, state="running", name="holidays.mp4", plan="", priority=0, submitted=0.0, started=None, ended=None,
        attempts=1, pieces_done=0, pieces_total=None, frames_done=7, frames_total=12_000, fps=None, seconds_left=9.0,
        error=None, result=False, result_name=None, source_kept=True,
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=80)
    print_jobs([job], console)
    first, second = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert first.startswith(f"{'0' * 32}  running  ")
    assert first.endswith("  7/12000  9 s")
    assert second == "    holidays.mp4"


def test_prints_a_shared_warning_once_and_counts_it(capsys: pytest.CaptureFixture[str]) -> None:
    messages = Messages()
    for name in ("a", "b", "c"):
        messages.warn("the same [red] thing", of=Path(name))
    messages.warn("another", of=Path("a"))
    messages.summary()
    assert capsys.readouterr().err.splitlines() == [
        "warning: a: the same [red] thing",
        "warning: a: another",
        "warning: the same for 2 more files: the same [red] thing",
    ]


def test_an_interrupted_run_says_what_is_finished_and_how_to_resume(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_all = local.run

    def stopped_after_two(*arguments: Any, **options: Any) -> Generator[local.ItemResult]:
        outcomes = run_all(*arguments, **options)
        with closing(outcomes):
            yield from islice(outcomes, 2)
            raise KeyboardInterrupt

    monkeypatch.setattr(local, "run", stopped_after_two)
    monkeypatch.setattr("sys.argv", ["velum", "hide", "my photos", "-o", "safe"])
    (tmp_path / "safe").mkdir()
    jobs = [BatchItem(path, tmp_path / "safe" / path.name) for path in sorted(photos.rglob("*.png"))]
    run = FolderRun(jobs, tmp_path / "safe", Plan.of(ZONE), None, Reports(None, printed=False), Messages())
    with pytest.raises(typer.Exit) as stopped:
        run.hide(workers=1, resume=False, overwrite=False)
    assert stopped.value.exit_code == 130
    said = capsys.readouterr().err
    finished = (tmp_path / "safe" / local.MANIFEST).read_text().count("\n")  # the one in work may be among them
    assert finished >= 2
    assert f"stopped; {finished} of 3 files are finished" in said
    assert "go on with: velum hide 'my photos' -o safe --resume" in said
    assert not list((tmp_path / "safe").glob(".*part*"))


def test_the_command_to_resume_has_each_option_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["velum", "hide", "a", "--resume"])
    assert command_again("--resume") == "velum hide a --resume"


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every visible command with the words of its command line."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        elif not command.hidden:
            yield f"{path}{name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))

UNNAMED = {"batch": "run", "train": "start"}
"""The command of a group that need not be named."""


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_the_examples_of_help_are_valid_commands(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[0] in UNNAMED and " ".join(words[:2]) not in COMMANDS:
        words.insert(1, UNNAMED[words[0]])
    name = max((name for name in COMMANDS if words[: name.count(" ") + 1] == name.split()), key=len)
    COMMANDS[name].make_context(name, words[name.count(" ") + 1 :])


@pytest.mark.parametrize("name", but_for(sorted(COMMANDS), sorted(COMMANDS)[::5]))
def test_help_shows_examples_under_the_options(run: Run, name: str) -> None:
    shown = run(*name.split(), "--help").stdout
    assert "Examples:" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_prints_the_version_for_the_short_option(run: Run) -> None:
    assert run("-V").stdout == run("--version").stdout


def test_the_table_of_models_fits_80_columns(run: Run) -> None:
    lines = run("models", "list").stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["name", "finds", "size", "state"]
    assert any("centerface" in line for line in lines)


def test_config_show_prints_meaning_and_origin_of_settings(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[service]\nqueue = 7\n")
    shown = run("config", "show", "--config", "other.toml").stdout
    assert "service.queue = 7  (file other.toml)" in shown
    assert "Number of images that may wait" in shown
    (row,) = [one for one in json.loads(run("config", "show", "--json").stdout) if one["key"] == "service.queue"]
    assert (row["value"], row["origin"]) == (32, "default")
    assert row["about"].startswith("Number of images that may wait")
    missing = run("config", "show", "--config", "nope.toml")
    assert isinstance(missing.exception, BadPlan)


def test_accepts_underscores_in_model_names(run: Run) -> None:
    result = run("models", "path", "yolox_s")
    assert "yolox-s is not on this machine" in str(result.exception) or result.exit_code == 0
    assert "known are" in str(run("models", "path", "yolox_q").exception)


def test_messages_name_the_requested_target_while_it_is_verified(run: Run, photos: Path) -> None:
    for verify in ((), ("--verify",)):
        refused = run("hide", "photos/a.png", "-o", "safe.xyz", "--rule", ZONE, *verify)
        assert "cannot tell the format of safe.xyz from its suffix" in str(refused.exception)


def test_a_command_loaded_alone_equals_the_one_among_all() -> None:
    whole = vars(typer.main.get_command(app))["commands"]
    assert list(whole) == list(REGISTERED)
    for name in REGISTERED:
        alone = vars(typer.main.get_command(command_line(name)))["commands"]
        assert list(alone) == [name]
        assert _content_of(alone[name]) == _content_of(whole[name])


def _content_of(command: Any) -> list[object]:
    """Return help, options and examples of a command and of its subcommands."""
    options = [(option.opts, option.secondary_opts, option.help, option.default) for option in command.params]
    below = [[name, _content_of(inner)] for name, inner in getattr(command, "commands", {}).items()]
    return [command.help, command.epilog, options, below]
