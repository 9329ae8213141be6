"""Label names: spellings that mean the same label, and groups of labels."""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

ALIASES = {
    "face": (
        "faces", "human_face", "face_with_mask", "face_without_mask", "masked_face", "with_mask", "without_mask",
    ),
    "head": ("heads", "human_head"),
    "license_plate": (
        "licence_plate", "license_plates", "licence_plates", "licenseplate", "licenceplate", "number_plate",
        "numberplate", "number_plates", "plate", "plates", "registration_plate", "vehicle_registration_plate",
        "car_plate", "lp",
    ),
    "person": ("persons", "people", "human", "humans", "man", "woman", "child", "pedestrian", "pedestrians"),
    "rider": ("riders", "cyclist", "bicyclist", "motorcyclist"),
    "vehicle": ("vehicles",),
    "car": ("cars", "automobile", "taxi", "suv"),
    "bus": ("buses", "coach"),
    "truck": ("trucks", "lorry", "pickup", "pickup_truck"),
    "van": ("vans", "minivan", "minibus"),
    "motorcycle": ("motorcycles", "motorbike", "motor", "scooter", "moped"),
    "bicycle": ("bicycles", "bike"),
    "train": ("trains", "tram", "tramway"),
    "text": ("texts", "word", "words", "scene_text"),
    "code": (
        "codes", "qr", "qr_code", "qr_codes", "qrcode", "barcode", "barcodes", "bar_code", "data_matrix", "datamatrix",
    ),
    "screen": ("screens", "monitor", "tvmonitor", "tv_monitor", "tv", "laptop"),
}  # fmt: skip
"""Canonical label -> other spellings that data sets and people use for it."""

GROUPS = {
    "vehicle": ("car", "bus", "truck", "van", "motorcycle", "bicycle", "train", "trailer", "caravan"),
    "person": ("rider",),
}
"""Label -> further labels that it covers."""

COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""The 80 classes of COCO, in the order of their numbers without gaps."""

_CANONICAL = {spelling: label for label, spellings in ALIASES.items() for spelling in (label, *spellings)}


def canonical(label: str) -> str:
    """Return the usual name of a label: `Number Plate` becomes `license_plate`; unknown labels become lower case.

    >>> canonical("Number-Plate"), canonical("Helmet")
    ('license_plate', 'helmet')
    """
    plain = re.sub(r"[\s_-]+", "_", label.strip()).casefold()
    return _CANONICAL.get(plain, plain)


@lru_cache(maxsize=4096)
def covers(wanted: str, label: str) -> bool:
    """Tell whether hiding `wanted` hides what is labelled `label`.

    >>> covers("vehicle", "Truck"), covers("truck", "vehicle"), covers("people", "rider")
    (True, False, True)
    """
    name, other = canonical(wanted), canonical(label)
    return other == name or other in GROUPS.get(name, ())


def covered_labels(wanted: str, offered: Iterable[str]) -> frozenset[str]:
    """Return the labels of `offered` that a rule for `wanted` covers; empty labels are left out."""
    return frozenset(label for label in offered if label and covers(wanted, label))


@lru_cache(maxsize=4096)
def exact(label: str) -> str:
    """Return the spelling with which a rule names exactly this label: `=person`.

    Characters that velum would read differently (such as capitals, spaces and hyphens) or that rules cannot have are
    written as `%` and two hexadecimal digits for each byte of UTF-8.

    >>> exact("person"), exact("License-Plate"), exact("")
    ('=person', '=%4cicense%2d%50late', '=')
    """
    pairs = zip(label, " " + label, strict=False)
    return "=" + "".join(char if _is_plain(char, before) else _percent_encode(char) for char, before in pairs)


def plain(label: str) -> str:
    """Return the label that `exact` encoded; other labels unchanged.

    >>> plain("=%4cicense%2d%50late"), plain("face")
    ('License-Plate', 'face')
    """
    return unquote(label[1:], errors="surrogatepass") if label.startswith("=") else label


def _is_plain(char: str, before: str) -> bool:
    return (
        char.isprintable()
        and not char.isspace()
        and char == char.casefold()
        and char not in "%:>-"
        and not char == before == "_"
    )


def _percent_encode(char: str) -> str:
    return "".join(f"%{byte:02x}" for byte in char.encode(errors="surrogatepass"))
