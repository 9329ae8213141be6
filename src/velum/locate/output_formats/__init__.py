"""Families: one file per output layout of a network, with a pure function that decodes arrays.

A family states a network's input form and decodes its outputs. It depends on no file, runtime or frame.
To add a family, add a file that defines `FAMILY`; the file's name is the family's name.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from velum.errors import BadPlan

Floats = npt.NDArray[np.float32]
Tensors = Mapping[str, npt.NDArray[Any]]
"""Outputs of a network for one image, by name, in the network's order, without the batch axis."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The detections of a network in one image, in input pixels; neither sorted nor suppressed."""

    xyxy: Floats  # (n, 4)
    score: Floats  # (n,), 0 to 1
    kind: npt.NDArray[np.int32]  # (n,), index into the model's labels
    masks: tuple[Floats, ...] | None = None
    """For each detection the probability, 0 to 1, that a part of its box belongs to the object: an array of any size
    (rows, columns), to be stretched over the box. None for networks that give boxes only."""
    points: Floats | None = None
    """For each detection its landmarks (n, points, 2), x and y in input pixels; None for networks that give none."""

    def __post_init__(self) -> None:
        n = len(self.score)
        if self.xyxy.shape != (n, 4) or self.score.shape != (n,) or self.kind.shape != (n,):
            raise ValueError(f"detections do not match: {self.xyxy.shape}, {self.score.shape}, {self.kind.shape}")
        if self.masks is not None and len(self.masks) != n:
            raise ValueError(f"{n} detections have {len(self.masks)} masks")
        if self.points is not None and (self.points.ndim != 3 or self.points.shape[::2] != (n, 2)):
            raise ValueError(f"{n} detections have points {self.points.shape}")

    def take(self, which: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "Detections":
        """Return the detections that `which` selects, by indices or by one flag per detection."""
        chosen = np.arange(len(self))[which]
        masks = None if self.masks is None else tuple(self.masks[i] for i in chosen)
        points = None if self.points is None else self.points[chosen]
        return Detections(self.xyxy[chosen], self.score[chosen], self.kind[chosen], masks, points)

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True, slots=True)
class Input:
    """The input form of a network: `(rgb - mean) * scale`, channels in `order`, sides multiples of `stride`.

    `fit` says how an image fills the input: `letterbox` keeps the aspect and pads right and below with `pad` (before
    mean and scale), `stretch` does not keep it. `size_wh` is set for networks of fixed size.
    """

    order: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fit: Literal["letterbox", "stretch"] = "letterbox"
    layout: Literal["nchw", "nhwc"] = "nchw"
    stride: int = 32
    pad: int = 0
    size_wh: tuple[int, int] | None = None


Decode = Callable[[Tensors, tuple[int, int], float], Detections]
"""`decode(outputs, input_wh, threshold)` returns detections with a score of at least `threshold`."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Names and shapes of a network's inputs and outputs, known without running it. Open sizes are None."""

    inputs: Mapping[str, tuple[int | None, ...]]
    outputs: Mapping[str, tuple[int | None, ...]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The file's metadata, such as class names, stride and task, which trainers write into ONNX files."""


Recognise = Callable[[Signature], str | None]
"""Returns why the signature fits the family, in words; None when it does not fit."""


def literal(text: str) -> object:
    """Parse a Python literal from a file's metadata; None for text that is no literal."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def unrecognisable(_: Signature) -> None:
    """Return None: the family cannot be recognised by a signature."""


def input_is_fixed(_: Signature) -> bool:
    """Return False: all networks of the family have the same input form."""
    return False


@dataclass(frozen=True, slots=True)
class Family:
    """One output layout: the input form, the decoder, the sizes of objects found, and the overlap for suppression."""

    decode: Decode
    input: Input = field(default_factory=Input)
    smallest_side: float = 16.0
    """Shorter side, in pixels of the input, of the smallest object that the network finds reliably."""
    largest_side: float = 512.0
    """Longer side, in pixels of the input, of the largest object that it finds whole."""
    nms_iou: float | None = 0.4
    """Intersection over union above which the lower-scored of two boxes of one kind is dropped; None: the network does
    that itself."""
    recognise: Recognise = unrecognisable
    localizer: str = "model"
    """Name of the localizer that turns its detections into regions."""
    decode_for: Callable[[int], Decode] | None = None
    """Returns the decoder for a number of labels, where that number determines the meaning of the columns."""
    input_varies: Callable[[Signature], bool] = input_is_fixed
    """Tells whether networks of a signature differ in their normalisation, so that the user must state it."""

    def for_labels(self, count: int) -> "Family":
        """Return the family with the decoder for a model of `count` labels."""
        return self if self.decode_for is None else replace(self, decode=self.decode_for(count))


def names() -> list[str]:
    """Return the names of all families."""
    return sorted(module.name for module in iter_modules(__path__))


def family(name: str) -> Family:
    """Return a family by name. Raises `BadPlan` for an unknown one, with the known ones."""
    if name not in names():
        raise BadPlan(f"family {name!r} is unknown; known are {', '.join(names())}")
    kind: Family = import_module(f"{__name__}.{name}").FAMILY
    return kind


def no_detections() -> Detections:
    """Return an empty set of detections."""
    return Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))


def concatenate(parts: Sequence[Detections]) -> Detections:
    """Return all detections of several parts, in order."""
    if not parts:
        return no_detections()
    return Detections(
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.kind for part in parts]),
        tuple(mask for part in parts for mask in part.masks or ()) if parts[0].masks is not None else None,
        np.concatenate([part.points for part in parts if part.points is not None])
        if parts[0].points is not None
        else None,
    )
