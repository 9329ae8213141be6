"""The outputs of TensorFlow's Object Detection API, in frozen graphs and in SavedModels.

They are recognised by name, in any order: `detection_boxes` (n, 4), the edges y0, x0, y1, x1 as shares of the input;
`detection_scores` (n,); `detection_classes` (n,), whole numbers from 1 on, so that label 0 is the background;
`num_detections`, the number of valid rows; and, for segmentation, `detection_masks` (n, h, w), from 0 to 1 over each
box. The network scales its input itself.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from velum.locate.output_formats import Detections, Family, Input, Signature, Tensors

NEEDED = ("detection_boxes", "detection_scores", "detection_classes")


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return the objects whose score is at least `threshold`. Raises `ValueError` for other outputs."""
    named = {_plain(name): values for name, values in outputs.items()}
    if missing := [name for name in NEEDED if name not in named]:
        raise ValueError(f"there are no outputs {', '.join(missing)} among {', '.join(outputs)}")
    boxes, scores, classes = (named[name] for name in NEEDED)
    if boxes.ndim != 2 or boxes.shape != (len(scores), 4) or classes.shape != scores.shape:
        raise ValueError(f"boxes {boxes.shape}, scores {scores.shape} and classes {classes.shape} do not match")
    count = int(np.ravel(named.get("num_detections", len(scores)))[0])
    hits = np.flatnonzero(scores[:count] >= threshold)
    edges = boxes[hits][:, [1, 0, 3, 2]] * np.array(input_wh * 2)
    return Detections(
        edges.astype(np.float32),
        scores[hits].astype(np.float32),
        np.rint(classes[hits]).astype(np.int32),
        _masks(named["detection_masks"], hits) if "detection_masks" in named else None,
    )


def _masks(masks: npt.NDArray[Any], hits: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.float32], ...]:
    if masks.ndim != 3:
        raise ValueError(f"detection_masks {masks.shape} are not (n, rows, columns)")
    return tuple(masks[hits].astype(np.float32))


def _plain(name: str) -> str:
    """Return a tensor's name without scope and number: `postprocess/detection_boxes:0` is `detection_boxes`."""
    return name.rpartition("/")[2].partition(":")[0]


def recognise(signature: Signature) -> str | None:
    """Return why the network can be of this family: outputs of those names."""
    if set(NEEDED) <= {_plain(name) for name in signature.outputs}:
        return "its outputs have the names of TensorFlow's Object Detection API"
    return None


FAMILY = Family(
    decode,
    Input(order="rgb", layout="nhwc"),
    smallest_side=24.0,
    largest_side=600.0,
    nms_iou=None,
    recognise=recognise,
)
