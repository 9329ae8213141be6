"""`velum train` before the first step: checks and previews. None of it needs torch."""

import sys
from pathlib import Path

import cv2
import pytest
from tests.train.conftest import Train
from tests.train.factories import coco, discs

from velum.cli.common import parse_duration
from velum.errors import BadPlan, Unavailable
from velum.train import machine
from velum.train.run_folder import TrainingRequest


def test_a_dry_run_checks_the_labels_and_draws_them(tmp_path: Path, velum_here: Train) -> None:
    coco(tmp_path, discs(20))
    out, err = velum_here("train", "truth.json", "-o", "round", "--dry-run")
    assert "20 pictures with 20 disc: 16 to train with, 4 held out (16 and 4 groups)" in out
    assert "round/labels.jpg: 16 labelled pictures drawn" in out.replace("\n", "")
    assert "with the people in them, and nothing in it is hidden" in err.replace("\n", " ")
    path = tmp_path / "round" / "labels.jpg"
    sheet = cv2.imread(str(path))
    assert sheet is not None
    assert sheet.shape[0] > 1000
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in (tmp_path / "round").iterdir()] == ["labels.jpg"]
    velum_here("train", "truth.json", "-o", "round", "--dry-run")
    (tmp_path / "round" / "run.json").write_text("{}")
    velum_here("train", "truth.json", "-o", "round", "--dry-run", code=8)
    velum_here("train", "--dry-run", "--replace", "truth.json", "-o", "round")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("-o", "round", "--budget", "soon"), 4, "--budget is 'soon'; write it as 90s, 10m or 2h"),
        (("-o", "round", "--budget", "1m", "--steps", "3"), 4, "give one"),
        (("-o", "round", "--task", "dream"), 4, "task is 'dream'; it must be detect"),
        (("-o", "round", "--side", "100"), 4, "side is 100; it must be a multiple of 32"),
        (("-o", "round", "--recall", "2"), 4, "recall is 2; it must be from 0.01 to 1"),
        (("-o", "round", "--device", "tpu"), 4, "device is 'tpu'; it must be cpu or cuda"),
        (("-o", "centerface"), 4, "velum ships a model named 'centerface'"),
        (("-o", "7 discs"), 4, "a model cannot be named '7 discs'"),
        (("-o", "round", "--label", "star", "--dry-run"), 4, "the truth has no label star; it has disc"),
    ],
)
def test_wrong_options_are_refused(
    tmp_path: Path, velum_here: Train, arguments: tuple[str, ...], code: int, says: str
) -> None:
    coco(tmp_path, discs(4))
    _, err = velum_here("train", "truth.json", *arguments, code=code)
    assert says in err


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, velum_here: Train) -> None:
    coco(tmp_path, discs(4))
    (tmp_path / "round").mkdir()
    (tmp_path / "round" / "thesis.txt").write_text("mine")
    _, err = velum_here("train", "truth.json", "-o", "round", "--replace", code=8)
    assert "is no folder of a training" in err
    assert (tmp_path / "round" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("command", ["resume", "report"])
def test_a_folder_without_a_training_is_refused(velum_here: Train, command: str) -> None:
    _, err = velum_here("train", command, "round", code=3)
    assert "holds no training" in err


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else True)
    with pytest.raises(Unavailable, match=r"training needs torch, .* pip install torch 'velum-anonymizer\[train\]'"):
        machine.check_torch()


def test_too_little_memory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    request = TrainingRequest(truth="t", base="centerface", batch=12)
    monkeypatch.setattr(machine, "free_memory", lambda: 3 << 30)
    with pytest.raises(Unavailable, match="needs about 4096 MB of free memory, and 3072 MB are free"):
        machine.check_memory(request)
    monkeypatch.setattr(machine, "free_memory", lambda: 5 << 30)
    machine.check_memory(request)


def test_durations_are_parsed() -> None:
    assert [parse_duration(text) for text in ("90s", "10m", "2h", "45", "1.5m")] == [90, 600, 7200, 45, 90]
    with pytest.raises(BadPlan):
        parse_duration("-1m")
