"""Runtimes: the only files that import an inference library."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from velum.errors import PluginFault, Unavailable
from velum.frame import Rgb
from velum.locate.output_formats import Floats, Input, Tensors
from velum.locate.registry import Model
from velum.plugins import RuntimeConfig

# OpenVINO and NNCF report every import to their maker, unless the user has refused that in a file of theirs. They do
# not when this telemetry module is missing, which both allow for. This must come before either is imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes an import fail, though its type is a module


class Network(Protocol):
    """A network ready to run. Called from several threads at once."""

    @property
    def precision(self) -> str:
        """Precision that is really used, such as f32, bf16 or f16; `i8+bf16` for a quantized network."""
        ...

    @property
    def runtime(self) -> str:
        """Name and version of the library that runs the network."""
        ...

    def infer(self, rgb: Rgb) -> Tensors:
        """Return the outputs, in the network's order, for one image (height, width, 3) that has the input's size.

        The runtime converts the image to the form that the family's `Input` states: order, mean, scale and layout.
        Raises `PluginFault` when the library fails, and when an output has NaN or infinity: finding nothing in such an
        output would prove nothing.
        """
        ...

    def infer_many(self, pictures: Iterable[Rgb]) -> Iterator[Tensors]:
        """Yield the outputs for each image, in order, with several images in progress at the same time.

        The next image is read when one is done, so any number of images takes little memory. Images may differ in size.
        Raises as `infer` does.
        """
        ...


def open_network(path: Path, form: Input, host: RuntimeConfig, fingerprint: str = "") -> Network:
    """Return the network of the weights at `path`, in the runtime and on the device that `host` names.

    With `fingerprint`, the verified hash of the weights, the network that OpenVINO compiles is cached for later
    processes. Devices other than the CPU use onnxruntime, whatever `host.runtime` is. Raises `Unavailable` when that
    library or device is missing, and when it cannot read the weights: velum never falls back to another one.
    """
    name = host.runtime if host.device == "cpu" else "onnxruntime"
    try:
        make = _network_class(name)
    except ImportError as error:
        extra = "ort" if host.device == "cpu" else "gpu"
        raise Unavailable(
            f"runtime {name} needs a library that is not installed ({error}); pip install 'velum-anonymizer[{extra}]'"
        ) from error
    return make(path, form, host, fingerprint)


def _network_class(runtime: str) -> Callable[[Path, Input, RuntimeConfig, str], Network]:
    if runtime == "openvino":
        with _without_converter():
            from velum.locate.runtime.openvino import OpenvinoNetwork  # noqa: PLC0415 - loaded when it is used

        return OpenvinoNetwork
    from velum.locate.runtime.onnxruntime import OnnxNetwork  # noqa: PLC0415 - of an extra

    return lambda path, form, host, _: OnnxNetwork(path, form, host)


_CONVERTER = "openvino.tools.ovc"


@contextmanager
def _without_converter() -> Iterator[None]:
    """Import OpenVINO without its converter of models, which velum does not use and which is half of that import.

    Programs that embed velum find `openvino.convert_model` all the same: the converter is loaded when it is called.
    """
    if "openvino" in sys.modules or _CONVERTER in sys.modules:
        yield
        return
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # None: its import fails, which OpenVINO takes
    try:
        yield
    finally:
        del sys.modules[_CONVERTER]
    sys.modules["openvino"].convert_model = _convert_model  # type: ignore[attr-defined]  # a module's own name


def _convert_model(*arguments: Any, **options: Any) -> Any:
    from openvino.tools.ovc import convert_model  # noqa: PLC0415 - loaded when it is used

    return convert_model(*arguments, **options)


FINGERPRINT_SIDE = 320
"""About the sides, in pixels, of the image for a fingerprint, where the network takes any size."""


def fingerprint_of(network: Network, form: Input) -> str:
    """Return a hash of a network's outputs for a fixed image, in hexadecimal.

    It is equal where the same weights give the same numbers to the last digit. Processors with other instructions sum
    in another order and round otherwise, with the same library and precision. Raises `PluginFault` as `infer` does.
    """
    side = -(-FINGERPRINT_SIDE // form.stride) * form.stride
    width, height = form.size_wh or (side, side)
    words = np.random.PCG64(0).random_raw(-(-width * height * 3 // 8))  # the raw words are the same in every numpy
    rgb = words.astype("<u8").view(np.uint8)[: width * height * 3].reshape(height, width, 3)
    outputs = hashlib.sha256()
    for values in network.infer(np.ascontiguousarray(rgb)).values():
        outputs.update(np.ascontiguousarray(values).tobytes())
    return outputs.hexdigest()


def to_tensor(rgb: Rgb, form: Input) -> Floats:
    """Convert an image (height, width, 3) to the input form: (1, 3, height, width), or NHWC, in float32."""
    channels = range(3) if form.order == "rgb" else range(2, -1, -1)
    planes = np.empty((1, 3, *rgb.shape[:2]), np.float32)
    for plane, channel in zip(planes[0], channels, strict=True):
        np.subtract(rgb[..., channel], np.float32(form.mean[channel]), out=plane)
        if form.scale[channel] != 1:
            np.multiply(plane, np.float32(form.scale[channel]), out=plane)
    return planes if form.layout == "nchw" else np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def check_finite(outputs: dict[str, npt.NDArray[Any]]) -> Tensors:
    """Return the outputs unchanged. Raises `PluginFault` when one holds NaN or infinity."""
    for name, values in outputs.items():
        if not np.isfinite(values.sum(dtype=np.float64)):
            raise PluginFault(f"output {name} of the network has NaN or infinite values; use precision f32")
    return outputs


def model_facts(model: Model, network: Network) -> dict[str, str]:
    """Return model, weights, family, runtime and precision as the report lists them."""
    return {
        "model": model.name,
        "weights": model.fingerprint,
        "family": model.family,
        "runtime": network.runtime,
        "precision": network.precision,
    }
