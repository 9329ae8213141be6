"""The store of the user's own models: a folder with a catalogue and, for each model, a folder named by its hash.

    models.toml              the catalogue, see `velum.locate.catalog_toml`
    versions.toml            present and former versions of models that were replaced, see `velum.locate.registry`
    0123456789abcdef/        named by the hash of its files
        model.xml  model.bin
    .lock

A model appears in the store whole and verified, or not at all. Two processes may add and remove at the same time. A
model that is replaced stays as the former version, and `switch_back` makes it the present one again.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from velum.atomic import flush, publish
from velum.errors import BadInput, BadPlan, OutputFailed, PluginFault, Unavailable
from velum.file_hash import sha256_of
from velum.frame import Rgb
from velum.locate.catalog_toml import write_models
from velum.locate.import_model import ImportedModel, files_of
from velum.locate.output_formats import Family, Input, Signature, Tensors, family
from velum.locate.output_formats.semantic import MapFamily
from velum.locate.registry import (
    CARD,
    FILE,
    VERSIONS,
    EmbeddingModel,
    added_models,
    former_models,
    listed_weights,
    model_versions,
    user_models_folder,
    version_key,
)
from velum.locate.runtime import open_network
from velum.locate.runtime.inspect_model import signature, to_ir
from velum.locate.weights import known_files
from velum.locate.weights.asset import File, Model, UserStoreFile
from velum.plugins import RuntimeConfig

LOCK_SECONDS = 60
"""How long to wait for another process that changes the store."""


TRIAL_SIDE = 320
"""Side of the trial image, in pixels, for networks of any size: a multiple of every stride in use."""

LOWEST_SCORE = 0.01
"""Threshold of the trial: even the weakest detection must be of a class that has a label."""


def put(offer: ImportedModel, host: RuntimeConfig, *, replace: bool = False) -> Model:
    """Copy a model's files into the store and enter it in the catalogue; return the entry.

    A SavedModel is stored as OpenVINO IR. Raises `BadPlan` when the name is taken and `replace` is False, `BadInput`
    when OpenVINO cannot read the copy, `OutputFailed` when the store cannot be written.
    """
    with _locked_store(host) as store:
        models = dict(added_models(host))
        if offer.name in listed_weights(host) and not replace:
            whose = "you added" if offer.name in models else "velum ships"
            raise BadPlan(
                f"there is a model {offer.name!r} already, which {whose}; choose another --name, or --replace"
            )
        model, before = entry_of(offer, _store_files(offer, store)), models.get(offer.name)
        # Of the versions before, only the present one stays.
        versions = _versions_of_others(offer.name, host)
        if before is not None and version_key(before) != version_key(model):
            versions |= _entries(before, model)
        elif before is not None and (former := former_models(host).get(offer.name)) is not None:
            versions |= _entries(former, model)
        _write(store, {**models, model.name: model}, versions)
        return model


def switch_back(name: str, host: RuntimeConfig) -> Model:
    """Make the former version of a model the present one, and the present one the former; return the entry.

    The catalogue is replaced in one step. Raises `BadPlan` for a model that the user did not add, and for one that
    replaced none; `OutputFailed` when the store cannot be written.
    """
    with _locked_store(host) as store:
        models, former = dict(added_models(host)), former_models(host).get(name)
        if name not in models or former is None:
            added = "you added no model of that name" if name not in models else "it has not replaced another one"
            raise BadPlan(f"model {name!r} has no former version: {added}")
        _write(store, {**models, name: former}, model_versions(host))
        return former


def put_known(model: Model | EmbeddingModel, path: Path, host: RuntimeConfig) -> None:
    """Copy the files of one of velum's own models, found at `path`, into the store.

    Raises `BadPlan` where the user added another model of that name, `OutputFailed` when the store cannot be written.
    """
    with _locked_store(host) as store:
        if model.name in added_models(host):
            raise BadPlan(
                f"{path} is velum's own model {model.name!r}, and you added another of that name; "
                f"run 'velum models remove {model.name}' first, or choose another --name"
            )
        known_files.copy_to_store(model, path, store)


def remove(name: str, host: RuntimeConfig) -> None:
    """Take a model out of the store, with its files. Raises `BadPlan` when the user added none of that name."""
    with _locked_store(host) as store:
        models = dict(added_models(host))
        if name not in models:
            if name in listed_weights() and known_files.remove_from_store(listed_weights()[name], store):
                return
            shipped = f"; {name} is shipped with velum and cannot be removed" if name in listed_weights() else ""
            raise BadPlan(f"you added no model {name!r}; added are {', '.join(sorted(models)) or 'none'}{shipped}")
        del models[name]
        _write(store, models, _versions_of_others(name, host))


def _versions_of_others(name: str, host: RuntimeConfig) -> dict[str, Model]:
    return {key: model for key, model in model_versions(host).items() if key.rpartition("+")[0] != name}


def _entries(*models: Model) -> dict[str, Model]:
    return {(key := version_key(model)): replace(model, name=key) for model in models}


@contextmanager
def _locked_store(host: RuntimeConfig) -> Iterator[Path]:
    """Lock the store against other processes and yield its folder. Raises `OutputFailed`."""
    store = user_models_folder(host)
    try:
        store.mkdir(parents=True, exist_ok=True)
        with FileLock(store / ".lock", timeout=LOCK_SECONDS):
            yield store
    except Timeout as error:
        raise OutputFailed(
            f"another process has been changing {store} for {LOCK_SECONDS} s; end it or wait, then try again"
        ) from error
    except OSError as error:
        if isinstance(error, OutputFailed):
            raise
        raise OutputFailed(
            f"models cannot be stored in {store}: {error.strerror or error}; make room, or choose another folder "
            "with VELUM_MODELS"
        ) from error


def _store_files(offer: ImportedModel, store: Path) -> tuple[File, ...]:
    """Copy the files into a folder named by their hash; return them with size and hash, the model file first."""
    with tempfile.TemporaryDirectory(dir=store, prefix=".part-") as room:
        main = _copy_files(files_of(offer.path), Path(room))
        _check(main, offer)
        paths = files_of(main)
        hashes = [sha256_of(path) for path in paths]
        key = hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
        target = store / key
        target.mkdir(exist_ok=True)
        for path in paths:
            flush(path)
            path.replace(target / path.name)
        if offer.card is not None:
            shutil.copyfile(offer.card, target / CARD)
    return tuple(
        File(
            file=path.name,
            size=(target / path.name).stat().st_size,
            sha256=sha256,
            sources=(UserStoreFile(f"{key}/{path.name}"),),
        )
        for path, sha256 in zip(paths, hashes, strict=True)
    )


def _check(main: Path, offer: ImportedModel) -> None:
    """Read the copy and run it once. Raises `BadInput` when it needs further files that only the original has."""
    try:
        network = signature(main)
    except BadInput as error:
        raise BadInput(f"{offer.path} can be read only where it lies; save it as one file, weights included") from error
    check_runs(main, offer, network)


def _copy_files(files: tuple[Path, ...], room: Path) -> Path:
    main = room / f"model{files[0].suffix.lower()}"
    if files[0].is_dir():
        main = main.with_suffix(".xml")
        to_ir(files[0], main)
        return main
    for file in files:
        shutil.copyfile(file, main.with_suffix(file.suffix.lower()))
    return main


def entry_of(offer: ImportedModel, files: tuple[File, ...]) -> Model:
    """Return the entry of a catalogue for a model with these files, the model file first."""
    main, parts = files[0], files[1:]
    return Model(
        name=offer.name,
        file=main.file,
        size=main.size,
        sha256=main.sha256,
        sources=main.sources,
        parts=parts,
        licence=offer.licence,
        family=offer.family,
        labels=offer.labels,
        threshold=offer.threshold,
        input=offer.input,
        good_for=offer.good_for or f"added by you from {offer.origin}",
        not_for="not known",
        copyright=offer.copyright,
        sizes=offer.sizes,
        effort=offer.effort,
    )


def _write(store: Path, models: Mapping[str, Model], versions: Mapping[str, Model]) -> None:
    """Replace the catalogue in one step, then delete the folders that no version of a model uses any more.

    The versions come first: until the catalogue is replaced, the present one is the one before.
    """
    _replace_file(store / VERSIONS, versions)
    _replace_file(store / FILE, models)
    entries = (*models.values(), *versions.values())
    used = {source.path.partition("/")[0] for m in entries for source in m.sources if isinstance(source, UserStoreFile)}
    for entry in store.iterdir():
        stale = entry.name.startswith(".part-") or (re.fullmatch("[0-9a-f]{16}", entry.name) and entry.name not in used)
        if entry.is_dir() and stale:
            shutil.rmtree(entry, ignore_errors=True)


def _replace_file(file: Path, models: Mapping[str, Model]) -> None:
    """Write a catalogue that takes the place of the file in one step; without models, there is no file of versions."""
    if not models and file.name == VERSIONS:
        file.unlink(missing_ok=True)
        return
    text = "# Written by 'velum models add' and 'velum models remove'.\n\n" + write_models(models.values())
    try:
        with publish(file, overwrite=True) as part:
            part.write_text(text, encoding="utf-8")
    except OutputFailed as error:
        raise OutputFailed(f"{error}, or choose another folder with VELUM_MODELS") from error


def check_runs(path: Path, offer: ImportedModel, stated: Signature) -> None:
    """Run the network at `path` once, on noise, and decode its outputs as the model's family does.

    Raises `BadInput` when the network does not run, when its outputs do not have the family's layout, and when they
    name classes that have no label.
    """
    file = offer.path.name
    kind = family(offer.family)
    form = replace(kind.input, **offer.input)
    try:
        network = open_network(path, form, RuntimeConfig())
        outputs = network.infer(_noise(form))
    except (Unavailable, PluginFault) as error:
        raise BadInput(f"{file} was tried once and cannot be run: {error}{_batch_advice(stated)}") from error
    try:
        _read(outputs, kind, form, offer.labels)
    except (PluginFault, ValueError, LookupError, TypeError) as error:
        raise BadInput(
            f"{file} was tried once, and what it gives cannot be read as family {offer.family} with "
            f"{len(offer.labels)} labels: {error}{_batch_advice(stated)}"
        ) from error


def _noise(form: Input) -> Rgb:
    width, height = form.size_wh or (TRIAL_SIDE, TRIAL_SIDE)
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _read(outputs: Tensors, kind: Family | MapFamily, form: Input, labels: tuple[str, ...]) -> None:
    if isinstance(kind, MapFamily):
        kind.read(outputs, len(labels))
        return
    detections = kind.for_labels(len(labels)).decode(outputs, form.size_wh or (TRIAL_SIDE, TRIAL_SIDE), LOWEST_SCORE)
    if len(detections) and not 0 <= detections.kind.min() <= detections.kind.max() < len(labels):
        raise ValueError(
            f"it speaks of class {detections.kind.max()}, and the last label is of class {len(labels) - 1}"
        )
    if not np.isfinite(detections.xyxy).all():
        raise ValueError("it gives boxes that are no numbers")


def _batch_advice(network: Signature) -> str:
    batch = next((shape[0] for shape in network.inputs.values() if len(shape) == 4), None)
    return f"; it takes {batch} pictures at once: export it for one (batch=1)" if batch not in {None, 1} else ""
