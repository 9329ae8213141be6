"""YOLO from version 5 on, as the usual training tools export it: boxes are decoded, suppressed or not, also with masks.

Layouts with one row for each of the n anchors, where n follows from the size of the input: (n, 5 + classes) of versions
5 to 7, with centre and size, objectness and class scores, where a score is the product of the latter two; (4 + classes,
n) of versions 8 to 12, without objectness; and the same transposed, (n, 4 + classes). Layouts with any other number of
rows: (m, 6), edges, score and class, suppressed by the network; (m, 7), image, edges, class and score, as version 7
exports them with suppression; and (m, 4 + classes) of RT-DETR. Boxes are in pixels of the input or, in files for
TensorFlow and of RT-DETR, shares of it. Variants for segmentation have a second output, prototypes (k, rows, columns),
and k coefficients at the end of each row, used as in the family yolact.

Rows of six numbers can have three meanings. The number of the model's classes decides; where two meanings are left, the
values decide: suppressed rows have whole numbers as classes, and edges in order.
"""

from collections.abc import Callable, Sized
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from velum.locate.output_formats import Decode, Detections, Family, Floats, Input, Signature, Tensors, literal
from velum.locate.output_formats.yolact import prototype_masks

LADDERS = (8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32)
"""Strides of the grids of these networks; each cell has one anchor or three."""

LARGEST_SHARE = 2.0
"""When all coordinates are at most this, they are shares of the input, not pixels: no image is that small."""

Layout = Literal["finished", "objectness", "classes"]
Hits = npt.NDArray[np.intp]


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float, classes: int | None = None) -> Detections:
    """Return every class of every anchor whose score is at least `threshold`.

    `classes` is the number of the model's classes; with None, only the shape decides. Raises `ValueError` when the
    outputs have none of these layouts.
    """
    table, prototypes = _heads(outputs, input_wh)
    extra = 0 if prototypes is None else len(prototypes)
    rows, layout = _rows(table, extra, input_wh, classes)
    hits, kind, score = _select_hits(rows, layout, extra, threshold)
    boxes = rows[hits, :4].astype(np.float32)
    if layout != "finished":
        boxes = from_centres(boxes)
    boxes = in_pixels(boxes, rows, input_wh)
    masks = None
    if prototypes is not None:
        masks = prototype_masks(prototypes, rows[hits, -extra:], boxes, input_wh)
    return Detections(boxes, score.astype(np.float32), kind.astype(np.int32), masks)


def decode_for(classes: int) -> Decode:
    """Return the decoder for a model with that number of classes."""
    return partial(decode, classes=classes)


def from_centres(boxes: Floats) -> Floats:
    """Convert centre and size (n, 4) to edges."""
    half = boxes[:, 2:] / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)


def in_pixels(boxes: Floats, rows: Floats, input_wh: tuple[int, int]) -> Floats:
    """Return the boxes in pixels of the input, converted where the table has shares of the input."""
    if np.abs(rows[:, :4]).max(initial=0) > LARGEST_SHARE:
        return boxes
    return boxes * np.array(input_wh * 2, np.float32)


def _heads(outputs: Tensors, input_wh: tuple[int, int]) -> tuple[Floats, Floats | None]:
    """Return the table of boxes and the prototypes (k, rows, columns), if any."""
    # A table of one row lacks its first axis, which was taken for the batch axis and removed.
    tables = [np.atleast_2d(values) for values in outputs.values() if values.ndim in {1, 2}]
    planes = [values for values in outputs.values() if values.ndim == 3]
    if len(tables) != 1 or len(planes) > 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
        raise ValueError(f"outputs {shapes} are not one table, and for outlines one (k, rows, columns)")
    if not planes:
        return tables[0], None
    first, second, third = planes[0].shape
    if second * input_wh[0] == third * input_wh[1]:
        return tables[0], planes[0]
    if first * input_wh[0] == second * input_wh[1]:
        return tables[0], planes[0].transpose(2, 0, 1)
    raise ValueError(f"prototypes {planes[0].shape} have not the proportions of an input of {input_wh}")


def _rows(table: Floats, extra: int, input_wh: tuple[int, int], classes: int | None) -> tuple[Floats, Layout]:
    """Return the table with a row for each box, and the layout of its columns; `extra` of them are coefficients."""
    counts = anchor_counts(input_wh)
    down, across = table.shape
    if across in counts and down not in counts and down >= 5 + extra:
        return table.T, "classes"
    if down in counts and across not in counts:
        if across == 4 + (classes or 0) + extra and classes:
            return table, "classes"
        if across >= 6 + extra and classes in {None, across - 5 - extra}:
            return table, "objectness"
    elif not {down, across} & counts:
        if across == 6 + extra and is_finished(table, 5) and not (classes == 2 and _has_centres(table)):
            return table, "finished"
        if across == 7 and not extra and is_finished(table[:, 1:], 4):
            return table[:, [1, 2, 3, 4, 6, 5]], "finished"
        if classes and across == 4 + classes + extra:
            return table, "classes"
    raise ValueError(
        f"output {table.shape} with {extra} coefficients a box{f' and {classes} classes' if classes else ''} is none "
        f"of (n, {5 + extra} + classes), ({4 + extra} + classes, n), (m, {6 + extra}) with whole numbers for "
        f"classes, and (m, 7), where an input of {input_wh} gives n of {sorted(counts)}"
    )


