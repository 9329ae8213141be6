"""A contact sheet of a result: its frames with an outline around each region that is hidden."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from velum import media
from velum.atomic import publish
from velum.errors import OutputFailed
from velum.frame import Rgb
from velum.limits import Limits
from velum.region import Region

WIDTH, HEIGHT, ABREAST, MOST = 320, 240, 4, 24
"""Size of a tile in pixels, tiles in a row, and most tiles."""

_CAPTION = 20
_OUTLINE = (255, 200, 0)

HiddenFrames = Mapping[int, Sequence[Region]]
"""The regions that are hidden in each frame, by its index."""


def write_frame_sheet(
    target: Path, files: Sequence[tuple[Path, HiddenFrames]], limits: Limits, *, overwrite: bool
) -> None:
    """Write a JPEG with frames of finished files: first of all those in which something is hidden, spread evenly.

    It shows what the files show, hidden where they are. Raises `OutputFailed`.
    """
    tiles: list[Rgb] = []
    for file, regions in files[:MOST]:
        tiles += _tiles(file, regions, max(1, MOST // len(files)), limits)
    rows = max(1, -(-len(tiles) // ABREAST))
    sheet = np.full((rows * (HEIGHT + _CAPTION), ABREAST * WIDTH, 3), 32, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = divmod(number, ABREAST)
        sheet[y * tile.shape[0] : (y + 1) * tile.shape[0], x * WIDTH : (x + 1) * WIDTH] = tile
    done, encoded = cv2.imencode(".jpg", sheet[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 85))
    with publish(target, overwrite=overwrite) as part:
        if not done:
            raise OutputFailed(f"cannot write {target}: the JPEG could not be encoded")
        part.write_bytes(encoded.tobytes())


def _tiles(file: Path, regions: HiddenFrames, most: int, limits: Limits) -> Iterator[Rgb]:
    indices = sorted(index for index, hidden in regions.items() if hidden) or sorted(regions)
    wanted = {indices[round(place)] for place in np.linspace(0, len(indices) - 1, min(most, len(indices)))}
    with media.open_source(file, limits) as reader:
        for frame in reader.frames():
            if frame.index in wanted:
                hidden = regions[frame.index]
                count = f"{len(hidden)} hidden" if hidden else "nothing hidden"
                time = f"{float(frame.time):.2f} s, " if frame.time is not None else ""
                yield _tile(frame.rgb(frame.width, frame.height), hidden, f"{time}{count}")


def _tile(picture: Rgb, regions: Sequence[Region], caption: str) -> Rgb:
    height, width = picture.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    tile = np.full((HEIGHT + _CAPTION, WIDTH, 3), 32, np.uint8)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    for region in regions:
        x0, y0, x1, y1 = (round(edge * scale) for edge in region.box.xyxy)
        cv2.rectangle(small, (x0 - 2, y0 - 2), (x1 + 1, y1 + 1), _OUTLINE, 1)
    tile[: size[1], : size[0]] = small
    cv2.putText(tile, caption, (4, HEIGHT + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (230, 230, 230), 1, cv2.LINE_AA)
    return tile
