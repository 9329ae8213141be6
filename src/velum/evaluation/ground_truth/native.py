"""velum's own format of truth: the only one that has videos, and labels of which not all is labelled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velum.errors import BadInput
from velum.evaluation.ground_truth import validation
from velum.evaluation.ground_truth.values import GroundTruth, GroundTruthBox, LabelledFile
from velum.locate.labels import canonical


def parsed(value: Mapping[str, Any], media: Path, sha256: str | None) -> GroundTruth:
    """Return the truth in an object of file names (see docs/evaluate.md). Raises `BadInput` naming what is wrong."""
    entries = {name: validation.mapping(entry, f"the entry of {name}") for name, entry in value.items()}
    labelled = {name: entry for name, entry in entries.items() if entry.keys() & {"objects", "objects_by_frame"}}
    if not labelled:
        raise BadInput("no entry has objects or objects_by_frame; this is neither velum's truth nor COCO's")
    notes = [f"{name} is not labelled" for name in entries if name not in labelled]
    items = tuple(_labelled(name, entry, media) for name, entry in labelled.items())
    return GroundTruth("velum", items, sha256, tuple(notes))


def _labelled(name: str, entry: Mapping[str, Any], media: Path) -> LabelledFile:
    by_frame = validation.mapping(
        entry.get("objects_by_frame", {0: entry.get("objects")}), f"objects_by_frame of {name}"
    )
    tags = validation.tags(entry.get("tags"))
    frames = {
        _index(index, name): tuple(
            _thing(one, tags, name) for one in validation.items(objects, f"objects in frame {index} of {name}")
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


def _thing(value: Any, tags: Mapping[str, str], name: str) -> GroundTruthBox:
    what = f"an object of {name}"
    one = validation.mapping(value, what)
    outline, track = one.get("polygon"), one.get("track")
    corners = validation.corners(outline, f"polygon of {what}") if outline else ()
    xyxy = validation.numbers(one.get("bbox"), f"bbox of {what}", 4)
    return GroundTruthBox(
        canonical(validation.text(one.get("label"), f"the label of {what}")),
        validation.box(xyxy[0], xyxy[1], xyxy[2], xyxy[3], what),
        bool(one.get("ignore") or one.get("region")), bool(one.get("region")), (corners,) if corners else (),
        None if track is None else str(track), {**tags, **validation.tags(one.get("tags"))},
    )  # fmt: skip
