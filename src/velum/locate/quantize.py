"""Quantize a detector to 8 bits, and compare its accuracy and speed with the original on the user's images."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from velum.errors import BadInput, BadPlan
from velum.frame import Frame, Rgb
from velum.locate import registry, user_models
from velum.locate.detector import Detector
from velum.locate.import_model import ImportedModel, model_name
from velum.locate.output_formats import Detections, Family, family
from velum.locate.registry import Model
from velum.locate.runtime import int8, open_network, openvino
from velum.locate.runtime.int8 import Preset
from velum.locate.tiled_detector import TiledDetector
from velum.locate.weights import fetch
from velum.plugins import Precision, RuntimeConfig
from velum.region import ious

PictureLoader = Callable[[], Frame]
"""Reads one of the user's images. Called several times, so that they need not all stay in memory."""

LOOKS = 300
"""Number of tiles that NNCF calibrates with, as it advises; more change little."""

SAME_IOU = 0.5
"""Intersection over union from which two boxes are the same detection."""

SIZES = (16, 32, 96)
"""Limits between the bins of object size: shorter sides in image pixels."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the original network's detections the quantized one found again: `again` of `of`."""

    again: int
    of: int

    def __add__(self, other: "Share") -> "Share":
        return Share(self.again + other.again, self.of + other.of)

    @property
    def value(self) -> float | None:
        """Share from 0 to 1; None where the original detected nothing."""
        return self.again / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class QuantizationTrial:
    """A network's results on the images, compared with the original in f32.

    `by_size` counts by the shorter side of the original's box in pixels: `0-16`, `16-32`, `32-96`, `96-`. `more` is the
    number of detections that the original lacks. `largest_drop` is the largest loss of score of a matched detection.
    """

    precision: str
    ms_per_picture: float
    by_size: Mapping[str, Share]
    more: int
    largest_drop: float

    @property
    def share(self) -> Share:
        """The sum over all sizes."""
        return sum(self.by_size.values(), Share(0, 0))

    def to_json(self) -> dict[str, Any]:
        """Return the trial as JSON values."""
        sizes = {size: {"again": share.again, "of": share.of} for size, share in self.by_size.items()}
        return {
            "precision": self.precision, "ms_per_picture": round(self.ms_per_picture, 2),
            "again": self.share.again, "of": self.share.of, "by_size": sizes, "more": self.more,
            "largest_drop": round(self.largest_drop, 4),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quantized:
    """The stored model, and the trials: the original in f32 first, the quantized one last.

    `held_back` tells whether the trials used other images than the calibration.
    """

    model: Model
    trials: tuple[QuantizationTrial, ...]
    pictures: int
    held_back: bool


def quantize(
    name: str,
    host: RuntimeConfig,
    pictures: Sequence[PictureLoader],
    *,
    new_name: str | None = None,
    preset: Preset = "mixed",
    replace_old: bool = False,
    say: Say = lambda _: None,
) -> Quantized:
    """Store a copy of the model `name` in 8-bit arithmetic, and compare it with the original.

    With four images or more, one half calibrates NNCF and the other half is compared. `say` is called with each step.
    Raises `BadPlan` for an unknown model, or one that finds no boxes, `BadInput` without images and when the model
    cannot be quantized, and `Unavailable` as a detector does.
    """
    model = registry.find(name, host)
    called = model_name(new_name or f"{name}-int8", stated=True)
    if called in registry.catalog(host) and not replace_old:
        raise BadPlan(f"there is a model {called!r} already; choose another --name, or --replace")
    if not isinstance(family(model.family), Family):
        raise BadPlan(f"model {name} finds outlines, not boxes; only networks that find boxes can be compared")
    if not pictures:
        raise BadInput(
            "there are no images to calibrate with; give a folder of images like those to be processed later"
        )
    exact = replace(host, precision="f32", runtime="openvino", device="cpu")
    finder = Detector(name, exact).finder
    path = fetch.ensure_local(model, host)
    half = len(pictures) >= 4
    with TemporaryDirectory(prefix="velum-") as room:
        target = Path(room) / "model.xml"
        say("calibrating with the images")
        int8.quantize(path, target, finder.form, CalibrationTiles(finder, pictures[:: 1 + half]), LOOKS, preset)
        say("comparing with the original")
        networks: list[tuple[Path, Precision]] = [(path, precision) for precision in openvino.precisions()]
        networks.append((target, "auto"))
        trials = _trials(finder, networks, exact, pictures[half :: 1 + half])
        stored = user_models.put(_to_import(model, called, target), host, replace=replace_old)
    return Quantized(stored, trials, len(pictures[half :: 1 + half]), half)


@dataclass(frozen=True, slots=True)
class CalibrationTiles:
    """Network inputs from the images, at most `most` tiles, spread evenly over images and passes.

    Each iteration computes them anew: together in memory they would take up to a gigabyte.
    """

    finder: TiledDetector
    pictures: Sequence[PictureLoader]
    most: int = LOOKS

    def __iter__(self) -> Iterator[Rgb]:
        return islice(self._views(), self.most)

    def _views(self) -> Iterator[Rgb]:
        each = max(1, self.most // len(self.pictures))
        for picture in self.pictures[:: max(1, len(self.pictures) // self.most)]:
            frame = picture()
            tiles = self.finder.tiles(frame)
            for index in np.unique(np.linspace(0, len(tiles) - 1, min(each, len(tiles))).round().astype(int)):
                tile = tiles[index][0]
                yield tile.fit.view(frame, self.finder.form.pad)


def compare_detections(original: Detections, other: Detections) -> tuple[dict[str, Share], float, list[bool]]:
    """Match another network's detections to the original's.

    Return the share found again per size, the largest loss of score, and a flag for each of the other's detections that
    was matched. A detection matches at most one of the original's, of the same kind, those with high scores first.
    """
    shares = dict.fromkeys(_bins(), Share(0, 0))
    used, drop = [False] * len(other), 0.0
    same_kind = original.kind[:, np.newaxis] == other.kind
    shared = np.where(same_kind, ious(original.xyxy, other.xyxy), np.float32(0))
    for index in np.argsort(-original.score, kind="stable"):
        free = np.where(used, 0, shared[index]) if len(other) else np.zeros(1)
        best = int(free.argmax())
        again = bool(free[best] >= SAME_IOU)
        if again:
            used[best] = True
            drop = max(drop, float(original.score[index] - other.score[best]))
        sides = original.xyxy[index, 2:] - original.xyxy[index, :2]
        size = _bins()[int(np.searchsorted(SIZES, sides.min(), side="right"))]
        shares[size] += Share(int(again), 1)
    return shares, drop, used


def _trials(
    finder: TiledDetector,
    networks: Sequence[tuple[Path, Precision]],
    host: RuntimeConfig,
    pictures: Sequence[PictureLoader],
) -> tuple[QuantizationTrial, ...]:
    """Run the networks in turn on each image, so that other load on the machine slows all of them alike."""
    finders = [_with_network(finder, path, replace(host, precision=precision)) for path, precision in networks]
    tallies = [_Tally({size: Share(0, 0) for size in _bins()}, []) for _ in finders]
    for picture in pictures:
        frame = picture()
        answers = [each.find(frame) for each in finders]  # untimed: the first run at a size prepares for it
        for tally, seconds, other in zip(tallies, _time_each(finders, frame), answers, strict=True):
            tally.add(seconds, answers[0], other)
    return tuple(tally.trial(each.network.precision) for tally, each in zip(tallies, finders, strict=True))


@dataclass(slots=True)
class _Tally:
    """The results of one network so far."""

    shares: dict[str, Share]
    seconds: list[float]
    more: int = 0
    drop: float = 0.0

    def add(self, seconds: float, original: Detections, other: Detections) -> None:
        shares, drop, used = compare_detections(original, other)
        self.shares = {size: self.shares[size] + share for size, share in shares.items()}
        self.seconds.append(seconds)
        self.more += used.count(False)
        self.drop = max(self.drop, drop)

    def trial(self, precision: str) -> QuantizationTrial:
        return QuantizationTrial(precision, median(self.seconds) * 1000, self.shares, self.more, self.drop)


def _time_each(finders: Sequence[TiledDetector], frame: Frame) -> Iterator[float]:
    for finder in finders:
        start = time.perf_counter()
        finder.find(frame)
        yield time.perf_counter() - start


def _with_network(finder: TiledDetector, path: Path, host: RuntimeConfig) -> TiledDetector:
    return replace(finder, network=open_network(path, finder.form, host))


def _to_import(model: Model, name: str, path: Path) -> ImportedModel:
    return ImportedModel(
        name=name, path=path, family=model.family, labels=model.labels, threshold=model.threshold,
        licence=model.licence, input=model.input, origin=f"{model.name}, quantized to 8 bits",
    )  # fmt: skip


def _bins() -> list[str]:
    edges = ["0", *map(str, SIZES), ""]
    return [f"{low}-{high}" for low, high in pairwise(edges)]
