"""The catalogue of models and sample images: those that velum ships and those that the user added.

`velum.locate.user_models` adds and removes the latter. Also: which models find a label when a plan names none.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from platformdirs import user_data_path

from velum.errors import BadPlan
from velum.locate.catalog_toml import Catalog, read_catalog
from velum.locate.labels import canonical, covered_labels
from velum.locate.weights.asset import Asset, EmbeddingModel, File, Model, Npm, Source, UserStoreFile, Web, Wheel
from velum.plan import Rule
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec

__all__ = [
    "Asset",
    "Catalog",
    "EmbeddingModel",
    "File",
    "Model",
    "Npm",
    "Source",
    "UserStoreFile",
    "Web",
    "Wheel",
    "added_models",
    "card_of",
    "catalog",
    "default_model",
    "embedding_models",
    "find",
    "find_weights",
    "former_models",
    "listed_weights",
    "model_versions",
    "read_catalog",
    "sample",
    "samples",
    "user_models_folder",
    "version_key",
]

FILE = "models.toml"
"""Name of the user's catalogue, in the folder of the user's models."""

VERSIONS = "versions.toml"
"""Name of the file beside it with the present and the former version of models that were replaced. Its entries are
called NAME+FOLDER, by the folder of their files; `models.toml` decides which version is the present one."""

CARD = "card.json"
"""Name of the card of a trained model, in the folder of its files."""

A = TypeVar("A", bound=Asset)


def catalog(host: RuntimeConfig | None = None) -> Mapping[str, Model]:
    """Return all models by name: those that velum ships and, with a host, those that the user added.

    An added model replaces a shipped one of the same name. Raises `BadPlan` when the user's
    catalogue cannot be read.
    """
    shipped = _shipped_catalog().models
    return shipped if host is None else MappingProxyType({**shipped, **added_models(host)})


def added_models(host: RuntimeConfig) -> Mapping[str, Model]:
    """Return the models that the user added, by name. Raises `BadPlan` when their catalogue cannot be read."""
    return _read_models(user_models_folder(host) / FILE)


def model_versions(host: RuntimeConfig) -> Mapping[str, Model]:
    """Return the versions of models that were replaced, by NAME+FOLDER. Raises as `added_models` does."""
    return _read_models(user_models_folder(host) / VERSIONS)


def version_key(model: Model) -> str:
    """Return the key of an added model in `model_versions`."""
    (folder, *_) = (source.path.partition("/")[0] for source in model.sources if isinstance(source, UserStoreFile))
    return f"{model.name}+{folder}"


def former_models(host: RuntimeConfig) -> Mapping[str, Model]:
    """Return the former version of each added model that has one, by name. Raises as `added_models` does."""
    present = {model.name: version_key(model) for model in added_models(host).values()}
    versions = {key: (key.rpartition("+")[0], model) for key, model in model_versions(host).items()}
    return MappingProxyType(
        {name: replace(model, name=name) for key, (name, model) in versions.items() if present.get(name, key) != key}
    )


def card_of(model: Model, host: RuntimeConfig) -> Mapping[str, Any] | None:
    """Return the card of an added model: what it was trained on, and how good it is; None where it has none."""
    try:
        folder = user_models_folder(host) / version_key(model).rpartition("+")[2]
        card: Mapping[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card


def _read_models(file: Path) -> Mapping[str, Model]:
    try:
        return read_catalog(file.read_text(encoding="utf-8"), str(file)).models
    except FileNotFoundError:
        return MappingProxyType({})
    except (OSError, UnicodeDecodeError) as error:
        raise BadPlan(f"catalogue {file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def user_models_folder(host: RuntimeConfig) -> Path:
    """Return the folder of the models that the user added."""
    return host.models or user_data_path("velum", appauthor=False) / "models"


def samples() -> Mapping[str, Asset]:
    """Return all sample images by name."""
    return _shipped_catalog().samples


def default_model() -> Model:
    """Return the model to use when the caller names none."""
    shipped = _shipped_catalog()
    return shipped.models[str(shipped.default)]


def find(name: str, host: RuntimeConfig | None = None) -> Model:
    """Return the model of that name from `catalog(host)`. Raises `BadPlan` that lists all models."""
    return _find("model", name, catalog(host))


def embedding_models() -> Mapping[str, EmbeddingModel]:
    """Return all networks that compare faces, by name."""
    return _shipped_catalog().embeddings


def listed_weights(host: RuntimeConfig | None = None) -> Mapping[str, Model | EmbeddingModel]:
    """Return everything that `velum models` lists and fetches, by name: `catalog(host)` and `embedding_models()`."""
    return MappingProxyType({**embedding_models(), **catalog(host)})


def find_weights(name: str, host: RuntimeConfig | None = None) -> Model | EmbeddingModel:
    """Return the entry of that name from `listed_weights(host)`. Raises `BadPlan` that lists all of them."""
    return _find("model", name, listed_weights(host))


def sample(name: str) -> Asset:
    """Return the sample image of that name. Raises `BadPlan` that lists all sample images."""
    return _find("sample", name, samples())


@cache
def _shipped_catalog() -> Catalog:
    file = files("velum.locate").joinpath("catalog.toml")
    return read_catalog(file.read_text(encoding="utf-8"), "catalog.toml")


def catalog_spelling(name: str, names: Iterable[str]) -> str:
    """Return a model's name as the catalogue spells it, where `name` has `_` for `-` or the other way round.

    A name that fits no model, or several, is returned unchanged.
    """
    alike = [other for other in names if other.replace("_", "-") == name.replace("_", "-")]
    return name if name in alike or len(alike) != 1 else alike[0]


def _find(kind: str, name: str, entries: Mapping[str, A]) -> A:
    name = catalog_spelling(name, entries)
    if name not in entries:
        raise BadPlan(f"{kind} {name!r} is unknown; known are {', '.join(sorted(entries)) or 'none'}")
    return entries[name]


TEXT_MODEL = "ppocr-det"
"""Model that detects lines of text. PP-OCR's fourth detector, and not the sixth, which takes plain sky, snow and walls
for text (29 % of the area of 26 photographs of people and streets, against 3 %) and finds hardly more lines."""

FINDERS: Mapping[str, tuple[str, ...]] = {
    "face": ("centerface",),
    "license_plate": ("lpd-yunet",),
    "person": ("yolox-s",),
    "vehicle": ("yolox-s",),
    "text": ("text",),
    "code": ("codes",),
}
"""Label -> localizers that find it, unless the user has added a model for it. With several localizers, the regions of
all are hidden: one may find what another misses."""


def rules_for(labels: Iterable[str], hide: PartSpec, host: RuntimeConfig) -> tuple[Rule, ...]:
    """Return one rule per label and default localizer.

    Models that the user added take precedence over those that velum ships. Raises `BadPlan` for a label that no model
    finds.
    """
    return tuple(
        Rule(label, PartSpec(name), hide) for label in map(canonical, labels) for name in _finders(label, host)[0]
    )


def findings(host: RuntimeConfig) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Return every label that any model finds, the localizers that a plan gets for it, and other models that find it.

    Labels in `FINDERS` come first.
    """
    offered = {canonical(label) for model in catalog(host).values() for label in model.labels if label}
    return [(label, *_finders(label, host)) for label in (*FINDERS, *sorted(offered - FINDERS.keys()))]


def model_of(spec: PartSpec, host: RuntimeConfig) -> Model | None:
    """Return the model of the catalogue whose weights the localizer of a spec needs, None where it needs none."""
    models = catalog(host)
    name = spec.options.get("name", TEXT_MODEL if spec.name == "text" else spec.name)
    return models.get(catalog_spelling(str(name), models))


def _finders(label: str, host: RuntimeConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the localizers that a plan gets for a label by default, and the other models that can find it."""
    added = added_models(host)
    able = [name for name, model in catalog(host).items() if covered_labels(label, model.labels)]
    own = tuple(name for name in able if name in added)
    chosen = own or FINDERS.get(label, ()) or tuple(able[:1])
    if not chosen:
        raise BadPlan(f"no model finds {label!r}; 'velum labels' lists all labels, 'velum models add' adds a model")
    return chosen, tuple(name for name in able if name not in chosen)
