"""Two tiny models in the catalogue for the length of a test; each finds one object in any image."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset8 as ops

from velum.locate import registry
from velum.locate.catalog_toml import read_catalog

PYTHON = sys.executable

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
    """The models `cats` and `dogs`: the paths of their files, the main one of each, and an index that has them."""

    files: tuple[Path, Path]
    index: str


@dataclass(frozen=True)
class _Facts:
    size: int
    sha256: str
    source: str


def tiny_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TinyModels:
    """Write the networks to `folder` and have velum ship them, and nothing else.

    Their source is a wheel, on an index in the same folder; nobody asks it unless the test says so.
    """
    folder.mkdir()
    licences = {"cats": "MIT", "dogs": "Apache-2.0"}
    files = [_network(folder / f"{name}.xml", 20 * number) for number, name in enumerate(licences)]
    wheel = _wheel(folder, [part for file in files for part in (file, file.with_suffix(".bin"))])
    texts = []
    for file, (name, licence) in zip(files, licences.items(), strict=True):
        facts = {suffix: _facts(file.with_suffix(f".{suffix}"), wheel) for suffix in ("xml", "bin")}
        texts.append(ENTRY.format(name=name, label=name[:-1], licence=licence, **facts))
    shipped = read_catalog('default = "cats"\n' + "".join(texts), "tiny.toml")
    monkeypatch.setattr(registry, "_shipped_catalog", lambda: shipped)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    monkeypatch.setattr(sys, "executable", "")  # without an interpreter to start, indexes are asked without pip
    return TinyModels((files[0], files[1]), f"file://{folder}/simple")


def _wheel(folder: Path, files: list[Path]) -> Path:
    path = folder / "tinymodels-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, f"tinymodels/{file.name}")
    page = folder / "simple" / "tinymodels" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../{path.name}">{path.name}</a>')
    return path


def _facts(file: Path, wheel: Path) -> _Facts:
    size, digest = wheel.stat().st_size, sha256(wheel.read_bytes()).hexdigest()
    source = f'wheel = "{wheel.name}", size = {size}, sha256 = "{digest}", member = "tinymodels/{file.name}"'
    return _Facts(file.stat().st_size, sha256(file.read_bytes()).hexdigest(), source)


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


def pip_install(wheel: Path, site: Path) -> Path:
    """Have pip install the wheel to the folder `site`; return it."""
    pip = ["-m", "pip"]
    if find_spec("pip") is None:  # run the one that came with Python
        bundled = files("ensurepip").joinpath("_bundled")
        pip = [next(f"{path}/pip" for path in bundled.iterdir() if path.name.startswith("pip-"))]
    install = [*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run([PYTHON, *install], check=True, capture_output=True)
    return site
