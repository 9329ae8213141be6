"""Two small models that velum ships for the length of a test; each finds one thing in whatever it sees."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset8 as ops

from velum.locate import registry
from velum.locate.catalog_toml import read_catalog

ENTRY = """
[model.{name}]
file = "{name}.xml"
size = {xml.size}
sha256 = "{xml.sha256}"
licence = "{licence}"
copyright = "Copyright (c) 1999 A. Cat"
family = "yolo"
labels = ["{label}"]
threshold = 0.25
good_for = "tests"
not_for = "anything else"
sources = [{{ {xml.source} }}]
parts = [{{ file = "{name}.bin", size = {bin.size}, sha256 = "{bin.sha256}", sources = [{{ {bin.source} }}] }}]
"""


@dataclass(frozen=True)
class TinyModels:
    """The models `cats` and `dogs`, with the paths of their files, the main one of each."""

    files: tuple[Path, Path]


@dataclass(frozen=True)
class _Facts:
    size: int
    sha256: str
    source: str


def tiny_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TinyModels:
    """Write the networks to `folder` and have velum ship them, and nothing else, with sources that do not answer."""
    folder.mkdir()
    texts = []
    for number, (name, licence) in enumerate({"cats": "MIT", "dogs": "Apache-2.0"}.items()):
        file = _network(folder / f"{name}.xml", 20 * number)
        facts = {suffix: _facts(file.with_suffix(f".{suffix}")) for suffix in ("xml", "bin")}
        texts.append(ENTRY.format(name=name, label=name[:-1], licence=licence, **facts))
    shipped = read_catalog('default = "cats"\n' + "".join(texts), "tiny.toml")
    monkeypatch.setattr(registry, "_shipped_catalog", lambda: shipped)
    return TinyModels((folder / "cats.xml", folder / "dogs.xml"))


def _facts(file: Path) -> _Facts:
    return _Facts(
        file.stat().st_size, sha256(file.read_bytes()).hexdigest(), f'url = "https://127.0.0.1:1/{file.name}"'
    )


def _network(path: Path, left: int) -> Path:
    """Write a network that finds, in whatever it sees, one thing from (left, 30) to (left + 40, 90)."""
    picture = ops.parameter([1, 3, 96, 96], np.float32, name="images")
    nothing = ops.multiply(ops.reduce_mean(picture, np.array([1, 2, 3]), keep_dims=False), np.float32(0))
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = left, 30, left + 40, 90, 0.9, 0
    result = ops.add(ops.constant(rows), nothing)
    result.output(0).set_names({"output0"})
    ov.save_model(ov.Model([result], [picture]), path, compress_to_fp16=False)
    return path
