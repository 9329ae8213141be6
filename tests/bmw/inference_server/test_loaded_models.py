"""Which profiles can serve which models, and the names, label numbers and hashes of models."""

import io
import json
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset8
from PIL import Image
from starlette.testclient import TestClient
from tests.bmw.inference_server.factories import models, png
from tests.bmw.test_folders import make_ovd

from velum.bmw.inference_server.app import create_app
from velum.bmw.inference_server.endpoints import Capacity
from velum.bmw.inference_server.images import outlines, voc_palette
from velum.bmw.inference_server.loaded_models import FILE, from_folder, from_names, hashes, labels_of
from velum.bmw.inference_server.profiles import PROFILES, profile
from velum.engine.part_cache import PartCache
from velum.errors import BadInput, BadPlan, OutputFailed, Unavailable
from velum.locate.registry import catalog
from velum.plugins import RuntimeConfig
from velum.region import Box, Region

OVD, OVS, YOLO, TF = (profile(name) for name in ("openvino-detection", "openvino-segmentation", "yolo", "tensorflow"))


@pytest.mark.parametrize(
    ("classes", "kind", "listed", "numbers"),
    [
        (("face",), "openvino-detection", ("face",), {"face": 1}),
        (("", "face", "plate"), "openvino-detection", ("face", "plate"), {"face": 1, "plate": 2}),
        (("a", "", "c"), "openvino-detection", ("a", "", "c"), {"a": 1, "c": 3}),  # line k names number k
        (("a", "", "c"), "yolo", ("a", "", "c"), {"a": 0, "c": 2}),
        (("", "a", "", "c"), "tensorflow", ("a", "c"), {"a": 1, "c": 3}),  # label maps have gaps, lists have not
        (("a", "b", "a"), "yolo", ("a", "b", "a"), {"a": 0, "b": 1}),  # the first of equal names
        (("", "person"), "gluoncv", ("background", "person"), {"person": 1}),
        (("Background", "person"), "gluoncv", ("Background", "person"), {"person": 1}),
        (("person", "car"), "gluoncv", ("background", "person", "car"), {"person": 1, "car": 2}),
        (("", "a", "", "c"), "openvino-segmentation", ("background", "a", "", "c"), {"a": 1, "c": 3}),
    ],
)
def test_numbers_labels_as_the_variant_does(
    classes: tuple[str, ...], kind: str, listed: tuple[str, ...], numbers: dict[str, int]
) -> None:
    assert labels_of(classes, profile(kind)) == (listed, numbers)


def test_refuses_more_classes_than_a_mask_can_hold() -> None:
    assert len(labels_of([str(n) for n in range(255)], OVS)[0]) == 256
    with pytest.raises(BadPlan, match="257 classes do not fit"):
        labels_of([str(n) for n in range(256)], OVS)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("selfie", "openvino-detection", "finds no objects.*serve it with the profile openvino-segmentation"),
        ("nowhere", "yolo", "localizer 'nowhere' is unknown"),
        ("fake(x=1)", "yolo", "has no option x"),
    ],
)
def test_refuses_models_that_do_not_fit_the_profile(name: str, kind: str, message: str) -> None:
    if name == "selfie":
        name = next(one for one, model in _catalogue().items() if model == "semantic")
    with pytest.raises(BadPlan, match=message):
        models(profile(kind), names=[name])


def _catalogue() -> dict[str, str]:
    return {name: model.family for name, model in catalog().items()}


def test_refuses_two_models_of_one_name() -> None:
    with pytest.raises(BadPlan, match="fake cannot be served twice"):
        models(OVD, names=["fake", "fake()"])


def test_refuses_a_detector_without_masks_in_a_mask_profile(tmp_path: Path) -> None:
    (tmp_path / "in" / "faces").mkdir(parents=True)
    make_ovd(tmp_path / "in" / "faces")
    private = RuntimeConfig(models=tmp_path / "store", cache=tmp_path / "cache", offline=True)
    with pytest.raises(BadPlan, match="model faces returns boxes, not masks"):
        from_folder(tmp_path / "in", OVS, PartCache(private), private)


def test_a_model_folder_keeps_its_name_and_configuration(tmp_path: Path) -> None:
    for name in ("Street Faces", "other"):
        (tmp_path / "in" / name).mkdir(parents=True)
        make_ovd(tmp_path / "in" / name)
    config = tmp_path / "in" / "other" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"network": "mine"}))
    private = RuntimeConfig(models=tmp_path / "store", cache=tmp_path / "cache", offline=True)
    parts = PartCache(private)
    served = from_folder(tmp_path / "in", OVD, parts, private, tmp_path / "hashes")
    assert [one.name for one in served] == ["Street Faces", "other"]
    assert [one.labels for one in served] == [("face", "license_plate")] * 2
    assert list(served[1].config.items()) == [("framework", "openvino"), ("type", "detection"), ("network", "mine")]
    assert json.loads((tmp_path / "hashes" / FILE).read_text()) == {one.name: one.hash for one in served}
    parts.close()


