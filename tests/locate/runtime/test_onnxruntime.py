"""onnxruntime gives the same as OpenVINO, and refuses networks and devices that it cannot run."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from velum.errors import PluginFault, Unavailable
from velum.frame import Rgb
from velum.locate import registry
from velum.locate.output_formats import Input, family
from velum.locate.runtime import open_network, openvino
from velum.locate.weights import fetch
from velum.plugins import RuntimeConfig

onnx = pytest.importorskip("onnx", reason="the extra ort is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra ort is not installed")

F32 = RuntimeConfig(precision="f32", threads=1, runtime="onnxruntime")
FORMS = [
    Input(),
    Input(order="bgr", mean=(1, 2, 3), scale=(0.5, 0.25, 2)),
    Input(mean=(123.7, 116.3, 103.5), scale=(1 / 58.4, 1 / 57.1, 1 / 57.4)),
    Input(order="bgr", scale=(1 / 255,) * 3, layout="nhwc"),
]


def saved(
    path: Path, *, layout: str = "nchw", kind: int = 1, operation: str = "Mul", constant: float = 1, inputs: int = 1
) -> Path:
    """Write a network whose input was exported for ten pictures of 32 x 32, as CenterFace's is."""
    shape = [10, 3, 32, 32] if layout == "nchw" else [10, 32, 32, 3]
    make = onnx.helper
    nodes = [
        make.make_node(operation, ["one", "picture"], ["inner"]),
        make.make_node("Identity", ["inner"], ["same"]),
    ]
    one = make.make_tensor("one", kind, [1], [constant])
    given = [make.make_tensor_value_info(name, kind, shape) for name in ("picture", "other")[:inputs]]
    outputs = [make.make_tensor_value_info("same", kind, shape)]
    # Old exports list their weights as inputs, and note the sizes of what lies between.
    listed = make.make_tensor_value_info("one", kind, [1])
    inner = make.make_tensor_value_info("inner", kind, shape)
    graph = make.make_graph(nodes, "same", [*given, listed], outputs, [one], value_info=[inner])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path / "same.onnx")
    return path / "same.onnx"


def picture(height: int, width: int) -> Rgb:
    return np.random.default_rng(height).integers(1, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("form", FORMS, ids=["plain", "bgr", "normalized", "nhwc"])
def test_the_input_is_prepared_as_with_openvino(tmp_path: Path, form: Input) -> None:
    path = saved(tmp_path, layout=form.layout)
    ours = open_network(path, form, F32)
    theirs = open_network(path, form, replace(F32, runtime="openvino"))
    for rgb in (picture(64, 96), picture(32, 32), picture(96, 64)):
        mine, other = ours.infer(rgb), theirs.infer(rgb)
        assert list(mine) == list(other) == ["same"]
        np.testing.assert_allclose(mine["same"], other["same"], rtol=1e-5, atol=1e-5)


def test_one_network_takes_any_size_from_several_threads(tmp_path: Path) -> None:
    network = open_network(saved(tmp_path), Input(), F32)
    pictures = [picture(h, w) for h, w in ((8, 8), (64, 32), (3, 500))] * 4
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(network.infer, pictures))
    for rgb, outputs, alike in zip(pictures, results, network.infer_many(pictures), strict=True):
        assert np.array_equal(outputs["same"], rgb.transpose(2, 0, 1))
        assert np.array_equal(outputs["same"], alike["same"])
    assert (network.precision, network.runtime) == ("f32", f"onnxruntime {ort.__version__}")


@pytest.mark.parametrize(
    ("kind", "precision"), [("FLOAT16", "f16"), ("FLOAT", "f32")], ids=["half the bits", "all of them"]
)
def test_the_precision_is_that_of_the_weights(tmp_path: Path, kind: str, precision: str) -> None:
    path = saved(tmp_path, kind=getattr(onnx.TensorProto, kind))
    network = open_network(path, Input(), replace(F32, precision="auto"))
    assert network.precision == precision
    assert np.array_equal(network.infer(picture(8, 8))["same"], picture(8, 8).transpose(2, 0, 1))
    with pytest.raises(Unavailable, match=f"precision bf16 is not .* choose auto or {precision}"):
        open_network(path, Input(), replace(F32, precision="bf16"))


