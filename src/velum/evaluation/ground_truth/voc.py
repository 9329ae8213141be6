"""PASCAL VOC's format (VOC2012 development kit, annotations): one XML file an image, pixels counted from 1.

`difficult` objects are ignored, as VOC's own evaluation does; pose, truncated and occluded become tags. Every label
that occurs in the folder counts as labelled completely.
"""

from pathlib import Path
from xml.etree import ElementTree as ET

from velum.errors import BadInput
from velum.evaluation.ground_truth.values import (
    GroundTruth,
    GroundTruthBox,
    LabelledFile,
    checked_box,
    checked_numbers,
    checked_text,
    exists,
    known_size,
)
from velum.locate.labels import canonical
from velum.media import IMAGE_SUFFIXES

_FOLDERS = ("", "JPEGImages", "../JPEGImages", "images", "../images")
_TAGS = ("pose", "truncated", "occluded")


def folder(path: Path, media: Path) -> GroundTruth:
    """Return the truth in all XML files of a folder. Raises `BadInput` naming the file that is wrong."""
    read = [_read_xml(file, media) for file in sorted(path.glob("*.xml"))]
    complete = frozenset(box.label for _, _, boxes, _ in read for box in boxes)
    items = (LabelledFile(found, name, {0: boxes}, complete, size) for found, name, boxes, size in read)
    return GroundTruth("VOC", tuple(items))


def _read_xml(file: Path, media: Path) -> tuple[Path, str, tuple[GroundTruthBox, ...], tuple[int, int] | None]:
    try:
        root = ET.parse(file).getroot()  # noqa: S314 - expat bounds entities and fetches none
    except (OSError, ET.ParseError) as error:
        raise BadInput(f"{file} cannot be read as XML: {error}") from error
    try:
        boxes = tuple(map(_object_box, root.iter("object")))
        size = _size(root)
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from error
    name = root.findtext("filename") or file.stem
    path = _find_image(file, name, media)
    return path, path.name, boxes, size


def _find_image(file: Path, name: str, media: Path) -> Path:
    """Return the image of a label file: with the name that the file gives, else with the name of the label file."""
    places = [media / folder for folder in _FOLDERS]
    named = [place / name for place in places]
    beside = [place / f"{file.stem}{suffix}" for place in places for suffix in IMAGE_SUFFIXES]
    return next((path for path in (*named, *beside) if exists(path)), named[0])


def _size(root: ET.Element) -> tuple[int, int] | None:
    width, height = (root.findtext(f"size/{side}") for side in ("width", "height"))
    if width is None or height is None:
        return None
    return known_size(*(int(side) for side in checked_numbers((width, height), "size")))


def _object_box(element: ET.Element) -> GroundTruthBox:
    label = checked_text(element.findtext("name"), "the name of an object")
    edges = [element.findtext(f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")]
    x0, y0, x1, y1 = checked_numbers(edges, f"bndbox of {label}", 4)
    words = {name: element.findtext(name) for name in _TAGS}
    tags = {name: {"0": "no", "1": "yes"}.get(word, word) for name, word in words.items() if word}
    difficult = element.findtext("difficult") == "1"
    return GroundTruthBox(canonical(label), checked_box(x0 - 1, y0 - 1, x1, y1, label), difficult, tags=tags)
