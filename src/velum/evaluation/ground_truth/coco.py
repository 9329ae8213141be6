"""COCO's detection format (cocodataset.org, data format): boxes as x, y, width, height in pixels.

A crowd (`iscrowd`) and what says `ignore` are ignored areas. Tags are read from `attributes`, as CVAT writes them, and
tracks from `track_id`. Every category of the file counts as labelled completely, as COCO's own evaluation takes it.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velum.errors import BadInput
from velum.evaluation.ground_truth import validation
from velum.evaluation.ground_truth.values import GroundTruth, GroundTruthBox, LabelledFile
from velum.locate.labels import canonical

_FOLDERS = ("", "images", "data")
"""Where pictures may lie, seen from the folder of the media."""


def parsed(value: Mapping[str, Any], media: Path, sha256: str | None) -> GroundTruth:
    """Return the truth in a COCO file. Raises `BadInput` naming the entry that is wrong."""
    labels = {
        _id(one, "category"): canonical(validation.text(one.get("name"), f"the name of category {one.get('id')!r}"))
        for one in validation.items(value.get("categories"), "categories")
    }
    images = {_id(one, "image"): one for one in validation.items(value.get("images"), "images")}
    things: dict[int | str, list[GroundTruthBox]] = defaultdict(list)
    empty = 0
    for one in validation.items(value.get("annotations"), "annotations"):
        what = f"annotation {validation.mapping(one, 'an annotation').get('id')!r}"
        image, category = (_known(one.get(key), what) for key in ("image_id", "category_id"))
        if image not in images or category not in labels:
            raise BadInput(f"{what} names an image or a category that the file does not have")
        x, y, width, height = validation.numbers(one.get("bbox"), f"bbox of {what}", 4)
        if width <= 0 or height <= 0:
            empty += 1
            continue
        things[image].append(_thing(one, labels[category], (x, y, x + width, y + height), what))
    complete = frozenset(labels.values())
    found = tuple(_labelled(one, tuple(things[number]), media, complete) for number, one in images.items())
    return GroundTruth("COCO", found, sha256, (f"{empty} boxes without an area were left out",) if empty else ())


def _id(value: Any, what: str) -> int | str:
    return _known(validation.mapping(value, f"the {what}").get("id"), f"{what} {value!r:.80}")


def _known(number: Any, what: str) -> int | str:
    if not isinstance(number, int | str):
        raise BadInput(f"{what} has the id {number!r:.80}; it must be a number or a text")
    return number


def _thing(one: Mapping[str, Any], label: str, xyxy: tuple[float, float, float, float], what: str) -> GroundTruthBox:
    crowd, outline = bool(one.get("iscrowd")), one.get("segmentation")
    polygons = outline if isinstance(outline, list) and not crowd else []
    track = one.get("track_id")
    return GroundTruthBox(
        label, validation.box(*xyxy, what), crowd or bool(one.get("ignore")), crowd,
        tuple(validation.corners(polygon, f"segmentation of {what}") for polygon in polygons),
        None if track is None else str(track), validation.tags(one.get("attributes")),
    )  # fmt: skip


def _labelled(
    one: Mapping[str, Any], things: tuple[GroundTruthBox, ...], media: Path, complete: frozenset[str]
) -> LabelledFile:
    name = validation.text(one.get("file_name"), f"file_name of image {one.get('id')!r}")
    paths = [media / folder / name for folder in _FOLDERS]
    path = next((path for path in paths if validation.is_there(path)), paths[0])
    return LabelledFile(path, name, {0: things}, complete, validation.size(one.get("width"), one.get("height")))
