"""Small files that ask for much work."""

import io
import struct

import numpy as np
from PIL import Image


def encoded(kind: str, width: int = 64, height: int = 48, **options: object) -> bytes:
    """A picture of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, kind, **options)
    return made.getvalue()


def scanned(scans: int, width: int = 64, height: int = 48) -> bytes:
    """A progressive JPEG whose last scan is repeated until it has so many."""
    data = encoded("JPEG", width, height, progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * (scans - data.count(b"\xff\xda")) + b"\xff\xd9"


def gif(width: int, height: int, frames: int) -> bytes:
    """An animation in which one pixel is drawn anew in each frame: the whole picture is to be put together for it."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    control = b"\x21\xf9\x04\x00\x0a\x00\x00\x00"

    def picture(number: int) -> bytes:
        place = struct.pack("<HHHHB", number % width, number % height, 1, 1, 0)
        return (
            control + b"," + place + b"\x02\x02\x4c\x01\x00"
            if number % 2
            else control + b"," + place + b"\x02\x02\x44\x01\x00"
        )

    return head + b"".join(map(picture, range(frames))) + b";"
