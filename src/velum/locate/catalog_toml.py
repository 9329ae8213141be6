"""Read and write the model catalogue as TOML. Errors name the entry and the key that are wrong."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from velum.errors import BadPlan
from velum.locate.labels import COCO
from velum.locate.output_formats import Input
from velum.locate.weights.asset import (
    Asset,
    EmbeddingModel,
    File,
    Look,
    Looks,
    Model,
    Npm,
    Opinion,
    Source,
    UserStoreFile,
    Web,
    Wheel,
)
from velum.plan import Effort
from velum.spec import PartSpec

NAME = re.compile(r"[A-Za-z][A-Za-z0-9._+-]*")
"""Allowed model names: a plan can write them, and a shell needs no quotes around them."""

_FILE = re.compile(r"[A-Za-z0-9][\w.-]*")
_STORED = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HASH = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha384": re.compile(r"[0-9a-f]{96}")}
# The five parts of a wheel's name without a build number, from the binary distribution format of the PyPA.
_WHEEL = re.compile(r"(\w[\w.]*)-([\w.!+]+)-([\w.]+)-([\w.]+)-([\w.]+)\.whl")
# Name, with a scope or without, and version, as npm allows them since its second version.
_NPM = re.compile(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*@\d[\w.+-]*")


@dataclass(frozen=True, slots=True)
class Catalog:
    """The models and sample images of one catalogue file."""

    models: Mapping[str, Model]
    samples: Mapping[str, Asset]
    embeddings: Mapping[str, EmbeddingModel]
    default: str | None = None
    """Name of the model to use when the caller names none."""


def read_catalog(text: str, origin: str) -> Catalog:
    """Return the catalogue that `text`, in TOML, describes; `origin` names it in errors.

    Raises `BadPlan` that says which entry and key is missing, unknown or wrong.
    """
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadPlan(f"{origin} is not valid TOML: {error}") from error
    top = _Entry(values, origin)
    top.only({"default", "model", "sample", "embedding"})
    found = Catalog(
        MappingProxyType({name: _model(name, entry) for name, entry in top.entries("model")}),
        MappingProxyType({name: _asset(name, entry) for name, entry in top.entries("sample")}),
        MappingProxyType({name: _embedding(name, entry) for name, entry in top.entries("embedding")}),
        top.text("default") if "default" in values else None,
    )
    if found.default is not None and found.default not in found.models:
        known = ", ".join(sorted(found.models)) or "none"
        raise BadPlan(f"{origin}: default model {found.default!r} is unknown; known are {known}")
    return found


def write_models(models: Iterable[Model]) -> str:
    """Return the models as TOML, which `read_catalog` reads back unchanged."""
    return "\n\n".join(_model_text(model) for model in models) + "\n"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One table of a catalogue; `where` names it in errors."""

    values: Mapping[str, Any]
    where: str

    def only(self, known: Iterable[str]) -> None:
        if unknown := sorted(self.values.keys() - set(known)):
            raise BadPlan(f"{self.where} has unknown keys {', '.join(unknown)}; known are {', '.join(sorted(known))}")

    def get(self, key: str, *, valid: bool, must: str) -> Any:
        if key not in self.values:
            raise BadPlan(f"{self.where} has no {key}; it must be {must}")
        if not valid:
            raise BadPlan(f"{key} of {self.where} is {self.values[key]!r}; it must be {must}")
        return self.values[key]

    def text(self, key: str, pattern: re.Pattern[str] | None = None, must: str = "a non-empty string") -> str:
        value = self.values.get(key)
        valid = isinstance(value, str) and bool(pattern.fullmatch(value) if pattern else value)
        return str(self.get(key, valid=valid, must=must))

    def size(self) -> int:
        value = self.values.get("size")
        valid = isinstance(value, int) and not isinstance(value, bool) and value > 0
        return int(self.get("size", valid=valid, must="a whole number of bytes above 0"))

    def hash(self, key: Literal["sha256", "sha384"]) -> str:
        digits = {"sha256": 64, "sha384": 96}[key]
        return self.text(key, _HASH[key], f"{digits} hexadecimal digits in lower case")

    def labels(self) -> tuple[str, ...]:
        value = self.values.get("labels")
        if value == "coco":
            return COCO
        valid = isinstance(value, list) and any(value) and all(isinstance(label, str) for label in value)
        return tuple(self.get("labels", valid=valid, must="'coco', or a list of strings, not all of them empty"))

    def share(self, key: str) -> float:
        value = self.values.get(key)
        valid = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        return float(self.get(key, valid=valid, must="a number from 0 to 1"))

    def number(self, key: str) -> float:
        value = self.values.get(key)
        valid = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        return float(self.get(key, valid=valid, must="a number above 0"))

    def table(self, key: str) -> "_Entry":
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise BadPlan(f"{key} of {self.where} is {value!r}; it must be a table")
        return _Entry(value, f"{key} of {self.where}")

    def tables(self, key: str, each: str) -> list["_Entry"]:
        tables = self.values.get(key)
        if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
            raise BadPlan(f"{key} of {self.where} are {tables!r}; it needs at least one, each with {each}")
        return [_Entry(table, f"{key[:-1]} {n} of {self.where}") for n, table in enumerate(tables, start=1)]

    def entries(self, kind: Literal["model", "sample", "embedding"]) -> Iterable[tuple[str, "_Entry"]]:
        tables = self.values.get(kind, {})
        if not isinstance(tables, dict):
            raise BadPlan(f"{self.where}: {kind} is {tables!r}; write tables such as [{kind}.name]")
        for name, table in tables.items():
            where = f"{self.where}: {kind} {name!r}"
            if not NAME.fullmatch(name) or not isinstance(table, dict):
                raise BadPlan(
                    f"{where} is not allowed; write a table [{kind}.name], the name of letters, digits, '.', '_', '+' "
                    "and '-'"
                )
            yield name, _Entry(table, where)


