"""Boxes, masks and regions, in pixels of the upright frame."""

import math
import reprlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from velum.errors import BadInput, BadPlan
from velum.spec import PartSpec

Mask = npt.NDArray[np.bool_]
"""Boolean array (height, width) of its box's size; True where the object is."""

BoxArray = TypeVar("BoxArray", npt.NDArray[np.float32], npt.NDArray[np.float64])
"""Boxes x0, y0, x1, y1 in the last axis."""

Origin = Literal["detected", "interpolated", "back-filled", "manual"]
"""Where a region comes from: a localizer, tracking between or before detections, or a person."""

_SIZES = (16, 32, 64, 128)
"""Lower bounds of the size classes, in pixels."""

Points = tuple[tuple[float, float], ...]
"""Points x, y in pixels of the upright frame; the middle of the first pixel is at 0.5, 0.5."""

MOST_POINTS = 200
"""Most points of a region that a file may have."""

_FIELDS = frozenset({"label", "xyxy", "score", "found", "track", "mask_runs", "technique", "off", "points"})
_FORMER = {"found": "origin", "off": "ignored"}


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A rectangle of whole pixels: `x0 <= x < x1`, `y0 <= y < y1`, origin top left. Never empty."""

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x0 >= self.x1 or self.y0 >= self.y1:
            raise BadInput(f"box {self.xyxy} is empty; it needs x0 < x1 and y0 < y1")

    @classmethod
    def around(cls, x0: float, y0: float, x1: float, y1: float) -> Self:
        """Return the smallest box that contains the given edges: low edges are floored, high edges ceiled."""
        if not all(map(math.isfinite, (x0, y0, x1, y1))):
            raise BadInput(f"box {(x0, y0, x1, y1)} has an edge that is not a finite number")
        return cls(math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1))

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """The edges as `(x0, y0, x1, y1)`."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.y1 - self.y0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array whose first axes are rows and columns."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def clip(self, width: int, height: int) -> Self | None:
        """Return the part inside a frame of `width` x `height` pixels, None when there is none."""
        x0, y0, x1, y1 = max(self.x0, 0), max(self.y0, 0), min(self.x1, width), min(self.y1, height)
        return type(self)(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def pad(self, dx: int, dy: int) -> Self:
        """Return the box widened by `dx` pixels left and right and `dy` pixels above and below."""
        return type(self)(self.x0 - dx, self.y0 - dy, self.x1 + dx, self.y1 + dy)

    def move(self, dx: int, dy: int) -> Self:
        """Return the box shifted by `dx`, `dy` pixels."""
        return type(self)(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def overlaps(self, other: "Box") -> bool:
        """Tell whether the two boxes share a pixel."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def join(self, other: "Box") -> Self:
        """Return the smallest box that contains both."""
        return type(self)(
            min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One object in one frame, in pixels of the upright frame.

    `mask` has the box's size and says which of its pixels belong to the object; None means all of them. `technique`
    hides this region instead of the technique of its rule. A region that is `ignored` is listed for people and not
    hidden. `points` are landmarks that the network saw in this very frame: of a face the eyes, the tip of the nose and
    the corners of the mouth, the one on the left of the image first; of a licence plate its corners. In JSON, `origin`
    is written `found`, and `ignored` is written `off`.
    """

    box: Box
    label: str
    score: float = 1.0
    mask: Mask | None = None
    track: int | None = None
    origin: Origin = "detected"
    technique: PartSpec | None = None
    ignored: bool = False
    points: Points | None = None

    def __post_init__(self) -> None:
        if self.mask is not None and (self.mask.shape != (self.box.height, self.box.width) or self.mask.dtype != bool):
            raise BadInput(
                f"mask of {self.mask.dtype} {self.mask.shape} does not fit box {self.box.xyxy}; "
                f"it must be bool ({self.box.height}, {self.box.width})"
            )

    if not TYPE_CHECKING:  # or a misspelt field would pass the type checker

        def __getattr__(self, name: str) -> Any:
            """Read a field by its former name, with a warning."""
            if name not in _FORMER:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            warnings.warn(f"Region.{name} is now called Region.{_FORMER[name]}", DeprecationWarning, stacklevel=2)
            return getattr(self, _FORMER[name])

    def to_json(self) -> dict[str, Any]:
        """Return the region as plain JSON values; the mask as run lengths, row by row, starting with False."""
        entry: dict[str, Any] = {
            "label": self.label, "xyxy": list(self.box.xyxy), "score": round(self.score, 4), "found": self.origin,
        }  # fmt: skip
        if self.track is not None:
            entry["track"] = self.track
        if self.mask is not None:
            entry["mask_runs"] = run_lengths(self.mask)
        if self.technique is not None:
            entry["technique"] = str(self.technique)
        if self.ignored:
            entry["off"] = True
        if self.points is not None:
            entry["points"] = [[round(x, 2), round(y, 2)] for x, y in self.points]
        return entry

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Self:
        """Return the region that `to_json` wrote. Raises `BadInput` naming the field that is wrong."""
        if not isinstance(entry, Mapping):
            raise BadInput(f"region {entry!r} is not an object; it needs at least label and xyxy")
        if unknown := entry.keys() - _FIELDS:
            raise BadInput(f"region has unknown fields {sorted(unknown)}; known are {', '.join(sorted(_FIELDS))}")
        label, xyxy, score = entry.get("label"), entry.get("xyxy"), entry.get("score", 1.0)
        origin, track, runs = entry.get("found", "manual"), entry.get("track"), entry.get("mask_runs")
        if not isinstance(label, str) or not label:
            raise BadInput(f"region label {label!r} is not a non-empty string")
        if not isinstance(xyxy, list) or len(xyxy) != 4 or not all(map(_is_number, xyxy)):
            raise BadInput(f"region xyxy {xyxy!r} is not a list of four numbers [x0, y0, x1, y1] in pixels")
        if not _is_number(score) or not 0 <= score <= 1:
            raise BadInput(f"region score {score!r} is not a number from 0 to 1")
        if origin not in get_args(Origin):
            raise BadInput(f"region found {origin!r} is unknown; allowed are {', '.join(get_args(Origin))}")
        if track is not None and (not isinstance(track, int) or isinstance(track, bool)):
            raise BadInput(f"region track {track!r} is not a whole number")
        if not isinstance(off := entry.get("off", False), bool):
            raise BadInput(f"region off is {off!r}; it must be true or false")
        box = Box.around(*xyxy)
        mask = None if runs is None else mask_from_runs(runs, box.height, box.width)
        technique, points = _technique(entry.get("technique")), points_from_json(entry.get("points"))
        return cls(box, label, float(score), mask, track, origin, technique, off, points)


# Thousands of regions name the same technique.
_parse_cached = lru_cache(maxsize=256)(PartSpec.parse)


def _technique(value: Any) -> PartSpec | None:
    try:
        return _parse_cached(value) if isinstance(value, str) else None if value is None else PartSpec.from_json(value)
    except (BadPlan, RecursionError) as error:  # the latter: nested too deep
        raise BadInput(f"region technique: {str(error) or 'it is nested too deep'}") from error


def intersections(boxes: BoxArray, others: BoxArray) -> BoxArray:
    """Return the area (..., m) that boxes x0, y0, x1, y1 (..., 4) share with others (m, 4)."""
    box = boxes[..., np.newaxis, :]
    sides = np.minimum(box[..., 2:], others[:, 2:]) - np.maximum(box[..., :2], others[:, :2])
    shared: BoxArray = np.prod(np.maximum(sides, 0), axis=-1)
    return shared


def ious(boxes: BoxArray, others: BoxArray) -> BoxArray:
    """Return the intersection over union (n, m) of boxes x0, y0, x1, y1 (n, 4) and others (m, 4)."""
    shared = intersections(boxes, others)
    areas = [np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1) for xyxy in (boxes, others)]
    ratio: BoxArray = shared / np.maximum(areas[0][:, np.newaxis] + areas[1] - shared, np.float32(1e-9))
    return ratio


def size_class(side: float) -> str:
    """Return the size class of a region or object by a side in pixels, such as `16 to 31 px`; see `SIZE_CLASSES`."""
    above = [low for low in _SIZES if low <= side]
    if not above:
        return f"under {_SIZES[0]} px"
    if len(above) == len(_SIZES):
        return f"{_SIZES[-1]} px and more"
    return f"{above[-1]} to {_SIZES[len(above)] - 1} px"


SIZE_CLASSES = tuple(size_class(side) for side in (1, *_SIZES))
"""All size classes, the smallest first."""


def run_lengths(mask: Mask) -> list[int]:
    """Return the lengths of runs of equal values, row by row; the first run is of False and may be empty."""
    flat = mask.ravel()
    starts = np.flatnonzero(np.concatenate((flat[:1], flat[1:] != flat[:-1])))
    return [int(n) for n in np.diff(np.concatenate(([0], starts, [flat.size])))]


def mask_from_runs(runs: Any, height: int, width: int) -> Mask:
    """Return the mask (height, width) whose run lengths these are. Raises `BadInput` when they do not add up."""
    if (
        not isinstance(runs, list)
        or not all(isinstance(n, int) and n >= 0 for n in runs)
        or sum(runs) != height * width
    ):
        raise BadInput(f"region mask_runs is not a list of run lengths that adds up to {height} x {width} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)


def points_from_json(value: Any) -> Points | None:
    """Return the points of JSON values, None for none. Raises `BadInput`."""
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= MOST_POINTS
        or not all(isinstance(point, list) and len(point) == 2 and all(map(_is_number, point)) for point in value)
    ):
        raise BadInput(
            f"region points {reprlib.repr(value)} are not 1 to {MOST_POINTS} points [x, y] in pixels; leave them out"
        )
    return tuple((float(x), float(y)) for x, y in value)


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False
