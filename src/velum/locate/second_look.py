"""A second look at doubtful detections, each from nearby: one small network input around each.

A detector that sees few frames of a video takes low scores, so that it misses nobody; a track that starts with a false
one is hidden for as long as its place looks the same. The part around a detection at a larger scale tells most of them
apart: see docs/benchmarks.md, "How often a video is looked at".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from velum.frame import Frame
from velum.locate.output_formats import Detections, Family, Input
from velum.locate.runtime import Network
from velum.locate.tiling import Letterbox
from velum.region import Box, Region, ious

PART = 2.25
"""Side of the part that is looked at, in longer sides of the detection: networks need an object's surroundings."""

SAME_IOU = 0.3
"""IoU from which the second look has found the same object."""

COST = 0.05
"""Most pixels of all second looks at a frame, as a share of those of the first: what is over them counts as found."""


@dataclass(frozen=True, slots=True)
class SecondLook:
    """Looks at parts of a frame with a network that takes inputs of any size, in inputs of `side` x `side` pixels."""

    network: Network
    family: Family
    form: Input
    threshold: float
    side: int

    def scores(self, frame: Frame, regions: Sequence[Region], labels: Sequence[str], pixels: int) -> list[float | None]:
        """Return the score of each region from nearby, 0 where nothing scores `threshold`; None: not looked at.

        The first regions are looked at, up to the share `COST` of the `pixels` of the first look, and at least one.
        Raises `PluginFault` when the network fails.
        """
        most = max(1, int(COST * pixels / self.side**2))
        fits = [self._fit(region.box, frame) for region in regions[:most]]
        outputs = self.network.infer_many(fit.view(frame, self.form.pad) for fit in fits)
        found = [self.family.decode(out, fit.input_wh, self.threshold) for out, fit in zip(outputs, fits, strict=True)]
        seen = [
            _score_of(region, detections, fit, labels)
            for region, detections, fit in zip(regions, found, fits, strict=False)
        ]
        return [*seen, *[None] * (len(regions) - len(seen))]

    def _fit(self, box: Box, frame: Frame) -> Letterbox:
        half = PART * max(box.width, box.height) / 2
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        part = Box.around(x - half, y - half, x + half, y + half).clip(frame.width, frame.height) or frame.box
        scale = self.side / max(part.width, part.height, 2 * half)
        content_wh = max(1, int(part.width * scale)), max(1, int(part.height * scale))
        return Letterbox(part, content_wh, (self.side, self.side))


def _score_of(region: Region, found: Detections, fit: Letterbox, labels: Sequence[str]) -> float:
    """Return the best score of the detections that show a region."""
    if not len(found):
        return 0.0
    overlaps = ious(np.array([region.box.xyxy], np.float32), fit.to_picture(found.xyxy))[0]
    same = [
        score
        for score, overlap, kind in zip(found.score.tolist(), overlaps.tolist(), found.kind.tolist(), strict=True)
        if overlap >= SAME_IOU and 0 <= kind < len(labels) and labels[kind] == region.label
    ]
    return max(same, default=0.0)
