"""Runtimes: the only files that import an inference library."""

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
from velum.plugins import RuntimeConfig

# OpenVINO and NNCF tell their maker of every import, unless the user has refused it in a file of theirs; without this
# module they do not, as they themselves provide for. Here, because it must come before either is imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None makes an import fail, though its type is a module


class Network(Protocol):
    """A network ready to run. Called from several threads at once."""

    @property
    def precision(self) -> str:
        """Arithmetic that it really uses, such as f32, bf16 or f16; `i8+bf16` where the network was quantized."""
        ...

    @property
    def runtime(self) -> str:
        """Name and version of the library that runs it."""
        ...

    def infer(self, rgb: Rgb) -> Tensors:
        """Return the outputs, in the network's order, for one picture (height, width, 3) as the family's fit made it.

        The runtime brings it into the form that the family's `Input` states: order, mean, scale and layout. Raises
        `PluginFault` when the library fails, and when an output holds values that are no numbers: nothing found in
        such an output would mean nothing.
        """
        ...

    def infer_many(self, pictures: Iterable[Rgb]) -> Iterator[Tensors]:
        """Yield what `infer` returns for each picture, in order, with several of them in work at a time.

        Pictures are taken up as room becomes free, so that any number of them costs little memory. They may differ in
        size. Raises as `infer` does.
        """
        ...


def open_network(path: Path, form: Input, host: RuntimeConfig, fingerprint: str = "") -> Network:
    """Return the network of the weights at `path`, in the runtime and on the device that the host says.

    With `fingerprint`, the verified hash of the weights, what OpenVINO compiles is kept for later processes. A device
    other than the CPU is onnxruntime's, whatever `host.runtime` says. Raises `Unavailable` when that library
    or device is not here, and when it cannot read the weights: nothing is ever used in its stead.
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
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # as above; OpenVINO does without what it cannot import
    try:
        yield
    finally:
        del sys.modules[_CONVERTER]
    sys.modules["openvino"].convert_model = _convert_model  # type: ignore[attr-defined]  # a module's own name


def _convert_model(*arguments: Any, **options: Any) -> Any:
    from openvino.tools.ovc import convert_model  # noqa: PLC0415 - loaded when it is used

    return convert_model(*arguments, **options)


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
            raise PluginFault(f"output {name} of the network holds values that are no numbers; use precision f32")
    return outputs
