"""Formats of labelling tools, as values of ground truth. `read` decides which format a file has.

COCO (cocodataset.org, data format): boxes as x, y, width, height in pixels; outlines as polygons or run lengths.
Crowds (`iscrowd`) and objects with `ignore` are ignored. Tags are read from `attributes`, as CVAT writes them, and
tracks from `track_id`. Every category of the file counts as labelled completely, as in COCO's own evaluation.

PASCAL VOC (VOC2012 development kit, annotations): one XML file an image, pixels counted from 1. `difficult` objects are
ignored, as VOC's own evaluation does; pose, truncated and occluded become tags. Images in SegmentationObject, beside
the folder of the XML files, give outlines. Every label that occurs in the folder counts as labelled completely.

YOLO (docs.ultralytics.com, object detection and instance segmentation datasets): one text file an image. A line has the
number of a class and, as shares of the upright image, centre, width and height of a box, or the corners of an outline.
A number after a box is a score, which is not read. An image without such a file has no objects. Every class counts as
labelled completely.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import yaml

from velum.errors import BadInput, VelumError
from velum.evaluation.ground_truth.masks import coco_outlines, object_outlines
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
from velum.file_hash import sha256_of
from velum.limits import Limits
from velum.locate.labels import canonical
from velum.media import IMAGE_SUFFIXES, open_source
from velum.report import say_count

_COCO_FOLDERS = ("", "images", "data")
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
        boxes[image].append(_coco_object(entry, labels[category], (x, y, x + width, y + height), where))
    complete = frozenset(labels.values())
    files = tuple(_coco_image(entry, tuple(boxes[number]), media, complete) for number, entry in images.items())
    notes = (f"{say_count(empty, 'box', 'boxes')} without an area left out",) if empty else ()
    return GroundTruth("COCO", files, sha256, notes)


def _id(value: Any, name: str) -> int | str:
    return _checked_id(checked_object(value, f"the {name}").get("id"), f"{name} {value!r:.80}")


def _checked_id(number: Any, name: str) -> int | str:
    if not isinstance(number, int | str):
        raise BadInput(f"{name} has the id {number!r:.80}; it must be a number or a text")
    return number


def _coco_object(
    entry: Mapping[str, Any], label: str, xyxy: tuple[float, float, float, float], where: str
) -> GroundTruthBox:
    crowd, outline = bool(entry.get("iscrowd")), entry.get("segmentation")
    polygons: tuple[tuple[float, ...], ...] = ()
    if isinstance(outline, list) and not crowd:
        polygons = tuple(checked_corners(polygon, f"segmentation of {where}") for polygon in outline)
    elif outline and not crowd:
        polygons = coco_outlines(outline, where)
    track = entry.get("track_id")
    return GroundTruthBox(
        label, checked_box(*xyxy, where), crowd or bool(entry.get("ignore")), crowd, polygons,
        None if track is None else str(track), plain_tags(entry.get("attributes")),
    )  # fmt: skip


def _coco_image(
    image: Mapping[str, Any], boxes: tuple[GroundTruthBox, ...], media: Path, complete: frozenset[str]
) -> LabelledFile:
    name = checked_text(image.get("file_name"), f"file_name of image {image.get('id')!r}")
    paths = [media / folder / name for folder in _COCO_FOLDERS]
    path = next((path for path in paths if exists(path)), paths[0])
    return LabelledFile(path, name, {0: boxes}, complete, known_size(image.get("width"), image.get("height")))


_VOC_FOLDERS = ("", "JPEGImages", "../JPEGImages", "images", "../images")
_VOC_TAGS = ("pose", "truncated", "occluded")


def read_voc_folder(path: Path, media: Path, limits: Limits) -> GroundTruth:
    """Return the truth in all XML files of a folder. Raises `BadInput` naming the file that is wrong."""
    read = [_read_xml(file, media, limits) for file in sorted(path.glob("*.xml"))]
    complete = frozenset(box.label for _, _, boxes, _ in read for box in boxes)
    items = (LabelledFile(image_path, name, {0: boxes}, complete, size) for image_path, name, boxes, size in read)
    return GroundTruth("VOC", tuple(items))


def _read_xml(
    file: Path, media: Path, limits: Limits
) -> tuple[Path, str, tuple[GroundTruthBox, ...], tuple[int, int] | None]:
    try:
        root = ET.parse(file).getroot()  # noqa: S314 - expat bounds entities and fetches none
    except (OSError, ET.ParseError) as error:
        raise BadInput(f"{file} cannot be read as XML: {error}") from error
    try:
        boxes = tuple(map(_voc_object, root.iter("object")))
        size = _voc_size(root)
        outlines = object_outlines(file, len(boxes), limits)
        boxes = tuple(replace(box, outline=outline) for box, outline in zip(boxes, outlines, strict=True))
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from error
    name = root.findtext("filename") or file.stem
    path = _voc_image(file, name, media)
    return path, path.name, boxes, size


def _voc_image(file: Path, name: str, media: Path) -> Path:
    """Return the image of a label file: with the name that the file gives, else with the name of the label file."""
    places = [media / folder for folder in _VOC_FOLDERS]
    named = [place / name for place in places]
    beside = [place / f"{file.stem}{suffix}" for place in places for suffix in IMAGE_SUFFIXES]
    return next((path for path in (*named, *beside) if exists(path)), named[0])


def _voc_size(root: ET.Element) -> tuple[int, int] | None:
    width, height = (root.findtext(f"size/{side}") for side in ("width", "height"))
    if width is None or height is None:
        return None
    return known_size(*(int(side) for side in checked_numbers((width, height), "size")))


def _voc_object(element: ET.Element) -> GroundTruthBox:
    label = checked_text(element.findtext("name"), "the name of an object")
    edges = [element.findtext(f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")]
    x0, y0, x1, y1 = checked_numbers(edges, f"bndbox of {label}", 4)
    words = {name: element.findtext(name) for name in _VOC_TAGS}
    tags = {name: {"0": "no", "1": "yes"}.get(word, word) for name, word in words.items() if word}
    difficult = element.findtext("difficult") == "1"
    return GroundTruthBox(canonical(label), checked_box(x0 - 1, y0 - 1, x1, y1, label), difficult, tags=tags)


_YOLO_SPLITS = ("val", "test", "train")
"""Splits of a data set; the first that exists is used."""


def read_yolo_data_set(file: Path, media: Path | None, limits: Limits, *, all_splits: bool = False) -> GroundTruth:
    """Return the truth of one split that a data.yaml names, or of all. Raises `BadInput` naming what is wrong."""
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"{file} cannot be read as YAML: {error}") from error
    head = checked_object(value, str(file))
    names = _class_names(head.get("names"), file)
    root = media or file.parent / str(head.get("path") or ".")
    splits = [name for name in _YOLO_SPLITS if head.get(name)]
    if not splits:
        raise BadInput(f"{file} names no images; it needs one of {', '.join(_YOLO_SPLITS)}")
    used = splits if all_splits else splits[:1]
    places = [place for name in used for place in (head[name] if isinstance(head[name], list) else [head[name]])]
    images = dict.fromkeys(path for place in places for path in _split_images(root, str(place), file))
    notes = () if all_splits else (f"split {splits[0]!r} of {file.name} was used",)
    return GroundTruth("YOLO", tuple(_yolo_images(images, names, root, limits)), sha256_of(file), notes)


def read_yolo_folder(path: Path, media: Path, limits: Limits) -> GroundTruth:
    """Return the truth in a folder with classes.txt, and text files beside the images or in `labels`."""
    classes = next(path for path in (path / "classes.txt", path / "labels" / "classes.txt") if path.is_file())
    names = dict(enumerate(canonical(line) for line in _read_lines(classes) if line.strip()))
    return GroundTruth("YOLO", tuple(_yolo_images(list(_images_in(media)), names, media, limits, path)))


def _class_names(value: Any, file: Path) -> Mapping[int, str]:
    pairs = value.items() if isinstance(value, Mapping) else enumerate(checked_list(value, f"names in {file}"))
    return {number: canonical(checked_text(name, f"class {number} in {file}")) for number, name in pairs}


def _split_images(root: Path, place: str, file: Path) -> Iterator[Path]:
    """Yield the images of a split: a folder of images, or a text file that lists them."""
    split = next((path for path in (root / place, file.parent / place) if exists(path)), None)
    if split is None:
        raise BadInput(f"{file} names {place}, which does not exist; name the folder of the images with --media")
    if split.is_dir():
        yield from _images_in(split)
        return
    yield from (split.parent / line.strip() for line in _read_lines(split) if line.strip())


def _images_in(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def _yolo_images(
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
        boxes = () if size is None else tuple(_yolo_object(line, names, size, written) for line in lines if line)
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


def _yolo_object(line: list[str], names: Mapping[int, str], size: tuple[int, int], file: Path) -> GroundTruthBox:
    place = f"line {' '.join(line)!r:.60} of {file}"
    number, *shares = checked_numbers(line, place)
    if len(shares) == 5:  # an outline has three corners or more
        shares = shares[:4]
    if number not in names or len(shares) < 4 or (len(shares) > 4 and len(shares) % 2):
        raise BadInput(f"{place} is neither a class and a box nor a class and an outline")
    label = names[int(number)]
    if len(shares) == 4:
        x, y, width, height = (share * side for share, side in zip(shares, size * 2, strict=True))
        return GroundTruthBox(label, checked_box(x - width / 2, y - height / 2, x + width / 2, y + height / 2, place))
    corners = tuple(share * size[index % 2] for index, share in enumerate(shares))
    across, down = corners[::2], corners[1::2]
    return GroundTruthBox(label, checked_box(min(across), min(down), max(across), max(down), place), outline=(corners,))


def _read_lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from error
