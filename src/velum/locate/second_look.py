"""A second look at an image: at doubtful detections, each from nearby; at the image turned; by another network.

A detector that sees few frames of a video takes low scores, so that it misses nobody; a track that starts with a false
one is hidden for as long as its place looks the same. The part around a detection at a larger scale tells most of them
apart: see docs/benchmarks.md, "How often a video is looked at". In an image that was turned before it was saved,
objects lie on their sides or stand on their heads. Two networks that were trained on different images seldom make the
same mistake: what both find counts from a lower score.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from velum.frame import Frame, Orientation
from velum.locate.output_formats import Detections, Family, Input
from velum.locate.runtime import Network
from velum.locate.tiling import Letterbox
from velum.region import Box, Region, ious

PART = 2.25
"""Side of the part that is looked at, in longer sides of the detection: networks need an object's surroundings."""

SAME_IOU = 0.3
"""IoU from which the second look has found the same object. A network draws the box of a face that lies on its side
differently, so two boxes of one object overlap less than those of two tiles."""

COST = 0.05
"""Most pixels of all second looks at a frame, as a share of those of the first: what is over them counts as found."""

AGREEMENT_IOU, KNOWN_IOU = 0.4, 0.3
"""IoU from which two networks mean the same object where one confirms the other, and where one would add an object."""

TURNS = (
    Orientation(transposed=True, flip_y=True), Orientation(flip_x=True, flip_y=True),
    Orientation(transposed=True, flip_x=True),
)  # fmt: skip
"""From an image to the same turned by 90, 180 and 270 degrees, counter-clockwise."""


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
        pairs = zip(outputs, fits, strict=True)
        answers = [self.family.decode(out, fit.input_wh, self.threshold) for out, fit in pairs]
        pictures = [
            _score_of(region, detections, fit, labels)
            for region, detections, fit in zip(regions, answers, fits, strict=False)
        ]
        return [*pictures, *[None] * (len(regions) - len(pictures))]

    def _fit(self, box: Box, frame: Frame) -> Letterbox:
        half = PART * max(box.width, box.height) / 2
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        part = Box.around(x - half, y - half, x + half, y + half).clip(frame.width, frame.height) or frame.box
        scale = self.side / max(part.width, part.height, 2 * half)
        content_wh = max(1, int(part.width * scale)), max(1, int(part.height * scale))
        return Letterbox(part, content_wh, (self.side, self.side))


def _score_of(region: Region, detections: Detections, fit: Letterbox, labels: Sequence[str]) -> float:
    """Return the best score of the detections that show a region."""
    if not len(detections):
        return 0.0
    overlaps = ious(np.array([region.box.xyxy], np.float32), fit.to_picture(detections.xyxy))[0]
    same = [
        score
        for score, overlap, kind in zip(
            detections.score.tolist(), overlaps.tolist(), detections.kind.tolist(), strict=True
        )
        if overlap >= SAME_IOU and 0 <= kind < len(labels) and labels[kind] == region.label
    ]
    return max(same, default=0.0)


def add_turned(
    frames: Sequence[Frame], upright: list[list[Region]], locate: Callable[[Sequence[Frame]], list[list[Region]]]
) -> list[list[Region]]:
    """Return `upright`, and with it what `locate` finds in each frame only when the frame is turned."""
    turned = locate([frame.turn(turn) for frame in frames for turn in TURNS])
    return [
        regions + list(_new_regions(regions, frame, turned[len(TURNS) * number :]))
        for number, (frame, regions) in enumerate(zip(frames, upright, strict=True))
    ]


def _new_regions(regions: Sequence[Region], frame: Frame, turned: Sequence[list[Region]]) -> Iterator[Region]:
    """Yield the regions of the turned views, as they lie in the frame, which are neither in `regions` nor yielded."""
    all_regions = list(regions)
    views = [
        _back(region, turn, frame)
        for turn, turned_regions in zip(TURNS, turned, strict=False)
        for region in turned_regions
    ]
    for region in sorted(views, key=lambda view: -view.score):
        same = np.array([other.box.xyxy for other in all_regions if other.label == region.label], float).reshape(-1, 4)
        if not (ious(np.array([region.box.xyxy], float), same) >= SAME_IOU).any():
            all_regions.append(region)
            yield region


def _back(region: Region, turn: Orientation, frame: Frame) -> Region:
    """Return a region of the turned frame as it lies in the frame."""
    width, height = turn.stored_size(frame.width, frame.height)
    mask = None if region.mask is None else np.ascontiguousarray(turn.stored_mask(region.mask))
    points = None if region.points is None else turn.stored_points(region.points, width, height)
    return replace(region, box=turn.stored_box(region.box, width, height), mask=mask, points=points)


def join_opinions(first: Sequence[Region], second: Sequence[Region], *, sure: float, alone: float) -> list[Region]:
    """Return the regions of two networks in one image that count, best first.

    Those of the `first` count from the score `sure`, and where the `second` has the same; those of the second count
    from the score `alone`, unless the first has the same.
    """
    overlaps = ious(_boxes(first), _boxes(second))
    overlaps *= np.array(
        [[region_of_first.label == other.label for other in second] for region_of_first in first]
    ).reshape(overlaps.shape)
    agreed = np.any(overlaps >= AGREEMENT_IOU, axis=1)
    is_kept = np.array([region.score >= sure for region in first], bool) | agreed
    already_found = np.any(overlaps[is_kept] >= KNOWN_IOU, axis=0).tolist()
    regions = [region for region, counts in zip(first, is_kept, strict=True) if counts]
    regions += [
        region for region, is_known in zip(second, already_found, strict=True) if region.score >= alone and not is_known
    ]
    return sorted(regions, key=lambda region: -region.score)


def _boxes(regions: Sequence[Region]) -> npt.NDArray[np.float32]:
    return np.array([region.box.xyxy for region in regions], np.float32).reshape(-1, 4)
