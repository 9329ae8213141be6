"""SFace's own weights can be had by address only: a tiny network of the same form stands for it."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset8 as ops

from velum import RuntimeConfig
from velum.frame import Frame, Plane, Role
from velum.locate.embedding.sface import FACE, Sface
from velum.locate.weights import fetch
from velum.plugins import warning_of


def write_network(path: Path) -> Path:
    """Write a network that gives the mean of each channel, and zeros."""
    image = ops.parameter((1, 3, 112, 112), np.float32)
    means = ops.reduce_mean(image, np.array([2, 3]))
    numbers = ops.pad(means, np.array([0, 0]), np.array([0, 125]), "constant", np.float32(0))
    ov.save_model(ov.Model([numbers], [image]), path, compress_to_fp16=False)
    return path


def test_a_vector_has_the_length_one_and_the_face_is_given_in_rgb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "ensure_local", lambda *_: write_network(tmp_path / "tiny.xml"))
    network = Sface(RuntimeConfig(threads=1))
    frame = Frame.of(Plane(np.tile(np.array([30, 0, 40], np.uint8), (112, 112, 1)), Role.RGB))
    (vector,) = network.embed(frame, [FACE.points])
    assert vector.shape == (128,)
    np.testing.assert_allclose(vector[:4], [0.6, 0, 0.8, 0], atol=1e-5)
    assert network.embed(frame, []).shape == (0, 128)
    assert network.same < network.different
    assert network.description["model"] == "sface"
    assert "thresholds that are not measured" in (warning_of(network) or "")
