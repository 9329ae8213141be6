"""COCO's detection format (cocodataset.org, data format): boxes as x, y, width, height in pixels.

Crowds (`iscrowd`) and objects with `ignore` are ignored. Tags are read from `attributes`, as CVAT writes them, and
tracks from `track_id`. Every category of the file counts as labelled completely, as in COCO's own evaluation.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velum.errors import BadInput
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
    exists,
    known_size,
    plain_tags,
)
from velum.locate.labels import canonical

_FOLDERS = ("", "images", "data")
"""Folders in which images may lie, relative to the media folder."""


def parse_coco(value: Mapping[str, Any], media: Path, sha256: str | None) -> GroundTruth:
    """Return the truth in a COCO file. Raises `BadInput` naming the entry that is wrong."""
    labels = {
        _id(entry, "category"): canonical(checked_text(entry.get("name"), f"the name of category {entry.get('id')!r}"))
        for entry in checked_list(value.get("categories"), "categories")
    }
    images = {_id(entry, "image"): entry for entry in checked_list(value.get("images"), "images")}
    boxes: dict[int | str, list[GroundTruthBox]] = defaultdict(list)
    empty = 0
    for entry in checked_list(value.get("annotations"), "annotations"):
        where = f"annotation {checked_object(entry, 'an annotation').get('id')!r}"
        image, category = (_checked_id(entry.get(key), where) for key in ("image_id", "category_id"))
        if image not in images or category not in labels:
            raise BadInput(f"{where} names an image or a category that the file does not define")
        x, y, width, height = checked_numbers(entry.get("bbox"), f"bbox of {where}", 4)
        if width <= 0 or height <= 0:
            empty += 1
            continue
        boxes[image].append(_object_box(entry, labels[category], (x, y, x + width, y + height), where))
    complete = frozenset(labels.values())
    found = tuple(_labelled_image(entry, tuple(boxes[number]), media, complete) for number, entry in images.items())
    return GroundTruth("COCO", found, sha256, (f"{empty} boxes without an area were left out",) if empty else ())


def _id(value: Any, what: str) -> int | str:
    return _checked_id(checked_object(value, f"the {what}").get("id"), f"{what} {value!r:.80}")


def _checked_id(number: Any, what: str) -> int | str:
    if not isinstance(number, int | str):
        raise BadInput(f"{what} has the id {number!r:.80}; it must be a number or a text")
    return number


def _object_box(
    entry: Mapping[str, Any], label: str, xyxy: tuple[float, float, float, float], where: str
) -> GroundTruthBox:
    crowd, outline = bool(entry.get("iscrowd")), entry.get("segmentation")
    polygons = outline if isinstance(outline, list) and not crowd else []
    track = entry.get("track_id")
    return GroundTruthBox(
        label, checked_box(*xyxy, where), crowd or bool(entry.get("ignore")), crowd,
        tuple(checked_corners(polygon, f"segmentation of {where}") for polygon in polygons),
        None if track is None else str(track), plain_tags(entry.get("attributes")),
    )  # fmt: skip


def _labelled_image(
    image: Mapping[str, Any], boxes: tuple[GroundTruthBox, ...], media: Path, complete: frozenset[str]
) -> LabelledFile:
    name = checked_text(image.get("file_name"), f"file_name of image {image.get('id')!r}")
    paths = [media / folder / name for folder in _FOLDERS]
    path = next((path for path in paths if exists(path)), paths[0])
    return LabelledFile(path, name, {0: boxes}, complete, known_size(image.get("width"), image.get("height")))
