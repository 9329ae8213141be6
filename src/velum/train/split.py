"""Splits pictures into a part to train with and a held-out part, by groups of pictures that are alike.

Pictures of one group never lie in both parts: a network that has seen a frame of a video knows the next one, and its
figures would measure its memory. Groups are the frames of one video, the pictures of one folder, near duplicates, also
mirrored ones, and pictures that a pattern of the user puts together.
"""

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from velum.errors import BadInput, BadPlan
from velum.report import say_count
from velum.train.labels import HASH_WH, LabelledPicture, LabelledPictures

HELD_OUT = 0.2
"""Share of the pictures that is held out."""

NEAR_BITS = 8
"""Two pictures whose hashes, or those of one and of the other mirrored, differ in at most so many of 64 flags are near
duplicates. Of 110 photographs of streets, the closest two that are not differ in 11; 60 of them and their mirrored
copies in 8 at most."""

FEWEST_FOLDERS = 4
"""Folders are groups where pictures lie in so many; holding out one of two would take half of the pictures."""

TRIALS = 400
"""Orders of the groups that are tried for a split that holds out a fifth of each label."""

NEVER = 1000.0
"""Cost of a split in which one part has no example of a label."""

_OF_VIDEO = re.compile(r"(.+)_\d{6}")
"""A stem as the page names frames that it exports as training data: `NAME_000123`."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The two parts. `groups` is the number of groups in each."""

    train: tuple[LabelledPicture, ...]
    held_out: tuple[LabelledPicture, ...]
    groups: tuple[int, int]


def split(labelled: LabelledPictures, seed: int, pattern: str | None = None) -> Split:
    """Return the split; the same pictures and seed give the same.

    `pattern` is a regular expression: pictures in whose names it matches the same text (its first group, where it has
    one) belong together. Raises `BadInput` when the pictures are of one group, and when a label has examples in one
    group only; `BadPlan` for a pattern that is none.
    """
    groups = group_pictures(labelled.pictures, pattern)
    if len(groups) < 2:
        raise BadInput(_one_group_text(labelled.pictures))
    _check_label_groups(labelled.labels, groups)
    order = random.Random(seed)  # noqa: S311 - a split is no secret
    names = sorted(groups)
    best = min((_trial(order.sample(names, len(names)), groups, labelled) for _ in range(TRIALS)), key=lambda t: t[0])
    held_out = best[1]
    if best[0] >= NEVER:
        raise BadInput(
            "no split keeps examples of every label in both parts; label more pictures, or train fewer labels at once "
            "with --label"
        )
    return Split(
        tuple(picture for name in names if name not in held_out for picture in groups[name]),
        tuple(picture for name in names if name in held_out for picture in groups[name]),
        (len(names) - len(held_out), len(held_out)),
    )


def group_pictures(
    pictures: Sequence[LabelledPicture], pattern: str | None = None
) -> Mapping[str, tuple[LabelledPicture, ...]]:
    """Return the pictures by group; a group has the name of its first picture's group."""
    keys = _keys(pictures, pattern)
    parent = list(range(len(pictures)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, key in enumerate(keys):
        parent[root(i)] = root(first.setdefault(key, i))
    hashes = np.array([picture.hash for picture in pictures])
    mirrored = ~hashes.reshape(-1, HASH_WH[1], HASH_WH[0] - 1)[..., ::-1].reshape(hashes.shape)
    for i in range(1, len(pictures)):
        differences = [(others != hashes[i]).sum(axis=1) for others in (hashes[:i], mirrored[:i])]
        for j in np.flatnonzero(np.minimum(*differences) <= NEAR_BITS):
            if hashes[i].any():  # an even picture has no hash to speak of
                parent[root(i)] = root(int(j))
    groups: dict[str, list[LabelledPicture]] = {}
    for i, picture in enumerate(pictures):
        groups.setdefault(keys[root(i)], []).append(picture)
    return {name: tuple(group) for name, group in groups.items()}


def _keys(pictures: Sequence[LabelledPicture], pattern: str | None) -> list[str]:
    if pattern is not None:
        return [_group_name(_compile(pattern), picture.file.name) for picture in pictures]
    folders = {str(PurePosixPath(picture.file.name).parent) for picture in pictures if not picture.is_video}
    by_folder = len(folders) >= FEWEST_FOLDERS
    return [_key(picture, by_folder=by_folder) for picture in pictures]


def _key(picture: LabelledPicture, *, by_folder: bool) -> str:
    place = PurePosixPath(picture.file.name)
    if picture.is_video:
        return picture.file.name
    frame = _OF_VIDEO.fullmatch(place.stem)
    if frame is not None:
        return str(place.with_name(frame[1]))
    return str(place.parent) if by_folder else picture.file.name


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise BadPlan(f"--group {pattern!r} is no regular expression: {error}") from error


def _group_name(pattern: re.Pattern[str], name: str) -> str:
    match = pattern.search(name)
    return name if match is None else match[1 if pattern.groups else 0] or match[0]


def _one_group_text(pictures: Sequence[LabelledPicture]) -> str:
    if all(picture.is_video for picture in pictures):
        reason = f"all {len(pictures)} labelled frames are of one video, {pictures[0].file.name}"
    else:
        reason = f"all {len(pictures)} pictures belong together: frames of one video, or near duplicates"
    return (
        f"{reason}. Nothing can be held out that the network has not seen, so its figures would be worth nothing; "
        "label pictures of another place or time, too"
    )


def _check_label_groups(labels: Sequence[str], groups: Mapping[str, Sequence[LabelledPicture]]) -> None:
    for label in labels:
        having = [name for name, group in groups.items() if _count(group)[label]]
        if len(having) < 2:
            count = say_count(len(groups[having[0]]), "picture", "pictures")
            raise BadInput(
                f"all examples of {label} are in {count} that belong together "
                f"({having[0]}): they cannot be trained with and measured on as well; label {label} in others, too, "
                "or train the other labels alone with --label"
            )


def _count(pictures: Sequence[LabelledPicture]) -> Counter[str]:
    return Counter(box.label for picture in pictures for box in picture.objects)


def _trial(
    order: Sequence[str], groups: Mapping[str, Sequence[LabelledPicture]], labelled: LabelledPictures
) -> tuple[float, frozenset[str]]:
    """Return the cost of holding out the first groups of an order, and these groups."""
    all_counts = labelled.count()
    held_out: list[LabelledPicture] = []
    chosen: list[str] = []
    for name in order[:-1]:
        chosen.append(name)
        held_out += groups[name]
        if len(held_out) >= HELD_OUT * len(labelled.pictures):
            break
    counts = _count(held_out)
    shares = [counts[label] / total for label, total in all_counts.items()]
    cost = sum(NEVER if share in {0, 1} else abs(share - HELD_OUT) for share in shares)
    return cost + len(shares) * abs(len(held_out) / len(labelled.pictures) - HELD_OUT), frozenset(chosen)
