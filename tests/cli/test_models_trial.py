"""`velum models add` runs a model once, and refuses a model that would fail or find nothing later."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset8 as ops
from typer.testing import CliRunner, Result

from velum import Engine, Plan
from velum.cli.models import app
from velum.errors import BadInput, BadPlan, PluginFault
from velum.frame import Frame
from velum.plugins import RuntimeConfig, part_name
from velum.region import Region

Run = Callable[..., Result]
ANCHORS = 189  # of an input of 96 x 96: 12 x 12 + 6 x 6 + 3 x 3


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VELUM_MODELS", str(tmp_path / "own"))
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def saved(path: Path, table: np.ndarray, *, batch: int = 1, **metadata: str) -> Path:
    """Write a network that returns one table for every image."""
    picture = ops.parameter([batch, 3, 96, 96], np.float32, name="images")
    nothing = ops.multiply(ops.reduce_mean(picture, np.array([0, 1, 2, 3]), keep_dims=False), np.float32(0))
    result = ops.add(ops.constant(table.astype(np.float32)), nothing)
    result.output(0).set_names({"output0"})
    model = ov.Model([result], [picture])
    for key, value in metadata.items():
        model.set_rt_info(value, ["framework", key])
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def anchors(columns: int, **cells: float) -> np.ndarray:
    table = np.zeros((ANCHORS, columns))
    table[7, :4] = 40, 50, 20, 40
    for column, value in cells.items():
        table[7, int(column.removeprefix("c"))] = value
    return table


def found(tmp_path: Path, rule: str) -> list[tuple[str, tuple[int, int, int, int]]]:
    picture = np.full((96, 96, 3), 120, np.uint8)
    with Engine(host=RuntimeConfig(models=tmp_path / "own")) as engine:
        _, report = engine.hide_pixels(picture, Plan.of(f"{rule} with grow=0"))
    return [(one.label, one.box.xyxy) for one in report.hidden]


def test_reads_rows_of_two_classes_as_scores_and_not_as_a_list_of_boxes(run: Run, tmp_path: Path) -> None:
    table = anchors(6, c4=0.1, c5=0.9)[None]
    saved(tmp_path / "two.xml", table, names="{0: 'face', 1: 'license_plate'}")
    assert run("add", "two.xml").exit_code == 0
    assert found(tmp_path, "license_plate: two -> blacken") == [("license_plate", (30, 30, 50, 70))]


def test_recognizes_a_face_network_with_key_points(run: Run, tmp_path: Path) -> None:
    saved(tmp_path / "pose.xml", anchors(20, c4=0.9).T[None], names="{0: 'face'}", task="pose", kpt_shape="[5, 3]")
    assert run("add", "pose.xml").stdout == "pose: yolo_pose, from a score of 0.25, finds face\n"
    assert found(tmp_path, "face: pose -> blacken") == [("face", (30, 30, 50, 70))]


def test_does_not_take_key_points_for_classes(run: Run, tmp_path: Path) -> None:
    saved(tmp_path / "pose.xml", anchors(20, c4=0.9).T[None])
    refused = run("add", "pose.xml", "--labels", "face")
    assert isinstance(refused.exception, BadInput)
    assert "has 16 classes, and the list of labels has 1" in str(refused.exception)
    assert "--family yolo_pose" in str(refused.exception)
    assert run("add", "pose.xml", "--labels", "face", "--family", "yolo_pose").exit_code == 0
    assert found(tmp_path, "face: pose -> blacken") == [("face", (30, 30, 50, 70))]


TWO, THREE = "{0: 'face', 1: 'license_plate'}", "{0: 'face', 1: 'license_plate', 2: 'person'}"
FOUR_AT_ONCE = anchors(6).T[None].repeat(4, axis=0)
SHARES, FIVE = (np.tile([1, 2, 30, 40, 0.9, kind], (1, 300, 1)) for kind in (0.4, 5))
REFUSED = [
    (FOUR_AT_ONCE, 4, TWO, "export it for one (batch=1)", "four pictures at once"),
    (SHARES, 1, THREE, "whole numbers for classes", "a list whose classes are shares"),
    (FIVE, 1, THREE, "speaks of class 5, and the last label is of class 2", "a class more"),
]


@pytest.mark.parametrize(("table", "batch", "names", "why", "what"), REFUSED, ids=[one[-1] for one in REFUSED])
def test_refuses_unreadable_outputs_and_stores_no_model(
    run: Run, tmp_path: Path, table: np.ndarray, batch: int, names: str, why: str, what: str
) -> None:
    refused = run("add", str(saved(tmp_path / "net.xml", table, batch=batch, names=names)), "--family", "yolo")
    assert isinstance(refused.exception, BadInput)
    assert "net.xml was tried once" in str(refused.exception)
    assert why in str(refused.exception)
    assert "net" not in [row["name"] for row in json.loads(run("list", "--json").stdout)]


def test_reads_labels_from_a_data_yaml(run: Run, tmp_path: Path) -> None:
    saved(tmp_path / "net.xml", anchors(6, c4=0.9)[None])
    (tmp_path / "data.yaml").write_text("train: images\nnames:\n  1: license_plate\n  0: face\n")
    assert "finds face, license_plate" in run("add", "net.xml", "--family", "yolo", "--labels", "data.yaml").stdout
    (tmp_path / "list.yml").write_text("names: [a, b]\nnc: 2\n")
    assert "finds a, b" in run("add", "net.xml", "--family", "yolo", "--labels", "list.yml", "--replace").stdout
    for text in ("nc: 2\n", "names: 3\n", "names: {x: y}\n", "{", "[]"):
        (tmp_path / "bad.yaml").write_text(text)
        assert isinstance(run("add", "net.xml", "--labels", "bad.yaml", "--replace").exception, BadInput)


def bright(path: Path, **metadata: str) -> Path:
    """Write a segmentation network that finds a person where its red input is above 0."""
    picture = ops.parameter([1, 3, 64, 64], np.float32, name="images")
    red = ops.strided_slice(
        picture, np.array([0, 0, 0, 0]), np.array([1, 1, 64, 64]), np.array([1, 1, 1, 1]), [0] * 4, [0] * 4
    )
    result = ops.concat([ops.multiply(red, np.float32(-20)), ops.multiply(red, np.float32(20))], 1)
    result.output(0).set_names({"map"})
    model = ov.Model([result], [picture])
    for key, value in metadata.items():
        model.set_rt_info(value, ["framework", key])
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def share_found(tmp_path: Path, name: str) -> float:
    """Return the found share of an image of which a quarter is bright and the rest dark."""
    picture = np.full((64, 64, 3), 30, np.uint8)
    picture[:32, :32] = 220
    with Engine(host=RuntimeConfig(models=tmp_path / "own")) as engine:
        hidden, _ = engine.hide_pixels(picture, Plan.of(f"person: {name} -> blacken with grow=0"))
    return float((hidden == 0).all(axis=2).mean())


def test_a_segmentation_network_needs_a_stated_normalization(run: Run, tmp_path: Path) -> None:
    bright(tmp_path / "net.xml")
    refused = run("add", "net.xml", "--labels", "background,person")
    assert isinstance(refused.exception, BadInput)
    assert "--normalise, one of none, unit, symmetric, imagenet" in str(refused.exception)
    for name, options in {
        "named": ("--normalise", "symmetric"),
        "numbers": ("--mean", "127.5", "--scale", "127.5"),
        "raw": ("--normalise", "none"),
    }.items():
        assert run("add", "net.xml", "--labels", "background,person", "--name", name, *options).exit_code == 0
    assert 0.2 < share_found(tmp_path, "named") < 0.35
    assert share_found(tmp_path, "numbers") == share_found(tmp_path, "named")
    assert share_found(tmp_path, "raw") == 1  # the wrong values: everything
    wrong = run("add", "net.xml", "--labels", "background,person", "--normalise", "imagnet")
    assert isinstance(wrong.exception, BadPlan)


def test_takes_the_normalization_that_the_file_states(run: Run, tmp_path: Path) -> None:
    bright(tmp_path / "net.xml", mean_values="127.5 127.5 127.5", scale_values="127.5 127.5 127.5")
    assert run("add", "net.xml", "--labels", "background,person").exit_code == 0
    assert 0.2 < share_found(tmp_path, "net") < 0.35


class Failing:
    """A localizer without a text form of its own."""

    labels = frozenset({"face"})

    def locate(self, frames: list[Frame]) -> list[list[Region]]:
        raise RuntimeError("no memory")

    def close(self) -> None:
        """Hold nothing, so close nothing."""


class FailingModel(Failing):
    @property
    def description(self) -> dict[str, str]:
        return {"model": "plates-v2"}


def test_messages_name_the_model_and_no_python_object() -> None:
    assert part_name(FailingModel()) == "model plates-v2"
    assert part_name(Failing()) == "Failing"


def test_an_error_during_detection_names_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velum.locate.fixed_boxes.Fixed.locate", Failing.locate)
    with Engine() as engine, pytest.raises(PluginFault, match="no memory") as failed:
        engine.hide_pixels(np.zeros((32, 32, 3), np.uint8), Plan.of("zone: fixed(box=[1, 1, 9, 9]) -> blacken"))
    assert " object at " not in str(failed.value)
