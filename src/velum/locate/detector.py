"""The localizer `model`: detects objects with a model of the catalogue, tile by tile."""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from velum.errors import MissingWeights, PluginFault
from velum.frame import Frame
from velum.locate import registry
from velum.locate.output_formats import Detections, Floats, family
from velum.locate.runtime import fingerprint_of, model_facts, open_network
from velum.locate.second_look import SecondLook, add_turned, join_opinions
from velum.locate.tiled_detector import SMALL_FACTOR, TiledDetector
from velum.locate.tiling import locate_with_seam
from velum.locate.weights import fetch
from velum.locate.weights.asset import Look, Opinion
from velum.parts import check_option
from velum.plan import Effort
from velum.plugins import RuntimeConfig, usual_track_threshold
from velum.region import Box, Mask, Region

SPARSE_THRESHOLD_FACTOR = 0.75
"""Factor of the threshold in a video of which localizers see a few frames a second: they have fewer chances of a false
detection, and must find an object that scores low in most frames in one of these few. Chosen with four clips that pan
over photographs of crowds; see docs/benchmarks.md."""

DOUBTFUL_FACTOR, DOUBTFUL_SIDE = 2.0, 1.75
"""Factor of the threshold below which a detection in a video is doubtful, and least shorter side of a doubtful one, in
the smallest sides that the network finds. Of smaller ones many are real: they score low because they are small."""

PROBE_SIDE = 128
"""Sides, in pixels, of the empty image that tells whether a network of any input size gives masks."""

LARGEST_SCALE = 5.0
"""Largest magnification of an image."""

MASK_LEVEL = 0.4
"""Probability from which a pixel of a mask is hidden. Below a half: users notice an area that is hidden needlessly, but
not a part of a person that is still visible."""