def anchor_counts(input_wh: tuple[int, int]) -> set[int]:
    """Return the possible numbers of anchors."""
    width, height = input_wh
    cells = {sum((width // stride) * (height // stride) for stride in ladder) for ladder in LADDERS}
    return cells | {3 * count for count in cells}


def is_finished(rows: Floats, kind_column: int) -> bool:
    """Tell whether rows can come from a network that suppresses itself: their classes are whole numbers.

    Some exports mark empty rows by class -1.
    """
    kinds = rows[:, kind_column]
    return bool((kinds == np.rint(kinds)).all() and (kinds >= -1).all())


def _has_centres(rows: Floats) -> bool:
    """Tell whether most rows cannot be edges, whose second corner is never before the first: then they are centres.

    Quantised networks may give whole numbers, 0 and 1, as scores of a second class.
    """
    return bool((rows[:, 2:4] < rows[:, :2]).any(axis=1).mean() > 0.5)


def _select_hits(
    rows: Floats, layout: Layout, extra: int, threshold: float
) -> tuple[Hits, npt.NDArray[np.int_], Floats]:
    """Return row, class and score of all detections that reach the threshold."""
    end = rows.shape[1] - extra
    if layout == "finished":
        hits = np.flatnonzero(rows[:, 4] >= threshold)
        return hits, np.rint(rows[hits, 5]).astype(np.int_), rows[hits, 4]
    if layout == "objectness":
        likely = np.flatnonzero(rows[:, 4] >= threshold)
        scores = rows[likely, 4:5] * rows[likely, 5:end]
        which, kind = np.nonzero(scores >= threshold)
        return likely[which], kind, scores[which, kind]
    kind, hits = np.nonzero(rows.T[4:end] >= threshold)
    return hits, kind, rows[hits, kind + 4]


def recognise(signature: Signature) -> str | None:
    """Return why the network can be of this family: its shapes, and the metadata that training tools write."""
    if signature.metadata.get("task", "detect") not in {"detect", "segment"}:
        return None
    if [shape[-1:] for shape in signature.outputs.values() if len(shape) == 2] == [(7,)] and len(
        signature.outputs
    ) == 1:
        return "its output is a list of picture, box, class and score"
    tables = [shape for shape in signature.outputs.values() if len(shape) == 3]
    planes = [shape for shape in signature.outputs.values() if len(shape) == 4]
    if len(tables) != 1 or len(planes) > 1 or len(tables) + len(planes) != len(signature.outputs):
        return None
    _, down, across = tables[0]
    prototypes = planes[0][1] if planes else 0
    names = literal(signature.metadata.get("names", ""))
    classes = len(names) if isinstance(names, Sized) else None
    form = None if prototypes is None else _describe_table(down, across, prototypes, classes)
    if form is None:
        return None
    outlines = f" and {prototypes} prototypes of outlines" if prototypes else ""
    written = ", and the file says which classes it knows" if "names" in signature.metadata else ""
    return f"its output is {form}{outlines}{written}"


def _describe_table(down: int | None, across: int | None, extra: int, classes: int | None) -> str | None:
    """Describe the layout of a table (1, down, across); the number of anchors is a multiple of 21 or 85, see `LADDERS`.

    `classes` is the number of classes that the file states.
    """
    if across == 7 and not extra and (down is None or not _is_anchor_count(down)):
        return "a list of picture, box, class and score"
    if across == 6 + extra and (down is None or not _is_anchor_count(down)):
        return "a list of boxes with score and class"
    if across == 6 + extra and (down or 0) > across:
        return "a row for each anchor, of a box and 2 classes, or a box, objectness and 1 class"
    if classes and across == 4 + classes + extra and (down is None or down > across):
        return f"a row for each anchor, of a box and {classes} classes"
    if across is not None and across >= 6 + extra and (down is None or (_is_anchor_count(down) and down > across)):
        return f"a row for each anchor, of a box, objectness and {across - 5 - extra} classes"
    if down is not None and down >= 5 + extra and (across is None or (_is_anchor_count(across) and across > down)):
        return f"a column for each anchor, of a box and {down - 4 - extra} classes"
    return None


def _is_anchor_count(count: int) -> bool:
    return count % 21 == 0 or count % 85 == 0


def task_family(decode: Callable[..., Detections], task: str, result: str) -> Family:
    """Return the family of networks with one table as output whose file states `task`; `result` describes them.

    `decode` takes the number of classes as its argument `classes`.
    """

    def recognise(signature: Signature) -> str | None:
        shapes = list(signature.outputs.values())
        if signature.metadata.get("task") != task or len(shapes) != 1 or len(shapes[0]) != 3:
            return None
        return f"the file says that {result} (task {task})"

    return replace(
        FAMILY, decode=decode, recognise=recognise, decode_for=lambda classes: partial(decode, classes=classes)
    )


FAMILY = Family(
    decode,
    Input(order="rgb", scale=(1 / 255, 1 / 255, 1 / 255), pad=114),
    decode_for=decode_for,
    smallest_side=16.0,
    largest_side=640.0,
    nms_iou=0.6,
    recognise=recognise,
)
