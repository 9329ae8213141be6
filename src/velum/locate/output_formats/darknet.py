"""YOLOv3, YOLOv4 and their tiny variants, as velum converts darknet's own files: boxes decoded, nothing suppressed.

One output, `darknet_rows` (n, 5 + classes), made by `velum.locate.runtime.darknet`: centre and size in pixels of the
input, objectness and classes from 0 to 1. The output has the rows of all heads and anchors. A score is the product of
objectness and class, as in darknet's `get_yolo_detections`.
"""

import numpy as np

from velum.locate.output_formats import Detections, Family, Input, Signature, Tensors

OUTPUT = "darknet_rows"


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:  # noqa: ARG001 - the seam's
    """Return every class of every row whose score is at least `threshold`. Raises `ValueError` for other outputs."""
    rows = outputs.get(OUTPUT)
    if rows is None or rows.ndim != 2 or rows.shape[1] < 6:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
        raise ValueError(f"outputs {shapes} are not {OUTPUT} (n, 5 + classes)")
    likely = rows[rows[:, 4] >= threshold]
    scores = likely[:, 4:5] * likely[:, 5:]
    hits, kind = np.nonzero(scores >= threshold)
    middle, half = likely[hits, :2], likely[hits, 2:4] / 2
    return Detections(
        np.concatenate((middle - half, middle + half), axis=1).astype(np.float32),
        scores[hits, kind].astype(np.float32),
        kind.astype(np.int32),
    )


def recognise(signature: Signature) -> str | None:
    """Return why the network is of this family: the name that the conversion gives its output."""
    return f"its output is {OUTPUT}, as velum converts darknet" if set(signature.outputs) == {OUTPUT} else None


FAMILY = Family(
    decode,
    Input(order="rgb", scale=(1 / 255, 1 / 255, 1 / 255), fit="stretch"),
    smallest_side=16.0,
    largest_side=512.0,
    nms_iou=0.45,
    recognise=recognise,
)
