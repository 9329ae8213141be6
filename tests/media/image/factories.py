"""Pictures of every kind that velum keeps, made on the spot."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from velum import media
from velum.frame import Frame
from velum.limits import Limits
from velum.media import ImageInfo, Writer
from velum.plan import Plan

WIDTH, HEIGHT = 61, 43
Array = npt.NDArray[Any]


def noise(*shape: int, seed: int = 0, kind: type[np.generic] = np.uint8) -> Array:
    """Samples that no filter predicts and no lossy coding keeps."""
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max + 1, shape).astype(kind)  # type: ignore[type-var]


def smooth(*channels: int, seed: int = 0) -> Array:
    """Samples that lossy coding keeps to a few steps."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    flat = (x * 2 + y + 40 + 10 * seed).astype(np.uint8)
    return np.repeat(flat[..., None], channels[0], axis=2) if channels else flat


def profile(size: int) -> bytes:
    """A colour profile of that size in bytes, with one tag (ICC.1:2022, 7.2 and 7.3); what it holds is noise."""
    tag = b"desc" + (144).to_bytes(4) + (size - 144).to_bytes(4)
    head = (size.to_bytes(4) + bytes(32) + b"acsp").ljust(128, b"\0") + (1).to_bytes(4) + tag
    return head + noise(size - len(head)).tobytes()


def image(mode: str, seed: int = 0) -> Image.Image:
    """A picture of noise in one of Pillow's modes."""
    match mode:
        case "1":
            return Image.fromarray(noise(HEIGHT, WIDTH, seed=seed) > 127)
        case "P":
            made = Image.fromarray(noise(HEIGHT, WIDTH, seed=seed) % 37, "L")
            picture = Image.frombytes("P", made.size, made.tobytes())
            picture.putpalette(noise(37, 3, seed=seed + 1).tobytes())
            return picture
        case "I;16":
            return Image.fromarray(noise(HEIGHT, WIDTH, seed=seed, kind=np.uint16))
        case _:
            bands = len(Image.new(mode, (1, 1)).getbands())
            return Image.frombytes(mode, (WIDTH, HEIGHT), noise(HEIGHT, WIDTH, bands, seed=seed).tobytes())


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def saved(path: Path, picture: Image.Image, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def frames(path: Path) -> tuple[ImageInfo, list[Frame]]:
    with media.open_source(path, Limits()) as reader:
        assert isinstance(reader.info, ImageInfo)
        return reader.info, list(reader.frames())


def copy(source: Path, target: Path, plan: Plan | None = None, *, overwrite: bool = False) -> Writer:
    """Read and write without hiding anything."""
    with (
        media.open_source(source, Limits()) as reader,
        media.open_sink(target, reader, plan or Plan(), overwrite=overwrite) as writer,
    ):
        for frame in reader.frames():
            writer.write(frame)
    return writer
