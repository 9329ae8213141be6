"""Ground truth as plain frozen values, whatever file format it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from velum.errors import BadInput

Xyxy = tuple[float, float, float, float]
"""Edges `(x0, y0, x1, y1)` in pixels of the upright picture."""


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
