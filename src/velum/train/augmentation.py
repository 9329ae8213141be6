"""Changes of crops that suit privacy: what is hidden must be found in the dark, out of focus and behind things."""

import cv2
import numpy as np
import numpy.typing as npt

from velum.frame import Rgb

OCCLUDED = 0.15
"""Share of objects of which a part is covered."""


def change(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Return a crop in other light, out of focus, moved, noisy or compressed; each with its own chance."""
    changed = _light(rgb, random)
    if random.random() < 0.15:
        changed = np.asarray(cv2.cvtColor(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    if random.random() < 0.3:
        changed = _blur(changed, random)
    if random.random() < 0.3:
        channels = 1 if random.random() < 0.5 else 3
        noise = random.standard_normal((*changed.shape[:2], channels), np.float32)
        noisy = changed + noise * np.float32(random.uniform(2, 18))
        changed = np.clip(noisy, 0, 255).astype(np.uint8)
    return _compress(changed, random) if random.random() < 0.5 else changed


def occlude(rgb: Rgb, boxes: npt.NDArray[np.float32], random: np.random.Generator) -> Rgb:
    """Return a crop in which up to four tenths of some objects are covered, from one side."""
    covered = rgb.copy()
    for x0, y0, x1, y1 in boxes:
        if random.random() >= OCCLUDED:
            continue
        share, edge = random.uniform(0.15, 0.4), int(random.integers(4))
        wide, high = (x1 - x0) * share, (y1 - y0) * share
        left, right = (x0, x0 + wide) if edge == 0 else (x1 - wide, x1) if edge == 1 else (x0, x1)
        top, bottom = (y0, y0 + high) if edge == 2 else (y1 - high, y1) if edge == 3 else (y0, y1)
        part = covered[round(float(top)) : round(float(bottom)), round(float(left)) : round(float(right))]
        part[:] = random.integers(0, 256, 3)
        part[:] = np.clip(part + random.normal(0, random.uniform(0, 25), part.shape), 0, 255)
    return covered


def _light(rgb: Rgb, random: np.random.Generator) -> Rgb:
    """Return a crop with other contrast, brightness, gamma and colour; one crop in six is very dark."""
    if random.random() < 1 / 6:
        gamma, gain = random.uniform(1.2, 2.2), random.uniform(0.25, 0.7)
    else:
        gamma, gain = random.uniform(0.75, 1.35), random.uniform(0.8, 1.2)
    curve = np.power(np.arange(256) / 255, gamma) * 255 * gain
    table = curve[:, None] * random.uniform(0.92, 1.08, 3) + random.uniform(-15, 15)
    return np.asarray(cv2.LUT(rgb, np.clip(table, 0, 255).astype(np.uint8)[None]), np.uint8)


def _blur(rgb: Rgb, random: np.random.Generator) -> Rgb:
    if random.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(rgb, (0, 0), random.uniform(0.4, 1.6)), np.uint8)
    length = int(random.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    ends = [(0, length // 2), (length - 1, length // 2)]
    if random.random() < 0.5:
        ends = [end[::-1] for end in ends]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), np.uint8)


def _compress(rgb: Rgb, random: np.random.Generator) -> Rgb:
    quality = int(random.integers(25, 92))
    _, encoded = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return rgb if decoded is None else np.asarray(decoded, np.uint8)
