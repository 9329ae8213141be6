"""What each effort finds and costs, and the curves on which the efforts were chosen.

    python -m bench.effort --media ../shared/media/hard --folder wider
    python -m bench.effort --media ../shared/media/hard --curves docs/pictures/effort.svg

Every picture of the folder is looked at as `velum hide` looks at it. A face counts as found when a box overlaps it at
IoU 0.3, one box a face, and as covered when the default rule hides at least half of its box. A box that matches no
face, and none that the labels tell to ignore, is false. Time is processor time of the whole process, after one picture
that is not counted. Figures stand for all pictures and for each half of them (every second one by name): what is chosen
on one half must hold on the other. With --curves, CenterFace and YuNet are tried at several sizes and thresholds, and
the curves are drawn instead: each network looks once, and its answers are decoded with each threshold.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.accuracy import MATCH_IOU, boxes_of, match_boxes
from velum import Engine, Plan, RuntimeConfig
from velum.annotations import Annotations
from velum.frame import Frame, Rgb
from velum.limits import Limits
from velum.locate.detector import Detector
from velum.locate.output_formats import Tensors
from velum.locate.runtime import Network
from velum.locate.tiled_detector import TiledDetector
from velum.media import open_source
from velum.region import Box, Region, ious

BINS = ((0, 8), (8, 12), (12, 16), (16, 24), (24, 32), (32, 100_000))
HALF = 0.5
BEFORE = Plan.of("face: centerface(min_side=16, threshold=0.2) -> blacken")
EFFORTS = {
    "before": BEFORE, "fast": Plan(effort="fast"), "balanced": Plan(effort="balanced"),
    "thorough": Plan(effort="thorough"),
}  # fmt: skip
CURVES = (
    ("centerface", 16.0),
    ("centerface", 8.0),
    ("centerface", 6.4),
    ("centerface", 4.0),
    ("yunet", 16.0),
    ("yunet", 8.0),
)
THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True)
class Outcome:
    """What was found in one picture: by face, its height and whether it was found and covered; false boxes; time."""

    heights: tuple[float, ...]
    found: tuple[bool, ...]
    covered: tuple[bool, ...]
    false: int
    cpu_seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--folder", default="wider")
    parser.add_argument("--curves", type=Path)
    args = parser.parse_args()
    truth = json.loads((args.media / "ground_truth.json").read_text(encoding="utf-8"))
    names = sorted(name for name in truth if name.startswith(args.folder + "/"))
    heads = [f"{low} to {high}" if high < 1000 else f"from {low}" for low, high in BINS]
    if args.curves:
        print(f"| network, smallest face | CPU ms | {' | '.join(map(str, THRESHOLDS))} |")
        print(f"|---|{'--:|' * (1 + len(THRESHOLDS))}")
        draw(args.curves, dict(curves(args.media, truth, names)))
        return
    print(f"| effort | found | half covered | false an image | CPU ms | {' | '.join(heads)} |")
    print(f"|---|{'--:|' * (4 + len(BINS))}")
    with Engine() as engine:
        for label, plan in EFFORTS.items():
            outcomes = list(measure(engine, plan, args.media, truth, names))
            print(row(label, outcomes))
            for half in (0, 1):
                print(row(f"{label}, half {half + 1}", outcomes[half::2]), flush=True)


def measure(engine: Engine, plan: Plan, media: Path, truth: dict[str, Any], names: Sequence[str]) -> Iterator[Outcome]:
    engine.locate(media / names[0], plan)
    for name in names:
        begun = time.process_time()
        annotations = engine.locate(media / name, plan)
        yield outcome(annotations, truth[name], plan, time.process_time() - begun)


def outcome(annotations: Annotations, entry: dict[str, Any], plan: Plan, cpu_seconds: float) -> Outcome:
    regions = sorted(annotations.frames.get(0, ()), key=lambda region: -region.score)
    objects = [thing for thing in entry["objects"] if thing["label"] == "face"]
    faces = boxes_of([thing["bbox"] for thing in objects if not thing.get("ignore")])
    ignored = boxes_of([thing["bbox"] for thing in objects if thing.get("ignore")])
    boxes = boxes_of([region.box.xyxy for region in regions])
    overlap, excused = ious(boxes, faces), ious(boxes, ignored)
    pairs = match_boxes(overlap, len(faces))
    others = [i for i in range(len(boxes)) if i not in pairs]
    return Outcome(
        heights=tuple((faces[:, 3] - faces[:, 1]).tolist()),
        found=tuple(j in pairs.values() for j in range(len(faces))),
        covered=tuple(
            share >= HALF
            for share in hidden_shares(regions, faces, entry["width"], entry["height"], plan.rules[0].grow)
        ),
        false=sum(not (excused[i] >= MATCH_IOU / 2).any() for i in others),
        cpu_seconds=cpu_seconds,
    )


def hidden_shares(
    regions: Sequence[Region], objects: np.ndarray[Any, Any], width: int, height: int, grow: float
) -> list[float]:
    """Return the share of each object's box that is hidden when the boxes of regions grow so."""
    hidden = np.zeros((height, width), bool)
    for region in regions:
        x0, y0, x1, y1 = region.box.xyxy
        across, down = (x1 - x0) * grow, (y1 - y0) * grow
        box = Box.around(x0 - across, y0 - down, x1 + across, y1 + down).clip(width, height)
        if box is not None:
            hidden[box.slices] = True
    parts = (hidden[y0:y1, x0:x1] for x0, y0, x1, y1 in np.round(objects).astype(int).clip(0))
    return [float(part.mean()) if part.size else 0.0 for part in parts]


