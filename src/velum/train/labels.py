"""Labelled pictures to train with, checked before the first step: every fault of the labels has its own message."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from velum import media
from velum.errors import BadInput, BadPlan, LimitExceeded
from velum.evaluation.ground_truth import GroundTruth, GroundTruthBox, LabelledFile
from velum.evaluation.ground_truth.values import exists
from velum.frame import Rgb
from velum.limits import Limits
from velum.locate.labels import canonical
from velum.report import say_count

LEAST_INSIDE = 0.5
"""Share of a box that must lie in its picture. Tools round, so a box may reach beyond the edge; one that lies outside
by more is of another picture, or of another size of it."""

LEAST_SIDE = 1.0
"""Shorter side, in pixels, from which a box has an area to learn from."""

MOST_NAMED = 3
"""Most faults of one kind that a message names."""

FEW_PICTURES = 50
"""With fewer pictures, figures on the held-out part say little."""

HASH_WH = 9, 8
"""Columns and rows of the thumbnail whose differences are a picture's hash."""

Hash = npt.NDArray[np.bool_]
"""The 64 flags of a picture: where its thumbnail gets brighter from left to right."""

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPicture:
    """One labelled frame of a file: its boxes of the labels to learn, in pixels of the upright frame, inside it.

    `complete`: labels of which every object is labelled, so that other places are examples of the background.
    """

    file: LabelledFile
    index: int
    width: int
    height: int
    boxes: tuple[GroundTruthBox, ...]
    complete: frozenset[str]
    hash: Hash
    is_video: bool

    @property
    def name(self) -> str:
        """Name of the file, with the frame's index where the file is a video."""
        return f"{self.file.name}#{self.index}" if self.is_video else self.file.name

    @property
    def objects(self) -> tuple[GroundTruthBox, ...]:
        """Boxes that the ground truth does not mark as ignored."""
        return tuple(box for box in self.boxes if not box.ignore)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPictures:
    """All pictures to train with, and the labels in the order of the network's classes."""

    labels: tuple[str, ...]
    pictures: tuple[LabelledPicture, ...]
    notes: tuple[str, ...] = ()

    def count(self) -> Mapping[str, int]:
        """Return the number of objects of each label."""
        counts = Counter(box.label for picture in self.pictures for box in picture.objects)
        return {label: counts[label] for label in self.labels}


def check_labels(
    truth: GroundTruth, chosen_labels: Iterable[str], limits: Limits, progress: Progress | None = None
) -> LabelledPictures:
    """Return the pictures of `truth` with the objects of the wanted labels, all labels where none is wanted.

    Raises `BadInput` when pictures are missing or cannot be read, are of another size than the truth says, when boxes
    lie outside them or have no area, when there is one picture only, and when a label has no example; `BadPlan` for a
    wanted label that the truth does not have.
    """
    _check_files(truth)
    labels = _choose_labels(truth, chosen_labels)
    pictures: list[LabelledPicture] = []
    for done, item in enumerate(truth.items, 1):
        pictures += _pictures_of(item, labels, limits)
        if progress is not None:
            progress(done, len(truth.items))
    unsaid = [label for label in labels if not any(label in picture.complete for picture in pictures)]
    pictures = [replace(picture, complete=picture.complete | set(unsaid)) for picture in pictures]
    _refuse_faults([fault for picture in pictures for fault in _box_faults(picture)])
    checked = LabelledPictures(labels, tuple(map(_clip_boxes, pictures)), _notes(truth, pictures, labels, unsaid))
    _check_counts(checked)
    return checked


def check_outlines(checked: LabelledPictures) -> None:
    """Raise `BadInput` where an object that counts has no outline: a network cannot learn outlines from boxes."""
    named = [
        f"{box.label} in {picture.name}" for picture in checked.pictures for box in picture.objects if not box.outline
    ]
    if named:
        count = say_count(len(named), "object has", "objects have")
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        raise BadInput(
            f"{count} a box and no outline: {'; '.join(named[:MOST_NAMED])}{more}; label outlines (polygons, run "
            "lengths or masks), or train boxes with --task detect"
        )


def _check_files(truth: GroundTruth) -> None:
    if not truth.items:
        raise BadInput("the truth names no pictures; give one with labelled pictures")
    if missing := [item for item in truth.items if not exists(item.path)]:
        named = ", ".join(item.name for item in missing[:MOST_NAMED])
        count = say_count(len(missing), "labelled picture", "labelled pictures")
        raise BadInput(
            f"{count} of {len(truth.items)} cannot be found: {named}{_more(missing)}; looked for "
            f"{missing[0].path}: give the folder of the pictures with --media"
        )


def _choose_labels(truth: GroundTruth, chosen_labels: Iterable[str]) -> tuple[str, ...]:
    """Return the labels to learn. Raises `BadPlan` for a wanted label that the truth does not have."""
    boxes = (box for item in truth.items for boxes in item.frames.values() for box in boxes)
    counts = Counter(box.label for box in boxes if not box.ignore)
    available = counts.keys() | {label for item in truth.items for label in item.complete}
    chosen = tuple(dict.fromkeys(map(canonical, chosen_labels)))
    if unknown := [label for label in chosen if label not in available]:
        raise BadPlan(f"the truth has no label {', '.join(unknown)}; it has {', '.join(sorted(available)) or 'none'}")
    labels = chosen or tuple(sorted(available))
    if not any(counts[label] for label in labels):
        raise BadInput("the truth labels no object; there is nothing to learn: label some, then try again")
    if without := [label for label in labels if not counts[label]]:
        rest = ",".join(label for label in labels if counts[label])
        raise BadInput(
            f"the truth has no example of {', '.join(without)}: a network cannot learn it; label some, or train "
            f"the other labels alone with --label {rest}"
        )
    return labels


