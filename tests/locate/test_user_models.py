"""A model of one's own is recognised, stored whole and verified, found by its name, and removed without a trace."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openvino import opset8 as ops
from tests.rows import exhaustive

from velum.atomic import publish
from velum.errors import BadInput, BadPlan, OutputFailed, Unavailable
from velum.locate import detect_family, registry, user_models
from velum.locate.catalog_toml import read_catalog, write_models
from velum.locate.import_model import ImportedModel, ImportOptions, identify_model, labels_from, model_name
from velum.locate.output_formats import Signature
from velum.locate.weights.asset import File, Model, Npm, UserStoreFile, Web, Wheel
from velum.locate.weights.fetch import copies, ensure_local
from velum.plugins import RuntimeConfig

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1234567\n"


def network(path: Path, rows: int = 84, columns: int = 2100, *, names: str | None = None, weight: float = 1.0) -> Path:
    """Write a network of the layout `[1, 4 + classes, boxes]`; its weights tell networks apart."""
    picture = ops.parameter([1, 3, 320, 320], np.float32, name="images")
    mean = ops.reduce_mean(picture, np.array([1, 2, 3]), keep_dims=False)
    table = np.full((1, rows, columns), weight, np.float32)
    result = ops.multiply(ops.constant(table), mean)
    result.output(0).set_names({"output0"})
    model = ov.Model([result], [picture])
    if names is not None:
        model.set_rt_info(names, ["framework", "names"])
        model.set_rt_info("32", ["framework", "stride"])
    ov.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.fixture
def host(tmp_path: Path) -> RuntimeConfig:
    return RuntimeConfig(models=tmp_path / "models", cache=tmp_path / "cache", offline=True)


@pytest.fixture
def xml(tmp_path: Path) -> Path:
    return network(tmp_path / "Best Model_v2.xml", 6, names="{0: 'face', 1: 'plate'}")


def left(host: RuntimeConfig) -> list[str]:
    folder = registry.user_models_folder(host)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_facts_stated_in_the_file_are_used(xml: Path) -> None:
    found = identify_model(xml, ImportOptions())
    assert (found.name, found.family, found.labels) == ("best-model-v2", "yolo", ("face", "plate"))
    assert found.input == {"layout": "nchw", "size_wh": (320, 320), "stride": 32}


def test_options_of_the_user_take_precedence(xml: Path) -> None:
    said = ImportOptions(name="mine", labels=("a", "b"), threshold=0.6, licence="own", input={"order": "bgr"})
    found = identify_model(xml, said)
    assert (found.name, found.labels, found.threshold, found.licence) == ("mine", ("a", "b"), 0.6, "own")
    assert found.input["order"] == "bgr"


def test_an_added_model_is_found_by_its_name_and_verified(xml: Path, host: RuntimeConfig) -> None:
    model = user_models.put(identify_model(xml, ImportOptions()), host)
    assert registry.find("best-model-v2", host) == model
    path = ensure_local(model, host)
    assert path.read_bytes() == xml.read_bytes()
    assert path.with_suffix(".bin").read_bytes() == xml.with_suffix(".bin").read_bytes()
    assert [copy.place for copy in copies(model, host)] == ["added"]
    assert "best-model-v2" not in registry.catalog()


def test_a_damaged_file_of_an_added_model_is_never_used(xml: Path, host: RuntimeConfig) -> None:
    model = user_models.put(identify_model(xml, ImportOptions()), host)
    weights = ensure_local(model, host).with_suffix(".bin")
    data = bytearray(weights.read_bytes())
    data[100] ^= 1
    weights.write_bytes(data)
    with pytest.raises(Unavailable, match=r"best-model-v2, which you added, are damaged: .*model.bin has sha256"):
        ensure_local(model, host)
    weights.unlink()
    with pytest.raises(Unavailable, match="add it again with 'velum models add'"):
        ensure_local(model, host)


def test_a_name_can_be_used_again_only_with_replace(xml: Path, host: RuntimeConfig, tmp_path: Path) -> None:
    found = identify_model(xml, ImportOptions())
    first = user_models.put(found, host)
    with pytest.raises(BadPlan, match=r"'best-model-v2' already, which you added; .*--replace"):
        user_models.put(found, host)
    with pytest.raises(BadPlan, match="'yunet' already, which velum ships"):
        user_models.put(replace(found, name="yunet"), host)
    other = network(tmp_path / "other.xml", 6, weight=2.0)
    second = user_models.put(replace(found, path=other), host, replace=True)
    assert first.parts[0].sha256 != second.parts[0].sha256
    assert registry.find("best-model-v2", host) == second
    assert user_models.put(replace(found, name="yunet"), host, replace=True) == registry.find("yunet", host)
    assert registry.find("yunet") != registry.find("yunet", host)


def test_a_replaced_model_can_be_switched_back(xml: Path, host: RuntimeConfig, tmp_path: Path) -> None:
    found = identify_model(xml, ImportOptions(name="mine"))
    files = [xml, *(network(tmp_path / f"{n}.xml", 6, weight=n) for n in (2.0, 3.0))]
    _, second, third = (user_models.put(replace(found, path=file), host, replace=True) for file in files)
    assert registry.find("mine", host) == third
    assert registry.former_models(host) == {"mine": second}
    assert len([name for name in left(host) if name.endswith(".bin")]) == 2  # the first one's files are gone
    assert [user_models.switch_back("mine", host) for _ in range(3)] == [second, third, second]
    assert registry.find("mine", host) == second
    assert registry.former_models(host) == {"mine": third}
    assert ensure_local(second, host).is_file()
    user_models.put(replace(found, path=files[1]), host, replace=True)  # the present one again
    assert registry.former_models(host) == {"mine": third}
    user_models.remove("mine", host)
    assert left(host) == [".lock", "models.toml"]
    with pytest.raises(BadPlan, match="'mine' has no former version: you added no model of that name"):
        user_models.switch_back("mine", host)


@contextmanager
def no_room_for(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Publish like `velum.atomic.publish`, on a disk that is full when the catalogue comes."""
    if target.name == registry.FILE:
        raise OutputFailed(f"cannot write {target}: no space left on device")
    with publish(target, overwrite=overwrite) as part:
        yield part