def instances(path: Path) -> None:
    """Write a network of the family Mask R-CNN that always finds the same car, with a mask that fills its box."""
    picture = opset8.parameter([1, 3, 48, 48], np.float32, name="image")
    none = opset8.multiply(opset8.reduce_mean(picture, np.array([0, 1, 2, 3]), keep_dims=False), np.float32(0))
    masks = np.zeros((2, 3, 7, 7), np.float32)
    masks[0, 2] = 1
    values = {"boxes": [[6, 6, 24, 30]] * 2, "scores": [0.9, 0], "classes": [2, 1], "raw_masks": masks}
    results = []
    for name, value in values.items():
        result = opset8.add(opset8.constant(np.array(value, np.float32)), none)
        result.output(0).set_names({name})
        results.append(result)
    ov.save_model(ov.Model(results, [picture]), path, compress_to_fp16=False)


def test_a_segmentation_folder_keeps_its_palette(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "scene"
    folder.mkdir(parents=True)
    instances(folder / "scene.xml")
    config = {"classes": 3, "type": "segmentation", "classesname": ["BG", "person", "car"], "made": "by me"}
    (folder / "configuration.json").write_text(json.dumps(config))
    (folder / "palette.txt").write_text("\n".join(map(str, range(9))))
    private = RuntimeConfig(models=tmp_path / "store", cache=tmp_path / "cache", offline=True)
    parts = PartCache(private)
    (served,) = from_folder(tmp_path / "in", OVS, parts, private)
    assert (served.config, served.palette) == (config, tuple(range(9)))
    assert served.labels == ("BG", "person", "car")
    with TestClient(create_app(OVS, [served])) as server:
        answer = server.post("/models/scene/inference", files={"input_data": png(48, 48)})
        assert server.get("/models/scene/config").json()["data"] == config
    image = Image.open(io.BytesIO(answer.content))
    plane = np.asarray(image)
    assert image.getpalette("RGB") == list(range(9))
    assert np.unique(plane).tolist() == [0, 2]
    (folder / "palette.txt").write_text("300")
    with pytest.raises(BadInput, match="is not a palette"):
        from_folder(tmp_path / "in", OVS, PartCache(private), replace(private, models=tmp_path / "other"))
    parts.close()


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_refuses_a_folder_without_model_folders(tmp_path: Path, what: str) -> None:
    if what == "empty":
        (tmp_path / "empty").mkdir()
    private = RuntimeConfig(models=tmp_path / "store")
    with pytest.raises(BadPlan, match="has no model folders"):
        from_folder(tmp_path / what, OVD, PartCache(private), private)


def test_reports_missing_weights(tmp_path: Path) -> None:
    nothing = RuntimeConfig(cache=tmp_path, offline=True)
    with pytest.raises(Unavailable):
        from_names([next(iter(_catalogue()))], OVD, PartCache(nothing), nothing)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), unique=True, max_size=5))
def test_derives_hashes_from_names(names: list[str]) -> None:
    found = hashes(names, None)
    assert found == hashes(reversed(names), None)
    assert len(set(found.values())) == len(names)
    assert all(uuid.UUID(one).version == 4 for one in found.values())


def test_keeps_the_hashes_of_an_earlier_server(tmp_path: Path) -> None:
    known = {"old": str(uuid.uuid4()), "gone": str(uuid.uuid4())}
    (tmp_path / FILE).write_text(json.dumps(known))
    found = hashes(["old", "new"], tmp_path)
    assert found["old"] == known["old"]
    assert json.loads((tmp_path / FILE).read_text()) == known | {"new": found["new"]}
    assert hashes(["new"], tmp_path) == {"new": found["new"]}


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": 1}'])
def test_refuses_a_malformed_hash_file(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BadInput, match="repair or remove it"):
        hashes(["a"], tmp_path)


def test_reports_a_hash_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((OutputFailed, BadInput)):
        hashes(["a"], tmp_path / "file" / "folder")


def test_fills_an_empty_hash_file(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}")
    assert list(hashes(["a"], tmp_path)) == ["a"]


def test_the_default_palette_is_that_of_pascal_voc() -> None:
    # The first colours, and the last, as the development kit prints them.
    assert voc_palette(5) == (0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128)
    assert voc_palette(256)[-3:] == (224, 224, 192)
    assert len(set(zip(*[iter(voc_palette(256))] * 3, strict=True))) == 256


def test_traces_the_outline_of_each_component() -> None:
    mask = np.zeros((6, 8), bool)
    mask[0:3, 0:3] = mask[5, 2:6] = mask[1, 7] = True
    found = outlines(Region(Box(10, 20, 18, 26), "a", mask=mask))
    assert sorted(found) == [[10, 20, 10, 22, 12, 22, 12, 20], [12, 25, 15, 25]]  # a single pixel has no outline


def test_refuses_wrong_capacities_and_unknown_profiles() -> None:
    with pytest.raises(BadPlan, match="parallel is 0"):
        Capacity(parallel=0)
    with pytest.raises(BadPlan, match="known are openvino-detection"):
        profile("caffe")
    assert all(one.failures and one.port for one in PROFILES.values())
