"""Read and write the model catalogue as TOML. Errors name the entry and the key that are wrong."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, get_args
from urllib.parse import urlsplit

from velum.errors import BadPlan
from velum.locate.catalog_entry import NAME, CatalogEntry
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

_FILE = re.compile(r"[A-Za-z0-9][\w.-]*")
_STORED = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
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
    top = CatalogEntry(values, origin)
    top.only({"default", "model", "sample", "embedding"})
    catalog = Catalog(
        MappingProxyType({name: _model(name, entry) for name, entry in top.entries("model")}),
        MappingProxyType({name: _asset(name, entry) for name, entry in top.entries("sample")}),
        MappingProxyType({name: _embedding(name, entry) for name, entry in top.entries("embedding")}),
        top.text("default") if "default" in values else None,
    )
    if catalog.default is not None and catalog.default not in catalog.models:
        names = ", ".join(sorted(catalog.models)) or "none"
        raise BadPlan(f"{origin}: default model {catalog.default!r} is unknown; known are {names}")
    return catalog


def write_models(models: Iterable[Model]) -> str:
    """Return the models as TOML, which `read_catalog` reads back unchanged."""
    return "\n\n".join(_model_text(model) for model in models) + "\n"


def _field_names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def _file(entry: CatalogEntry) -> dict[str, Any]:
    hashes: dict[str, Any] = {"sha384": entry.hash("sha384")} if "sha384" in entry.values else {}
    if "sha256" in entry.values or not hashes:
        hashes["sha256"] = entry.hash("sha256")
    return {
        "file": entry.text("file", _FILE, "a file name without folder"),
        "size": entry.size(),
        "sources": tuple(_source(table) for table in entry.tables("sources", "url, wheel or npm")),
        **hashes,
    }


def _part(entry: CatalogEntry) -> File:
    entry.only(_field_names(File))
    return File(**_file(entry))


def _facts(name: str, entry: CatalogEntry) -> dict[str, Any]:
    facts = {"name": name, "licence": entry.text("licence"), **_file(entry)}
    if "copyright" in entry.values:
        facts["copyright"] = entry.text("copyright")
    if "parts" in entry.values:
        facts["parts"] = tuple(_part(table) for table in entry.tables("parts", "file, size and hash"))
        for part in facts["parts"]:
            if part.file.partition(".")[0] != facts["file"].partition(".")[0]:
                raise BadPlan(f"part {part.file} of {entry.where} must be named like {facts['file']} up to the suffix")
    return facts


def _asset(name: str, entry: CatalogEntry) -> Asset:
    entry.only(_field_names(Asset) - {"name"})
    return Asset(**_facts(name, entry))


def _embedding(name: str, entry: CatalogEntry) -> EmbeddingModel:
    entry.only(_field_names(EmbeddingModel) - {"name"})
    return EmbeddingModel(**_facts(name, entry), good_for=entry.text("good_for"), not_for=entry.text("not_for"))


def _model(name: str, entry: CatalogEntry) -> Model:
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


def _instead(entry: CatalogEntry) -> tuple[PartSpec, ...]:
    specs = entry.values.get("instead", [])
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise BadPlan(f"instead of {entry.where} is {specs!r}; it must be a list of localizers, as rules name them")
    return tuple(map(PartSpec.parse, specs))


def _sizes(entry: CatalogEntry) -> tuple[float, ...]:
    sizes = entry.values.get("sizes", [])
    if sizes and not (
        isinstance(sizes, list) and len(sizes) == 2 and all(isinstance(side, int | float) for side in sizes)
        and 0 < sizes[0] < sizes[1]
    ):  # fmt: skip
        raise BadPlan(f"sizes of {entry.where} are {sizes!r}; they must be the smallest and the largest side in pixels")
    return tuple(map(float, sizes))


def _effort(entry: CatalogEntry) -> Mapping[str, Looks]:
    tables = entry.table("effort")
    tables.only(get_args(Effort))
    return MappingProxyType({level: _looks(tables.table(level)) for level in tables.values})


def _looks(entry: CatalogEntry) -> Looks:
    entry.only(_field_names(Looks))
    opinion = _opinion(entry.table("opinion")) if entry.values.get("opinion") else None
    return Looks(_look(entry.table("image")), _look(entry.table("video")), opinion)


def _opinion(entry: CatalogEntry) -> Opinion:
    entry.only(_field_names(Opinion))
    unsure, sure, alone = (entry.share(key) for key in ("unsure", "sure", "alone"))
    return Opinion(entry.text("model", NAME, "the name of a model"), _look(entry.table("look")), unsure, sure, alone)


def _look(entry: CatalogEntry) -> Look:
    entry.only(_field_names(Look))
    side, closest, pixels = (entry.number(key) for key in ("min_side", "closest_side", "closest_pixels"))
    turned = entry.share("turned_threshold") if "turned_threshold" in entry.values else 0.0
    again = round(entry.number("second_look")) if entry.values.get("second_look") else 0
    return Look(entry.share("threshold"), side, closest, round(pixels), turned, again)


def _input(entry: CatalogEntry) -> Mapping[str, Any]:
    table = entry.table("input")
    table.only(_field_names(Input))
    values = table.values
    return MappingProxyType({key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


def _source(entry: CatalogEntry) -> Source:
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
