"""A tiny network learns discs within a few steps, and ends as a model that velum uses."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from tests.rows import exhaustive
from tests.train.conftest import Train
from tests.train.factories import coco, discs
from tests.train.tiny_network import write_tiny_centerface, write_tiny_map_network
from tests.waiting import until

pytest.importorskip("torch", reason="training needs torch")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]

OPTIONS = ("--from", "tiny.onnx", "--side", "96", "--batch", "6", "--rate", "0.01", "--recall", "0.5")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    write_tiny_centerface(tmp_path / "tiny.onnx")
    coco(tmp_path, discs(20))
    return tmp_path


def card(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "round" / "card.json").read_text())
    return value


def hidden_share(picture: Path, velum_here: Train) -> float:
    """Hide the disc in a picture; return the share of its pixels that changed."""
    velum_here("hide", picture.name, "-o", "safe.png", "--hide", "disc", "--overwrite")
    before, after = (cv2.imread(str(path)) for path in (picture, picture.with_name("safe.png")))
    assert before is not None
    assert after is not None
    red = (before[..., 2] > 200) & (before[..., 1] < 80)
    return float(np.mean(np.any(before != after, axis=2)[red]))


def test_labelled_pictures_become_a_model_that_hides(labelled: Path, velum_here: Train) -> None:
    out, err = velum_here("train", "truth.json", "-o", "round", "--steps", "120", *OPTIONS)
    assert "held-out AP50" in err
    assert "use it: velum hide PICTURE --hide disc" in out
    made = card(labelled)
    assert made["score_held_out"]["by_label"]["disc"] > 0.3
    assert made["recall_reached"]
    assert made["largest_difference_of_files"] < 1e-3
    assert made["compared_with_torch"]
    assert (made["trained_on"]["pictures"], made["held_out"]["pictures"]) == (16, 4)
    assert made["base"]["name"] == "tiny.onnx"
    page = (labelled / "round" / "report.html").read_text()
    assert "Course of the training" in page
    assert "95 % confidence interval" in page
    assert "Threshold" in (labelled / "round" / "card.md").read_text()
    assert sum(hidden_share(labelled / name, velum_here) > 0.5 for name in made["held_out"]["files_sha256"]) >= 2
    out, _ = velum_here("models", "list", "--json")
    (entry,) = (model for model in json.loads(out) if model["name"] == "round")
    assert (entry["family"], entry["labels"], entry["threshold"]) == ("centerface", ["disc"], made["threshold"])
    _, err = velum_here("train", "truth.json", "-o", "round", "--steps", "5", *OPTIONS, code=4)
    assert "you have a model named 'round' already" in err
    # A base that knows the label is kept where training makes it worse.
    spoiling = ("--from", "round/model.onnx", "--steps", "3", "--rate", "1", "--side", "96", "--recall", "0.5")
    velum_here("train", "truth.json", "-o", "again", *spoiling)
    again = json.loads((labelled / "again" / "card.json").read_text())
    assert again["steps"] == 0
    assert again["score_held_out"]["by_label"] == pytest.approx(made["score_held_out"]["by_label"])


@pytest.mark.parametrize("layout", ["nchw", *exhaustive(["nhwc"])])
def test_from_outlines_to_a_model_that_hides_along_them(tmp_path: Path, velum_here: Train, layout: str) -> None:
    write_tiny_map_network(tmp_path / "map.onnx", layout)
    coco(tmp_path, discs(20), outlines=True)
    out, err = velum_here(
        "train",
        "truth.json",
        "-o",
        "round",
        "--task",
        "segment",
        "--from",
        "map.onnx",
        "--steps",
        "60",
        "--rate",
        "0.01",
    )
    assert "held-out IoU" in err
    made = card(tmp_path)
    assert made["masks"]["disc"]["iou"] > 0.6
    assert made["masks"]["disc"]["recall"] >= 0.95
    assert made["largest_difference_of_files"] < 1e-3
    assert "IoU of the held-out masks" in out
    velum_here("hide", "p0.png", "-o", "safe.png", "--hide", "disc")
    before, after = (cv2.imread(str(tmp_path / name)) for name in ("p0.png", "safe.png"))
    assert before is not None
    assert after is not None
    red, changed = (before[..., 2] > 200) & (before[..., 1] < 80), np.any(before != after, axis=2)
    assert changed[red].mean() > 0.8
    (_, (x, y, width, height)), *_ = discs(20)["p0.png"]
    corner = changed[int(y) : int(y + height / 10), int(x) : int(x + width / 10)]
    assert corner.mean() < 0.5, "the corners of the box lie outside the disc"
    velum_here("models", "add", "round/model.onnx", "--name", "again")


def test_the_same_seed_gives_the_same_network_and_resuming_too(labelled: Path, velum_here: Train) -> None:
    weights = []
    for steps in (("8",), ("8",), ("4", "8")):
        velum_here("train", "truth.json", "-o", "round", "--steps", steps[0], "--replace", *OPTIONS)
        for more in steps[1:]:
            velum_here("train", "resume", "round", "--steps", more)
        state = onnx.load(labelled / "round" / "model.onnx")
        weights.append({item.name: onnx.numpy_helper.to_array(item) for item in state.graph.initializer})
    for name, values in weights[0].items():
        np.testing.assert_allclose(values, weights[1][name], atol=1e-3)


def test_a_network_learns_several_labels(labelled: Path, velum_here: Train) -> None:
    pictures = {name: list(objects) for name, objects in discs(20).items()}
    for objects in pictures.values():
        objects.append(("star", (110, 90, 24, 24)))
    coco(labelled, pictures, labels=("disc", "star"))
    velum_here("train", "truth.json", "-o", "both", "--steps", "10", *OPTIONS)
    out, _ = velum_here("models", "list", "--json")
    assert next(model["labels"] for model in json.loads(out) if model["name"] == "both") == ["disc", "star"]


@pytest.mark.usefixtures("velum_here")
def test_an_interrupted_training_ends_with_the_best_state(labelled: Path) -> None:
    command = [sys.executable, "-m", "velum", "train", "truth.json", "-o", "round", "--steps", "200", *OPTIONS]
    looks = labelled / "round" / "progress.jsonl"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: looks.exists() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "making the model of the best state" in err
    assert "use it: velum hide" in out
    assert (labelled / "round" / "state.pt").is_file()


def test_a_killed_training_has_a_model_that_can_be_used(labelled: Path, velum_here: Train) -> None:
    velum_here("train", "truth.json", "-o", "round", "--steps", "20", *OPTIONS)
    velum_here("models", "remove", "round")
    for name in ("card.json", "report.html", "model.xml", "model.bin"):  # as where it was killed before the end
        (labelled / "round" / name).unlink()
    out, _ = velum_here("train", "report", "round")
    assert "use it: velum hide PICTURE --hide disc" in out
    assert (labelled / "round" / "report.html").is_file()
    velum_here("hide", "p0.png", "-o", "safe.png", "--hide", "disc")


def test_a_training_with_changed_pictures_is_not_resumed(labelled: Path, velum_here: Train) -> None:
    velum_here("train", "truth.json", "-o", "round", "--steps", "3", *OPTIONS)
    cv2.imwrite(str(labelled / "p0.png"), np.zeros((120, 160, 3), np.uint8))
    _, err = velum_here("train", "resume", "round", "--steps", "5", code=3)
    assert "the labelled pictures are not those" in err


def test_a_base_with_an_unknown_operation_is_refused(labelled: Path, velum_here: Train) -> None:
    write_tiny_centerface(labelled / "odd.onnx", operation="Softplus")
    _, err = velum_here("train", "truth.json", "-o", "round", "--steps", "3", "--from", "odd.onnx", code=3)
    assert "velum does not know its operations Softplus" in err
    assert not (labelled / "round").exists()
