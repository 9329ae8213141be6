"""Files of velum's own catalogue that the user brings: known by their hashes, and kept in the user's store.

They lie in one folder of the store, under the names that the cache gives them, and belong to the catalogue's models:
unlike a model that the user adds under a name, they change nothing about which model finds a label.
"""

import shutil
import tempfile
from pathlib import Path

from velum.errors import BadInput
from velum.locate.registry import Asset, EmbeddingModel, Model, listed_weights, user_models_folder
from velum.locate.weights.asset import fault, part_path
from velum.plugins import RuntimeConfig

FOLDER = "catalogue"
"""Name of the folder in the user's store."""


def model_of_file(path: Path) -> Model | EmbeddingModel | None:
    """Return the shipped model whose file is at `path`, whatever its name; None when it belongs to no shipped model.

    Raises `BadInput` when a part that belongs next to it is missing or wrong.
    """
    model = next((model for model in listed_weights().values() if fault(model, path) is None), None)
    if model is None:
        return None
    for part in model.parts:
        if wrong := fault(part, part_path(path, part)):
            raise BadInput(
                f"{path} is the file of velum's model {model.name}, but its further file is missing or wrong: {wrong}; "
                f"put {part.file} there, as {part_path(path, part).name}"
            )
    return model


def path_in_store(asset: Asset, host: RuntimeConfig) -> Path:
    """Return where the asset's file is in the user's store, if it is there."""
    return user_models_folder(host) / FOLDER / asset.stored_name


def copy_to_store(model: Model | EmbeddingModel, path: Path, store: Path) -> None:
    """Copy the files of the model at `path` to the user's store, which is locked; they appear there verified.

    Raises `BadInput` when a file has changed since it was recognised.
    """
    folder = store / FOLDER
    folder.mkdir(exist_ok=True)
    target = folder / model.stored_name
    with tempfile.TemporaryDirectory(dir=store, prefix=".part-") as temporary:
        # Copy the file itself last: when it is there, its parts are there, too.
        for part in reversed(model.files):
            copy = Path(shutil.copyfile(part_path(path, part), Path(temporary) / part.file))
            if wrong := fault(part, copy):
                raise BadInput(f"{path} changed while it was copied: {wrong}; try again")
            copy.replace(part_path(target, part))


def remove_from_store(asset: Asset, store: Path) -> bool:
    """Remove the asset's files from the user's store, which is locked; tell whether there were any."""
    target = store / FOLDER / asset.stored_name
    existed = target.exists()
    for part in asset.files:
        part_path(target, part).unlink(missing_ok=True)
    return existed
