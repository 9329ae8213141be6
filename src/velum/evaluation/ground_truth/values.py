"""What people say is in a picture or a video, whatever file they have said it in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from velum.errors import BadInput

Xyxy = tuple[float, float, float, float]
"""Edges `(x0, y0, x1, y1)` in pixels of the upright picture."""


@dataclass(frozen=True, slots=True)
class GroundTruthBox:
    """One labelled thing, or with `ignore` one that counts neither as missed nor as wrongly found.

    `area`: nothing of the label counts whose centre lies inside. `outline`: polygons `(x, y, x, y, ...)` in pixels,
    where the thing is outlined. `track`: the same in every frame of one thing. `tags`: the truth's own words, such as
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
    """One picture or video, with what is in its labelled frames, by index.

    `size` is the upright picture's width and height in pixels, where the truth tells it. `complete`: labels of which
    everything is labelled, so that more of them is wrong.
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
    """All that was labelled. `sha256` is that of the file that says so; None where there are many."""

    kind: str
    items: tuple[LabelledFile, ...]
    sha256: str | None = None
    notes: tuple[str, ...] = ()
