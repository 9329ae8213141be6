"""Derive a network's family, number of classes and input form from its signature."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from velum.errors import BadInput, BadPlan
from velum.locate import output_formats
from velum.locate.output_formats import Signature, literal
from velum.locate.registry import catalog

Shape = tuple[int | None, ...]

STATED = "velum_family"
"""Key of a file's metadata that names its family; networks that velum has trained state it."""

MASK_COEFFICIENTS = 32
"""Mask coefficients at the end of each row of a segmenting YOLO."""


COCO_IDS = 90
"""Highest number of a class in COCO's annotations."""

COCO_UNUSED = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
"""Numbers that COCO's annotations leave out, so that its 80 classes are numbered 1 to 90."""


_BACKGROUND_FIRST = frozenset({"retinaface", "tf_detection", "ultra_light_face", "yolact"})
"""Families whose class 0 is the background."""

_ALWAYS = {"retinaface": ("face",), "scrfd": ("face",)}
"""Family -> the labels of all its networks, for families with a single class."""


def candidates(signature: Signature) -> dict[str, str]:
    """Return each family that fits the signature, with the reason."""
    reasons = {name: output_formats.family(name).recognise(signature) for name in output_formats.names()}
    return {name: reason for name, reason in reasons.items() if reason}


def family_of(signature: Signature, file: str) -> str:
    """Return the family that the file states, or the only one that fits; `file` names the network in errors.

    Raises `BadInput` when none or several fit, with the candidates and reasons.
    """
    if (stated := signature.metadata.get(STATED)) in output_formats.names():
        return str(stated)
    families = candidates(signature)
    if len(families) == 1:
        return next(iter(families))
    if families:
        listed = "\n".join(f"- {name}: {reason}" for name, reason in families.items())
        raise BadInput(f"{file} can be of several families; choose one with --family:\n{listed}")
    raise BadInput(
        f"{file} is of no family that velum recognises: it takes {_shapes(signature.inputs)} and gives "
        f"{_shapes(signature.outputs)}. If you know what it is, say so with --family, one of "
        f"{', '.join(output_formats.names())}"
    )


def labels_of(signature: Signature, family: str, file: str) -> tuple[str, ...]:
    """Return the labels from the file's metadata, or the one label that all models of the family have.

    Raises `BadInput` when there are no labels, or when the metadata cannot be read.
    """
    stated = signature.metadata.get("names")
    if stated:
        return _names(stated, file)
    if family in _ALWAYS:
        return _ALWAYS[family]
    usual = {model.labels for model in catalog().values() if model.family == family}
    if len(usual) == 1 and len(next(iter(usual))) == 1:
        return next(iter(usual))
    count = class_count(signature, family)
    raise BadInput(
        f"{file} does not say what its {f'{count} classes' if count else 'classes'} are; give them in its order with "
        "--labels, a file with one a line, a list such as face,license_plate, or coco for the 80 of COCO"
    )


def number_labels(labels: tuple[str, ...], signature: Signature, family: str) -> tuple[str, ...]:
    """Return the labels in the network's numbering: class 0 gets an empty label where it is the background.

    A DetectionOutput operation states its background class. Where the network has 91 classes, the 80 labels of COCO are
    spread over COCO's numbers 1 to 90.
    """
    background = signature.metadata.get("detection.background_label_id")
    if background != "0" and family not in _BACKGROUND_FIRST:
        return labels
    if labels[0].strip("_").lower() in {"", "background"}:
        return ("", *labels[1:])
    if (len(labels), class_count(signature, family)) == (80, COCO_IDS + 1):
        names = iter(labels)
        return ("", *("" if number in COCO_UNUSED else next(names) for number in range(1, COCO_IDS + 1)))
    return ("", *labels)


def check_labels(labels: tuple[str, ...], signature: Signature, family: str, file: str) -> None:
    """Raise `BadInput` unless the network has exactly one class for each label."""
    count = class_count(signature, family)
    if family == "yolo" and count is not None and _has_rows(signature) and len(labels) == count + 1:
        return  # the rows have no objectness
    if count is not None and count != len(labels):
        other = (
            "; or, where the rest of its numbers are key points or an angle, --family yolo_pose or yolo_obb"
            if family == "yolo" and count > len(labels)
            else ""
        )
        raise BadInput(
            f"{file} has {count} classes, and the list of labels has {len(labels)} ({_short(labels)}); "
            f"give one label for each class, in its order, and an empty one for classes that are not objects{other}"
        )


def class_count(signature: Signature, family: str) -> int | None:
    """Return the number of classes, None where the output shapes do not tell."""
    background, stated = (_stated_number(signature, name) for name in ("background_label_id", "num_classes"))
    if background:  # the background class is last
        return background
    if stated is not None:
        return stated
    counter = _COUNTERS.get(family)
    return counter(signature) if counter and all(signature.outputs.values()) else None


def _stated_number(signature: Signature, name: str) -> int | None:
    """Return a whole number that the DetectionOutput operation states in the metadata, None where it states none."""
    text = signature.metadata.get(f"detection.{name}", "")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def input_of(signature: Signature) -> dict[str, Any]:
    """Return the fields of `Input` that the signature states: layout, fixed size, stride, and an IR's channel order."""
    chosen: dict[str, Any] = {}
    shape = next((shape for shape in signature.inputs.values() if len(shape) == 4), None)
    if shape is not None:
        nchw = shape[3] != 3 or shape[1] == 3
        height, width = (shape[2], shape[3]) if nchw else (shape[1], shape[2])
        chosen["layout"] = "nchw" if nchw else "nhwc"
        if height and width:
            chosen["size_wh"] = (width, height)
    stride = signature.metadata.get("stride", "")
    if stride.isdecimal() and 0 < int(stride) <= 256:
        chosen["stride"] = int(stride)
    order = _order(signature.metadata)
    return chosen | ({"order": order} if order else {})


