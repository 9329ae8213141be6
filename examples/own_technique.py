"""A technique of your own: it hides a face behind a check of light and dark.

A technique has one method, `hide`. It gets the samples of one region, plane by plane, and writes over them. velum cuts
the region out, keeps what lies outside of its outline, and writes the picture.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar

import numpy as np
from PIL import Image

from velum import Engine, Plan, RuntimeConfig
from velum.plugins import Patch
from velum.testing import check_technique


@dataclass(frozen=True)
class Check:
    """Squares of light and dark; `size` is how many lie along the longer side."""

    size: int = 6
    destroys: ClassVar[bool] = True  # nothing of what was there is left
    labels: ClassVar[frozenset[str] | None] = None  # it suits every label

    def hide(self, patch: Patch) -> None:
        """Write over every plane; its own number of bits says what is light."""
        for plane in patch.planes:
            height, width = plane.pixels.shape[:2]
            side = max(1, max(height, width) // self.size)
            rows, columns = np.arange(height)[:, None] // side, np.arange(width)[None, :] // side
            light = (1 << plane.bits) - 1
            values = np.where((rows + columns) % 2, light * 3 // 4, light // 4)
            plane.pixels[...] = values if plane.pixels.ndim == 2 else values[..., None]


def main(folder: Path) -> Path:
    """Hide a zone of a grey picture behind the check, and return where the result is."""
    source, target = folder / "grey.png", folder / "checked.png"
    Image.new("RGB", (160, 120), (200, 200, 200)).save(source)
    plan = Plan.of("zone: fixed(box=[40, 30, 120, 90]) -> check(size=4)")
    with Engine(host=RuntimeConfig(techniques={"check": Check})) as engine:
        engine.hide(source, target, plan)
    return target


if __name__ == "__main__":
    check_technique(Check())  # over every kind of picture that velum knows; raises where something is wrong
    print(main(Path(mkdtemp())))
