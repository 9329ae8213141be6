"""What is particular to the networks of one family: how a base is made ready for other classes, and the loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from velum.errors import BadInput
from velum.train import graph
from velum.train.crops import Crop

Loss = Callable[[Sequence[Any], Sequence[Crop]], Any]
"""`loss(outputs, crops)` returns a tensor: how far the outputs for a batch are from what its crops show."""


@dataclass(frozen=True, slots=True)
class Head:
    """How networks of a family are trained.

    `sizes`: shorter side of the smallest and longer side of the largest object, in pixels of the input, that a trained
    network finds; both follow from the crops that it is shown.
    """

    prepare: Callable[[onnx.ModelProto, int, int], None]
    """`prepare(model, classes, seed)` gives the network that many classes, in place. Raises `BadInput`."""
    loss: Callable[[], Loss]
    """Returns the loss; it is what needs torch."""
    sizes: tuple[float, float]


def _prepare_centerface(model: onnx.ModelProto, classes: int, seed: int) -> None:
    outputs = [item.name for item in model.graph.output]
    if len(outputs) < 3:
        raise BadInput(f"the base has {len(outputs)} outputs; a CenterFace has heat, sizes and offsets at least")
    graph.keep_outputs(model, dict(zip(outputs[:3], ("heat", "size", "offset"), strict=True)))
    graph.open_input(model)
    graph.widen(model, "heat", classes, seed)


def _centerface_loss() -> Loss:
    from velum.train.centerface_loss import centerface_loss  # noqa: PLC0415 - it needs torch

    return centerface_loss


HEADS = {"centerface": Head(_prepare_centerface, _centerface_loss, (12.0, 256.0))}
"""Heads by family; the families that can be trained."""
