"""Ground truth as plain frozen values, whatever file format it came from, and checked access to the fields of files."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from velum.errors import BadInput

Xyxy = tuple[float, float, float, float]
"""Edges `(x0, y0, x1, y1)` in pixels of the upright frame."""


@dataclass(frozen=True, slots=True)
class GroundTruthBox:
    """One labelled object; with `ignore` it counts neither as missed nor as false.

    `area`: detections of the label whose centre lies inside do not count. `outline`: polygons `(x, y, x, y, ...)` in
    pixels. `track`: the id that an object has in all frames. `tags`: attributes in the truth, such as
    `{"pose": "left"}`.
    """

    label: str
    xyxy: Xyxy
    ignore: bool = False
    area: bool = False
    outline: tuple[tuple[float, ...], ...] = ()
    track: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def height(self) -> float:
        """Pixels from the upper to the lower edge."""
        return self.xyxy[3] - self.xyxy[1]


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """One image or video with the objects of its labelled frames, by frame index.

    `size`: width and height of the upright image in pixels, when the truth has it. `complete`: labels that are labelled
    completely, so that unmatched detections are false.
    """

    path: Path
    name: str
    frames: Mapping[int, tuple[GroundTruthBox, ...]]
    complete: frozenset[str]
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if "\0" in str(self.path):
            raise BadInput(f"the truth names the file {self.name!r:.80}; no file can have that name")


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """All labelled files. `sha256` is that of the truth file; None when there are several."""

    kind: str
    items: tuple[LabelledFile, ...]
    sha256: str | None = None
    notes: tuple[str, ...] = ()


def exists(path: Path) -> bool:
    """Tell whether a file or folder exists; False for impossible names."""
    try:
        return path.exists()
    except OSError:
        return False


def checked_object(value: Any, name: str) -> Mapping[str, Any]:
    """Return an object. Raises `BadInput` for anything else."""
    if not isinstance(value, Mapping):
        raise BadInput(f"{name} is {value!r:.80}; it must be an object")
    return value


def checked_list(value: Any, name: str) -> list[Any]:
    """Return a list. Raises `BadInput` for anything else."""
    if not isinstance(value, list):
        raise BadInput(f"{name} is {value!r:.80}; it must be a list")
    return value


def checked_text(value: Any, name: str) -> str:
    """Return a text that is not empty. Raises `BadInput` for anything else."""
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{name} is {value!r:.80}; it must be a text that is not empty")
    return value


def checked_numbers(value: Any, name: str, count: int | None = None) -> tuple[float, ...]:
    """Return finite numbers, `count` of them where it is given. Raises `BadInput` for anything else."""
    try:
        parsed = tuple(float(number) for number in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{name} is {value!r:.80}; it must be a list of numbers") from error
    if not all(map(math.isfinite, parsed)) or (count is not None and len(parsed) != count):
        raise BadInput(f"{name} is {value!r:.80}; it must be a list of {count or 'finite'} numbers")
    return parsed


def checked_corners(value: Any, name: str) -> tuple[float, ...]:
    """Return the corners of a polygon, `x, y, x, y, ...`. Raises `BadInput` for anything else."""
    numbers = checked_numbers(value, name)
    if len(numbers) < 6 or len(numbers) % 2:
        raise BadInput(f"{name} has {len(numbers)} numbers; it must have x and y of three corners or more")
    return numbers


def checked_box(x0: float, y0: float, x1: float, y1: float, name: str) -> Xyxy:
    """Return a box. Raises `BadInput` when it is empty."""
    if x0 >= x1 or y0 >= y1:
        raise BadInput(f"{name} has the box {(x0, y0, x1, y1)}, which is empty")
    return x0, y0, x1, y1


def known_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return (width, height) when both are positive, else None: labelling tools leave the size out, or write 0."""
    sides = [side for side in (width, height) if isinstance(side, int) and side > 0]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def plain_tags(value: Any) -> dict[str, str]:
    """Return the plain values of tags as texts; `{"occluded": true}` becomes `{"occluded": "yes"}`."""
    if not isinstance(value, Mapping):
        return {}
    words = {True: "yes", False: "no"}
    plain = {name: words[tag] if isinstance(tag, bool) else tag for name, tag in value.items()}
    return {str(name): str(tag) for name, tag in plain.items() if isinstance(tag, str | int | float) and tag != ""}
