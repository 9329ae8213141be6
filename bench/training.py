"""Pictures to train with, drawn or taken from labelled media, and how good models are on pictures that none has seen.

    python -m bench.training plates FOLDER --media ../shared/media      plates by drive and source: train, drives, br
    python -m bench.training codes FOLDER --media ../shared/media       QR codes, drawn into photographs: train, test
    python -m bench.training cones FOLDER --media ../shared/media       traffic cones with masks, drawn: train, test
    python -m bench.training three FOLDER --media ../shared/media       faces, plates, persons: train, faces, plates
    velum train FOLDER/train -o plates --steps 1000
    python -m bench.training measure FOLDER/br --model plates --model NAME [--weights NAME=FILE]

Plates come from three sources and four drives; one drive is trained with, the others and one source (Brazil) are not.
The labels of the drives miss plates that can be seen: those of `UNLABELLED` are measured, too.
For `three`, the pictures of `hard` measure, and the others are trained with.
Each code is turned, tilted, lit and compressed with the photograph; a photograph lies in one part only. AP50 is that of
PASCAL VOC at an IoU of 0.5 over all detections from a score of 0.05; recall is at the model's own threshold, at an IoU
of 0.3, as `velum evaluate` counts it, and false are the detections that match nothing then.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from velum import Limits
from velum.evaluation.evaluator import MATCH_IOU, match
from velum.evaluation.ground_truth import read
from velum.evaluation.metrics import Rate
from velum.locate.detector import Detector
from velum.locate.registry import find
from velum.plugins import RuntimeConfig
from velum.settings import Settings
from velum.train.labels import check_labels
from velum.train.measure import LEAST_SCORE, measure
from velum.train.pictures import PictureStore

TRAINED_DRIVE = "dayride_type1_001"
"""Drive whose frames are trained with; those of the others are not."""

UNLABELLED: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "dash_008.jpg": ((178, 426, 227, 445), (257, 366, 287, 376), (434, 375, 466, 386)),
    "dash_018.jpg": ((628, 361, 673, 373),),
    "dayride_type1_002_650.jpg": ((6, 351, 54, 365), (407, 395, 467, 416)),
    "dayride_type1_003_99.jpg": ((0, 469, 84, 500), (136, 390, 173, 403), (388, 392, 440, 406)),
}
"""Boxes of plates that the data set does not label. Drawn by hand where any of the three models of docs/benchmarks.md
has a detection from a score of 0.2, and a person sees a plate."""

OVEREXPOSED: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    "dash_026.jpg": ((133, 325, 207, 352), (1048, 311, 1136, 337))
}
"""Plates that are white areas; they are neither right nor wrong."""

CODES = {"train": 100, "test": 60}
"""Pictures with codes that are drawn."""

CONES = {"train": 50, "test": 40}
"""Pictures with cones that are drawn."""

BACKGROUNDS = {"train": ("street", "plates/openalpr"), "test": ("faces",)}
"""Folders of the photographs into which codes and cones are drawn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("plates", "three", "codes", "cones", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--media", type=Path, default=Path("../shared/media"))
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE")
    given = parser.parse_args()
    if given.what == "measure":
        weights = {name: Path(file) for name, _, file in (pair.partition("=") for pair in given.weights)}
        for model in given.model:
            measure_model(given.folder, model, weights)
    elif given.what == "plates":
        sort_plates(given.media.absolute(), given.folder)
    elif given.what == "three":
        sort_three(given.media.absolute(), given.folder)
    else:
        draw, counts = (draw_codes, CODES) if given.what == "codes" else (draw_cones, CONES)
        for part, count in counts.items():
            draw(given.media, given.folder / part, BACKGROUNDS[part], count)


def sort_plates(media: Path, folder: Path) -> None:
    """Link the pictures with plates into a folder for each part, and write its truth."""
    parts: dict[str, dict[str, Any]] = defaultdict(dict)
    for base in (media, media / "hard"):
        for name, entry in json.loads((base / "ground_truth.json").read_text()).items():
            if not name.startswith("plates/"):
                continue
            drive = re.search(r"(?:day|night)ride_type\d_\d+", str(entry.get("source")))
            group = drive[0] if drive else Path(name).name.split("_")[0]
            part = "br" if group == "br" else "drives" if drive and group != TRAINED_DRIVE else "train"
            link = folder / part / group / Path(name).name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(base / name)
            labelled = [thing["bbox"] for thing in entry["objects"]] + [*UNLABELLED.get(link.name, ())]
            boxes: list[dict[str, Any]] = [{"label": "license_plate", "bbox": box} for box in labelled]
            boxes += [{**boxes[0], "bbox": box, "ignore": True} for box in OVEREXPOSED.get(link.name, ())]
            size = {"width": entry["width"], "height": entry["height"]}
            parts[part][f"{group}/{link.name}"] = {**size, "objects": boxes, "exhaustive": ["license_plate"]}
    write_parts(folder, parts)


THREE = ("face", "license_plate", "person")
"""Labels of the network that finds all three."""

THREE_FROM = ("faces", "street", "plates")
"""Folders of the pictures that it is trained with."""


def sort_three(media: Path, folder: Path) -> None:
    """Link the pictures with faces, plates and persons into a folder to train with, and the hard ones to measure."""
    parts: dict[str, dict[str, Any]] = defaultdict(dict)
    for base in (media, media / "hard"):
        for name, entry in json.loads((base / "ground_truth.json").read_text()).items():
            kind = name.split("/")[0]
            if base == media and kind not in THREE_FROM:
                continue
            part = "train" if base == media else "plates" if kind == "plates" else "faces"
            link = folder / part / name.replace("/", "_")  # a folder is held out as a whole, and these are no drives
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(base / name)
            objects = [thing for thing in entry["objects"] if thing["label"] in THREE]
            complete = [label for label in entry["exhaustive"] if label in THREE]
            size = {"width": entry["width"], "height": entry["height"]}
            parts[part][link.name] = {**size, "objects": objects, "exhaustive": complete}
    write_parts(folder, parts)


def write_parts(folder: Path, parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the truth of each part beside its pictures."""
    for part, entries in parts.items():
        (folder / part / "ground_truth.json").write_text(json.dumps(entries, indent=1))
        print(f"{part}: {len(entries)} pictures, {sum(len(entry['objects']) for entry in entries.values())} objects")


def photographs(
    media: Path, backgrounds: tuple[str, ...], count: int
) -> Iterator[tuple[str, npt.NDArray[np.uint8], np.random.Generator]]:
    """Yield name, pixels and a random generator for each picture to draw into."""
    photos = [path for name in backgrounds for path in sorted((media / name).glob("*.jpg"))]
    for number in range(count):
        random = np.random.default_rng([7, number, len(photos)])
        photo = cv2.imread(str(photos[number % len(photos)]))
        if photo is None:
            continue
        scale = min(1.0, 1000 / max(photo.shape[:2]))
        bgr = np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        if random.random() < 0.5:
            bgr = np.ascontiguousarray(bgr[:, ::-1])
        yield f"{photos[number % len(photos)].stem}-{number}", bgr, random


def draw_cones(media: Path, folder: Path, backgrounds: tuple[str, ...], count: int) -> None:
    """Write photographs with traffic cones drawn into them, and their masks in `masks/traffic_cone`."""
    masks = folder / "masks" / "traffic_cone"
    masks.mkdir(parents=True, exist_ok=True)
    for name, bgr, random in photographs(media, backgrounds, count):
        mask = np.zeros(bgr.shape[:2], np.uint8)
        for _ in range(int(random.integers(1, 4))):
            draw_cone(bgr, mask, random)
        cv2.imwrite(str(folder / f"{name}.jpg"), bgr, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(55, 95))])
        cv2.imwrite(str(masks / f"{name}.png"), mask)


def draw_cone(bgr: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], random: np.random.Generator) -> None:
    """Draw a cone on a foot, of orange with one to three white rings, in the light of the place, partly soiled."""
    height = float(np.exp(random.uniform(np.log(40), np.log(min(bgr.shape[:2]) / 1.8))))
    base, top, depth = height * random.uniform(0.4, 0.6), height * random.uniform(0.06, 0.12), height * 0.06
    x = random.uniform(base, bgr.shape[1] - base)
    y = random.uniform(height * 1.05, bgr.shape[0] - depth * 2)
    lean = random.normal(0, 0.08)

    def ring(low: float, high: float) -> npt.NDArray[np.int32]:
        corners = []
        for share, sides in ((low, (-1, 1)), (high, (1, -1))):
            half = (base * 0.7 * (1 - share) + top * share) / 2
            corners += [(x + side * half + lean * height * share, y - height * share) for side in sides]
        return np.round(corners).astype(np.int32)

    drawn, cover = np.zeros_like(bgr), np.zeros(bgr.shape[:2], np.uint8)
    foot = np.round([(x - base / 2, y), (x + base / 2, y), (x + base * 0.45, y + depth), (x - base * 0.45, y + depth)])
    orange = np.array([random.uniform(10, 50), random.uniform(70, 125), random.uniform(215, 255)])
    rings = int(random.integers(1, 4))
    shapes = [(foot.astype(np.int32), orange * random.uniform(0.4, 0.9)), (ring(0, 1), orange)]
    shapes += [(ring((i + 0.55) / (rings + 1), (i + 1) / (rings + 1)), np.full(3, 235.0)) for i in range(rings)]
    for polygon, colour in shapes:
        cv2.fillPoly(drawn, [polygon], colour.tolist(), cv2.LINE_AA)
        cv2.fillPoly(cover, [polygon], 255)
    inside = cover > 0
    light = float(np.clip(bgr[inside].mean() / 130, 0.35, 1.15))
    side = np.clip(1 - 0.35 * np.abs(np.arange(bgr.shape[1]) - x - base * random.uniform(-0.2, 0.2)) / base * 2, 0.5, 1)
    soil = random.normal(0, 9, (*bgr.shape[:2], 1))
    shaded = np.clip(drawn * light * side[None, :, None] + soil, 0, 255)
    soft = cv2.GaussianBlur(cover, (3, 3), 0)[..., None] / 255
    bgr[:] = np.clip(bgr * (1 - soft) + shaded * soft, 0, 255)
    mask[inside] = 255


def draw_codes(media: Path, folder: Path, backgrounds: tuple[str, ...], count: int) -> None:
    """Write photographs with codes drawn into them, and their truth. One in ten shows none."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for number, (stem, bgr, random) in enumerate(photographs(media, backgrounds, count)):
        boxes: list[list[float]] = []
        for _ in range(0 if number % 10 == 9 else int(random.integers(1, 4))):
            draw_code(bgr, boxes, random)
        name = f"{stem}.jpg"
        cv2.imwrite(str(folder / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(55, 95))])
        objects = [{"label": "qr_code", "bbox": [round(edge, 1) for edge in box]} for box in boxes]
        entries[name] = {"width": bgr.shape[1], "height": bgr.shape[0], "objects": objects, "exhaustive": ["qr_code"]}
    (folder / "ground_truth.json").write_text(json.dumps(entries, indent=1))
    print(f"{folder.name}: {len(entries)} pictures, {sum(len(entry['objects']) for entry in entries.values())} codes")


def draw_code(bgr: npt.NDArray[np.uint8], boxes: list[list[float]], random: np.random.Generator) -> None:
    """Draw a code in perspective where there is room, and add its box."""
    text = "".join(chr(int(letter)) for letter in random.integers(65, 91, int(random.integers(6, 60))))
    code = np.asarray(cv2.QRCodeEncoder.create().encode(text), np.uint8)
    code = np.pad(code, 1, constant_values=255)  # less than the quiet zone of a standard print, as in the street
    side = float(np.exp(random.uniform(np.log(16), np.log(min(bgr.shape[:2]) / 2.5))))
    middle = random.uniform(side, np.array(bgr.shape[1::-1]) - side)
    angle, tilt = random.normal(0, 0.25), random.uniform(0.65, 1.0)
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2
    square = square * [tilt, 1] + random.normal(0, side * 0.04, (4, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.asarray(square @ turn.T + middle, np.float32)
    x0, y0 = (float(edge) for edge in corners.min(axis=0))
    x1, y1 = (float(edge) for edge in corners.max(axis=0))
    if any(x0 < b[2] and b[0] < x1 and y0 < b[3] and b[1] < y1 for b in boxes):
        return
    large = cv2.resize(code, (256, 256), interpolation=cv2.INTER_NEAREST)
    if side < 128:
        large = cv2.resize(large, None, fx=2 * side / 256, fy=2 * side / 256, interpolation=cv2.INTER_AREA)
    edge = large.shape[0]
    source = np.array([[0, 0], [edge, 0], [edge, edge], [0, edge]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, corners)
    size = bgr.shape[1], bgr.shape[0]
    print_of = cv2.warpPerspective(np.asarray(large, np.float32), matrix, size, flags=cv2.INTER_LINEAR)
    cover = cv2.warpPerspective(np.ones(large.shape, np.float32), matrix, size, flags=cv2.INTER_LINEAR)
    light = float(np.clip(bgr[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1].mean() / 140, 0.35, 1.15))
    paper = random.uniform(0.75, 1.0, 3) * light
    inked = 25 * light + print_of[..., None] * paper * 0.9
    bgr[:] = np.clip(bgr * (1 - cover[..., None]) + inked * cover[..., None], 0, 255)
    boxes.append([x0, y0, x1, y1])


def measure_model(truth: Path, name: str, weights: Mapping[str, Path]) -> None:
    """Print AP50, and recall and false detections at the model's threshold, for all pictures and by their folder."""
    limits = Limits()
    found = check_labels(read(truth, None, limits), (), limits)
    settings = Settings.load().host(mode="throughput")
    host = RuntimeConfig(cache=settings.cache, models=settings.models, weights=weights, mode="throughput")
    model = find(name, host)
    detector = Detector(name, host, threshold=LEAST_SCORE)
    with PictureStore(limits) as store:
        regions = [detector.locate([store.frame(picture)])[0] for picture in found.pictures]
    threshold = model.effort["balanced"].image.threshold if "balanced" in model.effort else model.threshold
    groups: dict[str, list[int]] = {"all": list(range(len(regions)))}
    for index, picture in enumerate(found.pictures):
        groups.setdefault(str(Path(picture.name).parent), []).append(index)
    for group, indices in groups.items():
        pictures = [found.pictures[index] for index in indices]
        ap = measure([regions[index] for index in indices], pictures, found.labels).mean
        hits = false = total = 0
        for index in indices:
            sure = [region for region in regions[index] if region.score >= threshold and region.label in found.labels]
            right, wrong = match(sure, found.pictures[index].boxes, lambda a, b: a == b, MATCH_IOU)
            hits, false, total = hits + len(right), false + len(wrong), total + len(found.pictures[index].objects)
        rate = Rate(hits, total)
        low, high = rate.interval
        print(
            f"{truth.name}/{group}: {name}: AP50 {ap:.3f}, found {hits} of {total} "
            f"({rate.share or 0:.3f}, {low:.3f} to {high:.3f}), {false} false in {len(indices)} pictures"
        )


if __name__ == "__main__":
    main()