def _order(metadata: Mapping[str, str]) -> str | None:
    """Return the channel order of a network that OpenVINO's converter made, None when it is not known.

    TensorFlow networks are trained on RGB and Caffe's on BGR, and the converter was asked to turn the order or not.
    """
    if metadata.get("conversion.reverse_input_channels", "").lower() == "true":
        return "rgb" if metadata.get("conversion.framework") == "caffe" else "bgr"
    return {"caffe": "bgr", "tf": "rgb"}.get(metadata.get("conversion.framework", ""))


def _names(text: str, file: str) -> tuple[str, ...]:
    """Return the class names from metadata that holds a Python dict or list as text. Raises `BadInput`."""
    names = ordered_names(literal(text))
    if names is None:
        raise BadInput(f"the class names in the metadata of {file} cannot be read: {text[:80]!r}; give --labels")
    return names


def ordered_names(value: object) -> tuple[str, ...] | None:
    """Return class names in the order of their numbers, from a list or a mapping from numbers to names.

    Return None for anything else, and when it is empty.
    """
    names = dict(enumerate(value)) if isinstance(value, list | tuple) else value
    if not isinstance(names, dict) or not names:
        return None
    if not all(isinstance(number, int) and 0 <= number < 100_000 for number in names):
        return None
    return tuple(str(names.get(number, "")) for number in range(max(names) + 1))


def _first(signature: Signature) -> Shape:
    return next(iter(signature.outputs.values()))


def _yolo(signature: Signature) -> int | None:
    """Return the number of classes n: `[1, 4 + n, rows]` without objectness, `[1, rows, 5 + n]` with it."""
    shape = _first(signature)
    if len(shape) != 3:
        return None
    _, rows, columns = shape
    masks = MASK_COEFFICIENTS if any(len(shape) == 4 for shape in signature.outputs.values()) else 0
    if rows is not None and rows > 4 + masks and (columns is None or rows < columns):
        return rows - 4 - masks
    # Six columns after the network's own suppression are box, score and class (seven: with the image's number), for any
    # number of classes. Six columns for each anchor are one class with objectness or two without; the labels decide.
    return columns - 5 - masks if columns is not None and columns > 7 + masks else None


def _has_rows(signature: Signature) -> bool:
    """Tell whether the output has one row for each box; such rows can have objectness or not."""
    _, rows, columns = _first(signature)
    return columns is not None and (rows is None or rows > columns)


def _pose(signature: Signature) -> int | None:
    """Return the number of classes in columns of box, classes and key points, from the file's count of key points."""
    stated = literal(signature.metadata.get("kpt_shape", ""))
    shape = _first(signature)
    if not isinstance(stated, list | tuple) or not all(isinstance(n, int) for n in stated) or len(shape) != 3:
        return None
    return None if shape[1] is None or (shape[2] or shape[1] + 1) < shape[1] else shape[1] - 4 - prod(stated)


def _obb(signature: Signature) -> int | None:
    """Return the number of classes in columns of box, classes and angle; None for suppressed rows."""
    shape = _first(signature)
    if len(shape) != 3 or shape[1] is None or (shape[2] or shape[1] + 1) < shape[1]:
        return None
    return shape[1] - 5


def _last(signature: Signature) -> int | None:
    last = _first(signature)[-1]
    return None if last is None else last - 5


def _scores(signature: Signature) -> int | None:
    return next((shape[-1] for shape in signature.outputs.values() if len(shape) == 3 and shape[-1] != 4), None)


def _map(signature: Signature) -> int | None:
    """Return the number of classes in maps `[1, n, h, w]` or `[1, h, w, n]`; None for one channel, which fits any."""
    shape = _first(signature)
    sides = [size for size in shape[1:] if size is not None]
    if len(shape) != 4 or len(sides) != 3 or 1 in sides:
        return None
    return shape[1] if shape[2] == shape[3] or (shape[1] or 0) < (shape[3] or 0) else shape[3]


_COUNTERS: Mapping[str, Callable[[Signature], int | None]] = {
    "centerface": lambda signature: _first(signature)[1] if len(_first(signature)) == 4 else None,
    "yolo": _yolo,
    "yolo_pose": _pose,
    "yolo_obb": _obb,
    "retinaface": lambda _: 2,
    "yolox": _last,
    "darknet": _last,
    "detr": _scores,
    "ultra_light_face": _scores,
    "yolact": lambda signature: signature.outputs["conf"][-1],
    "lpd_yunet": lambda signature: None if (n := signature.outputs["conf"][-1]) is None else n - 1,
    "semantic": _map,
}


def parse_labels(text: str) -> tuple[str, ...]:
    """Return labels written as `face,license_plate`. Raises `BadPlan` when there are none."""
    labels = tuple(label.strip() for label in text.split(","))
    if not any(labels):
        raise BadPlan(f"labels {text!r} name nothing; write them as face,license_plate")
    return labels


def _shapes(tensors: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name} [{','.join('?' if n is None else str(n) for n in s)}]" for name, s in tensors.items())


def _short(labels: tuple[str, ...]) -> str:
    return ", ".join(labels) if len(labels) <= 4 else f"{labels[0]}, {labels[1]}, ... {labels[-1]}"
