"""A localizer of your own: it finds red objects.

A localizer has a set of labels and a method `locate`, which gets frames and returns the regions of each. Put a model
there, or rules like these. With the class in a package, an entry point makes it known to every command.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar

import numpy as np
from PIL import Image, ImageDraw

from velum import Box, Engine, Plan, Region, Report, RuntimeConfig
from velum.frame import Frame


class RedThings:
    """Finds the smallest box around everything red in a frame."""

    labels: ClassVar[frozenset[str]] = frozenset({"red"})

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions of each frame, in pixels of the upright picture."""
        return [self._red_regions(frame) for frame in frames]

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _red_regions(self, frame: Frame) -> list[Region]:
        pixels = frame.rgb(frame.width, frame.height).astype(int)
        rows, columns = np.nonzero((pixels[..., 0] > 150) & (pixels[..., 1:].max(axis=-1) < 100))
        if not rows.size:
            return []
        box = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        return [Region(box, "red", score=1.0)]


def main(folder: Path) -> Report:
    """Draw a red ball, hide it, and return the report."""
    picture = Image.new("RGB", (160, 120), (230, 230, 230))
    ImageDraw.Draw(picture).ellipse((60, 40, 100, 80), fill=(210, 30, 30))
    picture.save(folder / "ball.png")
    with Engine(host=RuntimeConfig(localizers={"redthings": RedThings})) as engine:
        return engine.hide(folder / "ball.png", folder / "hidden.png", Plan.of("red: redthings -> blacken"))


if __name__ == "__main__":
    folder = Path(mkdtemp())
    print(main(folder).labels, folder / "hidden.png")
