"""YOLO with rotated boxes, as Ultralytics exports it from version 8 on; a detection is the upright box around one.

Either one column for each anchor, (4 + classes + 1, n), with centre and size, class scores, and the angle in radians;
or rows suppressed by the network, (m, 7), with centre and size, score, class and angle. The upright box around a box of
width w and height h, rotated by a, is |w cos a| + |h sin a| wide and |w sin a| + |h cos a| high.
"""

import numpy as np

from velum.locate.output_formats import Detections, Floats, Tensors
from velum.locate.output_formats.yolo import anchor_counts, in_pixels, is_finished, task_family


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float, classes: int = 1) -> Detections:
    """Return every class of every anchor whose score is at least `threshold`.

    Raises `ValueError` when the output is of neither layout for so many classes.
    """
    (table,) = list(outputs.values())[:1]
    counts = anchor_counts(input_wh)
    if table.ndim == 2 and table.shape[1] in counts and table.shape[0] == 5 + classes:
        rows = table.T
        kind, hits = np.nonzero(table[4 : 4 + classes] >= threshold)
        score = table[4 + kind, hits]
    elif table.ndim == 2 and not counts & {*table.shape} and table.shape[1] == 7 and is_finished(table, 5):
        rows = table
        hits = np.flatnonzero(rows[:, 4] >= threshold)
        kind, score = np.rint(rows[hits, 5]).astype(np.int_), rows[hits, 4]
    else:
        raise ValueError(
            f"output {table.shape} is neither ({5 + classes}, n) nor (m, 7), where an input of {input_wh} gives n of "
            f"{sorted(counts)}"
        )
    # Convert shares of the input to pixels before rotating: as shares, width and height have different units.
    turned = in_pixels(rows[hits, :4].astype(np.float32), rows, input_wh)
    return Detections(_around(turned, rows[hits, -1]), score.astype(np.float32), kind.astype(np.int32))


def _around(turned: Floats, angle: Floats) -> Floats:
    """Return the edges (n, 4) of the upright boxes around rotated boxes: centre and size (n, 4), radians (n,)."""
    cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    width, height = turned[:, 2], turned[:, 3]
    half = np.stack((width * cos + height * sin, width * sin + height * cos), axis=1) / 2
    return np.concatenate((turned[:, :2] - half, turned[:, :2] + half), axis=1).astype(np.float32)


FAMILY = task_family(decode, "obb", "its boxes are turned")