def summary(outcomes: Sequence[Outcome]) -> tuple[float, float, float, float]:
    """Return found and half covered, in per cent, false boxes an image, and milliseconds of processor time an image."""
    faces = sum(len(item.heights) for item in outcomes)
    found, hidden = (
        sum(map(sum, values)) for values in zip(*((item.found, item.covered) for item in outcomes), strict=True)
    )
    false, seconds = (sum(getattr(item, key) for item in outcomes) for key in ("false", "cpu_seconds"))
    return 100 * found / faces, 100 * hidden / faces, false / len(outcomes), 1000 * seconds / len(outcomes)


def row(label: str, outcomes: Sequence[Outcome]) -> str:
    found, hidden, false, cpu = summary(outcomes)
    by_height = []
    for low, high in BINS:
        hits = [hit for item in outcomes for h, hit in zip(item.heights, item.found, strict=True) if low <= h < high]
        by_height.append(f"{100 * sum(hits) / len(hits):.1f}" if hits else "-")
    return f"| {label} | {found:.1f} | {hidden:.1f} | {false:.1f} | {cpu:.0f} | {' | '.join(by_height)} |"


def curves(media: Path, truth: dict[str, Any], names: Sequence[str]) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield each curve's name, and false boxes an image and found faces in per cent for each threshold."""
    for model, side in CURVES:
        finder = Detector(model, RuntimeConfig(), min_side=side).finder
        outcomes: list[list[Outcome]] = [[] for _ in THRESHOLDS]
        for name in names:
            with open_source(media / name, Limits()) as source:
                frame = next(iter(source.frames()))
            for found, outcome_of in zip(outcomes, decoded_at(finder, frame, truth[name]), strict=True):
                found.append(outcome_of)
        sums = [summary(found) for found in outcomes]
        cells = (f"{found:.1f}, {false:.1f}" for found, _, false, _ in sums)
        print(f"| {model}, {side:g} pixels | {sums[0][3]:.0f} | {' | '.join(cells)} |", flush=True)
        yield f"{model}, {side:g} pixels", [(false, found) for found, _, false, _ in sums]


def decoded_at(finder: TiledDetector, frame: Frame, entry: dict[str, Any]) -> Iterator[Outcome]:
    """Yield what a detector finds in a frame with each threshold; the network looks once."""
    begun = time.process_time()
    answers = list(finder.network.infer_many(finder.views(frame, finder.tiles(frame))))
    cpu_seconds = time.process_time() - begun
    for threshold in THRESHOLDS:
        found = replace(finder, network=Replay(finder.network, answers), threshold=threshold).find(frame)
        boxes = [Box.around(*xyxy).clip(frame.width, frame.height) for xyxy in found.xyxy.tolist()]
        regions = [
            Region(box, "face", min(1.0, score))
            for box, score in zip(boxes, found.score.tolist(), strict=True)
            if box is not None
        ]
        annotations = Annotations(frame.width, frame.height, {0: tuple(regions)})
        yield outcome(annotations, entry, BEFORE, cpu_seconds)


@dataclass(frozen=True)
class Replay:
    """A network that gives the answers which it gave before."""

    network: Network
    answers: list[Tensors]

    @property
    def precision(self) -> str:
        return self.network.precision

    @property
    def runtime(self) -> str:
        return self.network.runtime

    def infer(self, rgb: Rgb) -> Tensors:
        return self.network.infer(rgb)

    def infer_many(self, pictures: Iterable[Rgb]) -> Iterator[Tensors]:  # noqa: ARG002 - the outputs given at the start are those of these pictures
        return iter(self.answers)


def draw(target: Path, lines: dict[str, list[tuple[float, float]]]) -> None:
    """Draw found faces (per cent) over false boxes an image, one line a size."""
    width, height, left, top, most = 640, 400, 50, 20, 12.0
    colours = ("#1b6ca8", "#b8860b", "#2e7d32", "#a8321b", "#6a3d9a", "#444444")

    def at(false: float, found: float) -> str:
        return (
            f"{left + (width - left - 20) * min(false, most) / most:.1f},{top + (height - 70) * (1 - found / 100):.1f}"
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"',
        f' font-size="12"><rect width="{width}" height="{height}" fill="white"/>',
    ]
    for share in range(0, 101, 20):
        parts.append(f'<text x="14" y="{at(0, share).split(",")[1]}">{share} %</text>')
        parts.append(f'<polyline points="{at(0, share)} {at(most, share)}" stroke="#ddd" fill="none"/>')
    parts += [f'<text x="{at(false, 0).split(",")[0]}" y="{height - 32}">{false}</text>' for false in range(0, 13, 2)]
    parts.append(f'<text x="{left}" y="{height - 10}">false detections an image; found faces in per cent</text>')
    for i, (label, points) in enumerate(lines.items()):
        line = " ".join(at(*point) for point in points if point[0] <= most)
        parts.append(f'<polyline points="{line}" stroke="{colours[i]}" stroke-width="2" fill="none"/>')
        parts.append(f'<text x="{width - 180}" y="{height - 170 + 18 * i}" fill="{colours[i]}">{label}</text>')
    target.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
