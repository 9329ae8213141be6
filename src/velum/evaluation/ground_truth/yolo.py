"""YOLO's format (docs.ultralytics.com, object detection and instance segmentation datasets): one text file an image.

A line has the number of a class and, as shares of the upright image, centre, width and height of a box, or the
corners of an outline. A number after a box is a score, which is not read. An image
without such a file has no objects. Every class counts as labelled completely.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from velum.errors import BadInput, VelumError
from velum.evaluation.ground_truth.values import (
    GroundTruth,
    GroundTruthBox,
    LabelledFile,
    checked_box,
    checked_list,
    checked_numbers,
    checked_object,
    checked_text,
    exists,
)
from velum.file_hash import sha256_of
from velum.limits import Limits
from velum.locate.labels import canonical
from velum.media import IMAGE_SUFFIXES, open_source

_SPLITS = ("val", "test", "train")
"""Splits of a data set; the first that exists is used."""


def data_set(file: Path, media: Path | None, limits: Limits) -> GroundTruth:
    """Return the truth that a data.yaml names. Raises `BadInput` naming what is wrong."""
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"{file} cannot be read as YAML: {error}") from error
    head = checked_object(value, str(file))
    names = _class_names(head.get("names"), file)
    root = media or file.parent / str(head.get("path") or ".")
    split = next((name for name in _SPLITS if head.get(name)), None)
    if split is None:
        raise BadInput(f"{file} names no images; it needs one of {', '.join(_SPLITS)}")
    places = head[split] if isinstance(head[split], list) else [head[split]]
    found = [path for place in places for path in _split_images(root, str(place), file)]
    notes = (f"split {split!r} of {file.name} was used",)
    return GroundTruth("YOLO", tuple(_labelled_images(found, names, root, limits)), sha256_of(file), notes)


def folder(path: Path, media: Path, limits: Limits) -> GroundTruth:
    """Return the truth in a folder with classes.txt, and text files beside the images or in `labels`."""
    classes = next(path for path in (path / "classes.txt", path / "labels" / "classes.txt") if path.is_file())
    names = dict(enumerate(canonical(line) for line in _read_lines(classes) if line.strip()))
    return GroundTruth("YOLO", tuple(_labelled_images(list(_images_in(media)), names, media, limits, path)))


def _class_names(value: Any, file: Path) -> Mapping[int, str]:
    pairs = value.items() if isinstance(value, Mapping) else enumerate(checked_list(value, f"names in {file}"))
    return {number: canonical(checked_text(name, f"class {number} in {file}")) for number, name in pairs}


def _split_images(root: Path, place: str, file: Path) -> Iterator[Path]:
    """Yield the images of a split: a folder of images, or a text file that lists them."""
    found = next((path for path in (root / place, file.parent / place) if exists(path)), None)
    if found is None:
        raise BadInput(f"{file} names {place}, which does not exist; name the folder of the images with --media")
    if found.is_dir():
        yield from _images_in(found)
        return
    yield from (found.parent / line.strip() for line in _read_lines(found) if line.strip())


def _images_in(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def _labelled_images(
    pictures: Iterable[Path], names: Mapping[int, str], root: Path, limits: Limits, labels: Path | None = None
) -> Iterator[LabelledFile]:
    complete = frozenset(names.values())
    for path in pictures:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        written = _label_file(path, labels)
        lines = [line.split() for line in _read_lines(written)] if exists(written) else []
        try:
            with open_source(path, limits) as reader:
                size = reader.info.width, reader.info.height
        except VelumError:
            size = None  # the evaluation reports which images cannot be read, and why
        boxes = () if size is None else tuple(_object_box(line, names, size, written) for line in lines if line)
        yield LabelledFile(path, name, {0: boxes}, complete, size)


def _label_file(picture: Path, labels: Path | None) -> Path:
    """Return the text file of an image: in `labels` when the image lies in `images`, else beside it."""
    parts = list(picture.parts)
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        return Path(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt")
    name = picture.with_suffix(".txt").name
    places = [] if labels is None else [labels / "labels" / name, labels / name]
    return next((place for place in places if exists(place)), picture.with_suffix(".txt"))


def _object_box(line: list[str], names: Mapping[int, str], size: tuple[int, int], file: Path) -> GroundTruthBox:
    what = f"line {' '.join(line)!r:.60} of {file}"
    number, *shares = checked_numbers(line, what)
    if len(shares) == 5:  # an outline has three corners or more
        shares = shares[:4]
    if number not in names or len(shares) < 4 or (len(shares) > 4 and len(shares) % 2):
        raise BadInput(f"{what} is neither a class and a box nor a class and an outline")
    label = names[int(number)]
    if len(shares) == 4:
        x, y, width, height = (share * side for share, side in zip(shares, size * 2, strict=True))
        return GroundTruthBox(label, checked_box(x - width / 2, y - height / 2, x + width / 2, y + height / 2, what))
    corners = tuple(share * size[index % 2] for index, share in enumerate(shares))
    across, down = corners[::2], corners[1::2]
    return GroundTruthBox(label, checked_box(min(across), min(down), max(across), max(down), what), outline=(corners,))


def _read_lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from error