def _pictures_of(item: LabelledFile, labels: tuple[str, ...], limits: Limits) -> Iterator[LabelledPicture]:
    """Yield the labelled frames of one file. Raises `BadInput` when it cannot be read or does not fit its labels."""
    try:
        with media.open_source(item.path, limits) as reader:
            size, is_video = (reader.info.width, reader.info.height), reader.info.fps is not None
            _check_size(item, size)
            waiting = set(item.frames)
            for frame in reader.frames():
                if frame.index in waiting:
                    waiting.discard(frame.index)
                    boxes = tuple(box for box in item.frames[frame.index] if box.label in labels)
                    frame_hash = difference_hash(frame.rgb(*HASH_WH))
                    yield LabelledPicture(item, frame.index, *size, boxes, item.complete, frame_hash, is_video)
                if not waiting:
                    break
    except (BadInput, LimitExceeded) as error:
        raise BadInput(f"{item.name} cannot be used: {error}".replace(str(item.path), "it")) from error
    if waiting:
        raise BadInput(f"{item.name}: the truth labels frame {min(waiting)}, which the file does not have")


def _check_size(item: LabelledFile, size: tuple[int, int]) -> None:
    if item.size not in (None, size):
        raise BadInput(
            f"the truth has the size {item.size}, the upright picture {size} pixels; label the picture as it is, "
            "upright and not resized"
        )


def difference_hash(thumbnail: Rgb) -> Hash:
    """Return where a thumbnail (8, 9, 3) gets brighter from left to right: 64 flags that differ in few for copies.

    After "Kind of Like That" (Krawetz, 2013), dHash.
    """
    grey = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY)
    brighter: Hash = (grey[:, 1:] > grey[:, :-1]).ravel()
    return brighter


@dataclass(frozen=True, slots=True)
class _BoxFault:
    """A box that cannot be learnt from: it lies `outside` its picture, or has no area inside it."""

    outside: bool
    picture: LabelledPicture
    box: GroundTruthBox

    def __str__(self) -> str:
        edges = ", ".join(f"{edge:g}" for edge in self.box.xyxy)
        return f"{self.box.label} at ({edges}) in {self.picture.name} of {self.picture.width} x {self.picture.height}"


def _refuse_faults(faults: Sequence[_BoxFault]) -> None:
    """Raise `BadInput` that names boxes outside their pictures; where there are none, boxes without an area."""
    outside = [fault for fault in faults if fault.outside]
    named = "; ".join(map(str, (outside or faults)[:MOST_NAMED])) + _more(outside or faults)
    if outside:
        count = say_count(len(outside), "box lies outside its picture", "boxes lie outside their pictures")
        raise BadInput(f"{count}: {named}; boxes are in pixels of the upright picture: correct them, or leave them out")
    if faults:
        raise BadInput(
            f"{say_count(len(faults), 'box has', 'boxes have')} no area: less than {LEAST_SIDE:g} pixel of width or "
            f"height inside the picture: {named}; correct them, or leave them out"
        )


def _box_faults(picture: LabelledPicture) -> Iterator[_BoxFault]:
    for box in picture.objects:
        x0, y0, x1, y1 = box.xyxy
        left, top, right, bottom = _clip(box, picture)
        inside = max(0.0, right - left) * max(0.0, bottom - top)
        outside = inside < LEAST_INSIDE * (x1 - x0) * (y1 - y0)
        if outside or min(right - left, bottom - top) < LEAST_SIDE:
            yield _BoxFault(outside, picture, box)


def _clip(box: GroundTruthBox, picture: LabelledPicture) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box.xyxy
    return max(0.0, x0), max(0.0, y0), min(float(picture.width), x1), min(float(picture.height), y1)


def _clip_boxes(picture: LabelledPicture) -> LabelledPicture:
    """Return the picture with its boxes cut at its edges; ignored boxes that lie outside are left out."""
    cut = [(box, _clip(box, picture)) for box in picture.boxes]
    inside = (replace(box, xyxy=xyxy) for box, xyxy in cut if xyxy[0] < xyxy[2] and xyxy[1] < xyxy[3])
    return replace(picture, boxes=tuple(inside))


def _check_counts(checked: LabelledPictures) -> None:
    if len(checked.pictures) < 2:
        raise BadInput(
            f"the truth has one picture only, {checked.pictures[0].name}: nothing can be held out to measure with; "
            "label some dozens"
        )


def _notes(
    truth: GroundTruth, pictures: list[LabelledPicture], labels: tuple[str, ...], unsaid: list[str]
) -> tuple[str, ...]:
    notes = list(truth.notes)
    if len(pictures) < FEW_PICTURES:
        notes.append(f"{len(pictures)} pictures are few: the figures have wide intervals; a hundred are a good start")
    if unsaid:
        notes.append(
            f"the truth does not say where {', '.join(unsaid)} is labelled completely: it is taken to be so in all "
            "pictures, and an object without a label counts as background"
        )
    for label in labels:
        partly = sum(label not in picture.complete for picture in pictures)
        if partly:
            notes.append(
                f"in {partly} of {len(pictures)} pictures {label} is not said to be labelled completely: there, only "
                "places near labelled objects are examples of the background"
            )
    return tuple(notes)


def _more(items: Sequence[_BoxFault] | Sequence[LabelledFile]) -> str:
    return f" and {len(items) - MOST_NAMED} more" if len(items) > MOST_NAMED else ""
