"""The large layers of a network give the same, strip by strip, and are left alone where strips would not."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from velum.locate.runtime.row_strips import divide_into_strips

HEIGHT, WIDTH, CHANNELS = 44, 24, 6
SEVERAL = CHANNELS * HEIGHT * WIDTH // 5
"""So many values in a strip make at least five of them."""


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 0.5, shape).astype(np.float32)


def convolution(values: Any, outputs: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Any:
    """Return a convolution with a bias and a rectifier."""
    inputs = values.output(0).get_shape()[1]
    work = ops.convolution(
        values, weights(outputs, inputs, kernel, kernel), [stride] * 2, [padding] * 2, [padding] * 2, [dilation] * 2
    )
    return ops.relu(ops.add(work, weights(1, outputs, 1, 1)))


PLAIN = [1, 1], [0, 0], [0, 0], [1, 1]
ONE_BIAS = weights(1, CHANNELS, 1, 1)


def depthwise(values: Any, stride: int) -> Any:
    channels = values.output(0).get_shape()[1]
    return ops.group_convolution(values, weights(channels, 1, 1, 3, 3), [stride] * 2, [1, 1], [1, 1], [1, 1])


def centerface_like(image: Any) -> Any:
    """Wide layers that end in a small one, as the first layers of CenterFace."""
    return convolution(depthwise(convolution(convolution(image, 4, 3, 2, 1), CHANNELS * 4, 1), 2), 2, 1)


def no_padding(image: Any) -> Any:
    return convolution(convolution(image, CHANNELS, 3), 2, 4, stride=3)


def dilated(image: Any) -> Any:
    return convolution(convolution(image, CHANNELS, 5, padding=2), 3, 3, padding=4, dilation=4)


def residual(image: Any) -> Any:
    """A branch whose ways meet again in a sum, as in CenterFace's blocks, and a narrow layer after it."""
    first = convolution(image, CHANNELS, 3, padding=1)
    way = depthwise(convolution(first, CHANNELS * 2, 1), 1)
    joined = ops.add(first, ops.add(ops.convolution(way, weights(CHANNELS, CHANNELS * 2, 1, 1), *PLAIN), ONE_BIAS))
    return convolution(joined, 2, 3, 2, 1)


def network(layers: Any) -> ov.Model:
    """Return a network of these layers for 8-bit images, with two outputs after a branch."""
    image = ops.parameter([1, HEIGHT, WIDTH, 3], np.uint8, name="image")
    values = ops.transpose(ops.convert(image, np.float32), np.array([0, 3, 1, 2]))
    last = layers(values)
    return ov.Model([ops.result(ops.sigmoid(last)), ops.result(ops.exp(last))], [image])


def outputs(model: ov.Model) -> Sequence[np.ndarray]:
    image = np.random.default_rng(1).integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)
    compiled = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    return [np.array(values) for values in compiled(image // 16).values()]


@pytest.mark.parametrize("layers", [centerface_like, no_padding, dilated, residual])
@pytest.mark.parametrize("values", [SEVERAL, SEVERAL // 3])
def test_strips_give_what_the_whole_gives(layers: Any, values: int) -> None:
    divided = network(layers)
    assert divide_into_strips(divided, values) >= 4
    for strips, whole in zip(outputs(divided), outputs(network(layers)), strict=True):
        np.testing.assert_allclose(strips, whole, rtol=1e-4, atol=1e-5)


def branch(image: Any) -> Any:
    first = convolution(image, CHANNELS, 3, padding=1)
    return ops.add(first, convolution(first, CHANNELS, 3, padding=1))


def sum_of_two_ways(image: Any) -> Any:
    """Two wide layers that meet: rows of each belong to one of them only."""
    return ops.add(convolution(image, CHANNELS, 3, padding=1), convolution(image, CHANNELS, 5, padding=2))


def bias_by_row(image: Any) -> Any:
    rows = ops.add(convolution(image, CHANNELS, 3, padding=1), weights(1, HEIGHT, 1))
    return convolution(rows, 2, 3, padding=1)


def pooled(image: Any) -> Any:
    first = ops.avg_pool(convolution(image, CHANNELS, 3), [HEIGHT - 2, 1], [0, 0], [0, 0], [HEIGHT - 2, 1], True)
    return convolution(first, 2, 1)


@pytest.mark.parametrize("layers", [branch, sum_of_two_ways, bias_by_row, pooled])
def test_layers_that_need_the_whole_stay_whole(layers: Any) -> None:
    model = network(layers)
    assert divide_into_strips(model, SEVERAL) == 0


def test_a_small_network_and_one_for_any_size_stay_whole() -> None:
    assert divide_into_strips(network(centerface_like)) == 0
    model = network(centerface_like)
    model.reshape([1, -1, WIDTH, 3])
    assert divide_into_strips(model, SEVERAL) == 0
