"""Read networks with OpenVINO without compiling them: their signature, their inputs; save them as OpenVINO IR."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import openvino as ov
from openvino.preprocess import PrePostProcessor

from velum.errors import BadInput
from velum.locate.output_formats import Input, Signature


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
        {tensor_name(tensor, n): _shape(tensor) for n, tensor in enumerate(model.inputs)},
        {tensor_name(tensor, n): _shape(tensor) for n, tensor in enumerate(model.outputs)},
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


def inputs_of(model: ov.Model) -> list[Any]:
    """Return the inputs, the image first. Raises `RuntimeError`, as OpenVINO does, for inputs of other kinds."""
    shapes = [(tensor, tensor.get_partial_shape()) for tensor in model.inputs]
    pictures = [tensor for tensor, shape in shapes if shape.rank.is_dynamic or len(shape) == 4]
    beside = [tensor for tensor, shape in shapes if shape.rank.is_static and len(shape) == 2 and shape[1].is_static]
    if len(pictures) != 1 or len(pictures) + len(beside) != len(shapes):
        raise RuntimeError(f"its inputs are {', '.join(str(shape) for _, shape in shapes)}")
    if any(shape[1].get_length() not in {2, 3} for tensor, shape in shapes if tensor in beside):
        raise RuntimeError("an input besides the image has neither 2 nor 3 numbers")
    return [*pictures, *beside]


def add_preprocessing(model: ov.Model, form: Input, picture: int, beside: Mapping[int, int]) -> ov.Model:
    """Return the network with preprocessing built in: it takes 8-bit RGB (1, height, width, 3)."""
    width, height = form.size_wh or (-1, -1)
    shape = [1, 3, height, width] if form.layout == "nchw" else [1, height, width, 3]
    model.reshape({picture: shape, **{index: [1, numbers] for index, numbers in beside.items()}})
    steps = PrePostProcessor(model)
    for index in beside:
        steps.input(index).tensor().set_element_type(ov.Type.i64)
    input_step = steps.input(picture)
    input_step.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    input_step.model().set_layout(ov.Layout(form.layout.upper()))
    work = input_step.preprocess().convert_element_type(ov.Type.f32)
    if any(form.mean):
        work.mean(list(form.mean))
    if form.scale != (1.0, 1.0, 1.0):
        work.scale([1 / factor for factor in form.scale])
    if form.order == "bgr":
        work.reverse_channels()
    return steps.build()


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


def tensor_name(tensor: Any, index: int) -> str:
    """Return the name of an input or output, or its index where it has none."""
    return str(tensor.get_any_name()) if tensor.get_names() else str(index)


def _shape(tensor: Any) -> tuple[int | None, ...]:
    shape = tensor.partial_shape
    if shape.rank.is_dynamic:
        return ()
    return tuple(int(size.get_length()) if size.is_static else None for size in shape)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith(("Exception from", "Check "))), type(error).__name__)
