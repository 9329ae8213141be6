"""Faces of the trial: as the attacker has them, and as degraded shots that are hidden.

Everything is random from a seed: the same faces give the same figures.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from velum.errors import BadInput
from velum.frame import Rgb
from velum.limits import Limits
from velum.locate.labels import covers
from velum.media import open_source
from velum.plugins import Localizer
from velum.region import Box

WIDTH, HEIGHT = 96, 128
"""Size of a tested region, in pixels. Smaller faces are blurred more and pixelated as much; larger ones alike."""

MARGIN = 0.25
"""Margin of a sample, as a share of the region's sides, so that a crop can be shifted."""

GROW = 0.2
"""Default growth of boxes in a rule: a face fills 1 / (1 + 2 * GROW) of the region."""

FACE_HEIGHT = round(HEIGHT / (1 + 2 * GROW))
"""Height of the face in such a region, in pixels."""

_IN_BOX = ((0.25, 0.4), (0.73, 0.4), (0.5, 0.59), (0.3, 0.74), (0.7, 0.74))
"""Where CenterFace's landmarks lie in its boxes, in the median of 103 portraits."""

LANDMARKS = tuple((WIDTH * (GROW + x) / (1 + 2 * GROW), HEIGHT * (GROW + y) / (1 + 2 * GROW)) for x, y in _IN_BOX)
"""Where the eyes, the tip of the nose and the corners of the mouth of a sample's face lie in a region, in the mean."""

Shot = Literal["copy", "reshot"]
Pictures = npt.NDArray[np.uint8]
"""Array (images, HEIGHT, WIDTH, 3) of 8-bit red, green, blue."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """How far a shot differs from the original: each value is uniformly random up to its bound."""

    shift: float
    """Share of the region's sides."""
    scale: float
    turn_degrees: float
    light: float
    """Brightness, contrast (as an exponent), and, at half of it, the balance of colours."""
    shade: float
    """How much brighter one side is than the middle, at most."""
    noise: float
    """Standard deviation in grey levels."""
    detail: float
    """Least share of the resolution left."""
    quality: int
    """Least JPEG quality."""


WEARS: dict[Shot, Degradation] = {
    "copy": Degradation(0.04, 0.08, 2, 0.15, 0, 6, 0.4, 50),
    "reshot": Degradation(0.07, 0.14, 12, 0.4, 0.35, 10, 0.3, 40),
}
"""`copy`: the attacker's photograph itself, cropped again and recompressed. `reshot`: the face before another
background, in other light, tilted."""


def faces(sources: Iterable[Path], localizer: Localizer, limits: Limits, min_height: int) -> Iterator[Rgb]:
    """Yield each face of at least `min_height` pixels in the first frame of each source, as a sample.

    One image at a time is in memory. Raises `BadInput` for what cannot be read, and for a localizer without the label
    face.
    """
    if not any(covers("face", label) for label in localizer.labels):
        labels = ", ".join(sorted(localizer.labels))
        raise BadInput(f"the localizer detects {labels}, not faces; name one that detects faces with --locate")
    for source in sources:
        with open_source(source, limits) as reader:
            frame = next(reader.frames())
        boxes = [region.box for region in localizer.locate([frame])[0] if covers("face", region.label)]
        inside = [box for box in (box.clip(frame.width, frame.height) for box in boxes) if box]
        rgb = frame.rgb(frame.width, frame.height)
        yield from (sample(rgb, box) for box in inside if box.height >= min_height)


def sample(rgb: Rgb, box: Box) -> Rgb:
    """Return the face in `box` of an image with the growth of a rule and a margin, scaled to the size of the trial."""
    across, down = (side * ((1 + 2 * GROW) * (1 + 2 * MARGIN) - 1) / 2 for side in (box.width, box.height))
    wide = Box(round(box.x0 - across), round(box.y0 - down), round(box.x1 + across), round(box.y1 + down))
    height, width = rgb.shape[:2]
    inside = Box(max(0, wide.x0), max(0, wide.y0), min(width, wide.x1), min(height, wide.y1))
    part = cv2.copyMakeBorder(
        rgb[inside.slices], inside.y0 - wide.y0, wide.y1 - inside.y1, inside.x0 - wide.x0, wide.x1 - inside.x1,
        cv2.BORDER_REPLICATE,
    )  # fmt: skip
    size = round(WIDTH * (1 + 2 * MARGIN)), round(HEIGHT * (1 + 2 * MARGIN))
    how = cv2.INTER_AREA if wide.width > size[0] else cv2.INTER_CUBIC
    return cv2.resize(part, size, interpolation=how)  # type: ignore[return-value]  # of the type of the picture


