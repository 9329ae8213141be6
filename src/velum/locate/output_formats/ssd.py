"""Detectors that decode and suppress boxes themselves: SSD and Faster R-CNN, with OpenVINO's DetectionOutput or lists.

Either one output whose last axis is 7, as OpenVINO specifies its operation DetectionOutput: rows of image, class,
score and the edges x0, y0, x1, y1 as shares of the input, ended by a row of image -1. Or lists: `boxes` (n, 5), the
edges in pixels of the input and the score, with `labels` (n,), as many networks of the Open Model Zoo have; or `boxes`
(n, 4), `labels` (n,) and `scores` (n,), as torchvision exports them. Kinds keep the network's numbering, which for many
begins with the background.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return the objects whose score is at least `threshold`. Raises `ValueError` for outputs of other shapes."""
    for values in outputs.values():
        if values.ndim and values.shape[-1] == 7:
            return _rows(values.reshape(-1, 7), input_wh, threshold)
    boxes, scores, labels = read_lists(outputs)
    hits = np.flatnonzero(scores >= threshold)
    return Detections(boxes[hits], scores[hits], labels[hits])


def _rows(rows: Floats, input_wh: tuple[int, int], threshold: float) -> Detections:
    ended = np.logical_or.accumulate(rows[:, 0] < 0)
    kept_rows = rows[~ended & (rows[:, 2] >= threshold)]
    return Detections(
        (kept_rows[:, 3:] * np.array(input_wh * 2)).astype(np.float32),
        kept_rows[:, 2].astype(np.float32),
        np.rint(kept_rows[:, 1]).astype(np.int32),
    )


def read_lists(outputs: Tensors) -> tuple[Floats, Floats, npt.NDArray[np.int32]]:
    """Return boxes (n, 4), scores (n,) and classes (n,) of outputs that list them, whatever their order and names.

    Scores are the fifth column of the boxes, or else the list of numbers that are not whole. Raises `ValueError` when
    there is no such list, or two.
    """
    boxes = _only(
        "boxes", [values for values in outputs.values() if values.ndim == 2 and values.shape[1] in {4, 5}], outputs
    )
    lists = [item for item in outputs.items() if item[1].shape == (len(boxes),)]
    labels = _only("classes", [values for name, values in lists if _is_classes(name, values)], outputs)
    if boxes.shape[1] == 5:
        scores = boxes[:, 4]
    else:
        scores = _only("scores", [values for name, values in lists if not _is_classes(name, values)], outputs)
    return boxes[:, :4].astype(np.float32), scores.astype(np.float32), np.rint(labels).astype(np.int32)


def _is_classes(name: str, values: npt.NDArray[Any]) -> bool:
    return values.dtype.kind in "iu" or "label" in name or "class" in name


def _only(role: str, candidates: list[npt.NDArray[Any]], outputs: Tensors) -> npt.NDArray[Any]:
    if len(candidates) != 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
        raise ValueError(f"outputs {shapes} have {len(candidates)} lists that can be the {role}; there must be one")
    return candidates[0]


def recognise(signature: Signature) -> str | None:
    """Return why the network can be of this family: a DetectionOutput, or lists of boxes and labels without masks."""
    shapes = signature.outputs
    if len(shapes) == 1 and len(only := next(iter(shapes.values()))) == 4 and (only[1], only[3]) == (1, 7):
        return "its output has rows of image, class, score and box, as OpenVINO's DetectionOutput"
    boxes, labels = shapes.get("boxes"), shapes.get("labels")
    if not boxes or labels is None or "masks" in shapes or len(labels) != len(boxes) - 1:
        return None
    if boxes[-1] == 5 or (boxes[-1] == 4 and "scores" in shapes):
        return "its outputs list boxes, labels and scores"
    return None


def input_varies(signature: Signature) -> bool:
    """Tell whether the lists are as torchvision writes them: its networks want values from 0 to 1, others 0 to 255."""
    return "scores" in signature.outputs


FAMILY = Family(
    decode,
    Input(order="bgr", fit="stretch"),
    smallest_side=16.0,
    largest_side=512.0,
    nms_iou=None,
    recognise=recognise,
    input_varies=input_varies,
)
