"""A base is made ready for other classes in its file; trained weights go back into it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.train.tiny_network import write_tiny_centerface

from velum.errors import BadInput, BadPlan
from velum.locate.detect_family import STATED
from velum.locate.import_model import ImportOptions, identify_model
from velum.locate.output_formats import Input
from velum.locate.runtime import open_network
from velum.plugins import RuntimeConfig
from velum.train import graph
from velum.train.bases import find_base
from velum.train.graph import HEADS


def outputs(path: Path, side: int = 64) -> dict[str, np.ndarray]:
    rgb = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    network = open_network(path, Input(), RuntimeConfig(precision="f32", compiled_cache=False))
    return {name: np.asarray(values) for name, values in network.infer(rgb).items()}


def test_a_prepared_base_gives_each_class_a_map_and_no_landmarks(tmp_path: Path) -> None:
    base = write_tiny_centerface(tmp_path / "base.onnx")
    before = outputs(base)
    model = graph.load(base)
    HEADS["centerface"].prepare(model, 3, 1)
    graph.state_facts(model, ("disc", "star", "moon"), {})
    onnx.save(model, tmp_path / "made.onnx")
    after = outputs(tmp_path / "made.onnx")
    assert {name: values.shape for name, values in after.items()} == {
        "heat": (3, 16, 16), "size": (2, 16, 16), "offset": (2, 16, 16)
    }  # fmt: skip
    np.testing.assert_allclose(after["size"], before["538"], atol=1e-5)
    np.testing.assert_allclose(after["heat"], np.repeat(before["537"], 3, axis=0), atol=0.05)
    assert not np.array_equal(after["heat"][0], after["heat"][1])


def test_the_written_file_states_labels_and_family(tmp_path: Path) -> None:
    model = graph.load(write_tiny_centerface(tmp_path / "base.onnx"))
    HEADS["centerface"].prepare(model, 2, 1)
    graph.state_facts(model, ("disc", "star"), {STATED: "centerface"})
    onnx.save(model, tmp_path / "made.onnx")
    offer = identify_model(tmp_path / "made.onnx", ImportOptions())
    assert (offer.family, offer.labels) == ("centerface", ("disc", "star"))
    with pytest.raises(BadInput, match="has 2 classes, and the list of labels has 1"):
        identify_model(tmp_path / "made.onnx", ImportOptions(labels=("disc",)))


def test_weights_go_back_into_the_file(tmp_path: Path) -> None:
    model = graph.load(write_tiny_centerface(tmp_path / "base.onnx"))
    changed = graph.with_weights(model, {"a.bias": np.arange(12, dtype=np.float32)})
    assert graph.weight(changed, "a.bias").tolist() == list(range(12))
    assert graph.weight(model, "a.bias").tolist() == [0] * 12
    assert graph.weight(changed, "a.weight").tolist() == graph.weight(model, "a.weight").tolist()


def test_unsuitable_bases_are_refused(tmp_path: Path) -> None:
    host = RuntimeConfig(models=tmp_path / "models")
    with pytest.raises(BadPlan, match="model 'nonsense' is unknown"):
        find_base("nonsense", host)
    with pytest.raises(BadPlan, match="of family ssd, which velum cannot train; take centerface or a FILE"):
        find_base("face-detection-adas-0001", host)
    with pytest.raises(BadInput, match="there is no model at"):
        find_base(str(tmp_path / "no.onnx"), host)
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(BadInput, match="cannot be read"):
        find_base(str(tmp_path / "text.onnx"), host)
    (tmp_path / "weights.pt").write_bytes(b"x")
    with pytest.raises(BadInput, match="only networks in ONNX can be trained"):
        find_base(str(tmp_path / "weights.pt"), host)
    base = find_base(str(write_tiny_centerface(tmp_path / "own.onnx")), host)
    assert (base.name, base.family, base.form.size_wh) == ("own.onnx", "centerface", None)
