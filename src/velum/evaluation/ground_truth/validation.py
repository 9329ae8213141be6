"""Checked access to the fields of truth files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from velum.errors import BadInput
from velum.evaluation.ground_truth.values import Xyxy


def is_there(path: Path) -> bool:
    """Tell whether a file or folder exists; False for impossible names."""
    try:
        return path.exists()
    except OSError:
        return False


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Return an object. Raises `BadInput` for anything else."""
    if not isinstance(value, Mapping):
        raise BadInput(f"{what} is {value!r:.80}; it must be an object")
    return value


def items(value: Any, what: str) -> list[Any]:
    """Return a list. Raises `BadInput` for anything else."""
    if not isinstance(value, list):
        raise BadInput(f"{what} is {value!r:.80}; it must be a list")
    return value


def text(value: Any, what: str) -> str:
    """Return a text that is not empty. Raises `BadInput` for anything else."""
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{what} is {value!r:.80}; it must be a text that is not empty")
    return value


def numbers(value: Any, what: str, count: int | None = None) -> tuple[float, ...]:
    """Return finite numbers, `count` of them where it is given. Raises `BadInput` for anything else."""
    try:
        parsed = tuple(float(number) for number in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{what} is {value!r:.80}; it must be a list of numbers") from error
    if not all(map(math.isfinite, parsed)) or (count is not None and len(parsed) != count):
        raise BadInput(f"{what} is {value!r:.80}; it must be a list of {count or 'finite'} numbers")
    return parsed


def corners(value: Any, what: str) -> tuple[float, ...]:
    """Return the corners of a polygon, `x, y, x, y, ...`. Raises `BadInput` for anything else."""
    found = numbers(value, what)
    if len(found) < 6 or len(found) % 2:
        raise BadInput(f"{what} has {len(found)} numbers; it must have x and y of three corners or more")
    return found


def box(x0: float, y0: float, x1: float, y1: float, what: str) -> Xyxy:
    """Return a box. Raises `BadInput` when it is empty."""
    if x0 >= x1 or y0 >= y1:
        raise BadInput(f"{what} has the box {(x0, y0, x1, y1)}, which is empty")
    return x0, y0, x1, y1


def size(width: Any, height: Any) -> tuple[int, int] | None:
    """Return (width, height) when both are positive, else None: labelling tools leave the size out, or write 0."""
    sides = [side for side in (width, height) if isinstance(side, int) and side > 0]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def tags(value: Any) -> dict[str, str]:
    """Return the plain values of tags as texts; `{"occluded": true}` becomes `{"occluded": "yes"}`."""
    if not isinstance(value, Mapping):
        return {}
    words = {True: "yes", False: "no"}
    plain = {name: words[tag] if isinstance(tag, bool) else tag for name, tag in value.items()}
    return {str(name): str(tag) for name, tag in plain.items() if isinstance(tag, str | int | float) and tag != ""}
