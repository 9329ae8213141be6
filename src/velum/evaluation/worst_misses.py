"""Images of the worst misses for the HTML report. They show people."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from velum import media
from velum.errors import OutputFailed
from velum.evaluation.metrics import TruthOutcome
from velum.frame import Rgb
from velum.limits import Limits
from velum.region import Box

MOST = 24
"""Most misses that are drawn."""

DrawnMiss = tuple[TruthOutcome, bytes]
"""A miss, and a JPEG of the object with its surroundings."""

_SIDE = 192
"""Longer side of a drawing, in pixels."""

_COLOUR = (230, 40, 60)


def draw(misses: Sequence[TruthOutcome], paths: Mapping[str, Path], limits: Limits) -> list[DrawnMiss]:
    """Return drawings of the misses in order; `paths` maps file names to files. Raises any `VelumError`."""
    by_file: dict[str, dict[int, list[TruthOutcome]]] = defaultdict(lambda: defaultdict(list))
    for miss in misses:
        by_file[miss.file][miss.frame].append(miss)
    images: dict[int, DrawnMiss] = {}
    for name, frames in by_file.items():
        with media.open_source(paths[name], limits) as reader:
            for frame in reader.frames():
                if frame.index in frames:
                    picture = frame.rgb(frame.width, frame.height)
                    images |= {id(miss): (miss, _jpeg(picture, miss)) for miss in frames[frame.index]}
                if frame.index >= max(frames):
                    break
    return [images[id(miss)] for miss in misses if id(miss) in images]


def _jpeg(picture: Rgb, miss: TruthOutcome) -> bytes:
    height, width = picture.shape[:2]
    box = Box.around(*miss.xyxy)
    around = box.pad(max(box.width, 16), max(box.height, 16)).clip(width, height)
    if around is None:
        around = Box(0, 0, width, height)
    part = np.ascontiguousarray(picture[around.slices])
    scale = _SIDE / max(part.shape[:2])
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    tile = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    corners = [round(edge * scale) for edge in box.move(-around.x0, -around.y0).xyxy]
    cv2.rectangle(tile, (corners[0], corners[1]), (corners[2], corners[3]), _COLOUR, 1)
    done, encoded = cv2.imencode(".jpg", tile[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise OutputFailed("a miss cannot be drawn: OpenCV cannot encode a JPEG; leave --html out")
    return bytes(encoded.tobytes())
