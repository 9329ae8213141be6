"""People made here: coloured squares on black, found by their brightness and compared by their mean colour."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from velum import RuntimeConfig
from velum.frame import Frame, Rgb
from velum.locate.embedding.alignment import FACE, align
from velum.plan import Plan, Rule, Video
from velum.region import Box, Points, Region
from velum.spec import PartSpec
from velum.testing import FakeLocalizer

SIDE = 80
WIDTH, HEIGHT = 480, 160
SHARES = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.58), (0.33, 0.8), (0.67, 0.8))

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "anna": (190, 90, 90), "anna's twin": (190, 97, 92), "ben": (90, 190, 90), "cora": (90, 90, 190),
    "like anna": (190, 128, 90), "nearly anna": (190, 150, 90),
}  # fmt: skip

Places = Mapping[str, tuple[int, int]]
"""Where the upper left corner of each person's face is in a frame."""

RULE = Rule("face", PartSpec("scripted"), PartSpec("blacken"), grow=0)


def plan(**more: object) -> Plan:
    return Plan((RULE,), video=Video(codec="ffv1", every=1), **more)  # type: ignore[arg-type]


def face(name: str, side: int = SIDE, seed: int = 0) -> Rgb:
    noise = np.random.default_rng(seed).standard_normal((side, side)).astype(np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), 1.0) * 60
    shade = np.linspace(-40, 40, side, dtype=np.float32)[:, None]
    shown = np.array(COLOURS[name], np.float32) + (np.asarray(grain) + shade)[..., None]
    return np.clip(shown, 50, 255).astype(np.uint8)


def picture(places: Places, side: int = SIDE, width: int = WIDTH, height: int = HEIGHT) -> Rgb:
    pixels = np.zeros((height, width, 3), np.uint8)
    for name, (x, y) in places.items():
        pixels[y : y + side, x : x + side] = face(name, side)
    return pixels


def save_photo(path: Path, places: Places, side: int = SIDE, change: Callable[[Rgb], Rgb] = lambda rgb: rgb) -> str:
    Image.fromarray(change(picture(places, side))).save(path)
    return str(path)


def save_film(
    path: Path, frames: Sequence[Places], fps: int = 10, change: Callable[[int, Rgb], Rgb] = lambda _, rgb: rgb
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for index, places in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(change(index, picture(places)), "rgb24").reformat(format="yuv444p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def find_faces(frame: Frame) -> list[Region]:
    """Return a region for each bright square, with its five points; the leftmost first."""
    bright = (frame.rgb(frame.width, frame.height).max(axis=2) > 30).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
    boxes = sorted(tuple(map(int, row[:4])) for row in stats[1:] if min(row[2:4]) >= 8)
    return [
        Region(
            Box(x, y, x + width, y + height), "face", 0.9,
            points=tuple((round(x + a * width, 2), round(y + b * height, 2)) for a, b in SHARES),
        )
        for x, y, width, height in boxes
    ]  # fmt: skip


def scripted() -> FakeLocalizer:
    return FakeLocalizer(find_faces)


class ColourEmbedder:
    """Compares faces by their mean colour; a whole range of one channel is 1."""

    same = 0.1
    different = 0.3

    def embed(self, frame: Frame, faces: Sequence[Points]) -> npt.NDArray[np.float32]:
        chips = [align(frame, points, FACE)[40:110, 40:110] for points in faces]
        return np.array([chip.mean(axis=(0, 1)) / 255 for chip in chips], np.float32).reshape(-1, 3)


def host() -> RuntimeConfig:
    return RuntimeConfig(
        localizers={"scripted": scripted},
        embeddings={"dlib-resnet-of-tests": ColourEmbedder},
    )


EMBEDDING = PartSpec("dlib-resnet-of-tests")


def shown(pixels: Rgb, places: Places, side: int = SIDE) -> dict[str, bool]:
    """Tell for each person whether the face shows: not a pixel of a hidden one is bright."""
    found = {}
    for name, (x, y) in places.items():
        part = pixels[y + 4 : y + side - 4, x + 4 : x + side - 4]
        assert (part.max() < 60) or np.abs(part.mean(axis=(0, 1)) - COLOURS[name]).max() < 25, "neither one nor other"
        found[name] = bool(part.max() >= 60)
    return found