def test_a_switch_that_is_cut_off_changes_nothing(
    xml: Path, host: RuntimeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = identify_model(xml, ImportOptions(name="mine"))
    first = user_models.put(found, host)
    with pytest.raises(BadPlan, match="'mine' has no former version: it has not replaced another one"):
        user_models.switch_back("mine", host)
    other = network(tmp_path / "other.xml", 6, weight=2.0)
    with monkeypatch.context() as full_disk, pytest.raises(OutputFailed, match="VELUM_MODELS"):
        full_disk.setattr(user_models, "publish", no_room_for)
        user_models.put(replace(found, path=other), host, replace=True)
    assert registry.find("mine", host) == first
    assert user_models.put(replace(found, path=other), host, replace=True) == registry.find("mine", host)
    assert registry.former_models(host) == {"mine": first}


def test_a_removed_model_leaves_no_file(xml: Path, host: RuntimeConfig) -> None:
    user_models.put(identify_model(xml, ImportOptions(name="one")), host)
    user_models.put(identify_model(xml, ImportOptions(name="two")), host)  # the same files under another name
    user_models.remove("one", host)
    assert ensure_local(registry.find("two", host), host).is_file()
    user_models.remove("two", host)
    assert left(host) == [".lock", "models.toml"]
    with pytest.raises(BadPlan, match="you added no model 'two'; added are none"):
        user_models.remove("two", host)
    with pytest.raises(BadPlan, match="yunet is shipped with velum and cannot be removed"):
        user_models.remove("yunet", host)


def test_several_processes_can_add_models_at_the_same_time(tmp_path: Path, host: RuntimeConfig) -> None:
    files = [network(tmp_path / f"m{n}.xml", 5, weight=n) for n in range(6)]
    offers = [identify_model(file, ImportOptions(labels=("face",))) for file in files]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: user_models.put(one, host), offers))
    assert registry.added_models(host).keys() == {f"m{n}" for n in range(6)}
    for model in registry.added_models(host).values():
        assert ensure_local(model, host).is_file()


def test_files_of_a_killed_process_are_deleted(xml: Path, host: RuntimeConfig) -> None:
    for name in (".part-old", "0123456789abcdef", "mine"):
        (registry.user_models_folder(host) / name).mkdir(parents=True)
    user_models.put(identify_model(xml, ImportOptions()), host)
    assert not (registry.user_models_folder(host) / ".part-old").exists()
    assert not (registry.user_models_folder(host) / "0123456789abcdef").exists()
    assert (registry.user_models_folder(host) / "mine").exists()


