"""The result of a check: its leaks, as plain frozen values, and as a contact sheet for a reviewer."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from velum import media
from velum.atomic import publish
from velum.errors import OutputFailed
from velum.frame import Rgb
from velum.limits import Limits
from velum.region import Box

Kind = Literal[
    "seen", "weak", "picture", "colour", "metadata", "place", "audio", "subtitles", "stream", "rest", "frames",
    "identity", "transcript",
]  # fmt: skip

SIDE, ABREAST, MOST = 160, 6, 120
"""Side of a tile in pixels, tiles in a row, and most tiles: the first leaks."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A leak: something in a finished file that could identify a person.

    Kinds: `seen`, a detector sees somebody; `weak`, a region is not hidden as the plan says; `frames`, frames are
    missing or too many; `colour`, what was not hidden differs from the source; `picture`, transparent pixels became
    visible; `identity`, a hidden face is recognisable; `transcript`, words that should be muted are in it. The other
    kinds stand for metadata or streams that should have been removed.
    """

    kind: Kind
    message: str
    frame: int | None = None
    box: Box | None = None
    label: str | None = None
    score: float | None = None
    seconds: float | None = None
    """When its frame is shown, in seconds after the first frame of the video; None for other leaks."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "kind": self.kind, "message": self.message, "frame": self.frame,
            "xyxy": None if self.box is None else list(self.box.xyxy), "label": self.label,
            "score": None if self.score is None else round(self.score, 4),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeakRun:
    """A leak that is the same in consecutive frames: that of the first frame, and that of the last one."""

    first: Leak
    last: Leak

    def is_continued_by(self, leak: Leak) -> bool:
        """Tell whether a leak is this one in the next frame: of one kind and label, where the last one was."""
        last = self.last
        if last.frame is None or leak.frame != last.frame + 1 or (leak.kind, leak.label) != (last.kind, last.label):
            return False
        if leak.box is None or last.box is None:
            return leak.box is last.box and _wording(leak) == _wording(last)
        return _wording(leak) == _wording(last) and leak.box.overlaps(last.box)


def leak_runs(leaks: Iterable[Leak]) -> list[LeakRun]:
    """Return the leaks in order of their first frames, each with how long it lasts."""
    runs: list[LeakRun] = []
    open_runs: list[int] = []
    for leak in leaks:
        open_runs = [at for at in open_runs if leak.frame is not None and runs[at].last.frame in _recent(leak.frame)]
        at = next((at for at in open_runs if runs[at].is_continued_by(leak)), None)
        if at is not None:
            runs[at] = replace(runs[at], last=leak)
        else:
            open_runs.append(len(runs))
            runs.append(LeakRun(leak, leak))
    return runs


def _recent(frame: int) -> tuple[int, int]:
    return frame - 1, frame


def _wording(leak: Leak) -> str:
    """Return the message without its numbers: they differ from frame to frame."""
    return re.sub(r"[\d.]+", "#", leak.message)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The leaks of one file, the detectors that searched, and notes on what could not be checked."""

    file: str
    sha256: str | None
    frames: int
    leaks: tuple[Leak, ...]
    detectors: tuple[str, ...] = ()
    regions: int = 0
    """Number of regions verified by their pixels."""
    notes: tuple[str, ...] = field(default=())

    @property
    def is_clean(self) -> bool:
        """Whether the check found no leak."""
        return not self.leaks

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "format": "velum-check/1", "file": self.file, "sha256": self.sha256, "frames": self.frames,
            "passed": self.is_clean, "leaks": [leak.to_json() for leak in self.leaks],
            "detectors": list(self.detectors), "regions_verified": self.regions, "notes": list(self.notes),
        }  # fmt: skip


def write_contact_sheet(target: Path, file: Path, checked: CheckResult, limits: Limits) -> None:
    """Write a PNG with a tile for each leak that has a box. It shows what was not hidden. Raises `OutputFailed`."""
    tiles = list(_tiles(file, [leak for leak in checked.leaks if leak.box is not None][:MOST], limits))
    rows = max(1, -(-len(tiles) // ABREAST))
    sheet = np.full((rows * SIDE, ABREAST * SIDE, 3), 32, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = divmod(number, ABREAST)
        sheet[y * SIDE : (y + 1) * SIDE, x * SIDE : (x + 1) * SIDE] = tile
    done, encoded = cv2.imencode(".png", sheet[..., ::-1])
    with publish(target, overwrite=True) as part:
        if not done:
            raise OutputFailed(f"cannot write {target}: the PNG could not be encoded")
        part.write_bytes(encoded.tobytes())


def _tiles(file: Path, leaks: list[Leak], limits: Limits) -> Iterator[Rgb]:
    indices = {leak.frame for leak in leaks}
    with media.open_source(file, limits) as reader:
        for frame in reader.frames():
            if frame.index not in indices:
                continue
            picture = frame.rgb(frame.width, frame.height)
            for leak in leaks:
                if leak.frame == frame.index and leak.box is not None:
                    yield _tile(picture, leak.box, f"{frame.index} {leak.label or leak.kind}")


def _tile(picture: Rgb, box: Box, text: str) -> Rgb:
    around = box.pad(box.width // 2, box.height // 2).clip(picture.shape[1], picture.shape[0]) or box
    part = picture[around.slices]
    scale = SIDE / max(part.shape[:2])
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    tile = np.zeros((SIDE, SIDE, 3), np.uint8)
    tile[: size[1], : size[0]] = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    cv2.putText(tile, text, (4, SIDE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1, cv2.LINE_AA)
    return tile
