"""A detector becomes a model folder of the OpenVINO inference API, with decoding and suppression in its network."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.bmw.inference_server.factories import encoded
from tests.rows import but_for
from tests.train.tiny_network import write_tiny_centerface, write_tiny_lpd_yunet, write_tiny_yolox

from velum.bmw.inference_server.app import create_app
from velum.bmw.inference_server.loaded_models import from_folder
from velum.bmw.inference_server.profiles import profile
from velum.bmw.model_export import export_model
from velum.engine.part_cache import PartCache
from velum.errors import BadPlan, OutputFailed
from velum.locate import user_models
from velum.locate.import_model import ImportOptions, identify_model
from velum.locate.output_formats import Input, family
from velum.locate.runtime import open_network
from velum.locate.runtime.inspect_model import signature
from velum.plugins import RuntimeConfig

EXACT = RuntimeConfig(precision="f32", compiled_cache=False)
LABELS = {"centerface": ("disc",), "yolox": tuple(f"label {n}" for n in range(80)), "lpd_yunet": ("plate",)}
WRITERS = {"centerface": write_tiny_centerface, "yolox": write_tiny_yolox, "lpd_yunet": write_tiny_lpd_yunet}


@pytest.fixture
def host(tmp_path: Path) -> RuntimeConfig:
    return RuntimeConfig(models=tmp_path / "models", cache=tmp_path / "cache", offline=True)


def add(kind: str, host: RuntimeConfig, folder: Path) -> Path:
    """Add a tiny model of any size to the catalogue, under the name of its family; return its file."""
    path = WRITERS[kind](folder / f"{kind}.onnx")
    options = ImportOptions(name=f"tiny-{kind}", labels=LABELS[kind], family=kind, threshold=0.05)
    user_models.put(replace(identify_model(path, options), input={"size_wh": (96, 96)}), host)
    return path


@pytest.mark.parametrize("kind", but_for(WRITERS, list(WRITERS)[:1]))
def test_the_network_in_the_folder_finds_what_the_model_finds(kind: str, tmp_path: Path, host: RuntimeConfig) -> None:
    path = add(kind, host, tmp_path)
    export_model(f"tiny-{kind}", "openvino-detection", tmp_path / "out", host, (96, 96))
    rgb = np.random.default_rng(2).integers(0, 256, (96, 96, 3), np.uint8)
    form = replace(family(kind).input, size_wh=(96, 96))
    wanted = family(kind).decode(dict(open_network(path, form, EXACT).infer(rgb)), (96, 96), 0.01)
    outputs = open_network(tmp_path / "out" / "out.xml", Input(size_wh=(96, 96)), EXACT).infer(rgb)
    found = family("ssd").decode(outputs, (96, 96), 0.01)
    best, first = int(np.argmax(wanted.score)), int(np.argmax(found.score))
    assert found.score[first] == pytest.approx(wanted.score[best], abs=1e-5)
    assert found.kind[first] == wanted.kind[best] + 1
    np.testing.assert_allclose(found.xyxy[first], np.clip(wanted.xyxy[best], 0, 96), atol=0.01)
    seen = signature(tmp_path / "out" / "out.xml")
    assert list(seen.outputs.values()) == [(1, 1, 200, 7)]
    text = (tmp_path / "out" / "out.xml").read_text()
    assert '<net name="out" version="10">' in text
    assert max(int(number) for number in re.findall(r'version="opset(\d+)"', text)) <= 8


def test_the_inference_server_loads_the_folder(tmp_path: Path, host: RuntimeConfig) -> None:
    add("centerface", host, tmp_path)
    export_model("tiny-centerface", "openvino-detection", tmp_path / "folders" / "badge", host, (128, 96))
    config = json.loads((tmp_path / "folders" / "badge" / "config.json").read_text())
    assert config == {
        "inference_engine_name": "openvino_detection", "framework": "openvino", "type": "detection",
        "network": "centerface", "confidence": 5, "predictions": 200, "number_of_classes": 1,
    }  # fmt: skip
    assert (tmp_path / "folders" / "badge" / "classes.txt").read_text() == "disc\n"
    private = RuntimeConfig(models=tmp_path / "private", offline=True)
    kind = profile("openvino-detection")
    served = from_folder(tmp_path / "folders", kind, PartCache(private), private)
    with TestClient(create_app(kind, served)) as client:
        assert client.get("/models/badge/labels").json()["data"] == ["disc"]
        noise = np.random.default_rng(2).integers(0, 256, (96, 128, 3), np.uint8)
        files = {"input_data": ("a.png", encoded(Image.fromarray(noise)), "image/png")}
        answer = client.post("/models/badge/predict", files=files).json()
    assert answer["success"]
    assert {box["ObjectClassName"] for box in answer["data"]["bounding-boxes"]} == {"disc"}


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda target, host: ("tiny-centerface", "onnx", target, host), BadPlan, "must be openvino-detection"),
        (lambda target, host: ("nonsense", "openvino-detection", target, host), BadPlan, "'nonsense' is unknown"),
        (lambda target, host: ("nanodet", "openvino-detection", target, host), BadPlan, "of family nanodet; only cent"),
        (
            lambda target, host: ("tiny-centerface", "openvino-detection", target, host, (100, 96)),
            BadPlan,
            "100x96; both sides must be multiples of 32",
        ),
        (lambda target, host: ("tiny-centerface", "openvino-detection", target.parent, host), OutputFailed, "exists"),
    ],
)
def test_wrong_exports(
    ask: Callable[[Path, RuntimeConfig], tuple[str, str, Path, RuntimeConfig]], error: type[Exception], says: str,
    tmp_path: Path, host: RuntimeConfig,
) -> None:  # fmt: skip
    add("centerface", host, tmp_path)
    with pytest.raises(error, match=says):
        export_model(*ask(tmp_path / "out", host))
    assert not (tmp_path / "out").exists()
