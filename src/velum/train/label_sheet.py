"""A sheet of labelled pictures, drawn, so that a person sees whether the labels are right. It shows people."""

import random
from collections.abc import Sequence

import cv2
import numpy as np

from velum.errors import OutputFailed
from velum.frame import Rgb
from velum.region import Box
from velum.train.labels import LabelledPicture
from velum.train.pictures import PictureStore

DRAWN = 16
"""Pictures on a sheet."""

COLUMNS = 4
TILE_WH = 400, 300
CAPTION = 22
"""Height of the line with a picture's name, in pixels."""

LEAST_SHARE = 1 / 8
"""An object is drawn with at least this share of a tile's width: around a smaller one the picture is cut."""

_COLOURS = ((230, 40, 60), (40, 130, 230), (30, 160, 80), (200, 120, 20), (150, 60, 200), (20, 160, 170))
_IGNORED = (150, 150, 150)


def choose_pictures(pictures: Sequence[LabelledPicture], seed: int) -> list[LabelledPicture]:
    """Return `DRAWN` pictures that have objects, at random but the same for a seed."""
    having = [picture for picture in pictures if picture.objects]
    chosen = random.Random(seed).sample(having, min(DRAWN, len(having)))  # noqa: S311 - no secret
    return sorted(chosen, key=lambda picture: (picture.file.name, picture.index))


def draw_sheet(pictures: Sequence[LabelledPicture], labels: Sequence[str], store: PictureStore) -> bytes:
    """Return a JPEG of the pictures with their boxes, each label in its colour, ignored boxes grey.

    Raises `BadInput` for a picture that cannot be read.
    """
    tiles = [_draw_tile(picture, labels, store.rgb(picture)) for picture in pictures]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    done, encoded = cv2.imencode(".jpg", np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise OutputFailed("the sheet of labels cannot be drawn: OpenCV cannot encode a JPEG")
    return bytes(encoded.tobytes())


def _draw_tile(picture: LabelledPicture, labels: Sequence[str], rgb: Rgb) -> Rgb:
    view = _view(picture)
    scale = min(TILE_WH[0] / view.width, TILE_WH[1] / view.height)
    size = max(1, round(view.width * scale)), max(1, round(view.height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    tile = np.full((TILE_WH[1] + CAPTION, TILE_WH[0], 3), 255, np.uint8)
    part = cv2.resize(np.ascontiguousarray(rgb[view.slices]), size, interpolation=way)
    for box in picture.boxes:
        colour = _IGNORED if box.ignore else _COLOURS[labels.index(box.label) % len(_COLOURS)]
        x0, y0, x1, y1 = (
            round((edge - low) * scale) for edge, low in zip(box.xyxy, (view.x0, view.y0) * 2, strict=True)
        )
        cv2.rectangle(part, (x0, y0), (x1, y1), colour, 2)
        cv2.putText(part, box.label, (x0, max(12, y0 - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    tile[: size[1], : size[0]] = part
    name = picture.name.encode("ascii", "replace").decode()[-52:]
    cv2.putText(tile, name, (4, TILE_WH[1] + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return tile


def _view(picture: LabelledPicture) -> Box:
    """Return the part to draw: the whole picture, or the surroundings of its largest object where that is small."""
    largest = max(picture.objects, key=lambda box: (box.xyxy[2] - box.xyxy[0]) * (box.xyxy[3] - box.xyxy[1]))
    x0, y0, x1, y1 = largest.xyxy
    width = min(picture.width, max(x1 - x0, (y1 - y0) * TILE_WH[0] / TILE_WH[1], 16) / LEAST_SHARE)
    height = min(picture.height, width * TILE_WH[1] / TILE_WH[0])
    left = min(max(0, (x0 + x1 - width) / 2), picture.width - width)
    top = min(max(0, (y0 + y1 - height) / 2), picture.height - height)
    view = Box.around(left, top, left + width, top + height).clip(picture.width, picture.height)
    return view or Box(0, 0, picture.width, picture.height)
