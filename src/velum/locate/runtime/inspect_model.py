"""Read a network's signature with OpenVINO, without compiling it, and save networks as OpenVINO IR."""

from functools import cache
from pathlib import Path
from typing import Any

import openvino as ov

from velum.errors import BadInput
from velum.locate.output_formats import Signature


@cache
def shared_core() -> ov.Core:
    """Return the process's only Core, which lives as long as the process.

    OpenVINO's plugin for CPUs gives the thread that loads it a stack for signal handlers of its own, and takes it away
    with the Core. Of two Cores that do not end in the reverse order of their making, a stack stays in use that is no
    longer there, and the next signal, such as Ctrl-C, kills the process (seen with OpenVINO 2026.4).
    """
    return ov.Core()


_CONVERSION = ("framework", "reverse_input_channels", "mean_values", "scale_values")
"""Parameters of OpenVINO's converter that are read from the IR files it wrote."""

_DETECTION = ("background_label_id", "num_classes")


def signature(path: Path) -> Signature:
    """Return the names and shapes of a network's inputs and outputs, and its file's metadata.

    The metadata has the properties of an ONNX file, or of an IR made by a training tool, under their own names; the
    options of OpenVINO's converter as `conversion.framework`, `conversion.mean_values` and so on; and, of a
    DetectionOutput operation, `detection.background_label_id` and, where stated, `detection.num_classes`. Raises
    `BadInput` when OpenVINO cannot read the file.
    """
    model = read_model(path)
    return Signature(
        {_name(tensor, n): _shape(tensor) for n, tensor in enumerate(model.inputs)},
        {_name(tensor, n): _shape(tensor) for n, tensor in enumerate(model.outputs)},
        _metadata(model),
    )


def to_ir(path: Path, target: Path) -> None:
    """Write the network of any format that OpenVINO reads to `target`, an .xml file, and the .bin file next to it.

    Raises `BadInput` when OpenVINO cannot read or write it.
    """
    save(read_model(path), target)


def save(model: ov.Model, target: Path) -> None:
    """Write a network to `target`, an .xml file, and the .bin file next to it, in full precision."""
    try:
        ov.save_model(model, target, compress_to_fp16=False)
    except RuntimeError as error:
        raise BadInput(f"{target.stem} cannot be written as OpenVINO IR: {_reason(error)}") from error


def read_model(path: Path) -> ov.Model:
    """Return a network in any format that OpenVINO reads. Raises `BadInput` when it does not."""
    try:
        return shared_core().read_model(path)
    except RuntimeError as error:
        raise BadInput(
            f"{path} cannot be read by OpenVINO: {_reason(error)}; it must be a whole model as ONNX, OpenVINO IR, "
            "TensorFlow (frozen or SavedModel), TensorFlow Lite or Paddle: export it again"
        ) from error


def _metadata(model: ov.Model) -> dict[str, str]:
    groups = {key: values for key, values in model.get_rt_info().items() if hasattr(values, "items")}
    metadata = {str(k): str(v.value) for group in ("model_info", "framework") for k, v in groups.get(group, {}).items()}
    conversion = dict(groups.get("conversion_parameters", {}).items())
    stated = {key: str(conversion[key].value) for key in _CONVERSION if key in conversion}
    metadata |= {f"conversion.{key}": text for key, text in stated.items() if text.strip("()[]{} ")}
    for operation in model.get_ops():
        if operation.get_type_name() == "DetectionOutput":
            facts = operation.get_attributes()
            metadata |= {f"detection.{key}": str(facts[key]) for key in _DETECTION if key in facts}
    return metadata


def _name(tensor: Any, index: int) -> str:
    return str(tensor.get_any_name()) if tensor.get_names() else str(index)


def _shape(tensor: Any) -> tuple[int | None, ...]:
    shape = tensor.partial_shape
    if shape.rank.is_dynamic:
        return ()
    return tuple(int(size.get_length()) if size.is_static else None for size in shape)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith(("Exception from", "Check "))), type(error).__name__)
