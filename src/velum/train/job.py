"""The files of a training as a job: its source, with the request and labels, and its result, with the model.

The source is a ZIP archive of `order.json` and, for labels that people approved in the service, of `labels/` with an
annotation file for each source. Pictures stay where they are: in the store, or in the operator's folders. The result is
a ZIP archive of the files of the run folder, and of `entry.toml`, the model's entry in a catalogue.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from velum.errors import BadInput, OutputFailed
from velum.file_hash import sha256_of
from velum.locate.catalog_toml import read_catalog, write_models
from velum.locate.registry import CARD
from velum.locate.weights.asset import File, UserStoreFile
from velum.train.run_folder import RunFolder, TrainingRequest

if TYPE_CHECKING:
    from velum.locate.import_model import ImportedModel

ORDER, LABELS, ENTRY, MODEL = "order.json", "labels", "entry.toml", "model.onnx"

RESULTS = (
    MODEL, ENTRY, CARD, "card.md", "report.html", "evaluation.json", "progress.jsonl", "model.xml", "model.bin",
)  # fmt: skip
"""Files of the result, of those that the run folder has."""


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """A training to run. The request's `truth` is empty where the labels are in the archive."""

    request: TrainingRequest
    sources: Mapping[str, str] = field(default_factory=dict)
    """Name of each labelled file that is in the store -> its key there. The others are in the request's `media`."""


def write_order(path: Path, order: TrainingOrder, labels: Mapping[str, str]) -> None:
    """Write the source of a job; `labels` maps the name of each source to the text of its annotation file.

    Raises `OutputFailed`.
    """
    value = {"request": asdict(order.request), "sources": dict(order.sources)}
    try:
        with ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(ORDER, json.dumps(value))
            for name, text in labels.items():
                archive.writestr(f"{LABELS}/{name}.regions.json", text)
    except OSError as error:
        raise OutputFailed(f"cannot write {path}: {error.strerror or error}; make room on the disk") from error


def read_order(path: Path, folder: Path) -> TrainingOrder:
    """Return the order in the source of a job; its labels are written to `folder / LABELS`. Raises `BadInput`."""
    try:
        with ZipFile(path) as archive:
            value = json.loads(archive.read(ORDER))
            archive.extractall(folder, [name for name in archive.namelist() if name.startswith(f"{LABELS}/")])
        return TrainingOrder(TrainingRequest.from_json(value["request"]), value["sources"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BadInput(f"the order of the training cannot be read: {error}; start it anew") from error


def write_entry(folder: RunFolder, offer: "ImportedModel") -> None:
    """Write the entry of a model beside it. Raises `OutputFailed`."""
    from velum.locate.user_models import entry_of  # noqa: PLC0415 - a worker does not need what runs networks

    path = folder.path / MODEL
    file = File(file=MODEL, size=path.stat().st_size, sha256=sha256_of(path), sources=(UserStoreFile(f"run/{MODEL}"),))
    folder.write_text(ENTRY, write_models([entry_of(offer, (file,))]))


def write_result(folder: RunFolder, path: Path) -> None:
    """Write the result of a job. Raises `OutputFailed`."""
    try:
        with ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in RESULTS:
                if (folder.path / name).is_file():
                    archive.write(folder.path / name, name)
    except OSError as error:
        raise OutputFailed(f"cannot write {path}: {error.strerror or error}; make room on the disk") from error


def read_result(path: Path, folder: Path) -> "ImportedModel":
    """Return the model in the result of a job, whose files are written to `folder`. Raises `BadInput`."""
    from velum.locate.import_model import ImportedModel  # noqa: PLC0415 - likewise

    try:
        with ZipFile(path) as archive:
            for name in (MODEL, ENTRY, CARD):
                archive.extract(name, folder)
        (model,) = read_catalog((folder / ENTRY).read_text(encoding="utf-8"), ENTRY).models.values()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"the result of the training cannot be read: {error}; train again") from error
    if sha256_of(folder / MODEL) != model.sha256:
        raise BadInput("the model in the result of the training is damaged; train again")
    return ImportedModel(
        name=model.name, path=folder / MODEL, family=model.family, labels=model.labels, threshold=model.threshold,
        licence=model.licence, input=model.input, origin="velum train", copyright=model.copyright, sizes=model.sizes,
        effort=model.effort, good_for=model.good_for, card=folder / CARD,
    )  # fmt: skip


def describe_result(folder: RunFolder) -> dict[str, Any]:
    """Return the report of a job: the figures of the model's card, and the course of the training."""
    card = json.loads((folder.path / CARD).read_text(encoding="utf-8"))
    shown: Sequence[str] = (
        "labels", "task", "base", "steps", "threshold", "wanted_recall", "recall_reached", "by_size", "precision",
        "masks", "compared", "notes",
    )  # fmt: skip
    counts = {part: card[part]["pictures"] for part in ("trained_on", "held_out")}
    shown_hash = {"sha256": card["files"][MODEL]}
    return {**shown_hash, **{name: card[name] for name in shown}, **counts, "looks": list(folder.looks())}