class Detector:
    """Detects the labels of a catalogue model. The constructor fetches and compiles the weights."""

    def __init__(
        self, name: str, host: RuntimeConfig, min_side: float | None = None, threshold: float | None = None,
        tile: int = 896, effort: Effort = "balanced",
    ) -> None:  # fmt: skip
        """Prepare the model `name`.

        `min_side` is the shorter side, in image pixels, of the smallest object that must be found; half of it takes
        four times as long. `threshold` is the lowest score of a detection. Where either is omitted, the model's values
        for `effort` apply, which search small images more closely. `tile` squared is the largest area of one network
        input, in pixels: a smaller tile needs less memory, a larger one is a little quicker on large images. Raises
        `BadPlan` for an unknown name and for values out of range, `Unavailable` when the weights cannot be fetched or
        used.
        """
        model = registry.find(name, host)
        kind = family(model.family).for_labels(len(model.labels))
        if model.sizes:
            kind = replace(kind, smallest_side=model.sizes[0], largest_side=model.sizes[1])
        if min_side is not None:
            check_option("min_side", min_side, kind.smallest_side / LARGEST_SCALE, 1000, name)
        check_option("threshold", model.threshold if threshold is None else threshold, 0.01, 1, name)
        check_option("tile", tile, 256, 4096, name)
        self.labels = frozenset(model.labels) - {""}
        self._model, self._kind = model, kind
        self._min_side, self._threshold = min_side, threshold
        self._looks = model.effort.get(effort, model.usual_looks)
        form = replace(kind.input, **model.input)
        network = open_network(fetch.ensure_local(model, host), form, host, model.fingerprint)
        self._finder = TiledDetector(network, kind, form, 1.0, 1.0, tile * tile, twice_from=model.twice_from)
        self._finder = self._set_up(self._looks.image)
        self._turned_finder = self._set_up_turned(self._looks.image)
        self.warning: str | None = None
        self._second_opinion = self._set_up_second_opinion(host)
        self._second_look: SecondLook | None = None
        self._doubtful_below = 0.0

    def _set_up(self, look: Look) -> TiledDetector:
        """Return the detector for images or for videos; values in the plan take precedence over the effort."""
        threshold = self._model.threshold if self._min_side is not None else look.threshold
        closest = 0.0 if self._min_side is not None else self._kind.smallest_side / look.closest_side
        return replace(
            self._finder,
            threshold=threshold if self._threshold is None else self._threshold,
            scale=self._kind.smallest_side / (self._min_side or look.min_side),
            closest=closest, closest_pixels=look.closest_pixels,
        )  # fmt: skip

    def _set_up_turned(self, look: Look) -> TiledDetector | None:
        """Return the detector for turned images, half as close; None where they are not looked at."""
        if not look.turned_threshold or self._min_side is not None or self._threshold is not None:
            return None
        finder = self._finder
        return replace(
            finder, threshold=look.turned_threshold, scale=finder.scale / 2, closest=finder.closest / 2,
            closest_pixels=finder.closest_pixels // 4,
        )  # fmt: skip

    def _set_up_second_opinion(self, host: RuntimeConfig) -> "SecondOpinion | None":
        """Return the network that also looks at images; None, with a warning, where its weights are not available."""
        opinion = self._looks.opinion
        if opinion is None or self._min_side is not None or self._threshold is not None:
            return None
        try:
            other = Detector(opinion.model, host, tile=math.isqrt(self._finder.area))
        except MissingWeights:
            self.warning = (
                f"only {self._model.name} looked at images, because {opinion.model} is not on this machine; run "
                f"'velum models pull {opinion.model}'"
            )
            return None
        other._finder = other._set_up(opinion.look)
        self._finder = replace(
            self._finder, threshold=opinion.unsure, sure_factor=SMALL_FACTOR * opinion.sure / opinion.unsure
        )
        return SecondOpinion(other, opinion)

    def _set_up_second_look(self, finder: TiledDetector) -> SecondLook | None:
        """Return what looks again at doubtful detections, as sure as a look at every frame; None where none does."""
        side = self._looks.video.second_look
        if not side or self._min_side is not None or finder.form.size_wh is not None:
            return None
        return SecondLook(finder.network, finder.family, finder.form, finder.threshold, side)

    def fingerprint(self) -> str:
        """Return a hash of the network's outputs for a fixed image; see `Fingerprinted`. Raises `PluginFault`."""
        return fingerprint_of(self._finder.network, self._finder.form)

    @property
    def description(self) -> Mapping[str, str]:
        """Model, weights and settings, for the report."""
        facts = model_facts(self._model, self._finder.network)
        facts["threshold"] = f"{self._finder.threshold:g}"
        facts["min_side"] = f"{self._kind.smallest_side / self._finder.scale:g}"
        if self._second_opinion is not None:
            other = self._second_opinion.detector.description
            facts |= {"second_opinion": other["model"], "second_opinion_weights": other["weights"]}
        return facts

    @property
    def finder(self) -> TiledDetector:
        """The detector without clipping and labels, for measurements."""
        return self._finder

    @property
    def track_threshold(self) -> float:
        """Score from which a detection starts a track in a video."""
        return usual_track_threshold(self._finder.threshold)

    def for_video(self, *, sparse: bool) -> "Detector | None":
        """Return the detector for a video; both share their network.

        `sparse` lowers the threshold, unless the plan states one. None where it gives masks and must see every frame:
        tracking knows boxes only.
        """
        if sparse and self._gives_masks:
            return None
        other, finder = copy(self), self._set_up(self._looks.video)
        if sparse and self._threshold is None:
            other._second_look = self._set_up_second_look(finder)
            other._doubtful_below = min(finder.threshold * DOUBTFUL_FACTOR, (finder.threshold + 1) / 2)
            finder = replace(finder, threshold=finder.threshold * SPARSE_THRESHOLD_FACTOR)
        other._finder, other._turned_finder = finder, None  # a video that lies on its side says so in its file
        other._second_opinion = None
        return other

    def look_again(self, frame: Frame, regions: Sequence[Region]) -> list[float | None]:
        """Return what each region scores from nearby, on the scale of `locate`; 0 where nothing is found there.

        None for a region whose first score counts: it scores too well to be doubtful, is small, or would cost too much.
        """
        second = self._second_look
        smallest = DOUBTFUL_SIDE * self._kind.smallest_side / self._finder.scale_of(frame)
        doubtful = [
            i
            for i, region in enumerate(regions)
            if region.score < self._doubtful_below and min(region.box.width, region.box.height) >= smallest
        ]
        scores: list[float | None] = [None] * len(regions)
        if second is None or not doubtful:
            return scores
        pixels = sum(math.prod(tile.fit.input_wh) for tile, _ in self._finder.tiles(frame))
        factor = self._finder.threshold / second.threshold
        seen = second.scores(frame, [regions[i] for i in doubtful], self._model.labels, pixels)
        for i, score in zip(doubtful, seen, strict=True):
            if score is not None:
                # One that would start no track does so only where the second look leaves no doubt.
                is_weak = regions[i].score < self.track_threshold and score < self._doubtful_below
                scores[i] = min(score * factor, regions[i].score) if is_weak else score * factor
        return scores

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions of each frame, best first, clipped to the image. Raises `PluginFault`."""
        found = locate_with_seam(frames, lambda views: self._locate_all(self._finder, views))
        if self._second_opinion is not None:
            found = self._second_opinion.join(frames, found)
        finder = self._turned_finder
        return found if finder is None else add_turned(frames, found, lambda views: self._locate_all(finder, views))

    @cached_property
    def _gives_masks(self) -> bool:
        width, height = self._finder.form.size_wh or (PROBE_SIDE, PROBE_SIDE)
        outputs = self._finder.network.infer(np.zeros((height, width, 3), np.uint8))
        return self._finder.family.decode(outputs, (width, height), self._finder.threshold).masks is not None

    def _locate_all(self, finder: TiledDetector, frames: Sequence[Frame]) -> list[list[Region]]:
        return [self._regions(*pair) for pair in zip(frames, finder.find_all(frames), strict=True)]

    def close(self) -> None:
        """Do nothing: the network is freed with the localizer."""

    def _regions(self, frame: Frame, found: Detections) -> list[Region]:
        regions = []
        masks = found.masks or [None] * len(found)
        points = [None] * len(found) if found.points is None else found.points.round(2).tolist()
        rows = zip(found.xyxy.tolist(), found.score.tolist(), found.kind.tolist(), masks, points, strict=True)
        for xyxy, score, kind, likely, landmarks in rows:
            if not 0 <= kind < len(self._model.labels):
                raise PluginFault(
                    f"model {self._model.name} returned class {kind}, but has only {len(self._model.labels)} labels; "
                    "correct "
                    "its labels in the catalogue"
                )
            box = Box.around(*xyxy).clip(frame.width, frame.height)
            if box is not None and self._model.labels[kind]:
                mask = None if likely is None else mask_in(box, likely, xyxy)
                seen = None if landmarks is None else tuple(map(tuple, landmarks))
                regions.append(Region(box, self._model.labels[kind], min(1.0, score), mask, points=seen))
        return regions


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """Another detector that looks at the same images, and the scores from which either counts."""

    detector: Detector
    opinion: Opinion

    def join(self, frames: Sequence[Frame], found: Sequence[Sequence[Region]]) -> list[list[Region]]:
        """Return the regions of both detectors that count in each frame. Raises `PluginFault`."""
        others = self.detector.locate(frames)
        sure, alone = self.opinion.sure, self.opinion.alone
        return [join_opinions(*pair, sure=sure, alone=alone) for pair in zip(found, others, strict=True)]


def mask_in(box: Box, likely: Floats, xyxy: Sequence[float]) -> Mask | None:
    """Return the mask of an object in `box`; None where the mask is useless and the whole box is hidden.

    `likely` (rows, columns) is stretched over the box with edges `xyxy`, of which `box` is the part in the image.
    """
    rows, columns = likely.shape
    scale_x, scale_y = columns / (xyxy[2] - xyxy[0]), rows / (xyxy[3] - xyxy[1])
    # From centres of pixels to centres of cells.
    to_cells = np.array(
        [
            [scale_x, 0.0, (box.x0 + 0.5 - xyxy[0]) * scale_x - 0.5],
            [0.0, scale_y, (box.y0 + 0.5 - xyxy[1]) * scale_y - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    spread = cv2.warpAffine(likely, to_cells, (box.width, box.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    mask: Mask = np.asarray(spread >= MASK_LEVEL)
    return mask if mask.any() else None
