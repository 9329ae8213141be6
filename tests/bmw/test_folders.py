"""Model folders of the BMW inference APIs become models as their configs say, or an error names the faulty file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset1, opset8

from velum.bmw.folders import ModelFolderOptions, model_folders, read
from velum.bmw.label_map import read_label_map
from velum.errors import BadInput
from velum.locate import user_models
from velum.locate.import_model import ImportedModel, ImportOptions
from velum.locate.registry import added_models
from velum.plugins import RuntimeConfig

OVD = {
    "inference_engine_name": "openvino_detection", "confidence": 60, "predictions": 15, "number_of_classes": 2,
    "framework": "openvino", "type": "detection", "network": "ssd",
}  # fmt: skip

IMAGE = {
    "width": 64, "height": 32, "scale": 0.00392, "crop": False, "swapRB": True, "mean": {"R": 1, "G": 2, "B": 3},
}  # fmt: skip

CFG = """[net]
width=32
height=32
[convolutional]
filters=14
size=3
stride=8
pad=1
activation=linear
[yolo]
mask=0,1
anchors=8,9, 16,18
classes=2
"""


def ssd(path: Path, *, background: int = 0, classes: int = 3, conversion: dict[str, str] | None = None) -> None:
    """Write a network that ends in DetectionOutput, with one prior."""
    picture = opset8.parameter([1, 3, 32, 32], np.float32, name="data")
    none = opset8.multiply(opset8.reduce_mean(picture, np.array([2, 3]), keep_dims=False), np.float32(0))
    loc = opset8.concat([none, opset8.constant(np.zeros((1, 1), np.float32))], 1)
    scores = opset8.constant(np.full((1, classes), 0.9, np.float32))
    priors = opset8.constant(np.array([[[0.25, 0.25, 0.75, 0.75], [0.1, 0.1, 0.2, 0.2]]], np.float32))
    facts = {
        "background_label_id": background, "num_classes": classes, "keep_top_k": np.array([10]), "top_k": 10,
        "nms_threshold": 0.5, "normalized": True, "share_location": True,
        "code_type": "caffe.PriorBoxParameter.CENTER_SIZE",
    }  # fmt: skip
    found = opset1.detection_output(loc, scores, priors, facts)
    found.output(0).set_names({"detection_out"})
    model = ov.Model([found], [picture])
    for key, value in (conversion or {}).items():
        model.set_rt_info(value, ["conversion_parameters", key])
    ov.save_model(model, path, compress_to_fp16=False)


def instances(path: Path, classes: int = 3) -> None:
    """Write a network with the outputs of Mask R-CNN."""
    picture = opset8.parameter([1, 3, 48, 48], np.float32, name="image")
    outputs = {"boxes": (5, 4), "scores": (5,), "classes": (5,), "raw_masks": (5, classes, 7, 7)}
    results = [opset8.constant(np.zeros(shape, np.float32)) for shape in outputs.values()]
    for result, name in zip(results, outputs, strict=True):
        result.output(0).set_names({name})
    ov.save_model(ov.Model([*results, picture], [picture]), path, compress_to_fp16=False)


def make_ovd(folder: Path, **facts: Any) -> None:
    ssd(folder / "frozen.xml", **facts)
    (folder / "config.json").write_text(json.dumps(OVD))
    (folder / "classes.txt").write_text("face\nlicense_plate\n\n")


def make_ovs(folder: Path) -> None:
    instances(folder / f"{folder.name}.xml")
    config = {"classes": 3, "type": "segmentation", "classesname": ["background", "person", "car"]}
    (folder / "configuration.json").write_text(json.dumps(config))
    (folder / "palette.txt").write_text("0\n" * 9)


def make_yolo(folder: Path, **config: Any) -> None:
    (folder / "yolo-obj.cfg").write_text(CFG)
    numbers = np.random.default_rng(0).normal(size=14 + 14 * 3 * 9).astype(np.float32)
    (folder / "yolo-obj.weights").write_bytes(np.array([0, 2, 5, 0, 0], "<i4").tobytes() + numbers.tobytes())
    (folder / "obj.names").write_text("face\nlicense_plate\n")
    facts = {"inference_engine_name": "yolov4_opencv_cpu_detection", "confidence": 40, "nms_threshold": 0.6}
    (folder / "config.json").write_text(json.dumps(facts | config))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "My Model"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def reading(tmp_path: Path) -> Callable[..., ModelFolderOptions]:
    (tmp_path / "room").mkdir()
    return lambda reproduce=False, **said: ModelFolderOptions(ImportOptions(**said), tmp_path / "room", reproduce)


Readings = Callable[..., ModelFolderOptions]


def test_reads_an_openvino_detection_folder(folder: Path, reading: Readings, tmp_path: Path) -> None:
    make_ovd(folder)
    found = read(folder, reading())
    assert (found.name, found.family, found.threshold) == ("my-model", "ssd", 0.6)
    assert found.labels == ("", "face", "license_plate")
    assert (found.input["fit"], found.input["size_wh"]) == ("stretch", (32, 32))
    model = user_models.put(found, RuntimeConfig(models=tmp_path / "own"))
    assert [part.file for part in model.files] == ["model.xml", "model.bin"]


@pytest.mark.parametrize(
    ("folder_name", "name"),
    [("saved_model", "saved_model"), ("Faces_v2", "Faces_v2"), ("2020 model", "model-2020-model"), ("-x", "x")],
)
def test_names_a_model_after_its_folder(tmp_path: Path, reading: Readings, folder_name: str, name: str) -> None:
    """Configurations of clients use the name of the folder."""
    (tmp_path / folder_name).mkdir()
    make_ovd(tmp_path / folder_name)
    found = read(tmp_path / folder_name, reading())
    assert found.name == name
    host = RuntimeConfig(models=tmp_path / "own")
    user_models.put(found, host)
    assert name in added_models(host), "the catalogue can be read again"


def test_reads_the_sample_that_states_21_classes_and_names_81(folder: Path, reading: Readings) -> None:
    instances(folder / "model1.xml", classes=81)
    names = ["background", *(f"thing{i}" for i in range(1, 81))]
    config = {"classes": 21, "type": "segmentation", "classesname": names}
    (folder / "configuration.json").write_text(json.dumps(config))
    assert read(folder, reading()).labels == ("", *names[1:])


ORDERS = [
    ({"framework": "tf", "reverse_input_channels": "True"}, "bgr", "the converter turned them"),
    ({"framework": "tf", "reverse_input_channels": "False"}, "rgb", "as TensorFlow trains"),
    ({"framework": "caffe", "reverse_input_channels": "False"}, "bgr", "as Caffe trains"),
]


@pytest.mark.parametrize(("conversion", "order", "why"), ORDERS)
def test_feeds_channels_in_the_order_of_training_unless_told_to_reproduce_the_mistake(
    folder: Path, reading: Readings, conversion: dict[str, str], order: str, why: str
) -> None:
    make_ovd(folder, conversion=conversion)
    assert read(folder, reading()).input["order"] == order
    assert read(folder, reading(reproduce=True)).input["order"] == "rgb"


def test_reads_a_network_whose_last_class_is_the_background(folder: Path, reading: Readings) -> None:
    make_ovd(folder, background=2)
    assert read(folder, reading()).labels == ("face", "license_plate")


def test_reads_an_openvino_segmentation_folder(folder: Path, reading: Readings) -> None:
    make_ovs(folder)
    found = read(folder, reading())
    assert (found.family, found.labels, found.threshold) == ("mask_rcnn", ("", "person", "car"), 0.5)
    assert found.input["fit"] == "letterbox"
    assert "order" not in found.input
    assert read(folder, reading(reproduce=True)).input["order"] == "rgb"


def test_reads_a_yolo_folder_of_the_cpu_service(folder: Path, reading: Readings) -> None:
    make_yolo(folder, image=IMAGE)
    found = read(folder, reading())
    assert (found.family, found.labels, found.threshold) == ("darknet", ("face", "license_plate"), 0.4)
    assert found.input["size_wh"] == (64, 32)
    assert (found.input["order"], found.input["scale"], found.input["mean"]) == ("rgb", (0.00392,) * 3, (1, 2, 3))
    assert read(folder, reading(reproduce=True)).input["order"] == "bgr"


def test_reads_a_yolo_folder_of_the_gpu_service(folder: Path, reading: Readings) -> None:
    make_yolo(folder, detection_threshold=0.25, hier_threshold=0.5)
    found = read(folder, reading())
    assert (found.threshold, found.input["size_wh"], found.input["fit"]) == (0.25, (32, 32), "stretch")
    assert (found.input["order"], found.input["scale"]) == ("rgb", (1 / 255,) * 3)


def test_options_of_the_user_override_the_configuration(folder: Path, reading: Readings) -> None:
    make_yolo(folder)
    found = read(folder, reading(name="mine", labels=("a", "b"), threshold=0.1, licence="own"))
    assert (found.name, found.labels, found.threshold, found.licence) == ("mine", ("a", "b"), 0.1, "own")


def test_finds_the_model_folders_inside_a_folder(tmp_path: Path) -> None:
    for name in ("b", "a", "empty"):
        (tmp_path / name).mkdir()
    make_ovd(tmp_path / "a")
    make_ovs(tmp_path / "b")
    (tmp_path / "file.txt").write_text("")
    assert [one.name for one in model_folders(tmp_path)] == ["a", "b"]
    assert model_folders(tmp_path / "a") == (tmp_path / "a",)
    assert model_folders(tmp_path / "empty") == ()


# TensorFlow's files are protocol buffers: fields of a number and of bytes, whose key is 8 x number + 0 or 2.


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + varint(value // 128)


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    return varint(number * 8 + 2) + varint(len(value)) + value


def entry(key: str, value: bytes) -> bytes:
    return field(1, key.encode()) + field(2, value)


def shape(*sizes: int) -> bytes:
    return b"".join(field(2, field(1, size)) for size in sizes)


def node(name: str, operation: str, *takes: str, **attributes: bytes) -> bytes:
    inputs = b"".join(field(3, one.encode()) for one in takes)
    given = b"".join(field(5, entry(key, value)) for key, value in attributes.items())
    return field(1, field(1, name.encode()) + field(2, operation.encode()) + inputs + given)


FLOAT, INT32, UINT8 = field(6, 1), field(6, 3), field(6, 4)


def constant(name: str, values: Any, kind: bytes) -> bytes:
    array = np.asarray(values)
    tensor = field(1, kind[-1]) + field(2, shape(*array.shape)) + field(4, array.tobytes())
    return node(name, "Const", dtype=kind, value=field(8, tensor))


def finding(name: str, *sizes: int, value: float = 1) -> bytes:
    """Return an output of that shape, computed from the sum of the image as a stand-in for a detector."""
    values = constant(f"{name}/values", np.full(sizes, value, np.float32), FLOAT)
    return values + node(name, "Mul", f"{name}/values", "sum", T=FLOAT)


GRAPH = (
    node("image_tensor", "Placeholder", dtype=UINT8, shape=field(7, shape(1, 32, 32, 3)))
    + node("cast", "Cast", "image_tensor", SrcT=UINT8, DstT=FLOAT)
    + constant("axes", np.arange(4, dtype=np.int32), INT32)
    + node("sum", "Sum", "cast", "axes", T=FLOAT, Tidx=INT32)
    + finding("detection_boxes", 1, 5, 4)
    + finding("detection_scores", 1, 5)
    + finding("detection_classes", 1, 5, value=0)
)

PBTXT = """
item { name: "plate"  id: 2  display_name: 'License "plate"' }   # two
item: {
  id: 1,
  name: "face"   # no display name
  keypoints { id: 9 label: "nose" }
}
"""


def make_tensorflow(folder: Path) -> None:
    (folder / "frozen_inference_graph.pb").write_bytes(GRAPH)
    (folder / "object-detection.pbtxt").write_text(PBTXT)
    (folder / "config.json").write_text(json.dumps(OVD | {"inference_engine_name": "tensorflow_detection"}))


def test_reads_a_tensorflow_frozen_graph(folder: Path, reading: Readings, tmp_path: Path) -> None:
    make_tensorflow(folder)
    found = read(folder, reading())
    assert (found.family, found.labels, found.threshold) == ("tf_detection", ("", "face", 'License "plate"'), 0.6)
    assert (found.input["order"], found.input["layout"]) == ("rgb", "nhwc")
    assert user_models.put(found, RuntimeConfig(models=tmp_path / "own")).file == "model.pb"


def test_takes_the_input_size_of_the_resizer_in_the_graph(folder: Path, reading: Readings) -> None:
    make_tensorflow(folder)
    (folder / "pipeline.config").write_text(
        "model { ssd { image_resizer { fixed_shape_resizer {\n height: 300\n width: 640 } } } }"
    )
    found = read(folder, reading())
    assert (found.input["size_wh"], found.input["fit"]) == ((640, 300), "stretch")


def make_saved_model(folder: Path) -> None:
    outputs = ("detection_boxes", "detection_scores", "detection_classes")
    tensors = [(1, "input_tensor", "image_tensor"), *((2, name, name) for name in outputs)]
    signature = b"".join(field(number, entry(key, field(1, f"{name}:0".encode()))) for number, key, name in tensors)
    meta = field(1, field(4, b"serve")) + field(2, GRAPH) + field(5, entry("serving_default", signature))
    (folder / "saved_model.pb").write_bytes(field(1, 1) + field(2, meta))
    (folder / "variables").mkdir()  # a network without variables
    (folder / "object-detection.pbtxt").write_text(PBTXT)
    (folder / "config.json").write_text(json.dumps(OVD | {"inference_engine_name": "tensorflow2_detection"}))


BROKEN: list[tuple[str, Callable[[Path], None], str, str | bytes | None, str]] = [
    ("no labels", make_ovd, "classes.txt", None, "My Model has no classes.txt"),
    ("no network", make_ovd, "frozen.xml", None, "must have one .xml file; it has none"),
    ("no weights", make_ovd, "frozen.bin", None, "frozen.xml has no weights: frozen.bin"),
    ("two networks", make_ovd, "other.xml", "<net/>", "one .xml file; it has frozen.xml, other.xml"),
    ("pointer", make_ovd, "frozen.bin", b"version https://git-lfs.github.com", "frozen.bin is a Git LFS pointer"),
    ("wrong labels", make_ovd, "classes.txt", "a\nb\nc\n", "has 3 classes, and the list of labels has 4"),
    ("broken config", make_ovd, "config.json", "{", "config.json is not valid JSON"),
    ("config that is no object", make_ovd, "config.json", "[1]", "not a JSON object"),
    ("no threshold", make_ovd, "config.json", "{}", "config.json has no confidence; .* from 0 to 100"),
    ("threshold too high", make_ovd, "config.json", '{"confidence": 101}', "confidence of .* is 101"),
    ("threshold of text", make_ovd, "config.json", '{"confidence": "6"}', "confidence of .* is '6'"),
    ("names do not match", make_ovs, "configuration.json", '{"classes": 2, "classesname": ["a"]}', "2 classes but has"),
    ("names are missing", make_ovs, "configuration.json", '{"classes": 2}', "has no classesname"),
    ("no cfg", make_yolo, "yolo-obj.cfg", None, "must have one .cfg file"),
    ("no darknet weights", make_yolo, "yolo-obj.weights", None, "must have one .weights file"),
    ("no names", make_yolo, "obj.names", None, "must have one .names file"),
    ("too few names", make_yolo, "obj.names", "a\n", "has 2 classes, and the list of labels has 1"),
    ("image without size", make_yolo, "config.json", '{"confidence": 1, "image": {}}', "image of .* has no width"),
    ("no label map", make_tensorflow, "object-detection.pbtxt", None, "has no object-detection.pbtxt"),
    ("label map without items", make_tensorflow, "object-detection.pbtxt", "x", "has no items"),
    ("label map without ids", make_tensorflow, "object-detection.pbtxt", "item { name: 'a' }", "a name and an id"),
    ("label map cut off", make_tensorflow, "object-detection.pbtxt", "item { name: 'a' id: 1", "ends within an item"),
    ("label map with twins", make_tensorflow, "object-detection.pbtxt", "item{name:'a' id:1}" * 2, "two items of id 1"),
    ("variables without index", make_saved_model, "variables/variables.data-00000-of-00001", "x", "needs variables.i"),
    ("variables as pointers", make_saved_model, "saved_model.pb", b"version https://git-lfs", "is a Git LFS pointer"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "name", "content", "message"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_errors_name_the_faulty_file_of_a_folder(
    folder: Path, reading: Readings, make: Any, name: str, content: str | bytes | None, message: str
) -> None:
    make(folder)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(BadInput, match=message):
        read(folder, reading())


def test_the_error_for_a_folder_without_network_lists_the_missing_files(folder: Path, reading: Readings) -> None:
    (folder / "config.json").write_text(json.dumps(OVD))
    with pytest.raises(BadInput, match="holds no network for openvino_detection; next to config.json"):
        read(folder, reading())


def test_stores_a_tensorflow_saved_model_as_openvino_ir(folder: Path, reading: Readings, tmp_path: Path) -> None:
    make_saved_model(folder)
    found = read(folder, reading())
    assert (found.family, found.labels) == ("tf_detection", ("", "face", 'License "plate"'))
    model = user_models.put(found, RuntimeConfig(models=tmp_path / "own"))
    assert [part.file for part in model.files] == ["model.xml", "model.bin"]


def test_refuses_gluoncv_folders_and_says_how_to_convert_them(folder: Path, reading: Readings) -> None:
    (folder / "model_best.params").write_bytes(b"\x12\x01\0\0")
    (folder / "configuration.json").write_text("{}")
    with pytest.raises(BadInput, match="GluonCV network.*mxnet.onnx.export_model.*velum models add model.onnx"):
        read(folder, reading())


names = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\"\\'"), min_size=1, max_size=9
)


@given(st.dictionaries(st.integers(1, 30), names.filter(str.strip), min_size=1, max_size=5), st.sampled_from("\"'"))
def test_reads_back_any_label_map(tmp_path_factory: pytest.TempPathFactory, labels: dict[int, str], quote: str) -> None:
    path = tmp_path_factory.mktemp("map") / "a.pbtxt"
    items = [f"item {{\n  id: {key} name: {quote}{name}{quote}\n}}\n" for key, name in labels.items()]
    path.write_text("".join(items), encoding="utf-8")
    found = read_label_map(path)
    assert {key: name for key, name in enumerate(found) if name} == {key: name.strip() for key, name in labels.items()}


@pytest.mark.real
def test_detects_with_a_real_network_from_a_folder(shared: Path, folder: Path, reading: Readings) -> None:
    name = "face-detection-adas-0001"
    for suffix in (".xml", ".bin"):
        (folder / f"m{suffix}").write_bytes((shared / "models" / name / f"{name}{suffix}").read_bytes())
    (folder / "config.json").write_text(json.dumps(OVD | {"number_of_classes": 1}))
    (folder / "classes.txt").write_text("face")
    found = read(folder, reading())
    assert isinstance(found, ImportedModel)
    assert (found.labels, found.input["order"], found.input["size_wh"]) == (("", "face"), "bgr", (672, 384))
