"""Reads ground truth of any supported format, and velum's own format: JSON by file name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velum.annotations import FORMAT as ANNOTATIONS
from velum.errors import BadInput
from velum.evaluation.ground_truth.annotation_files import labelled_files
from velum.evaluation.ground_truth.formats import parse_coco, read_voc_folder, read_yolo_data_set, read_yolo_folder
from velum.evaluation.ground_truth.masks import MASK_FOLDER, read_mask_folder
from velum.evaluation.ground_truth.values import (
    GroundTruth,
    GroundTruthBox,
    LabelledFile,
    checked_box,
    checked_corners,
    checked_list,
    checked_numbers,
    checked_object,
    checked_text,
    known_size,
    plain_tags,
)
from velum.file_hash import sha256_of
from velum.limits import Limits
from velum.locate.labels import canonical

__all__ = ["GroundTruth", "GroundTruthBox", "LabelledFile", "read"]

KINDS = (
    "a COCO or velum JSON file, an annotation file, a YOLO data.yaml, or a folder with one of them, with annotation "
    "files (*.regions.json), with VOC's XML, YOLO's labels or masks (masks/LABEL/NAME.png)"
)


def read(path: Path, media: Path | None, limits: Limits, *, all_splits: bool = False) -> GroundTruth:
    """Return the truth in a file or folder; its images and videos lie in `media` (default: beside it).

    Of a YOLO data set it is that of one split, or with `all_splits` of all. Raises `BadInput` for anything else, naming
    what is wrong.
    """
    if path.is_dir():
        return _read_folder(path, media or path, limits, all_splits=all_splits)
    if not path.is_file():
        raise BadInput(f"{path} does not exist; give {KINDS}")
    if path.suffix.lower() in {".yaml", ".yml"}:
        return read_yolo_data_set(path, media, limits, all_splits=all_splits)
    if path.suffix.lower() == ".json":
        return _read_json(path, media or path.parent)
    raise BadInput(f"{path} has no known format of truth; give {KINDS}")


def _read_folder(path: Path, media: Path, limits: Limits, *, all_splits: bool) -> GroundTruth:
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (path / name).is_file():
            place = None if media == path else media
            return read_yolo_data_set(path / name, place, limits, all_splits=all_splits)
    if (path / "ground_truth.json").is_file():
        return _read_json(path / "ground_truth.json", media)
    for folder in (path / "Annotations", path):
        if next(folder.glob("*.xml"), None) is not None:
            return read_voc_folder(folder, media, limits)
    if (path / MASK_FOLDER).is_dir():
        return read_mask_folder(path, media, limits)
    if (path / "classes.txt").is_file() or (path / "labels" / "classes.txt").is_file():
        return read_yolo_folder(path, media, limits)
    if annotated := sorted(path.glob("*.regions.json")):
        return GroundTruth("annotation files", labelled_files({file: _load(file) for file in annotated}, media))
    if len(files := sorted(path.glob("*.json"))) == 1:
        return _read_json(files[0], media)
    raise BadInput(f"{path} holds no single truth file; name the file, or give {KINDS}")


def _load(path: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file. Raises `BadInput`."""
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read as JSON: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(value, Mapping):
        raise BadInput(f"{path} is not a truth file: its JSON must be an object, as COCO and velum write it")
    return value


def _read_json(path: Path, media: Path) -> GroundTruth:
    value = _load(path)
    if value.get("format") == ANNOTATIONS:
        return GroundTruth("annotation files", labelled_files({path: value}, media), sha256_of(path))
    try:
        parse = parse_coco if "annotations" in value else _parse_native
        return parse(value, media, sha256_of(path))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _parse_native(value: Mapping[str, Any], media: Path, sha256: str | None) -> GroundTruth:
    """Return the truth in a JSON object by file name (see docs/evaluate.md). Raises `BadInput` naming what is wrong."""
    entries = {name: checked_object(entry, f"the entry of {name}") for name, entry in value.items()}
    labelled = {name: entry for name, entry in entries.items() if entry.keys() & {"objects", "objects_by_frame"}}
    if not labelled:
        raise BadInput("no entry has objects or objects_by_frame; this is neither velum's truth nor COCO's")
    notes = [f"{name} is not labelled" for name in entries if name not in labelled]
    items = tuple(_labelled_file(name, entry, media) for name, entry in labelled.items())
    return GroundTruth("velum", items, sha256, tuple(notes))


def _labelled_file(name: str, entry: Mapping[str, Any], media: Path) -> LabelledFile:
    by_frame = checked_object(entry.get("objects_by_frame", {0: entry.get("objects")}), f"objects_by_frame of {name}")
    tags = plain_tags(entry.get("tags"))
    frames = {
        _index(index, name): tuple(
            _object_box(value, tags, name) for value in checked_list(objects, f"objects in frame {index} of {name}")
        )
        for index, objects in by_frame.items()
    }
    complete = checked_list(entry.get("exhaustive", []), f"exhaustive of {name}")
    size = known_size(entry.get("width"), entry.get("height"))
    return LabelledFile(media / name, name, frames, frozenset(canonical(str(label)) for label in complete), size)


def _index(index: Any, name: str) -> int:
    try:
        number = int(index)
    except ValueError:
        number = -1
    if number < 0:
        raise BadInput(f"objects_by_frame of {name} has the frame {index!r}; frames are counted from 0")
    return number


def _object_box(value: Any, tags: Mapping[str, str], name: str) -> GroundTruthBox:
    where = f"an object of {name}"
    entry = checked_object(value, where)
    outline, track = entry.get("polygon"), entry.get("track")
    corners = checked_corners(outline, f"polygon of {where}") if outline else ()
    xyxy = checked_numbers(entry.get("bbox"), f"bbox of {where}", 4)
    return GroundTruthBox(
        canonical(checked_text(entry.get("label"), f"the label of {where}")),
        checked_box(xyxy[0], xyxy[1], xyxy[2], xyxy[3], where),
        bool(entry.get("ignore") or entry.get("region")), bool(entry.get("region")), (corners,) if corners else (),
        None if track is None else str(track), {**tags, **plain_tags(entry.get("tags"))},
    )  # fmt: skip