def originals(samples: Sequence[Rgb]) -> Pictures:
    """Return each face as the attacker has it."""
    return np.stack([_cut(sample_rgb) for sample_rgb in samples])


def shots(samples: Sequence[Rgb], shot: Shot, count: int, seed: int) -> Pictures:
    """Return `count` shots of each face, face by face."""
    rng = np.random.default_rng(seed)
    pictures = []
    for index, face in enumerate(samples):
        for _ in range(count):
            other = samples[(index + int(rng.integers(1, len(samples)))) % len(samples)]
            pictures.append(_shoot(face, other, shot, rng))
    return np.stack(pictures)


def _shoot(sample_rgb: Rgb, other: Rgb, shot: Shot, rng: np.random.Generator) -> Rgb:
    wear = WEARS[shot]
    scale, turn = 1 + wear.scale * rng.uniform(-1, 1), wear.turn_degrees * rng.uniform(-1, 1)
    shift = wear.shift * rng.uniform(-1, 1, 2) * (WIDTH, HEIGHT)
    face = _cut(sample_rgb, scale, turn, shift)
    if shot == "reshot":
        inside = _oval(scale, turn, shift)[..., None]
        face = np.rint(inside * face + (1 - inside) * _cut(other)).astype(np.uint8)
    return _compress(_change_light(face, wear, rng), wear, rng)


def _cut(
    sample_rgb: Rgb,
    scale: float = 1,
    turn_degrees: float = 0,
    shift: Sequence[float] | npt.NDArray[np.float64] = (0, 0),
) -> Rgb:
    """Return the region out of a sample: scaled and turned about its middle, then shifted by pixels."""
    height, width = sample_rgb.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), turn_degrees, scale)
    moved = np.array([(WIDTH - width) / 2, (HEIGHT - height) / 2]) + shift
    matrix[:, 2] = matrix[:, 2] + moved
    return cv2.warpAffine(  # type: ignore[return-value]  # of the type of the sample
        sample_rgb, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _oval(scale: float, turn_degrees: float, shift: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the weight of the face in each pixel (HEIGHT, WIDTH), 0 to 1, with soft edges."""
    oval = np.zeros((HEIGHT, WIDTH), np.float32)
    middle = WIDTH / 2 - 0.5 + shift[0], HEIGHT / 2 - 0.5 + shift[1]
    size = scale * WIDTH / (1 + 2 * GROW), scale * HEIGHT / (1 + 2 * GROW)
    cv2.ellipse(oval, (middle, size, -turn_degrees), 1, -1)
    return cv2.GaussianBlur(oval, (0, 0), 2)  # type: ignore[return-value]  # of the type of its input


def _change_light(face: Rgb, wear: Degradation, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    light = (1 + wear.light) ** rng.uniform(-1, 1, 2)
    balance = (1 + wear.light / 2) ** rng.uniform(-1, 1, 3)
    angle, shade = rng.uniform(0, 2 * np.pi), wear.shade * rng.uniform()
    y, x = np.linspace(-1, 1, HEIGHT)[:, None], np.linspace(-1, 1, WIDTH)[None]
    gradient = 1 + shade * (np.cos(angle) * x + np.sin(angle) * y)
    lit: npt.NDArray[np.float32] = ((face / 255) ** light[0] * 255 * light[1] * balance * gradient[..., None]).astype(
        np.float32
    )
    return lit


def _compress(lit: npt.NDArray[np.float32], wear: Degradation, rng: np.random.Generator) -> Rgb:
    detail = rng.uniform(wear.detail, 1)
    small = cv2.resize(lit, (round(WIDTH * detail), round(HEIGHT * detail)), interpolation=cv2.INTER_AREA)
    noisy = small + rng.normal(0, wear.noise * rng.uniform(), small.shape)
    quality = int(rng.integers(wear.quality, 91))
    whole = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, quality])
    again = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return cv2.resize(again, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]  # its stubs lose the dtype