def test_nan_and_infinity_in_outputs_are_refused(tmp_path: Path) -> None:
    network = open_network(saved(tmp_path, operation="Div"), Input(), F32)
    with pytest.raises(PluginFault, match=r"output same .* NaN or infinite values"):
        network.infer(np.zeros((8, 8, 3), np.uint8))


def test_an_input_size_that_the_network_does_not_take_is_refused(tmp_path: Path) -> None:
    network = open_network(saved(tmp_path), Input(size_wh=(8, 16)), F32)
    assert network.infer(picture(16, 8))["same"].shape == (3, 16, 8)
    with pytest.raises(PluginFault, match=r"\(24, 16, 3\) failed"):
        network.infer(picture(24, 16))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("net.onnx", None, r"net\.onnx cannot be used by onnxruntime", id="absent"),
        pytest.param("net.onnx", b"half a network", r"net\.onnx cannot be used by onnxruntime", id="damaged"),
        pytest.param("net.onnx", b"", r"net\.onnx have 0 inputs \(none\)", id="empty"),
        pytest.param("net.xml", b"<net/>", "not ONNX.* use runtime openvino and device cpu", id="OpenVINO's"),
        pytest.param("net.tflite", b"TFL3", "not ONNX", id="TensorFlow's"),
    ],
)
def test_unreadable_weights_are_reported(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(Unavailable, match=message):
        open_network(tmp_path / name, Input(), F32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": 2}, r"have 2 inputs \(float, float\)"),
        ({"kind": 11}, r"have 1 inputs \(double\)"),
        ({"operation": "Nonsense"}, "cannot be used by onnxruntime .* runtime openvino"),
    ],
)
def test_networks_with_unusable_inputs_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        open_network(saved(tmp_path, **options), Input(), F32)


# A GPU. There may be none here; what must never happen is that the CPU quietly takes its place.


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that says it can use a GPU, and then cannot, as without a driver."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this build can use a GPU")
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_build_without_cuda_is_refused(tmp_path: Path, runtime: str) -> None:
    with pytest.raises(Unavailable, match=r"device cuda .* built for the CPU; .*velum-anonymizer\[gpu\]"):
        open_network(saved(tmp_path), Input(), RuntimeConfig(device="cuda", runtime=runtime))  # type: ignore[arg-type]


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this build can use a GPU")
@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
def test_a_session_that_fell_back_to_the_cpu_is_refused(tmp_path: Path, claimed: None) -> None:
    with pytest.raises(Unavailable, match="device cuda cannot be used: .* no NVIDIA driver"):
        open_network(saved(tmp_path), Input(), RuntimeConfig(device="cuda"))


def test_two_builds_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "onnxruntime_gpu-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unavailable, match="onnxruntime and onnxruntime-gpu are installed, and overwrite each other"):
        open_network(saved(tmp_path), Input(), F32)


@pytest.mark.parametrize(("device", "extra"), [("cpu", "ort"), ("cuda", "gpu")])
def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "velum.locate.runtime.onnxruntime", raising=False)
    with pytest.raises(Unavailable, match=rf"runtime onnxruntime needs .*velum-anonymizer\[{extra}\]"):
        open_network(saved(tmp_path), Input(), replace(F32, device=device))  # type: ignore[arg-type]


@pytest.mark.real
@pytest.mark.parametrize(("name", "height", "width"), [("centerface", 288, 512), ("yunet", 320, 448)])
def test_real_weights_give_the_same_as_with_openvino(shared: Path, name: str, height: int, width: int) -> None:
    form = family(name).input
    try:
        path = fetch.ensure_local(registry.find(name), RuntimeConfig(offline=True))
    except Unavailable:
        path = shared / "models" / name / "face_detection_yunet_2023mar.onnx"
    if not path.is_file():
        pytest.skip(f"the weights of {name} are not here")
    rgb = picture(height, width)
    ours = open_network(path, form, F32).infer(rgb)
    theirs = openvino.OpenvinoNetwork(path, form, RuntimeConfig(precision="f32")).infer(rgb)
    assert list(ours) == list(theirs)
    for key, values in ours.items():
        np.testing.assert_allclose(values, theirs[key], atol=1e-3, rtol=1e-3)