def _field_names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def _file(entry: _Entry) -> dict[str, Any]:
    hashes: dict[str, Any] = {"sha384": entry.hash("sha384")} if "sha384" in entry.values else {}
    if "sha256" in entry.values or not hashes:
        hashes["sha256"] = entry.hash("sha256")
    return {
        "file": entry.text("file", _FILE, "a file name without folder"),
        "size": entry.size(),
        "sources": tuple(_source(table) for table in entry.tables("sources", "url, wheel or npm")),
        **hashes,
    }


def _part(entry: _Entry) -> File:
    entry.only(_field_names(File))
    return File(**_file(entry))


def _facts(name: str, entry: _Entry) -> dict[str, Any]:
    facts = {"name": name, "licence": entry.text("licence"), **_file(entry)}
    if "copyright" in entry.values:
        facts["copyright"] = entry.text("copyright")
    if "parts" in entry.values:
        facts["parts"] = tuple(_part(table) for table in entry.tables("parts", "file, size and hash"))
        for part in facts["parts"]:
            if part.file.partition(".")[0] != facts["file"].partition(".")[0]:
                raise BadPlan(f"part {part.file} of {entry.where} must be named like {facts['file']} up to the suffix")
    return facts


def _asset(name: str, entry: _Entry) -> Asset:
    entry.only(_field_names(Asset) - {"name"})
    return Asset(**_facts(name, entry))


def _embedding(name: str, entry: _Entry) -> EmbeddingModel:
    entry.only(_field_names(EmbeddingModel) - {"name"})
    return EmbeddingModel(**_facts(name, entry), good_for=entry.text("good_for"), not_for=entry.text("not_for"))


def _model(name: str, entry: _Entry) -> Model:
    entry.only(_field_names(Model) - {"name"})
    return Model(
        **_facts(name, entry),
        family=entry.text("family"),
        labels=entry.labels(),
        threshold=entry.share("threshold"),
        input=_input(entry),
        good_for=entry.text("good_for"),
        not_for=entry.text("not_for"),
        sizes=_sizes(entry),
        twice_from=entry.share("twice_from") if "twice_from" in entry.values else 0.0,
        effort=_effort(entry),
        fast=entry.text("fast", NAME, "the name of a model") if "fast" in entry.values else "",
        instead=_instead(entry),
    )


def _instead(entry: _Entry) -> tuple[PartSpec, ...]:
    specs = entry.values.get("instead", [])
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise BadPlan(f"instead of {entry.where} is {specs!r}; it must be a list of localizers, as rules name them")
    return tuple(map(PartSpec.parse, specs))


def _sizes(entry: _Entry) -> tuple[float, ...]:
    sizes = entry.values.get("sizes", [])
    if sizes and not (
        isinstance(sizes, list) and len(sizes) == 2 and all(isinstance(side, int | float) for side in sizes)
        and 0 < sizes[0] < sizes[1]
    ):  # fmt: skip
        raise BadPlan(f"sizes of {entry.where} are {sizes!r}; they must be the smallest and the largest side in pixels")
    return tuple(map(float, sizes))


