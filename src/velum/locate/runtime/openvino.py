"""OpenVINO on the CPU. Reads ONNX, and IR from version 10 on."""

import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

import numpy as np
import openvino as ov

from velum.errors import PluginFault, Unavailable
from velum.frame import Rgb
from velum.locate.output_formats import Input, Tensors
from velum.locate.runtime import check_finite
from velum.locate.runtime.compiled_cache import CompiledCache
from velum.locate.runtime.inspect_model import add_preprocessing, inputs_of, shared_core, tensor_name
from velum.locate.runtime.row_strips import divide_into_strips
from velum.plugins import Precision, RuntimeConfig

# OpenVINO caches kernels for each input size. Without a limit, sixty sizes take 230 MB more; with this limit they take
# 100 MB, and no measurable time.
KERNELS = 100

FIXED_SIZES = 2
FIXED_PIXELS = 1 << 16
"""Most input sizes that get a network of their own, compiled for that size, and the least area of such an input."""


@dataclass(frozen=True, slots=True, eq=False)
class _CompiledNetwork:
    """A compiled network, with its idle inference requests."""

    compiled: Any
    idle: LifoQueue[Any] = field(default_factory=LifoQueue)


@dataclass(frozen=True, slots=True)
class _NetworkFacts:
    """Facts about a network that are read before it is compiled."""

    names: tuple[str, ...]
    """Names of the outputs."""
    quantized: bool
    picture: int
    """Index of the input for the image."""
    beside: Mapping[int, int]
    """Index of each further input -> number of its values."""

    @classmethod
    def of(cls, model: ov.Model) -> "_NetworkFacts":
        order = [tensor.any_name for tensor in model.inputs]
        picture, *rest = inputs_of(model)
        return cls(
            names=tuple(tensor_name(output, index) for index, output in enumerate(model.outputs)),
            quantized=any(operation.get_type_name() == "FakeQuantize" for operation in model.get_ops()),
            picture=order.index(picture.any_name),
            beside={order.index(other.any_name): other.get_partial_shape()[1].get_length() for other in rest},
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "beside": list(self.beside.items())}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "_NetworkFacts":
        return cls(tuple(value["names"]), value["quantized"], value["picture"], dict(value["beside"]))


_RunningInference = tuple[Any, Rgb, _CompiledNetwork]
"""An inference in progress: its request, its image, which OpenVINO reads in place, and its network."""


