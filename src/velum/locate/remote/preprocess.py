"""Convert frames into the input tensor of a served model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from velum.errors import BadPlan
from velum.frame import Frame
from velum.locate.remote.open_inference import DTYPES, Form, Tensor

Order = Literal["rgb", "bgr"]
Fill = Literal["letterbox", "stretch"]
Layout = Literal["nchw", "nhwc"]


@dataclass(frozen=True, slots=True)
class InputPlacement:
    """How a frame is placed in the input: scaled to `content_wh`, in the top left corner of `input_wh`."""

    content_wh: tuple[int, int]
    input_wh: tuple[int, int]


@dataclass(frozen=True, slots=True)
class InputTensor:
    """An input for images, as `(image - mean) * scale`.

    `batch` is the number of images in one tensor: 0 where the input has no axis for it, None where that is open.
    """

    name: str
    dtype: np.dtype[Any]
    layout: Layout
    input_wh: tuple[int, int]
    batch: int | None
    order: Order
    fill: Fill
    pad: int
    mean: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]

    def placement(self, frame: Frame) -> InputPlacement:
        """Return how a frame is placed in the input."""
        if self.fill == "stretch":
            return InputPlacement(self.input_wh, self.input_wh)
        scale = min(self.input_wh[0] / frame.width, self.input_wh[1] / frame.height)
        return InputPlacement((max(1, round(frame.width * scale)), max(1, round(frame.height * scale))), self.input_wh)

    def tensor(self, frames: Sequence[Frame]) -> Tensor:
        """Return the input tensor for the frames; the last frame fills the rest of a fixed batch."""
        views = [self._view(frame) for frame in frames]
        views += views[-1:] * ((self.batch or 0) - len(views))
        return views[0] if self.batch == 0 else np.stack(views)

    def _view(self, frame: Frame) -> Tensor:
        (width, height), (across, down) = self.input_wh, self.placement(frame).content_wh
        filled = np.full((height, width, 3), self.pad, np.uint8)
        filled[:down, :across] = frame.rgb(across, down)
        ordered = filled if self.order == "rgb" else filled[..., ::-1]
        changed = self.mean.any() or (self.scale != 1).any()
        cast = ((ordered - self.mean) * self.scale if changed else ordered).astype(self.dtype)
        return np.ascontiguousarray(cast if self.layout == "nhwc" else cast.transpose(2, 0, 1))


@dataclass(frozen=True, slots=True)
class Preparation:
    """The plan's options for the input; the server's description decides what they leave open."""

    size: tuple[int, ...] = ()
    layout: Layout | None = None
    order: Order = "rgb"
    fill: Fill = "letterbox"
    pad: int = 114
    mean: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0


def plan_input(name: str, form: Form, plan: Preparation) -> InputTensor:
    """Combine the plan's options with the server's description. Raises `BadPlan` where they contradict each other."""
    if form.datatype not in {"UINT8", "FP16", "FP32", "FP64"}:
        raise BadPlan(f"input {name} takes {form.datatype}; pictures are UINT8, FP16, FP32 or FP64")
    if len(form.shape) not in {3, 4}:
        raise BadPlan(f"input {name} has shape {list(form.shape)}; one for pictures has 3 axes, or 4 with the batch")
    means, scales = _three("mean", plan.mean), _three("scale", plan.scale)
    if form.datatype == "UINT8" and (means.any() or (scales != 1).any()):
        raise BadPlan(f"input {name} takes whole bytes (UINT8); leave out mean and scale")
    if not 0 <= plan.pad <= 255:
        raise BadPlan(f"pad is {plan.pad}; it must be from 0 to 255")
    axes = form.shape[-3:]
    axes_layout = _layout(name, axes, plan.layout)
    height, width = axes[1:] if axes_layout == "nchw" else axes[:2]
    batch = 0 if len(form.shape) == 3 else None if form.shape[0] < 1 else form.shape[0]
    input_wh = _size(name, (width, height), plan.size)
    dtype = DTYPES[form.datatype]
    return InputTensor(name, dtype, axes_layout, input_wh, batch, plan.order, plan.fill, plan.pad, means, scales)


def _three(option: str, value: float | tuple[float, ...]) -> npt.NDArray[np.float32]:
    values = value if isinstance(value, tuple) else (value, value, value)
    if len(values) != 3:
        raise BadPlan(f"{option} is {list(values)}; it must be one number or three, in the order of the channels")
    return np.array(values, np.float32)


def _layout(name: str, axes: tuple[int, ...], stated: Layout | None) -> Layout:
    possible: list[Layout] = []
    possible += ["nchw"] if axes[0] in {3, -1} else []
    possible += ["nhwc"] if axes[2] in {3, -1} else []
    sure: list[Layout] = [layout for layout in possible if axes[0 if layout == "nchw" else 2] == 3]
    if stated in possible:
        return stated
    if stated is not None or len(sure) != 1:
        raise BadPlan(
            f"input {name} has axes {list(axes)}, from which the layout {stated or 'of the channels'} does not follow; "
            "write layout='nchw' or layout='nhwc', with three channels"
        )
    return sure[0]


def _size(name: str, served_wh: tuple[int, int], stated: tuple[int, ...]) -> tuple[int, int]:
    """Return width and height of the input: the server's, the plan's where that is open."""
    if stated and (len(stated) != 2 or not all(1 <= side <= 8192 for side in stated)):
        raise BadPlan(f"size is {list(stated)}; it must be [width, height] in pixels, each from 1 to 8192")
    size_wh = tuple(side if side > 0 else stated[i] if stated else 0 for i, side in enumerate(served_wh))
    if 0 in size_wh:
        raise BadPlan(f"input {name} takes pictures of any size; write size=[width, height], such as size=[640, 640]")
    if stated and size_wh != stated:
        raise BadPlan(
            f"size is {list(stated)}, but input {name} takes {size_wh[0]} x {size_wh[1]} pixels; leave it out"
        )
    return size_wh[0], size_wh[1]
