"""A darknet network gives, as OpenVINO IR, the numbers that its layers give when they are computed one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest

from velum.errors import BadInput
from velum.locate.runtime import darknet

Array = npt.NDArray[Any]

WIDTH, HEIGHT, CLASSES = 64, 32, 2

CFG = """
[net]
width=64
height=32
channels=3   # a comment

[convolutional]
batch_normalize=1
filters=4
size=3
stride=2
pad=1
activation=mish

[convolutional]
batch_normalize=1
filters=4
size=1
stride=1
pad=1
activation=leaky

[shortcut]
from=-2
activation=linear

[convolutional]
filters=8
groups=2
size=3
stride=4
pad=1
activation=swish

[route]
layers=-1
groups=2
group_id=1

[maxpool]
size=2
stride=1

[maxpool]
size=5
stride=1

[maxpool]
size=2
stride=2

[upsample]
stride=2

[route]
layers=-1,5

[convolutional]
filters=14
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=1,2
anchors=1,2, 10,14, 23,27
classes=2
scale_x_y=1.2

[route]
layers=-3

[convolutional]
filters=7
size=1
stride=1
pad=0
activation=logistic

[yolo]
mask=0
anchors=8,9
classes=2
new_coords=1
"""


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


class Reference:
    """The layers one by one, in plain arithmetic; the numbers of a layer are drawn as it is reached."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(3)
        self.file: list[Array] = []

    def draw(self, *shape: int, low: float = -0.5, high: float = 0.5) -> Array:
        self.file.append(self.random.uniform(low, high, shape).astype(np.float32))
        return self.file[-1].astype(np.float64)

    def convolve(self, x: Array, filters: int, size: int, stride: int, pad: int, groups: int, norm: bool) -> Array:
        bias = self.draw(filters)
        if norm:
            scale, mean, variance = (
                self.draw(filters, low=0.5, high=1.5),
                self.draw(filters),
                self.draw(filters, low=0.1),
            )
        kernel = self.draw(filters, len(x) // groups, size, size)
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        rows, columns = ((n + 2 * pad - size) // stride + 1 for n in x.shape[1:])
        out = np.zeros((filters, rows, columns))
        per, share = filters // groups, len(x) // groups
        for f, r, c in np.ndindex(out.shape):
            first = f // per * share
            window = padded[first : first + share, r * stride : r * stride + size, c * stride : c * stride + size]
            out[f, r, c] = (window * kernel[f]).sum()
        if norm:
            column = (slice(None), None, None)
            out = (out - mean[column]) / np.sqrt(variance[column] + 1e-5) * scale[column]
        return out + bias[:, None, None]

    @staticmethod
    def pool(x: Array, size: int, stride: int) -> Array:
        rows, columns = ((n + size - 1 - size) // stride + 1 for n in x.shape[1:])
        out = np.full((len(x), rows, columns), -np.inf)
        for r, c in np.ndindex(rows, columns):
            y, z = r * stride - (size - 1) // 2, c * stride - (size - 1) // 2
            out[:, r, c] = x[:, max(0, y) : y + size, max(0, z) : z + size].max(axis=(1, 2))
        return out

    def run(self, x: Array) -> Array:
        first = self.convolve(x, 4, 3, 2, 1, 1, True)
        first = first * np.tanh(np.log1p(np.exp(first)))
        second = self.convolve(first, 4, 1, 1, 0, 1, True)
        second = np.where(second > 0, second, 0.1 * second)
        third = self.convolve(first + second, 8, 3, 4, 1, 2, False)
        third = third * sigmoid(third)
        half = third[4:]
        pooled = self.pool(half, 2, 1)
        again = self.pool(self.pool(pooled, 5, 1), 2, 2)
        joined = np.concatenate((again.repeat(2, axis=1).repeat(2, axis=2), pooled))
        head = self.convolve(joined, 14, 1, 1, 0, 1, False)
        plain = sigmoid(self.convolve(joined, 7, 1, 1, 0, 1, False))
        rows = [self.row(head[7 * a : 7 * a + 7], anchor) for a, anchor in enumerate([(10, 14), (23, 27)])]
        return np.concatenate((*rows, self.plain_row(plain, (8, 9))))

    @staticmethod
    def row(cells: Array, anchor: tuple[int, int]) -> Array:
        _, rows, columns = cells.shape
        out = np.empty((rows, columns, 5 + CLASSES))
        for r, c in np.ndindex(rows, columns):
            x, y, w, h, *sure = cells[:, r, c]
            out[r, c, 0] = (sigmoid(x) * 1.2 - 0.1 + c) * WIDTH / columns
            out[r, c, 1] = (sigmoid(y) * 1.2 - 0.1 + r) * HEIGHT / rows
            out[r, c, 2:4] = np.exp([w, h]) * anchor
            out[r, c, 4:] = sigmoid(np.array(sure))
        return out.reshape(-1, 5 + CLASSES)

    @staticmethod
    def plain_row(cells: Array, anchor: tuple[int, int]) -> Array:
        _, rows, columns = cells.shape
        out = np.empty((rows, columns, 5 + CLASSES))
        for r, c in np.ndindex(rows, columns):
            x, y, w, h, *sure = cells[:, r, c]
            out[r, c] = ((x + c) * WIDTH / columns, (y + r) * HEIGHT / rows,
                         4 * w * w * anchor[0], 4 * h * h * anchor[1], *sure)  # fmt: skip
        return out.reshape(-1, 5 + CLASSES)


def files(
    folder: Path, numbers: list[Array], cfg: str = CFG, *, version: tuple[int, int] = (0, 2)
) -> tuple[Path, Path]:
    (folder / "a.cfg").write_text(cfg)
    seen = np.zeros(2 if version >= (0, 2) else 1, "<i4").tobytes()
    data = np.array([*version, 5], "<i4").tobytes() + seen + b"".join(one.tobytes() for one in numbers)
    (folder / "a.weights").write_bytes(data)
    return folder / "a.cfg", folder / "a.weights"


@pytest.mark.parametrize("version", [(0, 2), (0, 1)], ids=["eight bytes of images seen", "four bytes"])
def test_every_layer_gives_what_its_formula_says(tmp_path: Path, version: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).uniform(0, 1, (3, HEIGHT, WIDTH)).astype(np.float32)
    reference = Reference()
    expected = reference.run(picture)
    target = tmp_path / "a.xml"
    assert darknet.convert(*files(tmp_path, reference.file, version=version), target) == (WIDTH, HEIGHT)
    model = ov.Core().compile_model(target, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (found,) = model(picture[None]).values()
    assert found.shape == (1, *expected.shape)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4)


def test_the_input_can_have_another_size(tmp_path: Path) -> None:
    reference = Reference()
    reference.run(np.zeros((3, HEIGHT, WIDTH), np.float32))
    assert darknet.convert(*files(tmp_path, reference.file), tmp_path / "b.xml", (96, 64)) == (96, 64)
    assert list(ov.Core().read_model(tmp_path / "b.xml").input(0).shape) == [1, 3, 64, 96]


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        pytest.param("width=3", "line 1 of .*: 'width=3'|line 1 of .* is 'width=3'", id="no section"),
        pytest.param("[convolutional]\nfilters=3", "does not begin with \\[net\\]", id="no net"),
        pytest.param(CFG.replace("[upsample]", "[crnn]"), "line \\d+ of .* is of a kind that is not read", id="layer"),
        pytest.param(CFG.replace("mish", "elephant"), "activation of .* is 'elephant'; known are", id="activation"),
        pytest.param(CFG.replace("width=64", "width=60"), "60 x 32; sides must be multiples of 32", id="size"),
        pytest.param(CFG.replace("filters=14", "filters=18"), "18 channels; 2 anchors of 2 classes take 14", id="head"),
        pytest.param(CFG.replace("filters=14", "filters=many"), "'many'; it must be numeric", id="no number"),
        pytest.param(CFG.replace("from=-2", "from=-9"), "refers to layer -9", id="layer that is not there"),
        pytest.param(CFG.replace("mask=1,2", "mask=1,3"), "mask \\[1, 3\\] does not fit", id="anchor not there"),
        pytest.param(CFG.split("[yolo]", maxsplit=1)[0], "has no \\[yolo\\] section", id="no head"),
    ],
)
def test_mistakes_in_the_cfg_are_named(tmp_path: Path, cfg: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        darknet.convert(*files(tmp_path, [np.zeros(9999, np.float32)], cfg), tmp_path / "a.xml")


def below_zero(data: bytes) -> bytes:
    return data[:20] + np.full((len(data) - 20) // 4, -1, "<f4").tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda data: data[:-8], "ends within .*: it is cut off", id="cut off"),
        pytest.param(lambda data: data + b"\0" * 400, "has 100 numbers more than its .cfg", id="another network"),
        pytest.param(lambda data: b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer", id="pointer"),
        pytest.param(lambda data: b"PK" + data[2:], "not a darknet weights file", id="something else"),
        pytest.param(lambda data: b"", "not a darknet weights file", id="empty"),
        pytest.param(lambda data: data[:20] + b"\0\0\xc0\x7f" + data[24:], "no numbers", id="not a number"),
        pytest.param(below_zero, "variances below 0", id="variances"),
    ],
)
def test_mistakes_in_the_weights_are_named(tmp_path: Path, change: object, message: str) -> None:
    reference = Reference()
    reference.run(np.zeros((3, HEIGHT, WIDTH), np.float32))
    cfg, weights = files(tmp_path, reference.file)
    weights.write_bytes(change(weights.read_bytes()))  # type: ignore[operator]
    with pytest.raises(BadInput, match=message):
        darknet.convert(cfg, weights, tmp_path / "a.xml")
