"""YuNet: class, objectness and box heads at strides 8, 16 and 32, as libfacedetection.train exports them.

For each stride, with one row per cell from left to right and top to bottom: `cls_8` (n, 1) and `obj_8` (n, 1), both
from 0 to 1; `bbox_8` (n, 4), the centre's offset from the cell and the logarithm of the size, across and down, in
cells; `kps_8` (n, 10), the offsets of five points from the cell, across and down, in cells: the eyes, the tip of the
nose and the corners of the mouth, the left one in the image first. Decoding after Wu et al., "YuNet: A Tiny
Millisecond-level Face Detector" (2023), and OpenCV's FaceDetectorYN: a score is the geometric mean of class and
objectness.

Measured on cut-outs of labelled photographs, scaled, at a threshold of 0.3: 98 % of the faces whose shorter side is 16
pixels of the input are found, 90 % at 12, 75 % at 10; above 400 pixels boxes become too small.
"""

import numpy as np
import numpy.typing as npt

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors, concatenate

STRIDES = (8, 16, 32)


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:
    """Return the faces whose score is at least `threshold`."""
    return concatenate([_decode_stride(outputs, stride, input_wh[0] // stride, threshold) for stride in STRIDES])


def _decode_stride(outputs: Tensors, stride: int, columns: int, threshold: float) -> Detections:
    kind, objectness = (np.clip(outputs[f"{head}_{stride}"][:, 0], 0, 1) for head in ("cls", "obj"))
    score = np.sqrt(kind * objectness)
    hits = np.flatnonzero(score >= threshold)
    box = outputs[f"bbox_{stride}"][hits]
    cell = np.stack((hits % columns, hits // columns), axis=1)
    middle = (cell + box[:, :2]) * stride
    landmarks = outputs.get(f"kps_{stride}")
    half = np.exp(box[:, 2:]) * (stride / 2)
    return Detections(
        np.concatenate((middle - half, middle + half), axis=1).astype(np.float32),
        score[hits].astype(np.float32),
        np.zeros(len(hits), np.int32),
        points=None if landmarks is None else _place_landmarks(landmarks[hits], cell, stride),
    )


def _place_landmarks(offsets: Floats, cell: npt.NDArray[np.intp], stride: int) -> Floats:
    """Return points (n, 5, 2) of offsets (n, 10) from cells (n, 2)."""
    points: Floats = ((offsets.reshape(-1, 5, 2) + cell[:, None]) * stride).astype(np.float32)
    return points


def recognise(signature: Signature) -> str | None:
    """Return the reason when there are class, objectness and box heads for each stride, by name."""
    wanted = {f"{head}_{stride}" for head in ("cls", "obj", "bbox") for stride in STRIDES}
    if wanted <= signature.outputs.keys():
        return "outputs named cls, obj and bbox for strides 8, 16 and 32, as YuNet gives"
    return None


FAMILY = Family(
    decode,
    Input(order="bgr", stride=32),
    smallest_side=16.0,
    largest_side=400.0,
    nms_iou=0.3,
    recognise=recognise,
)