def test_an_unwritable_store_is_reported(xml: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed, match="choose another folder with VELUM_MODELS"):
        user_models.put(identify_model(xml, ImportOptions()), RuntimeConfig(models=tmp_path / "file" / "models"))


def test_a_damaged_catalogue_is_named(host: RuntimeConfig) -> None:
    registry.user_models_folder(host).mkdir()
    (registry.user_models_folder(host) / "models.toml").write_text("[model.a]\n")
    with pytest.raises(BadPlan, match=r"models.toml: model 'a' has no"):
        registry.find("a", host)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def without_bin(folder: Path) -> Path:
    path = network(folder / "a.xml")
    path.with_suffix(".bin").unlink()
    return path


def pointer_bin(folder: Path) -> Path:
    path = network(folder / "a.xml")
    path.with_suffix(".bin").write_bytes(LFS)
    return path


def half(folder: Path) -> Path:
    path = network(folder / "a.xml")
    path.write_bytes(path.read_bytes()[:2000])
    return path


UNREADABLE = [
    ("missing", lambda folder: folder / "nope.onnx", "there is no model at .*nope.onnx"),
    ("pointer", lambda folder: write(folder / "a.onnx", LFS), r"a.onnx is a Git LFS pointer of \d+ bytes"),
    ("pointer as weights", pointer_bin, "a.bin is a Git LFS pointer"),
    ("empty", lambda folder: write(folder / "a.onnx", b""), "a.onnx is empty"),
    ("no weights", without_bin, "a.xml has no weights: a.bin must lie next to it"),
    ("weights alone", lambda folder: network(folder / "a.xml").with_suffix(".bin"), "give the .xml next to it"),
    (
        "old IR",
        lambda folder: write(folder / "a.xml", b'<net name="a" version="7">'),
        "of version 7; OpenVINO reads 10",
    ),
    ("other XML", lambda folder: write(folder / "a.xml", b"<html></html>"), "it has no <net version"),
    ("cut off", half, "a.xml cannot be read by OpenVINO"),
    ("picture", lambda folder: write(folder / "a.jpg", b"\xff\xd8\xff"), "give a file of a trained network"),
    ("PyTorch", lambda folder: write(folder / "a.pt", b"PK"), "export it from PyTorch as ONNX"),
    ("no graph", lambda folder: write(folder / "a.pb", b"hello"), "is not a frozen TensorFlow graph"),
    ("folder", lambda folder: folder, "as a SavedModel it needs saved_model.pb"),
]


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_a_file_that_is_not_a_model_is_an_error(tmp_path: Path, make: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        identify_model(make(tmp_path), ImportOptions(labels=("face",)))  # type: ignore[operator]


UNUSABLE = [
    ("no labels", {"rows": 83}, ImportOptions(), BadInput, "does not say what its 79 classes are; .*--labels"),
    (
        "too few labels",
        {"rows": 83},
        ImportOptions(labels=("a", "b")),
        BadInput,
        "has 79 classes, and the list of labels has 2",
    ),
    ("names that are code", {"names": "open('x')"}, ImportOptions(), BadInput, "class names in the metadata .*open"),
    (
        "fewer names than classes",
        {"rows": 7, "names": "['a']"},
        ImportOptions(),
        BadInput,
        "has 3 classes, and the list of labels has 1",
    ),
    (
        "unknown family",
        {},
        ImportOptions(family="elephant", labels=("a",)),
        BadPlan,
        "'elephant' is unknown; known are",
    ),
    (
        "unknown layout",
        {"rows": 3, "columns": 3},
        ImportOptions(labels=("a",)),
        BadInput,
        "of no family .*output0 .1,3,3.",
    ),
    ("bad name", {"names": "['a']", "rows": 5}, ImportOptions(name="My Model"), BadPlan, "cannot be named 'My Model'"),
    (
        "bad threshold",
        {"names": "['a']", "rows": 5},
        ImportOptions(threshold=25),
        BadPlan,
        "threshold is 25; .* 0.01 to 1",
    ),
]


@pytest.mark.parametrize(
    ("build", "wish", "kind", "message"), [row[1:] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE]
)
def test_an_unusable_model_is_an_error(
    tmp_path: Path, build: dict[str, int], wish: ImportOptions, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        identify_model(network(tmp_path / "a.xml", **build), wish)  # type: ignore[arg-type]


def test_several_families_are_listed_with_their_reasons() -> None:
    seen = Signature({"images": (1, 3, 416, 416)}, {"output": (1, 3549, 85)})
    with pytest.raises(BadInput, match=r"choose one with --family:\n- yolo: .*\n- yolox: .*80 classes"):
        detect_family.family_of(seen, "a.onnx")


CLASSES = [
    ("yolo", {"o": (1, 84, 8400)}, 80, "boxes are columns"),
    ("yolo", {"o": (1, 25200, 85)}, 80, "boxes are rows, with objectness"),
    ("yolo", {"o": (1, 116, 8400), "p": (1, 32, 160, 160)}, 80, "with coefficients of masks"),
    ("yolo", {"o": (1, 300, 6)}, None, "finished boxes say nothing of classes"),
    ("yolox", {"o": (1, 3549, 6)}, 1, "one class"),
    ("detr", {"b": (1, 300, 4), "l": (1, 300, 91)}, 91, "logits next to boxes"),
    ("semantic", {"o": (1, 21, 520, 520)}, 21, "channels first"),
    ("semantic", {"o": (1, 512, 896, 4)}, 4, "channels last"),
    ("semantic", {"o": (1, 1, 256, 256)}, None, "one channel can be an index"),
    ("semantic", {"o": (1, 21, None, None)}, None, "open sizes"),
]


@pytest.mark.parametrize(("family", "outputs", "count", "why"), CLASSES)
def test_the_number_of_classes_is_derived_from_the_outputs(
    family: str, outputs: dict[str, tuple[int | None, ...]], count: int | None, why: str
) -> None:
    assert detect_family.class_count(Signature({}, outputs), family) == count


PLACES = [
    ("ssd", {"detection.background_label_id": "0"}, ("face",), ("", "face"), "the background comes first"),
    ("ssd", {"detection.background_label_id": "1"}, ("face",), ("face",), "the background comes last"),
    ("ssd", {"detection.background_label_id": "0"}, ("background", "face"), ("", "face"), "it was named"),
    ("ultra_light_face", {}, ("face",), ("", "face"), "the family has it first"),
    ("yolo", {}, ("background", "face"), ("background", "face"), "no background at all"),
]


@pytest.mark.parametrize(("family", "metadata", "given_", "expected", "why"), PLACES)
def test_labels_are_numbered_as_the_network_does(
    family: str, metadata: dict[str, str], given_: tuple[str, ...], expected: tuple[str, ...], why: str
) -> None:
    assert detect_family.number_labels(given_, Signature({}, {}, metadata), family) == expected


def test_cocos_80_labels_are_spread_over_its_numbers() -> None:
    facts = {"detection.background_label_id": "0", "detection.num_classes": "91"}
    labels = detect_family.number_labels(tuple(f"c{n}" for n in range(80)), Signature({}, {}, facts), "ssd")
    assert len(labels) == 91
    # 11 is the fire hydrant, 12 is not used, 13 the stop sign, 90 the toothbrush
    assert (labels[0], labels[11], labels[12], labels[13], labels[90]) == ("", "c10", "", "c11", "c79")


@pytest.mark.parametrize("stated", ["none", "2.5", "-1", "9" * 5000])
def test_impossible_numbers_of_classes_are_not_stated(stated: str) -> None:
    facts = {"detection.background_label_id": stated, "detection.num_classes": stated}
    assert detect_family.class_count(Signature({}, {}, facts), "ssd") is None


ORDERS = [
    ({"conversion.framework": "tf", "conversion.reverse_input_channels": "True"}, "bgr"),
    ({"conversion.framework": "tf", "conversion.reverse_input_channels": "False"}, "rgb"),
    ({"conversion.framework": "caffe", "conversion.reverse_input_channels": "False"}, "bgr"),
    ({"conversion.framework": "caffe", "conversion.reverse_input_channels": "True"}, "rgb"),
    ({"conversion.framework": "onnx", "conversion.reverse_input_channels": "False"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("metadata", "order"), ORDERS)
def test_the_channel_order_is_that_of_the_converter(metadata: dict[str, str], order: str | None) -> None:
    assert detect_family.input_of(Signature({}, {}, metadata)).get("order") == order


@pytest.mark.parametrize(
    ("text", "name"),
    [("YOLO v8 (best)", "yolo-v8-best"), ("2022nov", "model-2022nov"), ("a_b.c", "a-b.c")],
)
def test_names_are_made_of_file_names(text: str, name: str) -> None:
    assert model_name(text, stated=False) == name


def test_labels_are_read_one_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "classes.txt", "\ufeffface\r\n\r\n plate \r\n\r\n".encode())
    assert labels_from(path) == ("face", "", "plate")
    with pytest.raises(BadInput, match="names no labels"):
        labels_from(write(path, b"\n\n"))
    with pytest.raises(BadInput, match="Git LFS pointer"):
        labels_from(write(path, LFS))
    with pytest.raises(BadInput, match="cannot be read as text"):
        labels_from(write(path, b"\xff\xfe\x00\x80"))


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
hashes = st.binary(min_size=1).map(lambda data: hashlib.sha256(data).hexdigest())
sources = st.one_of(
    st.just(Web("https://example.org/a?b=%20")),
    st.just(UserStoreFile("0123456789abcdef/model.xml")),
    hashes.map(lambda sha: Wheel("a-1-py3-none-any.whl", 3, sha, "a/b.onnx")),
    hashes.map(lambda sha: Npm("@a/b@1.0.0", 3, sha, "package/b.onnx")),
)


@given(texts, st.lists(texts, min_size=1, max_size=4), st.floats(0, 1), hashes, sources, st.booleans())
def test_a_catalogue_reads_back_as_it_was_written(
    text: str, labels: list[str], threshold: float, sha256: str, source: object, two: bool
) -> None:
    part = File(file="a.bin", size=5, sha384="0" * 96, sources=(source,))  # type: ignore[arg-type]
    model = Model(
        name="a.b+c", file="a.xml", size=3, sha256=sha256, sources=(source,), parts=(part,) * two, licence=text,  # type: ignore[arg-type]
        family=text, labels=(*labels, ""), threshold=threshold, good_for=text, not_for=text,
        input={"order": "bgr", "scale": (0.5, 1e-9, 3.0), "size_wh": (3, 4)},
    )  # fmt: skip
    assert read_catalog(write_models([model]), "a").models == {"a.b+c": model}


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "wish", "family", "labels"),
    [
        ("yolox_nano/yolox_nano_layout_v8_1x84x3549.onnx", ImportOptions(), "yolo", 80),
        ("lpd_yunet/license_plate_detection_lpd_yunet_2022may.onnx", ImportOptions(), "lpd_yunet", 1),
        *exhaustive(
            [
                ("face-detection-adas-0001/face-detection-adas-0001.xml", ImportOptions(labels=("face",)), "ssd", 2),
                (
                    "aizoo_face_mask/face_mask_detection.pb",
                    ImportOptions(labels=("face", "face")),
                    "aizoo_face_mask",
                    2,
                ),
                ("yolox_nano/yolox_nano_layout_e2e_1x300x6.onnx", ImportOptions(), "yolo", 80),
                ("person-detection-0201/person-detection-0201.xml", ImportOptions(labels=("person",)), "ssd", 1),
                (
                    "aizoo_face_mask/face_mask_detection.tflite",
                    ImportOptions(labels=("face", "face")),
                    "aizoo_face_mask",
                    2,
                ),
                ("ppocr_v3_det/ch_PP-OCRv3_det_infer.onnx", ImportOptions(), "db", 1),
                ("nanodet_m/nanodet_m_416.onnx", ImportOptions(labels=("a",) * 80), "nanodet", 80),
            ]
        ),
    ],
)
def test_real_files_are_recognised(
    shared: Path, host: RuntimeConfig, file: str, wish: ImportOptions, family: str, labels: int
) -> None:
    model = user_models.put(identify_model(shared / "models" / file, replace(wish, name="mine")), host)
    assert (model.family, len(model.labels)) == (family, labels)
    assert ensure_local(model, host).stat().st_size == (shared / "models" / file).stat().st_size


@pytest.mark.real
def test_real_files_match_the_catalogue(shared: Path) -> None:
    for name in ("face-detection-retail-0004", "person-detection-0201", "vehicle-detection-0201"):
        given_host = RuntimeConfig(weights={name: shared / "models" / name / f"{name}.xml"})
        assert [copy.fault for copy in copies(registry.find(name), given_host)] == [None]
    given_host = RuntimeConfig(weights={"yolox-nano": shared / "models" / "yolox_nano" / "yolox_nano_416x416.onnx"})
    assert [copy.fault for copy in copies(registry.find("yolox-nano"), given_host)] == [None]


def test_an_imported_model_is_a_plain_value(xml: Path) -> None:
    assert isinstance(identify_model(xml, ImportOptions()), ImportedModel)
    assert identify_model(xml, ImportOptions()) == identify_model(xml, ImportOptions())
