"""OpenVINO runs networks as they state, or the error says why it cannot."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from velum.errors import PluginFault, Unavailable
from velum.frame import Rgb
from velum.locate.output_formats import Input, Tensors
from velum.locate.runtime import fingerprint_of
from velum.locate.runtime.openvino import OpenvinoNetwork
from velum.plugins import Mode, RuntimeConfig

F32 = RuntimeConfig(precision="f32", threads=1)


def saved(path: Path, *, layout: str = "nchw", divide: bool = False) -> Path:
    """Write a network that returns its input, or one divided by it."""
    shape = [1, 3, 8, 8] if layout == "nchw" else [1, 8, 8, 3]
    given = ops.parameter(shape, np.float32, name="picture")
    result = ops.divide(ops.constant(1.0, np.float32), given) if divide else ops.multiply(given, np.float32(1))
    result.output(0).set_names({"same"})
    ov.save_model(ov.Model([ops.result(result)], [given]), path / "same.xml", compress_to_fp16=False)
    return path / "same.xml"


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (16, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_the_input_is_prepared_as_the_model_states(
    tmp_path: Path, picture: np.ndarray, layout: str, order: str
) -> None:
    form = Input(order=order, mean=(1, 2, 3), scale=(0.5, 0.25, 2), layout=layout)  # type: ignore[arg-type]
    outputs = OpenvinoNetwork(saved(tmp_path, layout=layout), form, F32).infer(picture)
    expected = (picture.astype(np.float32) - [1, 2, 3]) * [0.5, 0.25, 2]
    expected = expected[..., ::-1] if order == "bgr" else expected
    assert list(outputs) == ["same"]
    np.testing.assert_allclose(
        outputs["same"], expected.transpose(2, 0, 1) if layout == "nchw" else expected, rtol=1e-5
    )


def test_one_network_takes_any_size_from_several_threads(tmp_path: Path) -> None:
    network = OpenvinoNetwork(saved(tmp_path), Input(), F32)
    random = np.random.default_rng(0)
    pictures = [random.integers(1, 256, (h, w, 3), dtype=np.uint8) for h, w in ((8, 8), (64, 32), (3, 500))] * 8
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(network.infer, pictures))
    for picture, outputs in zip(pictures, results, strict=True):
        assert np.array_equal(outputs["same"], picture.transpose(2, 0, 1))
    assert (network.precision, network.runtime.split()[0]) == ("f32", "openvino")


SIZES = [(8, 8), (64, 32), (3, 500)]


def pictures(count: int) -> list[Rgb]:
    random = np.random.default_rng(0)
    return [random.integers(1, 256, (*SIZES[i % 3], 3), dtype=np.uint8) for i in range(count)]


def test_a_fingerprint_tells_arithmetic_that_differs_in_the_last_digit(tmp_path: Path) -> None:
    class Other(OpenvinoNetwork):
        """The same network on a processor that rounds one number otherwise."""

        def infer(self, rgb: Rgb) -> Tensors:
            outputs = dict(super().infer(rgb))
            outputs["same"] = outputs["same"].copy()
            outputs["same"].flat[7] = np.nextafter(outputs["same"].flat[7], np.float32(np.inf))
            return outputs

    path, form = saved(tmp_path), Input(scale=(0.3, 0.3, 0.3))
    found = [fingerprint_of(OpenvinoNetwork(path, form, F32), form) for _ in range(2)]
    assert found[0] == found[1]
    assert fingerprint_of(Other(path, form, F32), form) != found[0]


@pytest.mark.parametrize("mode", ["latency", "throughput"])
def test_results_come_in_order_whatever_the_sizes_of_inputs(tmp_path: Path, mode: Mode) -> None:
    network = OpenvinoNetwork(saved(tmp_path), Input(), replace(F32, mode=mode, threads=2))
    given = pictures(20)
    for picture, outputs in zip(given, network.infer_many(given), strict=True):
        assert np.array_equal(outputs["same"], picture.transpose(2, 0, 1))
    assert list(network.infer_many([])) == []


def test_a_network_compiled_for_one_size_gives_the_same(tmp_path: Path) -> None:
    """In throughput mode large sizes do, the first of them; a network that is open for any size takes the others."""
    network = OpenvinoNetwork(saved(tmp_path), Input(mean=(1, 2, 3)), replace(F32, mode="throughput", threads=2))
    plain = OpenvinoNetwork(saved(tmp_path), Input(mean=(1, 2, 3)), F32)
    random = np.random.default_rng(0)
    sizes = [(256, 256), (8, 8), (256, 288), (320, 256), (256, 256), (8, 8), (320, 256)]
    given = [random.integers(1, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    for picture, outputs in zip(given, network.infer_many(given), strict=True):
        assert np.array_equal(outputs["same"], plain.infer(picture)["same"])


def test_inputs_are_read_only_as_requests_become_free(tmp_path: Path) -> None:
    taken = 0

    def counted() -> Iterator[Rgb]:
        nonlocal taken
        for picture in pictures(100):
            taken += 1
            yield picture

    next(OpenvinoNetwork(saved(tmp_path), Input(), F32).infer_many(counted()))
    assert taken < 10


def test_a_failed_input_leaves_a_working_network(tmp_path: Path) -> None:
    network = OpenvinoNetwork(saved(tmp_path, divide=True), Input(), F32)
    given = pictures(9)
    given[4][0, 0] = 0
    with pytest.raises(PluginFault, match="NaN or infinite values"):
        list(network.infer_many(given))
    del given[4]
    assert len(list(network.infer_many(given))) == 8


def test_no_telemetry_is_sent(tmp_path: Path) -> None:
    env = {**os.environ, "HOME": str(tmp_path)}
    env.pop("CI", None)
    code = "import velum.locate.runtime.openvino, sys; print(sys.modules['openvino_telemetry'])"
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    assert done.stdout == "None\n"
    assert list(tmp_path.iterdir()) == []  # an import that is told of leaves an identity in the home folder


def test_an_unsupported_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="device cpu only, not on cuda"):
        OpenvinoNetwork(saved(tmp_path), Input(), RuntimeConfig(device="cuda"))


def test_nan_and_infinity_in_outputs_are_refused(tmp_path: Path, picture: np.ndarray) -> None:
    network = OpenvinoNetwork(saved(tmp_path, divide=True), Input(), F32)
    picture[3, 4] = 0
    with pytest.raises(PluginFault, match="output same .* NaN or infinite values"):
        network.infer(picture)


def test_an_input_size_that_the_network_does_not_take_is_refused(tmp_path: Path, picture: np.ndarray) -> None:
    network = OpenvinoNetwork(saved(tmp_path), Input(size_wh=(8, 8)), F32)
    with pytest.raises(PluginFault, match=r"\(16, 24, 3\) failed"):
        network.infer(picture)


@pytest.mark.parametrize(
    ("content", "why"), [(None, "absent"), (b"", "empty"), (b"<net version='6'></net>", "too old or broken")]
)
def test_unreadable_weights_are_reported(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "net.xml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"net\.xml cannot be used by OpenVINO .* version 10"):
        OpenvinoNetwork(path, Input(), F32)


def test_a_precision_that_the_cpu_lacks_is_refused(tmp_path: Path) -> None:
    able = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    absent = next((one for one in ("f16", "bf16") if one.replace("f", "FP").replace("bFP", "BF") not in able), None)
    if absent is None:
        pytest.skip("this CPU has every precision")
    with pytest.raises(Unavailable, match=f"precision {absent} .* choose one of auto, f32"):
        OpenvinoNetwork(saved(tmp_path), Input(), RuntimeConfig(precision=absent))  # type: ignore[arg-type]


@pytest.mark.parametrize(("numbers", "expected"), [(3, [48, 64, 1]), (2, [64, 48])])
def test_a_network_with_an_input_for_the_image_size_gets_it(tmp_path: Path, numbers: int, expected: list[int]) -> None:
    given = ops.parameter([1, 3, 32, 32], np.float32, name="picture")
    size = ops.parameter([1, numbers], np.float32, name="size")
    mean = ops.reduce_mean(given, np.array([1, 2, 3]), keep_dims=True)
    outputs = [ops.add(size, np.float32(0)), mean]
    for name, output in zip(("size_out", "mean"), outputs, strict=True):
        output.output(0).set_names({name})
    ov.save_model(ov.Model(outputs, [size, given], "two inputs"), tmp_path / "two.xml", compress_to_fp16=False)
    network = OpenvinoNetwork(tmp_path / "two.xml", Input(stride=1), RuntimeConfig(precision="f32"))
    found = network.infer(np.full((48, 64, 3), 7, np.uint8))
    assert found["size_out"].tolist() == expected
    assert found["mean"].ravel() == pytest.approx(7)


def test_a_list_of_detections_has_no_batch_axis(tmp_path: Path) -> None:
    given = ops.parameter([1, 3, 32, 32], np.float32, name="picture")
    rows = ops.reshape(ops.transpose(given, np.array([0, 2, 3, 1])), np.array([-1, 3]), special_zero=False)
    rows.output(0).set_names({"rows"})
    ov.save_model(ov.Model([rows], [given], "list"), tmp_path / "list.xml", compress_to_fp16=False)
    network = OpenvinoNetwork(tmp_path / "list.xml", Input(stride=1), RuntimeConfig(precision="f32"))
    assert network.infer(np.zeros((4, 5, 3), np.uint8))["rows"].shape == (20, 3)


def test_a_network_with_unknown_further_inputs_is_refused(tmp_path: Path) -> None:
    given, other = (ops.parameter([1, 3, 32, 32], np.float32, name=name) for name in ("picture", "other"))
    total = ops.add(given, other)
    ov.save_model(ov.Model([total], [given, other], "two pictures"), tmp_path / "two.xml", compress_to_fp16=False)
    with pytest.raises(Unavailable, match="its inputs are"):
        OpenvinoNetwork(tmp_path / "two.xml", Input(stride=1), RuntimeConfig(precision="f32"))


def test_openvino_is_loaded_without_its_converter_which_others_can_still_use(tmp_path: Path) -> None:
    path = saved(tmp_path)
    code = (
        "import sys; from pathlib import Path; from velum.locate.output_formats import Input; "
        "from velum.locate.runtime import open_network; from velum.plugins import RuntimeConfig; "
        f"open_network(Path({str(path)!r}), Input(), RuntimeConfig()); print('openvino.tools.ovc' in sys.modules)\n"
        "import openvino\n"
        "try:\n    openvino.convert_model('missing.onnx')\n"
        "except Exception as error:\n    print('missing.onnx' in str(error), 'openvino.tools.ovc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["False", "True True"]


class LimitedCore:
    """A Core on a CPU that has bf16 where the environment forbids its instructions, as ONEDNN_MAX_CPU_ISA does."""

    def __init__(self) -> None:
        self.core = ov.Core()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.core, name)

    def get_property(self, device: str, name: str) -> Any:
        return ["FP32", "BF16"] if name == "OPTIMIZATION_CAPABILITIES" else self.core.get_property(device, name)

    def compile_model(self, model: ov.Model, device: str, settings: dict[str, Any]) -> Any:
        if settings.get("INFERENCE_PRECISION_HINT") != "f32":
            raise RuntimeError("could not create a primitive descriptor")
        return self.core.compile_model(model, device, settings)


def test_auto_takes_f32_where_the_environment_forbids_bf16(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = LimitedCore()
    monkeypatch.setattr("velum.locate.runtime.openvino.shared_core", lambda: core)
    network = OpenvinoNetwork(saved(tmp_path), Input(), RuntimeConfig(threads=1, mode="throughput"))
    assert network.precision == "f32"
    np.testing.assert_array_equal(network.infer(picture)["same"][0], picture[..., 0])
    with pytest.raises(Unavailable, match=r"bf16 is not available .* same.xml: could not .*; choose one of auto, f32"):
        OpenvinoNetwork(saved(tmp_path), Input(), RuntimeConfig(precision="bf16"))


_SIGNAL_AFTER_NETWORKS = """
import signal, sys
from pathlib import Path
from velum.locate.output_formats import Input
from velum.locate.runtime.openvino import OpenvinoNetwork
from velum.plugins import RuntimeConfig

host = RuntimeConfig(precision="f32", threads=1)
first, second = (OpenvinoNetwork(Path(sys.argv[1]), Input(), host) for _ in range(2))
del first
del second
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="stacks of signal handlers are those of Linux")
def test_a_signal_after_two_networks_reaches_its_handler(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SIGNAL_AFTER_NETWORKS, str(saved(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's list of threads is that of Linux")
def test_threads_of_inference_may_run_on_every_core(tmp_path: Path, picture: np.ndarray) -> None:
    """Bound to cores, those of all processes that work on a folder would share the first ones."""
    network = OpenvinoNetwork(saved(tmp_path), Input(), replace(F32, threads=2))
    network.infer(picture)
    threads = [int(path.name) for path in Path("/proc/self/task").iterdir()]
    assert {frozenset(os.sched_getaffinity(thread)) for thread in threads} == {frozenset(os.sched_getaffinity(0))}
