"""A network in 8 bits: its losses are counted, and models that cannot be quantized are refused."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from velum.errors import BadInput, BadPlan, Unavailable
from velum.frame import Frame, Plane, Role
from velum.locate import registry, user_models
from velum.locate.detector import Detector
from velum.locate.import_model import ImportedModel
from velum.locate.output_formats import Detections
from velum.locate.quantize import CalibrationTiles, PictureLoader, compare_detections, quantize
from velum.plugins import RuntimeConfig


def found(*rows: tuple[tuple[float, float, float, float], float, int]) -> Detections:
    return Detections(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int32),
    )


SMALL, LARGE = (0, 0, 10, 20), (100, 100, 300, 300)


@pytest.mark.parametrize(
    ("original", "other", "shares", "drop", "more", "why"),
    [
        ([], [], {}, 0, 0, "nothing to find"),
        ([(SMALL, 0.9, 0)], [], {"0-16": (0, 1)}, 0, 0, "all lost"),
        ([], [(SMALL, 0.9, 0)], {}, 0, 1, "only more"),
        ([(LARGE, 0.9, 0)], [((110, 100, 310, 300), 0.6, 0)], {"96-": (1, 1)}, 0.3, 0, "moved a little"),
        ([(LARGE, 0.9, 0)], [((200, 100, 400, 300), 0.6, 0)], {"96-": (0, 1)}, 0, 1, "moved by half"),
        ([(LARGE, 0.9, 0)], [(LARGE, 0.9, 1)], {"96-": (0, 1)}, 0, 1, "of another kind"),
        ([(SMALL, 0.5, 0)], [(SMALL, 0.7, 0)], {"0-16": (1, 1)}, 0, 0, "a rise is no drop"),
        (
            [(SMALL, 0.5, 0), (SMALL, 0.8, 0), ((0, 0, 16, 40), 0.4, 0)],
            [(SMALL, 0.7, 0)],
            {"0-16": (1, 2), "16-32": (0, 1)},
            0.1,
            0,
            "one find counts once, for the surest; a bin begins at its lower edge",
        ),
    ],
)
def test_objects_found_again_are_counted_by_size(
    original: list[tuple[tuple[float, float, float, float], float, int]],
    other: list[tuple[tuple[float, float, float, float], float, int]],
    shares: dict[str, tuple[int, int]],
    drop: float,
    more: int,
    why: str,
) -> None:
    counted, dropped, used = compare_detections(found(*original), found(*other))
    assert list(counted) == ["0-16", "16-32", "32-96", "96-"]
    assert {size: (one.again, one.of) for size, one in counted.items() if one.of} == shares, why
    assert dropped == pytest.approx(drop, abs=1e-6), why
    assert used.count(False) == more, why


# A detector made here: heat is the mean red of each 4 x 4 cell, through a convolution that can be quantized.


def red_network(path: Path) -> Path:
    picture = ops.parameter([1, 3, -1, -1], np.float32, name="picture")
    weights = np.zeros((16, 3, 4, 4), np.float32)
    weights[:, 0] = 1 / 16 / 255
    inner = ops.convolution(picture, ops.constant(weights), [4, 4], [0, 0], [0, 0], [1, 1])
    inner = ops.relu(inner)
    heads = {"heat": np.full((1, 16), 1 / 16), "size": np.zeros((2, 16)), "offset": np.zeros((2, 16))}
    results = []
    for name, row in heads.items():
        kernel = ops.constant(row.astype(np.float32)[..., None, None])
        head = ops.convolution(inner, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
        head = ops.add(head, np.full((1, len(row), 1, 1), np.log(8) if name == "size" else 0, np.float32))
        head.output(0).set_names({name})
        results.append(ops.result(head))
    ov.save_model(ov.Model(results, [picture]), path, compress_to_fp16=False)
    return path


@pytest.fixture
def host(tmp_path: Path) -> RuntimeConfig:
    return RuntimeConfig(models=tmp_path / "models", cache=tmp_path / "cache", offline=True, threads=1)


@pytest.fixture
def red(tmp_path: Path, host: RuntimeConfig) -> str:
    offer = ImportedModel(
        name="red", path=red_network(tmp_path / "red.xml"), family="centerface", labels=("face",), threshold=0.3,
        licence="CC0", input={}, origin="a test",
    )  # fmt: skip
    return user_models.put(offer, host).name


def spots(*places: tuple[int, int]) -> PictureLoader:
    pixels = np.random.default_rng(len(places)).integers(0, 30, (96, 160, 3), np.uint8)
    for x, y in places:
        pixels[y : y + 4, x : x + 4, 0] = 230
    return lambda: Frame.of(Plane(pixels, Role.RGB))


PICTURES = [spots((40, 40)), spots((80, 20), (20, 60)), spots(), spots((120, 80)), spots((60, 60), (4, 4))]


def test_calibration_tiles_are_spread_over_the_images_and_bounded(red: str, host: RuntimeConfig) -> None:
    finder = Detector(red, host).finder
    assert [view.shape for view in CalibrationTiles(finder, PICTURES[:1])] == [(96, 160, 3)]
    looks = CalibrationTiles(finder, PICTURES, 3)
    assert len(list(looks)) == len(list(looks)) == 3


def test_a_quantized_copy_is_stored_and_compared(red: str, host: RuntimeConfig) -> None:
    pytest.importorskip("nncf", reason="the extra quantize is not installed")
    said: list[str] = []
    made = quantize(red, host, PICTURES, say=said.append)
    assert (made.model.name, made.pictures, made.held_back) == ("red-int8", 2, True)
    assert registry.find("red-int8", host).labels == ("face",)
    exact, *_, smaller = made.trials
    assert exact.precision == "f32"
    assert (exact.share.again, exact.share.of, exact.more, exact.largest_drop) == (3, 3, 0, 0)
    assert smaller.precision.startswith("i8+")
    assert (smaller.share.again, smaller.share.of) == (3, 3)
    assert smaller.to_json()["by_size"]["32-96"] == {"again": 3, "of": 3}
    assert min(trial.ms_per_picture for trial in made.trials) > 0
    assert len(said) == 2
    detector = Detector("red-int8", host)
    assert detector.description["precision"].startswith("i8+")
    (regions,) = detector.locate([PICTURES[0]()])
    assert [region.box.xyxy for region in regions] == [(26, 26, 58, 58)]


@pytest.mark.parametrize(
    ("name", "options", "pictures", "error", "message"),
    [
        ("nosuch", {}, PICTURES, BadPlan, "model 'nosuch' is unknown"),
        ("red", {"new_name": "centerface"}, PICTURES, BadPlan, "a model 'centerface' already; .* --replace"),
        ("red", {"new_name": "No!"}, PICTURES, BadPlan, "cannot be named 'No!'"),
        ("red", {}, [], BadInput, "no images to calibrate with"),
        ("pp-humanseg", {}, PICTURES, BadPlan, "finds outlines, not boxes"),
    ],
)
def test_models_that_cannot_be_quantized_are_refused(
    red: str,
    host: RuntimeConfig,
    name: str,
    options: dict[str, str],
    pictures: Sequence[PictureLoader],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        quantize(name, host, pictures, new_name=options.get("new_name"))
    assert list(registry.added_models(host)) == ["red"]


def test_without_the_library_the_extra_is_named(red: str, host: RuntimeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(Unavailable, match=r"velum-anonymizer\[quantize\]"):
        quantize(red, host, PICTURES)
    assert list(registry.added_models(host)) == ["red"]
