"""`velum models add`, `try` and `remove`: a user's own model, from the command line to the drawing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset8 as ops
from PIL import Image
from typer.testing import CliRunner, Result

from velum.cli import annotate
from velum.cli.models import app
from velum.errors import BadInput, BadPlan, OutputFailed, Unavailable
from velum.locate import registry
from velum.locate.registry import rules_for
from velum.region import Box, Region
from velum.settings import Settings
from velum.spec import PartSpec

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VELUM_MODELS", str(tmp_path / "own"))
    monkeypatch.setenv("VELUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VELUM_OFFLINE", "1")
    monkeypatch.setattr("velum.locate.weights.wheels.find_installed", lambda source: None)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def network(path: Path) -> Path:
    """Write a network that finds one object of class 1 from (20, 30) to (60, 90) in every image."""
    picture = ops.parameter([1, 3, 96, 96], np.float32, name="images")
    nothing = ops.multiply(ops.reduce_mean(picture, np.array([1, 2, 3]), keep_dims=False), np.float32(0))
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = 20, 30, 60, 90, 0.9, 1
    result = ops.add(ops.constant(rows), nothing)
    result.output(0).set_names({"output0"})
    model = ov.Model([result], [picture])
    model.set_rt_info("{0: 'person', 1: 'dog'}", ["framework", "names"])
    model.set_rt_info("32", ["framework", "stride"])
    ov.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (96, 96), (200, 200, 200)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_adds_a_model_tries_it_and_removes_it(run: Run, tmp_path: Path, photo: Path) -> None:
    added = run("add", str(network(tmp_path / "dogs.xml")), "--licence", "own")
    assert added.stdout == "dogs: yolo, from a score of 0.25, finds person, dog\n"
    (row,) = [row for row in json.loads(run("list", "--json").stdout) if row["name"] == "dogs"]
    assert (row["state"], row["licence"], row["labels"]) == ("added", "own", ["person", "dog"])
    assert row["hashes"].count("sha256:") == 2
    assert run("verify", "dogs").stdout == "dogs: ok\n"
    tried = run("try", "dogs", str(photo))
    assert "photo.found.jpg: 1 dog found and drawn" in tried.stdout
    assert "is NOT anonymised" in tried.stderr
    pixels = np.asarray(Image.open(tmp_path / "photo.found.jpg")).astype(int)
    assert pixels.shape == (96, 96, 3)
    assert abs(pixels[60, 20] - 200).max() > 50  # the box's left edge
    assert abs(pixels[60, 40] - 200).max() < 10  # within it the picture is as it was
    assert run("remove", "dogs").stdout == "dogs: removed\n"
    assert isinstance(run("path", "dogs").exception, BadPlan)


def test_a_drawing_replaces_a_file_only_with_overwrite(run: Run, tmp_path: Path, photo: Path) -> None:
    run("add", str(network(tmp_path / "dogs.xml")))
    assert isinstance(run("try", "dogs", str(photo), "-o", str(photo)).exception, OutputFailed)
    assert isinstance(run("try", "dogs", "nope.jpg").exception, BadInput)
    assert isinstance(run("try", "dogs", str(photo), "-o", "a.txt").exception, BadPlan)
    assert run("try", "dogs", str(photo), "-o", str(photo), "--overwrite").exit_code == 0


def test_adds_and_tries_a_model_in_one_command(run: Run, tmp_path: Path, photo: Path) -> None:
    result = run("add", str(network(tmp_path / "dogs.xml")), "--try", str(photo), "--labels", "cat,hound")
    assert "photo.dogs.jpg: 1 hound found and drawn" in result.stdout


def test_coco_stands_for_its_80_labels(run: Run, tmp_path: Path) -> None:
    said = run("add", str(network(tmp_path / "things.xml")), "--labels", "coco").stdout
    assert said.endswith("finds person, bicycle, car, motorcycle, airplane, bus, train, truck and 72 more\n")
    (row,) = [row for row in json.loads(run("list", "--json").stdout) if row["name"] == "things"]
    assert (len(row["labels"]), row["labels"][79]) == (80, "toothbrush")


@pytest.mark.real
def test_recognizes_a_file_of_the_catalogue_by_its_hash(run: Run, tmp_path: Path, shared: Path) -> None:
    shutil.copy(shared / "models/yunet/face_detection_yunet_2023mar.onnx", tmp_path / "some.onnx")
    assert isinstance(run("path", "yunet").exception, Unavailable)
    added = run("add", "some.onnx")
    assert added.stdout == "yunet: its file is known by its hash, yunet, from a score of 0.3, finds face\n"
    (tmp_path / "some.onnx").unlink()
    file = tmp_path / "own" / "catalogue" / "face_detection_yunet_2023mar-8f2383e4.onnx"
    assert run("path", "yunet").stdout == f"{file}\n"
    assert run("verify", "yunet").stdout == "yunet: ok\n"
    # It is no model of the user's own: those would be chosen for faces before the default.
    (rule,) = rules_for(["face"], PartSpec("blacken"), Settings.load().host())
    assert rule.locate.name == registry.default_model().name
    assert run("remove", "yunet").stdout == "yunet: removed\n"
    assert not file.exists()
    assert "yunet is shipped with velum and cannot be removed" in str(run("remove", "yunet").exception)


@pytest.mark.real
def test_a_file_of_the_catalogue_needs_its_further_files(run: Run, tmp_path: Path, shared: Path) -> None:
    original = shared / "models/face-detection-retail-0004/face-detection-retail-0004.xml"
    file = shutil.copyfile(original, tmp_path / "faces.xml")
    missing = run("add", str(file))
    assert isinstance(missing.exception, BadInput)
    assert "is the file of velum's model face-detection-retail-0004, but its further file is missing or wrong" in str(
        missing.exception
    )
    assert "put face-detection-retail-0004.bin there, as faces.bin" in str(missing.exception)
    shutil.copyfile(original.with_suffix(".bin"), tmp_path / "faces.bin")
    assert run("add", str(file)).stdout.startswith("face-detection-retail-0004: its file is known by its hash, ssd")
    assert run("verify", "face-detection-retail-0004").stdout == "face-detection-retail-0004: ok\n"


@pytest.mark.real
def test_options_make_a_catalogue_file_a_model_of_the_user(run: Run, shared: Path) -> None:
    file = str(shared / "models/yunet/face_detection_yunet_2023mar.onnx")
    assert run("add", file, "--name", "close", "--threshold", "0.8").stdout == (
        "close: yunet, from a score of 0.8, finds face\n"
    )
    (row,) = [row for row in json.loads(run("list", "--json").stdout) if row["name"] == "close"]
    assert row["licence"] == "MIT"
    assert run("add", file, "--name", "yunet", "--threshold", "0.8", "--replace").exit_code == 0
    taken = run("add", file)
    assert isinstance(taken.exception, BadPlan)
    assert "you added another of that name; run 'velum models remove yunet' first" in str(taken.exception)


def test_reads_labels_from_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    assert "finds one, two" in run("add", str(network(tmp_path / "a.xml")), "--labels", "labels.txt").stdout
    missing = run("add", str(tmp_path / "a.xml"), "--name", "b", "--labels", "nope.txt")
    assert isinstance(missing.exception, BadInput)
    assert isinstance(run("add", str(tmp_path / "a.xml"), "--name", "b", "--labels", ",").exception, BadPlan)


def model_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    network(folder / "m.xml")
    (folder / "config.json").write_text('{"confidence": 40}')
    (folder / "classes.txt").write_text("cat\ndog\n")


def test_adds_every_model_of_a_folder_and_names_the_failures(run: Run, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        model_folder(tmp_path / "models" / name)
    (tmp_path / "models" / "two" / "classes.txt").unlink()
    result = run("add", str(tmp_path / "models"))
    assert result.stdout == "".join(f"{name}: yolo, from a score of 0.4, finds cat, dog\n" for name in ("one", "three"))
    assert "two has no classes.txt" in result.stderr
    assert isinstance(result.exception, BadInput)
    assert "of 3 model folders 1 were not added: two" in str(result.exception)
    named = run("add", str(tmp_path / "models"), "--name", "mine")
    assert isinstance(named.exception, BadPlan)


def test_adds_darknet_files_without_a_folder(run: Run, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "plates.cfg").write_text(
        "[net]\nwidth=32\nheight=32\n[convolutional]\nfilters=12\nsize=1\nstride=8\npad=1\nactivation=linear\n"
        "[yolo]\nmask=0,1\nanchors=8,9, 16,18\nclasses=1\n"
    )
    # The bias alone speaks: the second anchor is sure that it sees a plate in each of the 64 cells of the picture,
    # and in 24 places more at half the size, which overlap too little with these to be the same.
    bias = np.array([0, 0, 0, 0, -9, -9, 0, 0, 0, 0, 9, 9], "<f4").tobytes()
    numbers = bias + np.zeros(12 * 3, "<f4").tobytes()
    (tmp_path / "plates.weights").write_bytes(np.array([0, 2, 5, 0, 0], "<i4").tobytes() + numbers)
    result = run("add", str(tmp_path / "plates.weights"), "--labels", "license_plate")
    assert result.stdout == "plates: darknet, from a score of 0.25, finds license_plate\n"
    tried = run("try", "plates", str(photo))
    assert "88 license_plates found and drawn" in tried.stdout


def test_draws_masks_as_outlines_with_lines_scaled_to_the_image() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    small, large = np.full((100, 100, 3), 128, np.uint8), np.full((2000, 2000, 3), 128, np.uint8)
    region = Region(Box(20, 20, 60, 60), "person", 0.5, mask)
    found = np.asarray(annotate.draw_regions(small, [region])).astype(int)
    assert (found[40, 40] != 128).any()
    assert (found[58, 40] == 128).all()  # in the box, not in the mask
    assert (small == 128).all()
    box = Region(Box(500, 500, 1500, 1500), "person")
    row = np.asarray(annotate.draw_regions(large, [box]))[1000]
    assert np.count_nonzero((row != 128).any(axis=1)) == 2 * 5
