"""Prepare input tensors and check outputs, alike for every inference library."""

from typing import Any

import numpy as np
import numpy.typing as npt

from velum.errors import PluginFault
from velum.frame import Rgb
from velum.locate.output_formats import Floats, Input, Tensors


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
