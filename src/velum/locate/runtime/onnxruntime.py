"""onnxruntime on the CPU or on an NVIDIA GPU. Reads ONNX."""

import io
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from onnxruntime.capi import onnxruntime_pybind11_state as state

from velum.errors import PluginFault, Unavailable
from velum.frame import Rgb
from velum.locate.output_formats import Input, Tensors
from velum.locate.runtime import check_finite, to_tensor
from velum.plugins import RuntimeConfig

CUDA = "CUDAExecutionProvider"

BUILDS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
"""Distributions that put files into the one folder `onnxruntime`."""

TRIAL_SIDE = 8
"""Side of the trial image on a GPU, in strides."""

_TYPES: dict[int, type] = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.UINT8: np.uint8,
}

_FAILURES = (
    state.EPFail, state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoModel,
    state.NoSuchFile, state.NotFound, state.NotImplemented, state.RuntimeException, RuntimeError, ValueError,
)  # fmt: skip


class OnnxNetwork:
    """A network for all input sizes, or for its fixed size.

    It runs one image at a time, with all threads or the whole GPU, in either mode of the host. Several threads may call
    it at once.
    """

    def __init__(self, path: Path, form: Input, host: RuntimeConfig) -> None:
        """Read the weights at `path`.

        Raises `Unavailable` when onnxruntime cannot read them, computes in another precision than asked for, or cannot
        use the device asked for.
        """
        _check_builds()
        if host.device == "cuda":
            _check_cuda()
        model, self._batched = _load_model(path, form)
        self._precision = _precision(model, host)
        (input_info,) = _inputs(model.graph)
        self._input, self._dtype, self._form = input_info.name, _TYPES[input_info.type.tensor_type.elem_type], form
        self._session = _session(model, path, host)
        self._names = [output.name for output in self._session.get_outputs()]
        if host.device == "cuda":
            self._try_out(path)

    @property
    def precision(self) -> str:
        """Arithmetic that it uses: f32, f16, or `f32 or tf32` where the GPU may choose."""
        return self._precision

    @property
    def runtime(self) -> str:
        """Name and version of the library, and the device where it is not the CPU."""
        device = " cuda" if self._session.get_providers()[0] == CUDA else ""
        return f"{_version()}{device}"

    def infer(self, rgb: Rgb) -> Tensors:
        """Return the outputs for one image, without the batch axis. Raises `PluginFault`."""
        try:
            outputs = self._session.run(None, {self._input: to_tensor(rgb, self._form).astype(self._dtype, copy=False)})
        except _FAILURES as error:
            raise PluginFault(f"inference of a picture of {rgb.shape} failed: {_first_line(error)}") from error
        named = zip(self._names, outputs, self._batched, strict=True)
        return check_finite({name: np.asarray(values[0] if batched else values) for name, values, batched in named})

    def infer_many(self, pictures: Iterable[Rgb]) -> Iterator[Tensors]:
        """Yield the outputs for each image, in order. Raises `PluginFault`."""
        return map(self.infer, pictures)

    def _try_out(self, path: Path) -> None:
        """Run once: an incompatible driver fails only then."""
        width, height = self._form.size_wh or (self._form.stride * TRIAL_SIDE,) * 2
        try:
            self.infer(np.zeros((height, width, 3), np.uint8))
        except PluginFault as error:
            raise Unavailable(f"device cuda cannot run {path.name}: {error}; check nvidia-smi, or use cpu") from error


def _check_builds() -> None:
    builds = [name for name in BUILDS if _is_installed(name)]
    if len(builds) > 1:
        raise Unavailable(
            f"{' and '.join(builds)} are installed, and overwrite each other's files; pip uninstall all of them, "
            "then pip install 'velum-anonymizer[gpu]' for NVIDIA or 'velum-anonymizer[ort]' for the CPU"
        )


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _check_cuda() -> None:
    if CUDA not in ort.get_available_providers():
        raise Unavailable(
            f"device cuda cannot be used: {_version()} is built for the CPU; pip uninstall onnxruntime, "
            "then pip install 'velum-anonymizer[gpu]', or use device cpu"
        )
    # onnxruntime prints what it does not find, possibly into a command's output; the session's providers tell the same.
    with redirect_stdout(io.StringIO()):
        ort.preload_dlls()


