"""SCRFD and RetinaFace: faces at anchors, encoded here as the networks learn them, are found where they were."""

from collections.abc import Sequence

import numpy as np
import pytest

from velum.locate.output_formats import Signature, Tensors, family
from velum.locate.output_formats.retinaface import priors

SIZE = (160, 96)
FACES = [(20.0, 30.0, 44.0, 62.0), (70.0, 8.0, 140.0, 90.0)]


def scrfd(faces: Sequence[tuple[float, ...]], *, points: bool = True, size: tuple[int, int] = SIZE) -> Tensors:
    """Return the outputs in which the anchors nearest to a face's middle at stride 16 know its edges."""
    outputs: dict[str, np.ndarray] = {}
    for stride in (8, 16, 32):
        columns, rows = -(-size[0] // stride), -(-size[1] // stride)
        scores, distances = np.zeros((rows * columns * 2, 1)), np.zeros((rows * columns * 2, 4))
        for x0, y0, x1, y1 in faces if stride == 16 else []:
            column, row = int((x0 + x1) / 2 // stride), int((y0 + y1) / 2 // stride)
            index = (row * columns + column) * 2 + 1
            x, y = column * stride, row * stride
            scores[index], distances[index] = 0.9, np.array([x - x0, y - y0, x1 - x, y1 - y]) / stride
        outputs |= {f"s{stride}": scores, f"d{stride}": distances}
        if points:
            outputs[f"k{stride}"] = np.zeros((rows * columns * 2, 10))
    return {name: outputs[name].astype(np.float32) for name in sorted(outputs)}


def retinaface(faces: Sequence[tuple[float, ...]], *, soft: bool) -> Tensors:
    """Return the outputs in which the prior that fits a face best knows its box."""
    placed = priors(SIZE)
    offsets, classes = np.zeros((len(placed), 4)), np.tile([4.0, -4.0], (len(placed), 1))
    for x0, y0, x1, y1 in faces:
        middle, size = np.array([x0 + x1, y0 + y1]) / 2, np.array([x1 - x0, y1 - y0])
        index = np.abs(placed - [*middle, *size]).sum(axis=1).argmin()
        offsets[index, :2] = (middle - placed[index, :2]) / placed[index, 2:] / 0.1
        offsets[index, 2:] = np.log(size / placed[index, 2:]) / 0.2
        classes[index] = -3, 3
    if soft:
        classes = np.exp(classes) / np.exp(classes).sum(axis=1, keepdims=True)
    named = {"landmarks": np.zeros((len(placed), 10)), "classes": classes, "boxes": offsets}
    return {name: values.astype(np.float32) for name, values in named.items()}


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("scrfd", scrfd(FACES)),
        ("scrfd", scrfd(FACES, points=False)),
        ("retinaface", retinaface(FACES, soft=True)),
        ("retinaface", retinaface(FACES, soft=False)),
    ],
)
def test_faces_are_found_where_they_are(name: str, outputs: Tensors) -> None:
    found = family(name).decode(outputs, SIZE, 0.5)
    assert sorted(map(tuple, found.xyxy.round(2).tolist())) == FACES
    assert (found.score >= 0.89).all()


@pytest.mark.parametrize("name", ["scrfd", "retinaface"])
def test_outputs_of_another_input_are_refused(name: str) -> None:
    outputs = scrfd(FACES) if name == "scrfd" else retinaface(FACES, soft=True)
    with pytest.raises(ValueError, match=r"\d"):
        family(name).decode(outputs, (320, 320), 0.5)
    with pytest.raises(ValueError, match="outputs"):
        family(name).decode({"only": next(iter(outputs.values()))}, SIZE, 0.5)


def test_layouts_are_recognised_by_their_columns_whatever_their_names() -> None:
    shapes = {str(n): (None, columns) for n, columns in enumerate([1, 1, 1, 4, 4, 4, 10, 10, 10])}
    assert family("scrfd").recognise(Signature({}, shapes))
    three = {"a": (1, 16800, 4), "b": (1, 16800, 2), "c": (1, 16800, 10)}
    assert family("retinaface").recognise(Signature({}, three))
    assert not family("retinaface").recognise(Signature({}, three | {"c": (1, 900, 10)}))
    assert not family("scrfd").recognise(Signature({}, three))