def _effort(entry: _Entry) -> Mapping[str, Looks]:
    tables = entry.table("effort")
    tables.only(get_args(Effort))
    return MappingProxyType({level: _looks(tables.table(level)) for level in tables.values})


def _looks(entry: _Entry) -> Looks:
    entry.only(_field_names(Looks))
    opinion = _opinion(entry.table("opinion")) if entry.values.get("opinion") else None
    return Looks(_look(entry.table("image")), _look(entry.table("video")), opinion)


def _opinion(entry: _Entry) -> Opinion:
    entry.only(_field_names(Opinion))
    unsure, sure, alone = (entry.share(key) for key in ("unsure", "sure", "alone"))
    return Opinion(entry.text("model", NAME, "the name of a model"), _look(entry.table("look")), unsure, sure, alone)


def _look(entry: _Entry) -> Look:
    entry.only(_field_names(Look))
    side, closest, pixels = (entry.number(key) for key in ("min_side", "closest_side", "closest_pixels"))
    turned = entry.share("turned_threshold") if "turned_threshold" in entry.values else 0.0
    again = round(entry.number("second_look")) if entry.values.get("second_look") else 0
    return Look(entry.share("threshold"), side, closest, round(pixels), turned, again)


def _input(entry: _Entry) -> Mapping[str, Any]:
    table = entry.table("input")
    table.only(_field_names(Input))
    values = table.values
    return MappingProxyType({key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


def _source(entry: _Entry) -> Source:
    if "stored" in entry.values:
        entry.only({"stored"})
        return UserStoreFile(entry.text("stored", _STORED, "the path of a file in a folder of the store"))
    if "npm" in entry.values:
        entry.only(_field_names(Npm))
        package = entry.text("npm", _NPM, "name and version of a package, such as @scope/name@1.2.0")
        return Npm(package, entry.size(), entry.hash("sha256"), entry.text("member"))
    if "url" not in entry.values:
        entry.only(_field_names(Wheel))
        wheel = entry.text("wheel", _WHEEL, "the file name of a wheel without build number")
        return Wheel(wheel, entry.size(), entry.hash("sha256"), entry.text("member"))
    entry.only(_field_names(Web))
    url = entry.text("url")
    if not _is_secure(url):
        raise BadPlan(f"url of {entry.where} is {url!r}; it must begin with https://")
    return Web(url)


def _is_secure(url: str) -> bool:
    try:
        return urlsplit(url).scheme == "https"
    except ValueError:
        return False


def _model_text(model: Model) -> str:
    lines = [f"[model.{_literal(model.name)}]"]
    lines += [f"{key} = {_literal(value)}" for key, value in _file_values(model).items()]
    lines += [f"{key} = {_literal(getattr(model, key))}" for key in ("licence", "family", "labels", "threshold")]
    lines += [f"{key} = {_literal(getattr(model, key))}" for key in ("good_for", "not_for")]
    if model.copyright:
        lines.append(f"copyright = {_literal(model.copyright)}")
    if model.input:
        lines.append(f"input = {_literal(model.input)}")
    if model.sizes:
        lines.append(f"sizes = {_literal(model.sizes)}")
    if model.twice_from:
        lines.append(f"twice_from = {_literal(model.twice_from)}")
    if model.fast:
        lines.append(f"fast = {_literal(model.fast)}")
    if model.instead:
        lines.append(f"instead = {_literal([str(spec) for spec in model.instead])}")
    if model.effort:
        lines.append(f"effort = {_literal({level: _looks_values(looks) for level, looks in model.effort.items()})}")
    if model.parts:
        lines.append(f"parts = {_literal([_file_values(part) for part in model.parts])}")
    return "\n".join(lines)


def _looks_values(looks: Looks) -> dict[str, Any]:
    return {key: value for key, value in asdict(looks).items() if value is not None}


def _file_values(file: File) -> dict[str, Any]:
    name, digest = file.digest
    return {"file": file.file, "size": file.size, name: digest, "sources": [_source_values(s) for s in file.sources]}


def _source_values(source: Source) -> dict[str, Any]:
    if isinstance(source, UserStoreFile):
        return {"stored": source.path}
    return {key: getattr(source, key) for key in sorted(_field_names(type(source)))}


def _literal(value: Any) -> str:
    """Return the value as TOML writes it in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_literal(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, str):
        # JSON's strings are TOML's, but for the one control character that JSON lets stand.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
