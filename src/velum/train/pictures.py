"""The pixels of labelled pictures, and a sheet of them that a person looks at. The sheet shows people.

Pictures stay where they are; frames of videos are kept for the length of a run.
"""

import random
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from velum import media
from velum.errors import BadInput, OutputFailed
from velum.frame import Frame, Plane, Rgb, Role
from velum.limits import Limits
from velum.region import Box
from velum.train.labels import LabelledPicture

MOST_BYTES = 1 << 30
"""Decoded pictures that are held in memory, in bytes."""


class PictureStore:
    """Reads pictures repeatedly, with a cache in memory and on the disk, which is deleted at the end of a `with`."""

    def __init__(self, limits: Limits, most_bytes: int = MOST_BYTES) -> None:
        """Hold at most `most_bytes` of decoded pictures in memory."""
        self._limits, self._most_bytes, self._bytes = limits, most_bytes, 0
        self._held: OrderedDict[tuple[Path, int], Rgb] = OrderedDict()
        self._folder = tempfile.TemporaryDirectory(prefix="velum-train-")
        self._frames: dict[tuple[Path, int], Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def extract_frames(self, pictures: Iterable[LabelledPicture]) -> None:
        """Write the labelled frames of videos to the disk, in one pass over each. Raises `BadInput`."""
        by_file: dict[Path, set[int]] = {}
        for picture in pictures:
            if picture.is_video:
                by_file.setdefault(picture.file.path, set()).add(picture.index)
        for path, indices in by_file.items():
            with media.open_source(path, self._limits) as reader:
                for frame in reader.frames():
                    if frame.index in indices:
                        self._keep(path, frame)
                    if frame.index >= max(indices):
                        break

    def rgb(self, picture: LabelledPicture) -> Rgb:
        """Return the pixels (height, width, 3) of the upright picture; not to be written to. Raises `BadInput`."""
        key = picture.file.path, picture.index
        if key not in self._held:
            rgb = self._read(key)
            rgb.flags.writeable = False
            self._held[key] = rgb
            self._bytes += rgb.nbytes
            while self._bytes > self._most_bytes and len(self._held) > 1:
                self._bytes -= self._held.popitem(last=False)[1].nbytes
        self._held.move_to_end(key)
        return self._held[key]

    def frame(self, picture: LabelledPicture) -> Frame:
        """Return the picture as a frame. Raises `BadInput`."""
        return Frame.of(Plane(self.rgb(picture), Role.RGB))

    def _keep(self, path: Path, frame: Frame) -> None:
        target = Path(self._folder.name) / f"{len(self._frames)}.png"
        bgr = frame.rgb(frame.width, frame.height)[..., ::-1]
        if not cv2.imwrite(str(target), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise OutputFailed(f"a frame of {path.name} cannot be written to {target.parent}; make room on the disk")
        self._frames[path, frame.index] = target

    def _read(self, key: tuple[Path, int]) -> Rgb:
        path = self._frames.get(key, key[0])
        with media.open_source(path, self._limits) as reader:
            for frame in reader.frames():
                if path != key[0] or frame.index == key[1]:
                    return frame.rgb(frame.width, frame.height).copy()
        raise BadInput(f"{path.name} has no frame {key[1]} any more; it was changed during the training")


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