def _load_model(path: Path, form: Input) -> tuple[onnx.ModelProto, list[bool]]:
    """Load the network with its input size open, or the form's; return also which outputs have a batch axis."""
    if path.suffix.lower() != ".onnx":
        raise Unavailable(
            f"weights {path} are not ONNX, which is all that onnxruntime reads; use runtime openvino and device cpu, "
            "or export them as ONNX"
        )
    try:
        model = onnx.load(path)
    except (OSError, DecodeError, ValueError) as error:
        raise _unusable(path, error) from error
    inputs = _inputs(model.graph)
    types = [input_info.type.tensor_type.elem_type for input_info in inputs]
    if len(inputs) != 1 or types[0] not in _TYPES:
        kinds = ", ".join(onnx.TensorProto.DataType.Name(kind).lower() for kind in types) or "none"
        raise Unavailable(f"weights {path} have {len(inputs)} inputs ({kinds}); they must have one, a picture")
    width, height = form.size_wh or ("width", "height")
    sizes = (1, 3, height, width) if form.layout == "nchw" else (1, height, width, 3)
    batch = {1, _leading(inputs[0])}
    batched = [_leading(output) is None or _leading(output) in batch for output in model.graph.output]
    _set_shape(inputs[0], sizes)
    # Stored sizes of inner tensors are right for the exported input size only; onnxruntime would allocate buffers by
    # them.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model, batched


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs without the weights, which old exports list among them."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def _leading(value: onnx.ValueInfoProto) -> int | str | None:
    """Return the first size of a tensor, a number or a name; None when it is not stated."""
    sizes = value.type.tensor_type.shape.dim
    return (sizes[0].dim_value or sizes[0].dim_param or None) if sizes else None


def _set_shape(input_info: onnx.ValueInfoProto, sizes: tuple[int | str, ...]) -> None:
    shape = input_info.type.tensor_type.shape
    shape.ClearField("dim")
    for size in sizes:
        if isinstance(size, int):
            shape.dim.add().dim_value = size
        else:
            shape.dim.add().dim_param = size


def _precision(model: onnx.ModelProto, host: RuntimeConfig) -> str:
    """Return the precision of the network: that of its stored weights, since onnxruntime converts nothing."""
    halves = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    stored = "f16" if halves else "f32"
    if host.precision not in {"auto", stored}:
        raise Unavailable(
            f"precision {host.precision} is not available: onnxruntime computes in the precision of the weights; "
            f"choose auto or {stored}"
        )
    return "f32 or tf32" if (host.device, host.precision, stored) == ("cuda", "auto", "f32") else stored


def _session(model: onnx.ModelProto, path: Path, host: RuntimeConfig) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = host.threads
    # Spinning threads would take processor time from decoding and encoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if host.device == "cuda":
        # The search for the fastest convolution takes seconds for each new image size; the heuristic takes none.
        chosen = {"use_tf32": int(host.precision == "auto"), "cudnn_conv_algo_search": "HEURISTIC"}
        providers.insert(0, (CUDA, chosen))
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=providers, enable_fallback=0)
    except _FAILURES as error:
        raise _unusable(path, error) from error
    if host.device == "cuda" and session.get_providers()[0] != CUDA:
        raise Unavailable(
            f"device cuda cannot be used: {_version()} found no NVIDIA driver, CUDA or cuDNN that fits; check "
            "nvidia-smi, pip install 'velum-anonymizer[gpu]', or use device cpu"
        )
    return session


def _unusable(path: Path, error: Exception) -> Unavailable:
    return Unavailable(
        f"weights {path} cannot be used by {_version()}: {_first_line(error)}; fetch or export them again, or use "
        "runtime openvino"
    )


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _version() -> str:
    return f"onnxruntime {ort.__version__}"
