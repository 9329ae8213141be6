"""QR codes in photographs: what a model learns from drawn codes and a few photographs, beside the localizer `codes`.

    velum train FOLDER/train -o qr --steps 400
    python -m bench.codes FOLDER --photos BLACKBOX --media ../shared/media      sort, draw and label the pictures
    python -m bench.training measure FOLDER/test --model qr
    python -m bench.codes FOLDER                                                the localizer `codes` on the same

BLACKBOX is `core/src/test/resources/blackbox` of a checkout of ZXing (Apache-2.0): photographs of codes by several
phones, a folder for each, and photographs that readers have taken for codes. zxing-cpp (extra `codes`) reads the
corners of each code; eight that it cannot read have the boxes below, drawn by hand. All boxes were looked at.
No folder is in both parts. Of qrcode-3, whose last pictures show the card of qrcode-5, only the first are used; codes
that were never printed and photographed are left out, most of qrcode-2 and qrcode-6.
"""

import argparse
import importlib
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.training import BACKGROUNDS, draw_codes, write_parts
from velum import Limits
from velum.evaluation.evaluator import MATCH_IOU, match
from velum.evaluation.ground_truth import read
from velum.evaluation.metrics import Rate
from velum.locate.codes import LABEL, Codes
from velum.train.labels import check_labels
from velum.train.pictures import PictureStore

DRAWN = 48
"""Pictures to train with in which codes are drawn."""

PHOTOGRAPHS: dict[str, dict[str, tuple[int, ...]]] = {
    "train": {"qrcode-1": tuple(range(1, 21)), "qrcode-3": tuple(range(1, 25)), "falsepositives-2": tuple(range(1, 9))},
    "test": {
        "qrcode-2": (4, 5, 6, 28),
        "qrcode-4": tuple(range(1, 49)),
        "qrcode-5": tuple(range(1, 16)),
        "qrcode-6": (15,),
        "falsepositives": tuple(range(1, 23)),
    },
}
"""Numbers of the photographs of each part, by folder."""

BY_HAND: dict[tuple[str, int], tuple[int, int, int, int]] = {
    ("qrcode-4", 5): (53, 47, 184, 184),
    ("qrcode-4", 6): (42, 34, 201, 184),
    ("qrcode-4", 8): (39, 52, 195, 201),
    ("qrcode-4", 13): (50, 36, 192, 182),
    ("qrcode-4", 30): (37, 49, 178, 178),
    ("qrcode-4", 31): (37, 41, 195, 198),
    ("qrcode-4", 32): (29, 34, 201, 205),
    ("qrcode-4", 33): (45, 33, 205, 201),
}
"""Boxes of codes on creased cloth that zxing-cpp does not read."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--media", type=Path, default=Path("../shared/media"))
    given = parser.parse_args()
    if given.photos is None:
        measure_localizer(given.folder / "test")
    else:
        sort_photographs(given.photos.absolute(), given.media, given.folder)


def sort_photographs(photos: Path, media: Path, folder: Path) -> None:
    """Link the photographs into a folder for each part, draw the others, and write the truth of each part."""
    parts: dict[str, dict[str, Any]] = defaultdict(dict)
    for part, folders in PHOTOGRAPHS.items():
        for group, numbers in folders.items():
            for number in numbers:
                file = next(
                    file for file in sorted((photos / group).glob("*.*")) if file.stem.lstrip("0") == str(number)
                )
                link = folder / part / group / file.name
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    link.symlink_to(file)
                parts[part][f"{group}/{file.name}"] = label_photograph(file, (group, number))
    draw_codes(media, folder / "train" / "drawn", BACKGROUNDS["train"], DRAWN)
    drawn = json.loads((folder / "train" / "drawn" / "ground_truth.json").read_text())
    parts["train"] |= {f"drawn/{name}": entry for name, entry in drawn.items()}
    write_parts(folder, parts)


def label_photograph(file: Path, key: tuple[str, int]) -> dict[str, Any]:
    """Return the truth of a photograph."""
    bgr = cv2.imread(str(file))
    if bgr is None:
        raise SystemExit(f"{file} cannot be read as an image")
    boxes = [BY_HAND[key]] if key in BY_HAND else list(read_boxes(bgr))
    if not boxes and key[0].startswith("qrcode"):
        raise SystemExit(f"zxing-cpp reads no code in {file}; add its box to BY_HAND")
    objects = [{"label": LABEL, "bbox": box} for box in boxes]
    return {"width": bgr.shape[1], "height": bgr.shape[0], "objects": objects, "exhaustive": [LABEL]}


def read_boxes(bgr: Any) -> Iterator[tuple[int, ...]]:
    """Yield the boxes around the QR codes that zxing-cpp reads, in the picture or else at twice its size."""
    zxing: Any = importlib.import_module("zxingcpp")  # of the extra `codes`; the rest of this file works without it
    for scale in (1, 2):
        large = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        found = zxing.read_barcodes(large, formats=[zxing.BarcodeFormat.QRCode])
        for code in found:
            place = code.position
            corners = [place.top_left, place.top_right, place.bottom_right, place.bottom_left]
            points = np.array([(point.x, point.y) for point in corners]) / scale
            yield tuple(round(float(edge)) for edge in (*points.min(axis=0), *points.max(axis=0)))
        if found:
            return


def measure_localizer(truth: Path) -> None:
    """Print what the localizer `codes` finds, for all pictures and by their folder."""
    limits = Limits()
    labelled = check_labels(read(truth, None, limits), (), limits)
    localizer = Codes()
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    with PictureStore(limits) as store:
        for picture in labelled.pictures:
            regions = localizer.locate([store.frame(picture)])[0]
            right, wrong = match(regions, picture.boxes, lambda first, second: first == second, MATCH_IOU)
            for group in ("all", str(Path(picture.name).parent)):
                new = (len(right), len(picture.objects), len(wrong), 1)
                counts[group] = [count + more for count, more in zip(counts[group], new, strict=True)]
    for group, (hits, total, false, pictures) in counts.items():
        low, high = Rate(hits, total).interval
        print(
            f"{truth.name}/{group}: {'; '.join(f'{k} {v}' for k, v in localizer.description.items())}: found {hits} of "
            f"{total} ({low:.3f} to {high:.3f}), {false} false in {pictures} pictures"
        )


if __name__ == "__main__":
    main()
