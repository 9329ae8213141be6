"""YOLO with key points, as Ultralytics exports it from version 8 on: faces with five points, persons with a skeleton.

One row for each anchor, (4 + classes + k, n), of centre and size, class scores, and k numbers of the key points, which
are not read; or, suppressed by the network, (m, 6 + k), of edges, score, class and key points. The number of classes
determines where the key points begin. Older training tools write rows with objectness, or with the class after the key
points: velum refuses both, since their shapes do not tell them apart.
"""

import numpy as np

from velum.locate.output_formats import Detections, Tensors
from velum.locate.output_formats.yolo import anchor_counts, from_centres, in_pixels, is_finished, task_family


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float, classes: int = 1) -> Detections:
    """Return every class of every anchor whose score is at least `threshold`.

    Raises `ValueError` when the output is of neither layout for so many classes.
    """
    (table,) = list(outputs.values())[:1]
    counts = anchor_counts(input_wh)
    if table.ndim == 2 and table.shape[1] in counts and _is_points(table.shape[0] - 4 - classes):
        rows = table.T
        kind, hits = np.nonzero(table[4 : 4 + classes] >= threshold)
        score, boxes = table[4 + kind, hits], from_centres(rows[hits, :4])
    elif table.ndim == 2 and not counts & {*table.shape} and _is_points(table.shape[1] - 6) and is_finished(table, 5):
        rows = table
        hits = np.flatnonzero(rows[:, 4] >= threshold)
        kind, score, boxes = np.rint(rows[hits, 5]).astype(np.int_), rows[hits, 4], rows[hits, :4]
    else:
        raise ValueError(
            f"output {table.shape} is neither ({4 + classes} + k, n) nor (m, 6 + k), with k numbers of key points, two "
            f"or three each, where an input of {input_wh} gives n of {sorted(counts)}"
        )
    return Detections(
        in_pixels(boxes.astype(np.float32), rows, input_wh), score.astype(np.float32), kind.astype(np.int32)
    )


def _is_points(numbers: int) -> bool:
    return numbers > 0 and (numbers % 2 == 0 or numbers % 3 == 0)


FAMILY = task_family(decode, "pose", "it finds boxes with key points")
