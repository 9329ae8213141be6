"""Pictures with drawn objects, and ground truth for them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from velum import Limits
from velum.evaluation.ground_truth import read
from velum.train.labels import LabelledPictures, check_labels

Xywh = tuple[float, float, float, float]

SIZE_WH = 160, 120


def draw_picture(path: Path, boxes: Sequence[Xywh], seed: int) -> None:
    """Write a picture of a background of its own, with a red disc in each box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 120, (6, 8, 3), np.uint8)
    rgb = cv2.resize(noise, SIZE_WH, interpolation=cv2.INTER_CUBIC)
    for x, y, width, height in boxes:
        middle, half = (round(x + width / 2), round(y + height / 2)), (round(width / 2), round(height / 2))
        cv2.ellipse(rgb, middle, half, 0, 0, 360, (250, 40, 40), -1)
    cv2.imwrite(str(path), rgb[..., ::-1])


def coco(
    folder: Path, pictures: Mapping[str, Sequence[tuple[str, Xywh]]], labels: Sequence[str] = ("disc",), *,
    outlines: bool = False,
) -> Path:  # fmt: skip
    """Draw the pictures and write a COCO file about them, with or without the outlines; return its path."""
    annotations: list[dict[str, Any]] = []
    images = []
    for number, (name, objects) in enumerate(pictures.items(), 1):
        draw_picture(folder / name, [box for _, box in objects], number)
        images.append({"id": number, "file_name": name, "width": SIZE_WH[0], "height": SIZE_WH[1]})
        for label, box in objects:
            kind = list(labels).index(label) + 1
            entry = {"id": len(annotations), "image_id": number, "category_id": kind, "bbox": list(box)}
            annotations.append(entry | ({"segmentation": [disc_outline(box)]} if outlines else {}))
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, 1)]
    path = folder / "truth.json"
    value = {"images": images, "categories": categories, "annotations": annotations}
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def disc_outline(box: Xywh) -> list[float]:
    """Return the outline of a disc as a polygon of 32 corners."""
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    x, y, width, height = box
    corners = np.stack((x + width / 2 * (1 + np.cos(angles)), y + height / 2 * (1 + np.sin(angles))), axis=1)
    return [round(float(number), 2) for number in corners.ravel()]


def discs(count: int) -> dict[str, list[tuple[str, Xywh]]]:
    """Return pictures with one disc each, at different places and sizes."""
    random = np.random.default_rng(5)
    found = {}
    for number in range(count):
        side = float(random.integers(20, 50))
        found[f"p{number}.png"] = [
            ("disc", (float(random.integers(5, 100)), float(random.integers(5, 60)), side, side))
        ]
    return found


def checked(path: Path, *wanted: str, media: Path | None = None) -> LabelledPictures:
    """Return the checked pictures of a truth file."""
    return check_labels(read(path, media, Limits(), all_splits=True), wanted, Limits())