class OpenvinoNetwork:
    """A network, compiled once for all input sizes, or for its fixed size.

    Compiling for all sizes costs 2 % (large inputs) to 15 % (640 x 384) of the time of an inference. It saves compiling
    the network, and holding it in memory, once for each size: 0.1 to 0.7 s for each size of photograph. In throughput
    mode, the first sizes get networks of their own: a video has one large size, and the small tiles of later passes
    would make the common network adapt again for every frame, which takes another 15 %. OpenVINO's own cache on disk is
    not used: a flipped bit in it goes unnoticed, so that faces would be missed silently. `CompiledCache` stores the
    network with a hash that is checked; see docs/decisions/0003.
    """

    def __init__(self, path: Path, form: Input, host: RuntimeConfig, fingerprint: str = "") -> None:
        """Read and compile the weights at `path`, or load the network that an earlier process compiled.

        `fingerprint` is the verified hash of the weights; without it, nothing is cached. Raises `Unavailable` when
        OpenVINO cannot read the weights, and when the host asks for another device or for a precision that this CPU
        does not have.
        """
        self._core, self._lock = shared_core(), threading.Lock()
        _check(host)
        try:
            fault = self._load_or_fall_back(path, form, host, fingerprint)
        except RuntimeError as error:
            raise Unavailable(
                f"weights {path} cannot be used by OpenVINO {_version()}: {_first_line(error)}; "
                "it takes ONNX and IR of version 10 or later with one picture as input: fetch or export them again"
            ) from error
        if fault is not None and host.precision != "auto":
            raise _no_such_precision(host, "auto, f32", f" for {path.name}: {_first_line(fault)}") from fault
        # A list of detections has no batch axis: its first axis counts the detections.
        self._batched = [_has_batch(output) for output in self._compiled.outputs]
        self._open = _CompiledNetwork(self._compiled)
        self._fixed: dict[tuple[int, int], _CompiledNetwork] = {}
        # One more than run at the same time: the next one is ready when one ends.
        self._at_once = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) + 1

    @property
    def precision(self) -> str:
        """Precision that is really used: f32, bf16 or f16, with `i8+` before it for a quantized network."""
        rest = str(self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        return f"i8+{rest}" if self._facts.quantized else rest

    @property
    def runtime(self) -> str:
        """Name and version of the library."""
        return f"openvino {_version()}"

    def _load_or_fall_back(self, path: Path, form: Input, host: RuntimeConfig, fingerprint: str) -> RuntimeError | None:
        """Load the network, in f32 where the host's precision fails; return that failure. Raises `RuntimeError`.

        OpenVINO offers bf16 on every CPU that has it, though ONEDNN_MAX_CPU_ISA may forbid the instructions.
        """
        try:
            self._load(path, form, host, fingerprint)
        except RuntimeError as error:
            if host.precision == "f32" or len(precisions()) == 1:
                raise
            _read(self._core, path, form)  # weights that cannot be read fail here in f32 too, though it has a cache
            self._load(path, form, replace(host, precision="f32"), fingerprint)
            return error
        return None

    def _load(self, path: Path, form: Input, host: RuntimeConfig, fingerprint: str) -> None:
        """Compile the network, or load it from the cache. Raises `RuntimeError` as OpenVINO does."""
        cache = CompiledCache.of(host) if fingerprint else None
        key = _cache_key(self._core, form, host, fingerprint)
        fixable = form.size_wh is None and host.mode == "throughput"
        restored = None if cache is None else _restore(self._core, cache, key, host)
        model = None
        if restored is None or fixable:
            model, self._facts = _read(self._core, path, form)
        if restored is None:
            self._compiled = self._core.compile_model(model, "CPU", _settings(host))
            if cache is not None:
                _keep(cache, key, self._compiled, self._facts)
        else:
            self._compiled, self._facts = restored
        self._fixable, self._host = model if fixable else None, host

    def infer(self, rgb: Rgb) -> Tensors:
        """Return the outputs for one image, without the batch axis. Raises `PluginFault`."""
        return self._finish(self._start(rgb))

    def infer_many(self, pictures: Iterable[Rgb]) -> Iterator[Tensors]:
        """Yield the outputs for each image, in order. Raises `PluginFault`."""
        running: deque[_RunningInference] = deque()
        try:
            for rgb in pictures:
                if len(running) == self._at_once:
                    yield self._finish(running.popleft())
                running.append(self._start(rgb))
            while running:
                yield self._finish(running.popleft())
        finally:
            # The caller stopped early, or an inference failed: the others still read their images.
            for request, _, _ in running:
                request.cancel()
                _wait(request)

    def _start(self, rgb: Rgb) -> _RunningInference:
        try:
            ready = self._network_for(rgb.shape[0], rgb.shape[1])
            try:
                request = ready.idle.get_nowait()
            except Empty:
                request = ready.compiled.create_infer_request()
            request.start_async(self._input_values(rgb), share_inputs=True)
        except RuntimeError as error:
            raise _inference_fault(rgb, error) from error
        return request, rgb, ready

    def _network_for(self, height: int, width: int) -> _CompiledNetwork:
        """Return the network for an input size: one compiled for it alone, for the first `FIXED_SIZES` sizes."""
        if self._fixable is None or height * width < FIXED_PIXELS:
            return self._open
        size = height, width
        with self._lock:
            if size not in self._fixed and len(self._fixed) < FIXED_SIZES:
                model = self._fixable.clone()
                model.reshape({self._facts.picture: [1, height, width, 3]})
                if not self._facts.quantized:
                    divide_into_strips(model)
                self._fixed[size] = _CompiledNetwork(self._core.compile_model(model, "CPU", _settings(self._host)))
            return self._fixed.get(size, self._open)

    def _input_values(self, rgb: Rgb) -> dict[int, Any]:
        """Return the input tensors: the image and, for networks that need it, its size.

        Three numbers are height, width and a scale of 1, as Open Model Zoo's `image_info`; two are width and height, as
        `orig_target_sizes` of exported DETRs.
        """
        height, width = rgb.shape[:2]
        sizes = {3: [[height, width, 1]], 2: [[width, height]]}
        return {self._facts.picture: rgb[None]} | {index: np.array(sizes[n]) for index, n in self._facts.beside.items()}

    def _finish(self, started: _RunningInference) -> Tensors:
        request, rgb, network = started
        try:
            request.wait()
            outputs = {
                name: np.array(data[0] if self._batched[i] else data)
                for i, name in enumerate(self._facts.names)
                for data in (request.get_output_tensor(i).data,)
            }
        except RuntimeError as error:
            raise _inference_fault(rgb, error) from error
        network.idle.put(request)
        return check_finite(outputs)


def _read(core: ov.Core, path: Path, form: Input) -> tuple[ov.Model, _NetworkFacts]:
    """Return a network with preprocessing built in. Raises `RuntimeError` as OpenVINO does."""
    model = core.read_model(path)
    facts = _NetworkFacts.of(model)  # before compiling, which adds names of inner tensors to those of the outputs
    return add_preprocessing(model, form, facts.picture, facts.beside), facts


def _cache_key(core: ov.Core, form: Input, host: RuntimeConfig, fingerprint: str) -> str:
    """Return everything that a compiled network depends on, as text."""
    processor = [str(core.get_property("CPU", name)) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    facts = {"openvino": ov.__version__, "weights": fingerprint, "form": asdict(form), "settings": _settings(host)}
    return json.dumps({**facts, "device": ["CPU", *processor]}, sort_keys=True)


def _restore(core: ov.Core, cache: CompiledCache, key: str, host: RuntimeConfig) -> tuple[Any, _NetworkFacts] | None:
    """Return the network that an earlier process compiled; None where there is none that can be used."""
    cached = cache.load(key)
    if cached is None:
        return None
    facts, blob = cached
    try:
        return core.import_model(blob, "CPU", _settings(host)), _NetworkFacts.from_json(facts)
    except RuntimeError:
        return None


def _keep(cache: CompiledCache, key: str, compiled: Any, facts: _NetworkFacts) -> None:
    try:
        blob = compiled.export_model().getvalue()
    except RuntimeError:  # not every kind of network can be exported
        return
    cache.store(key, facts.to_json(), blob)


def _wait(request: Any) -> None:
    try:
        request.wait()
    except RuntimeError:
        return  # cancelled, as asked


def _inference_fault(rgb: Rgb, error: RuntimeError) -> PluginFault:
    return PluginFault(f"inference of a picture of {rgb.shape} failed: {_first_line(error)}")


def _has_batch(output: Any) -> bool:
    shape = output.get_partial_shape()
    return bool(shape.rank.is_dynamic or (len(shape) and shape[0].is_static and shape[0].get_length() == 1))


def _settings(host: RuntimeConfig) -> dict[str, Any]:
    chosen: dict[str, Any] = {"PERFORMANCE_HINT": host.mode.upper(), "CPU_RUNTIME_CACHE_CAPACITY": KERNELS}
    chosen["ENABLE_CPU_PINNING"] = False  # OpenVINO would bind the threads of all processes to the same, first cores
    if host.precision != "auto":
        chosen["INFERENCE_PRECISION_HINT"] = host.precision
    if host.threads:
        chosen["INFERENCE_NUM_THREADS"] = host.threads
    return chosen


def precisions() -> tuple[Precision, ...]:
    """Return the precisions that this CPU supports, f32 first."""
    names: dict[str, Precision] = {"FP32": "f32", "BF16": "bf16", "FP16": "f16"}
    able = shared_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("f32", *sorted({names[name] for name in able if name in names} - {"f32"}))


def _check(host: RuntimeConfig) -> None:
    if host.device != "cpu":
        raise Unavailable(f"OpenVINO runs on the device cpu only, not on {host.device}; use runtime onnxruntime")
    allowed = "auto", *precisions()
    if host.precision not in allowed:
        raise _no_such_precision(host, ", ".join(allowed))


def _no_such_precision(host: RuntimeConfig, allowed: str, why: str = "") -> Unavailable:
    return Unavailable(f"precision {host.precision} is not available on this CPU{why}; choose one of {allowed}")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def _version() -> str:
    return str(ov.__version__).split("-")[0]
