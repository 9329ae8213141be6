"""A base is made ready for other classes in its file; trained weights go back into it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.train.tiny_network import (
    write_tiny_centerface,
    write_tiny_lpd_yunet,
    write_tiny_map_network,
    write_tiny_yolox,
)

from velum.errors import BadInput, BadPlan
from velum.locate.detect_family import STATED
from velum.locate.import_model import ImportOptions, identify_model
from velum.locate.output_formats import Input
from velum.locate.runtime import open_network
from velum.plugins import RuntimeConfig
from velum.train import graph
from velum.train.bases import HEADS, find_base


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


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_a_map_becomes_one_probability_for_each_class(tmp_path: Path, layout: str) -> None:
    base = find_base(
        str(write_tiny_map_network(tmp_path / "map.onnx", layout)), RuntimeConfig(models=tmp_path / "m"), "segment"
    )
    before = map_of(base.path, base.form)
    model = graph.load(base.path)
    HEADS["semantic"].prepare(model, 2, 1)
    onnx.save(model, tmp_path / "made.onnx")
    after = map_of(tmp_path / "made.onnx", base.form)
    person = before[1] if layout == "nchw" else before[..., 0]
    assert after.shape[0] == 2
    if layout == "nhwc":
        np.testing.assert_allclose(after[0], person, atol=0.05)
    else:  # before it was made larger
        np.testing.assert_allclose(after[0].mean(), person.mean(), atol=0.05)


def map_of(path: Path, form: Input) -> np.ndarray:
    rgb = np.random.default_rng(1).integers(0, 256, (96, 96, 3), np.uint8)
    network = open_network(path, form, RuntimeConfig(precision="f32", compiled_cache=False))
    return np.asarray(next(iter(network.infer(rgb).values())))


@pytest.mark.parametrize(("kind", "write"), [("yolox", write_tiny_yolox), ("lpd_yunet", write_tiny_lpd_yunet)])
def test_rows_get_a_score_for_each_class(tmp_path: Path, kind: str, write: Callable[[Path], Path]) -> None:
    base = find_base(str(write(tmp_path / "base.onnx")), RuntimeConfig(models=tmp_path / "m"))
    assert (base.family, base.form.size_wh) == (kind, None)
    before = outputs(base.path, 96)
    model = graph.load(base.path)
    HEADS[kind].prepare(model, 3, 1)
    graph.state_facts(model, ("disc", "star", "moon"), {STATED: kind})
    onnx.save(model, tmp_path / "made.onnx")
    assert identify_model(tmp_path / "made.onnx", ImportOptions()).labels == ("disc", "star", "moon")
    after = outputs(tmp_path / "made.onnx", 96)
    if kind == "yolox":
        assert after["output"].shape == (189, 8)
        np.testing.assert_allclose(after["output"][:, :5], before["output"][:, :5], atol=1e-4)
        np.testing.assert_allclose(after["output"][:, 5:], before["output"][:, [5] * 3], atol=0.02)
    else:
        assert {name: values.shape for name, values in after.items()} == {
            "loc": (525, 14), "conf": (525, 4), "iou": (525, 1)
        }  # fmt: skip
        np.testing.assert_allclose(after["loc"], before["loc"], atol=1e-2)
    assert next(iter(outputs(tmp_path / "made.onnx", 128).values())).shape[0] > len(next(iter(after.values())))


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
    with pytest.raises(BadPlan, match="centerface gives boxes, and --task segment trains outlines; take pp-humanseg"):
        find_base("centerface", host, "segment")
    with pytest.raises(BadPlan, match="pp-humanseg gives outlines, and --task detect trains boxes; take centerface"):
        find_base("pp-humanseg", host)
    plain = onnx.load(write_tiny_map_network(tmp_path / "map.onnx"))
    del plain.metadata_props[:]
    onnx.save(plain, tmp_path / "plain.onnx")
    with pytest.raises(BadInput, match="does not state how to normalise pixels .*run .velum models add"):
        find_base(str(tmp_path / "plain.onnx"), host, "segment")
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
