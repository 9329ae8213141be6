"""Decode the outputs of a served model into regions: boxes with scores, or class maps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Frame
from velum.locate.remote.open_inference import BadResponse, Tensor
from velum.locate.remote.preprocess import InputPlacement
from velum.locate.segmenter import connected_components
from velum.region import Box, Mask, Region, intersections

Format = Literal["xyxy", "yxyx", "xywh", "cxcywh"]
Units = Literal["pixels", "relative"]
Floats = npt.NDArray[np.float32]

BEYOND = 2.0
"""How far a box may reach beyond the input, in sides of the input; boxes that reach farther are refused."""

RELATIVE = 1.5
"""When all boxes end before this coordinate, they are not in pixels: no object is that small."""

TOLERANCE = 1e-3
"""Largest rounding error of a score, beyond 0 or 1."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """Decodes boxes. `scores` and `classes` may repeat the name in `boxes`: they are then columns of that tensor."""

    boxes: str
    scores: str
    classes: str
    format: Format
    units: Units
    labels: tuple[str, ...]
    threshold: float
    iou: float

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the outputs to request."""
        return tuple(dict.fromkeys(filter(None, (self.boxes, self.scores, self.classes))))

    def regions(self, outputs: Mapping[str, Tensor], placement: InputPlacement, frame: Frame) -> list[Region]:
        """Return the regions of one frame, best first. Raises `BadResponse` for invalid outputs."""
        rows, score, kind = self._select_rows({name: _floats(outputs[name]) for name in self.tensors})
        xyxy = self._xyxy(rows, placement)
        order = _suppress(xyxy, score, kind, self.iou)
        per_x, per_y = frame.width / placement.content_wh[0], frame.height / placement.content_wh[1]
        regions = []
        for x0, y0, x1, y1, confidence, index in np.column_stack((xyxy, score, kind))[order].tolist():
            # A box without width or height still covers a pixel.
            around = Box.around(x0 * per_x, y0 * per_y, max(x1, x0 + 1e-3) * per_x, max(y1, y0 + 1e-3) * per_y)
            box, label = around.clip(frame.width, frame.height), self.labels[int(index)]
            if box is not None and label:
                regions.append(Region(box, label, confidence))
        return regions

    def _select_rows(self, outputs: Mapping[str, Tensor]) -> tuple[Floats, Floats, npt.NDArray[np.intp]]:
        """Return coordinates (n, 4), scores (n,) and classes (n,) of the boxes that reach the threshold."""
        classes = len(self.labels)
        extra = 0 if self.scores != self.boxes else 2 if self.classes == self.boxes else classes
        table = _rows(self.boxes, outputs[self.boxes], 4 + extra)
        if extra:
            scores = table[:, 4:5] if self.classes == self.boxes else table[:, 4:]
        else:
            scores = _scores(self.scores, outputs[self.scores], len(table), classes)
        scores = _check_scores(self.scores, scores)
        rows, columns = np.nonzero(scores >= self.threshold)
        if self.classes:
            if self.classes == self.boxes:
                numbers = table[:, 5]
            else:
                numbers = _class_column(self.classes, outputs[self.classes], len(table))
            kind = _check_classes(self.classes, numbers[rows], classes)
        elif scores.shape[1] == classes:
            kind = columns
        else:
            raise BadResponse(
                f"answered with one score for each box, but there are {classes} labels; name the output with the "
                "classes"
            )
        return table[rows, :4], scores[rows, columns], kind

    def _xyxy(self, rows: Floats, placement: InputPlacement) -> Floats:
        """Return the edges (n, 4) in input pixels."""
        if not np.isfinite(rows).all():
            raise BadResponse(f"answered with boxes in {self.boxes!r} that are not finite")
        a, b, c, d = rows.astype(np.float64).T
        edges = {
            "xyxy": (a, b, c, d),
            "yxyx": (b, a, d, c),
            "xywh": (a, b, a + c, b + d),
            "cxcywh": (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
        }[self.format]
        xyxy = np.column_stack(edges)
        if self.units == "pixels" and len(xyxy) and np.abs(xyxy).max() <= RELATIVE:
            raise BadResponse(
                f"answered with boxes that all end within {RELATIVE} pixels; write units='relative' if they are"
            )
        sides = np.array([*placement.input_wh, *placement.input_wh])
        xyxy = xyxy * sides if self.units == "relative" else xyxy
        if ((xyxy < -BEYOND * sides) | (xyxy > (1 + BEYOND) * sides)).any():
            raise BadResponse(
                f"answered with boxes far beyond its input of {placement.input_wh[0]} x {placement.input_wh[1]}; "
                "check units"
            )
        if (xyxy[:, 2:] < xyxy[:, :2]).any():
            raise BadResponse(f"answered with boxes that end before they begin; check format, which is {self.format!r}")
        return xyxy.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Maps:
    """Decodes a map of classes (rows, columns), or of scores for each class (classes, rows, columns).

    Scores outside 0 to 1 go through softmax over the classes. With a single label, a map of real numbers has its
    probability, and a map of whole numbers has classes. A pixel belongs to every label whose probability reaches the
    threshold, not only to the likeliest.
    """

    mask: str
    labels: tuple[str, ...]
    threshold: float

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the outputs to request."""
        return (self.mask,)

    def regions(self, outputs: Mapping[str, Tensor], placement: InputPlacement, frame: Frame) -> list[Region]:
        """Return the connected components of each label, best first. Raises `BadResponse` for an invalid map."""
        layers = self._layers(outputs[self.mask])
        rows = max(1, round(layers.shape[1] * placement.content_wh[1] / placement.input_wh[1]))
        columns = max(1, round(layers.shape[2] * placement.content_wh[0] / placement.input_wh[0]))
        regions: list[Region] = []
        for label, layer in zip(self.labels, layers[:, :rows, :columns], strict=True):
            if label:
                likely = np.rint(layer * 255).astype(np.uint8)
                level = max(1, round(self.threshold * 255))
                regions += [Region(box, label, score, mask) for box, score, mask in _components(likely, level, frame)]
        return sorted(regions, key=lambda region: -region.score)

    def _layers(self, output: Tensor) -> Floats:
        """Return the probability of each label in each cell (labels, rows, columns), 0 to 1."""
        count = len(self.labels)
        layer = output
        while layer.ndim > 3 or (layer.ndim == 3 and len(layer) == 1 and (count > 1 or layer.dtype.kind in "biu")):
            if len(layer) != 1:
                raise BadResponse(f"answered with {self.mask!r} of shape {list(output.shape)}; a map has 2 or 3 axes")
            layer = layer[0]
        if not layer.size or layer.ndim not in {2, 3}:
            raise BadResponse(f"answered with {self.mask!r} of shape {list(output.shape)}; a map has 2 or 3 axes")
        if layer.ndim == 2 and count == 1 and layer.dtype.kind == "f":
            layer = layer[np.newaxis]
        if layer.ndim == 2:
            kinds = _check_classes(self.mask, layer.ravel(), count).reshape(layer.shape)
            return np.stack([kinds == kind for kind in range(count)]).astype(np.float32)
        if count not in {layer.shape[0], layer.shape[2]}:
            raise BadResponse(
                f"answered with {self.mask!r} of shape {list(output.shape)}, which has no axis of {count} labels"
            )
        layers = _floats(layer if layer.shape[0] == count else layer.transpose(2, 0, 1))
        if not np.isfinite(layers).all():
            raise BadResponse(f"answered with numbers in {self.mask!r} that are not finite")
        return _probabilities(self.mask, layers)


def _probabilities(name: str, layers: Floats) -> Floats:
    within = layers.min() >= -TOLERANCE and layers.max() <= 1 + TOLERANCE
    if len(layers) == 1:
        if not within:
            raise BadResponse(f"answered with {name!r} whose one layer is not from 0 to 1; it must be a probability")
        return np.clip(layers, 0, 1)
    if within:
        return np.clip(layers, 0, 1)
    grown = np.exp(layers - layers.max(axis=0))
    return np.asarray(grown / grown.sum(axis=0), np.float32)


def _components(likely: npt.NDArray[np.uint8], level: int, frame: Frame) -> Iterator[tuple[Box, float, Mask | None]]:
    """Yield box, mean probability and mask of each connected component, in image pixels."""
    wide = _spread(likely, level, frame.width, frame.height)
    nearest = cv2.resize(likely, (frame.width, frame.height), interpolation=cv2.INTER_NEAREST)
    numbers, boxes = connected_components(wide)
    for number, box in enumerate(boxes, 1):
        mask: Mask = numbers[box.slices] == number
        score = float(np.asarray(nearest)[box.slices][mask].mean()) / 255
        yield box, max(score, level / 255), None if mask.all() else mask


def _spread(likely: npt.NDArray[np.uint8], level: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return 1 for each pixel at or above `level`, interpolated between the centres of cells, without losing a cell."""
    down, across = -(-likely.shape[0] // height), -(-likely.shape[1] // width)
    if down > 1 or across > 1:
        # Where several cells cover a pixel, the likeliest counts.
        likely = np.asarray(cv2.dilate(likely, np.ones((down, across), np.uint8)), np.uint8)
    smooth = cv2.resize(likely, (width, height), interpolation=cv2.INTER_LINEAR)
    hard = cv2.resize(likely, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray((np.asarray(smooth) >= level) | (np.asarray(hard) >= level)).astype(np.uint8)


def _floats(tensor: Tensor) -> Floats:
    with np.errstate(over="ignore"):  # infinite results are refused below
        return tensor.astype(np.float32)


def _rows(name: str, tensor: Floats, columns: int) -> Floats:
    """Return the tensor as (n, columns); it may be transposed and have leading axes of length 1."""
    table = tensor
    while table.ndim > 2 and len(table) == 1:
        table = table[0]
    if not table.size and table.ndim <= 2:
        return np.empty((0, columns), np.float32)
    if table.ndim == 2 and columns in table.shape:
        return table if table.shape[1] == columns else table.T
    raise BadResponse(f"answered with {name!r} of shape {list(tensor.shape)}; it must be [n, {columns}]")


def _scores(name: str, tensor: Floats, count: int, classes: int) -> Floats:
    """Return scores (n, 1), or (n, classes) where each box has one for each."""
    if tensor.size == count:
        return tensor.reshape(count, 1)
    table = _rows(name, tensor, classes)
    if len(table) != count:
        raise BadResponse(
            f"answered with {name!r} of shape {list(tensor.shape)} for {count} boxes and {classes} labels"
        )
    return table


def _check_scores(name: str, scores: Floats) -> Floats:
    if not np.isfinite(scores).all():
        raise BadResponse(f"answered with scores in {name!r} that are not finite")
    if scores.size and (scores.min() < -TOLERANCE or scores.max() > 1 + TOLERANCE):
        raise BadResponse(
            f"answered with scores from {scores.min():g} to {scores.max():g} in {name!r}; they must be 0 to 1"
        )
    return np.clip(scores, 0, 1)


def _class_column(name: str, tensor: Floats, boxes: int) -> Floats:
    if tensor.size != boxes:
        raise BadResponse(f"answered with {name!r} of shape {list(tensor.shape)} for {boxes} boxes")
    return tensor.ravel()


def _check_classes(name: str, values: npt.NDArray[Any], classes: int) -> npt.NDArray[np.intp]:
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all() or (values != np.rint(values)).any():
        raise BadResponse(f"answered with classes in {name!r} that are not whole numbers")
    if values.size and (values.min() < 0 or values.max() >= classes):
        wrong = values.min() if values.min() < 0 else values.max()
        raise BadResponse(
            f"answered with class {wrong:g} in {name!r}, but there are {classes} labels, counted from 0; name them all"
        )
    return values.astype(np.intp)


def _suppress(xyxy: Floats, score: Floats, kind: npt.NDArray[np.intp], iou: float) -> list[int]:
    """Suppress duplicates: return the rows to keep, best first; `iou` is the overlap of two boxes of one object."""
    waiting: npt.NDArray[np.intp] = np.argsort(-score, kind="stable")
    if iou >= 1:
        return [int(row) for row in waiting]
    area, survivors = np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1), []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        survivors.append(int(best))
        shared = intersections(xyxy[best], xyxy[waiting])
        same = (kind[waiting] == kind[best]) & (shared > 0) & (shared >= iou * (area[best] + area[waiting] - shared))
        waiting = waiting[~same]
    return survivors
