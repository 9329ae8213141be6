"""Networks to start from: of the catalogue by name, or in an ONNX file of a family that velum can train."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from velum.errors import BadInput, BadPlan
from velum.file_hash import sha256_of
from velum.locate import registry
from velum.locate.detect_family import family_of, input_of
from velum.locate.import_model import files_of
from velum.locate.normalization import stated_input
from velum.locate.output_formats import Input, family
from velum.locate.runtime.inspect_model import signature
from velum.locate.weights.fetch import ensure_local
from velum.plugins import RuntimeConfig

DEFAULT = "centerface"
"""The base that is taken where none is named: small, MIT, and good at small objects."""

TRAINABLE: Mapping[str, str] = {"centerface": "centerface or a FILE.onnx like it"}
"""Families that can be trained, and what of each to take, for messages."""


@dataclass(frozen=True, slots=True)
class Base:
    """A network to start from. `licence` and `copyright` go into the model card: what is trained inherits them."""

    name: str
    path: Path
    family: str
    form: Input
    licence: str
    copyright: str
    sha256: str


def find_base(name: str, host: RuntimeConfig) -> Base:
    """Return the base of that name or in that ONNX file. Fetches weights that are not here.

    Raises `BadPlan` for a name that is unknown or of a family that cannot be trained, `BadInput` for a file that cannot
    be, and `Unavailable` when weights cannot be fetched.
    """
    file = Path(name)
    if file.suffix.lower() == ".onnx":
        return _base_in_file(file)
    if file.suffix and file.is_file():
        raise BadInput(f"{file} cannot be a base: only networks in ONNX can be trained; export it as ONNX")
    model = registry.find(name, host)
    _check_family(model.family, f"base {model.name}", BadPlan)
    if Path(model.file).suffix.lower() != ".onnx":
        raise BadPlan(f"base {model.name} is not in ONNX: only that can be trained; take {_name_bases()}")
    path = ensure_local(model, host)
    form = replace(family(model.family).input, **model.input)
    return Base(model.name, path, model.family, form, model.licence, model.copyright, sha256_of(path))


def _base_in_file(path: Path) -> Base:
    files_of(path)
    seen = signature(path)
    found = family_of(seen, path.name)
    _check_family(found, str(path), BadInput)
    # The sides of the file's input are those that it was exported with; these networks take any.
    stated = input_of(seen) | stated_input(seen, path.name) | {"size_wh": None}
    form = replace(family(found).input, **stated)
    return Base(path.name, path, found, form, "not stated", "", sha256_of(path))


def _check_family(name: str, what: str, error: type[BadInput | BadPlan]) -> None:
    if name not in TRAINABLE:
        raise error(f"{what} is of family {name}, which velum cannot train; take {_name_bases()}")


def _name_bases() -> str:
    return ", or ".join(TRAINABLE.values())
