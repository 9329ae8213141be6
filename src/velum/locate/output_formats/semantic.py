"""Semantic segmentation: the class of each pixel of the output.

Layouts, told apart by their shape, with `n` labels: class scores (n, h, w), as PyTorch exports them, or (h, w, n), as
TensorFlow does; one channel, (h, w), (1, h, w) or (h, w, 1), that has either the index of the class or, where its type
is not integer, the probability of the last class (of person, with background and person, or of the only class).

Scores that all lie from 0 to 1 are probabilities already, as after a softmax or sigmoid in the network; others are
logits and go through softmax, a single channel through the logistic function. The output may have any size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from velum.errors import PluginFault
from velum.locate.output_formats import Floats, Input, Recognise, Signature, Tensors, input_is_fixed

ReadMap = Callable[[Tensors, int], Floats]
"""`read(outputs, labels)` returns the probability, 0 to 1, of each class for each pixel of the output: an array
(labels, rows, columns) that covers the whole input. Raises `PluginFault` when the outputs are of another layout."""


@dataclass(frozen=True, slots=True)
class MapFamily:
    """One output layout of networks that classify each pixel instead of giving boxes."""

    read: ReadMap
    input: Input
    recognise: Recognise
    localizer: str = "segment"
    """Name of the localizer that turns its maps into regions."""
    input_varies: Callable[[Signature], bool] = input_is_fixed
    """Tells whether networks of a signature differ in their normalisation, so that the user must state it."""


def read(outputs: Tensors, labels: int) -> Floats:
    """Return the probabilities (labels, rows, columns) that the first output holds."""
    name, values = next(iter(outputs.items()))
    if values.ndim == 3 and values.shape[0] == labels != 1:
        return _probabilities(values)
    if values.ndim == 3 and values.shape[2] == labels != 1:
        return _probabilities(values.transpose(2, 0, 1))
    plane = _plane(values)
    if plane is None:
        raise PluginFault(
            f"output {name} of the network is {values.shape}, and the model has {labels} labels; a class map is "
            f"({labels}, h, w), (h, w, {labels}) or one channel: give the model as many labels as it has classes"
        )
    return _one_hot(plane, labels) if _is_index(plane) else _last_of(plane, labels)


def recognise(signature: Signature) -> str | None:
    """Return why the signature fits a class map: one output with the aspect of the input."""
    if len(signature.inputs) != 1 or len(signature.outputs) != 1:
        return None
    shape = next(iter(signature.outputs.values()))
    input_hw = _picture_hw(next(iter(signature.inputs.values())))
    output_hw = _picture_hw(shape)
    if len(shape) not in {3, 4} or input_hw is None or output_hw is None:
        return None
    if input_hw == output_hw == (None, None):
        classes = (shape[1] or 0) > 1
        return (
            f"its only output {shape} has a channel per class and the size of an input that is open"
            if classes
            else None
        )
    shrinks = {i / o for i, o in zip(input_hw, output_hw, strict=True) if i and o}
    # Inputs of a multiple of the stride plus one give nearly the same ratio. Maps coarser than 8 are those of
    # detectors.
    if not shrinks or min(shrinks) < 0.9 or max(shrinks) > 1.2 * min(shrinks) or max(shrinks) > 8.5:
        return None
    return f"its only output {shape} has the aspect of its input: a map of classes"


def _probabilities(scores: npt.NDArray[Any]) -> Floats:
    scores = scores.astype(np.float32)
    if scores.min() >= 0 and scores.max() <= 1:
        return scores
    scores = np.exp(scores - scores.max(axis=0))
    soft: Floats = scores / scores.sum(axis=0)
    return soft


def _plane(values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Return the single channel (h, w); None when there are several."""
    if values.ndim == 2:
        return values
    if values.ndim != 3 or 1 not in {values.shape[0], values.shape[2]}:
        return None
    return values[0] if values.shape[0] == 1 else values[..., 0]


def _is_index(plane: npt.NDArray[Any]) -> bool:
    return plane.dtype.kind in "iub" or bool(plane.max(initial=0) > 1 and (plane == np.floor(plane)).all())


def _one_hot(plane: npt.NDArray[Any], labels: int) -> Floats:
    if plane.min() < 0 or plane.max() >= max(labels, 2):
        raise PluginFault(
            f"the network's map holds classes {plane.min():g} to {plane.max():g}, and the model has {labels} labels; "
            "give it as many labels as it has classes"
        )
    classes = np.arange(labels) if labels > 1 else np.array([1])
    hard: Floats = (plane == classes[:, None, None]).astype(np.float32)
    return hard


def _last_of(plane: npt.NDArray[Any], labels: int) -> Floats:
    """Return the probabilities of one or two classes from a plane that holds those of the last class."""
    if labels > 2:
        raise PluginFault(
            f"the network's map has one channel of probabilities, and the model has {labels} labels; "
            "give it one label, or background and one label"
        )
    soft: Floats = plane.astype(np.float32)
    if soft.min() < 0 or soft.max() > 1:
        soft = (1 / (1 + np.exp(-soft))).astype(np.float32)
    return np.stack((1 - soft, soft)[-labels:])


def _picture_hw(shape: tuple[int | None, ...]) -> tuple[int | None, int | None] | None:
    """Return height and width of an image tensor, whichever axis holds the channels; None for other tensors."""
    inner = shape[1:] if len(shape) == 4 else shape
    if len(inner) != 3:
        return None
    sides = [size for size in inner if size is not None]
    if len(shape) == 3:
        return inner[1], inner[2]
    # Channels are fewer than rows or columns: on the first axis unless the last one is smaller.
    last = inner[2] is not None and inner[2] == min(sides) and inner[2] != inner[0]
    return (inner[0], inner[1]) if last else (inner[1], inner[2])


def input_varies(_: Signature) -> bool:
    """Return True: training tools normalise differently, and the shapes do not show it."""
    return True


FAMILY = MapFamily(read, Input(order="rgb", fit="stretch"), recognise, input_varies=input_varies)
