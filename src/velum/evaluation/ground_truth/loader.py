"""Reads ground truth of any supported format."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velum.errors import BadInput
from velum.evaluation.ground_truth import coco, native, voc, yolo
from velum.evaluation.ground_truth.values import GroundTruth
from velum.file_hash import sha256_of
from velum.limits import Limits

KINDS = "a COCO or velum JSON file, a YOLO data.yaml, or a folder with one of them, with VOC's XML or YOLO's labels"


def read(path: Path, media: Path | None, limits: Limits) -> GroundTruth:
    """Return the truth in a file or folder; its images and videos lie in `media` (default: beside it).

    Raises `BadInput` for anything else, naming what is wrong.
    """
    if path.is_dir():
        return _read_folder(path, media or path, limits)
    if not path.is_file():
        raise BadInput(f"{path} does not exist; give {KINDS}")
    if path.suffix.lower() in {".yaml", ".yml"}:
        return yolo.data_set(path, media, limits)
    if path.suffix.lower() == ".json":
        return _read_json(path, media or path.parent)
    raise BadInput(f"{path} has no known format of truth; give {KINDS}")


def _read_folder(path: Path, media: Path, limits: Limits) -> GroundTruth:
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (path / name).is_file():
            return yolo.data_set(path / name, None if media == path else media, limits)
    if (path / "ground_truth.json").is_file():
        return _read_json(path / "ground_truth.json", media)
    for folder in (path / "Annotations", path):
        if next(folder.glob("*.xml"), None) is not None:
            return voc.folder(folder, media)
    if (path / "classes.txt").is_file() or (path / "labels" / "classes.txt").is_file():
        return yolo.folder(path, media, limits)
    if len(files := sorted(path.glob("*.json"))) == 1:
        return _read_json(files[0], media)
    raise BadInput(f"{path} holds no single truth file; name the file, or give {KINDS}")


def _read_json(path: Path, media: Path) -> GroundTruth:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read as JSON: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(value, Mapping):
        raise BadInput(f"{path} is not a truth file: its JSON must be an object, as COCO and velum write it")
    try:
        parse = coco.parse_coco if "annotations" in value else native.parse_native
        return parse(value, media, sha256_of(path))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
