"""velum's own format of truth, for images and videos, also with labels that are not labelled completely."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velum.errors import BadInput
from velum.evaluation.ground_truth import validation
from velum.evaluation.ground_truth.values import GroundTruth, GroundTruthBox, LabelledFile
from velum.locate.labels import canonical


def parse_native(value: Mapping[str, Any], media: Path, sha256: str | None) -> GroundTruth:
    """Return the truth in a JSON object by file name (see docs/evaluate.md). Raises `BadInput` naming what is wrong."""
    entries = {name: validation.mapping(entry, f"the entry of {name}") for name, entry in value.items()}
    labelled = {name: entry for name, entry in entries.items() if entry.keys() & {"objects", "objects_by_frame"}}
    if not labelled:
        raise BadInput("no entry has objects or objects_by_frame; this is neither velum's truth nor COCO's")
    notes = [f"{name} is not labelled" for name in entries if name not in labelled]
    items = tuple(_labelled_file(name, entry, media) for name, entry in labelled.items())
    return GroundTruth("velum", items, sha256, tuple(notes))


def _labelled_file(name: str, entry: Mapping[str, Any], media: Path) -> LabelledFile:
    by_frame = validation.mapping(
        entry.get("objects_by_frame", {0: entry.get("objects")}), f"objects_by_frame of {name}"
    )
    tags = validation.tags(entry.get("tags"))
    frames = {
        _index(index, name): tuple(
            _object_box(value, tags, name) for value in validation.items(objects, f"objects in frame {index} of {name}")
        )
        for index, objects in by_frame.items()
    }
    complete = validation.items(entry.get("exhaustive", []), f"exhaustive of {name}")
    size = validation.size(entry.get("width"), entry.get("height"))
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
    entry = validation.mapping(value, where)
    outline, track = entry.get("polygon"), entry.get("track")
    corners = validation.corners(outline, f"polygon of {where}") if outline else ()
    xyxy = validation.numbers(entry.get("bbox"), f"bbox of {where}", 4)
    return GroundTruthBox(
        canonical(validation.text(entry.get("label"), f"the label of {where}")),
        validation.box(xyxy[0], xyxy[1], xyxy[2], xyxy[3], where),
        bool(entry.get("ignore") or entry.get("region")), bool(entry.get("region")), (corners,) if corners else (),
        None if track is None else str(track), {**tags, **validation.tags(entry.get("tags"))},
    )  # fmt: skip
