"""Small files that need much work, and functions that end or occupy their process."""

import io
import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

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
    return _rescanned(encoded("JPEG", width, height, progressive=True), scans)


def scanned_black(scans: int, side: int) -> bytes:
    """One of a black square: its scans are short, and each goes over all of it."""
    made = io.BytesIO()
    Image.new("L", (side, side)).save(made, "JPEG", progressive=True)
    return _rescanned(made.getvalue(), scans)


def _rescanned(data: bytes, scans: int) -> bytes:
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


def end_this_process(end: int) -> None:
    os.kill(os.getpid(), end)


def steps_until_the_end(end: int) -> Iterator[int]:
    yield 1
    end_this_process(end)
    yield 2


def busy_steps(number: int) -> Iterator[int]:
    for _ in range(number):
        be_busy(0.5)
        yield 1


def be_busy(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def crash(*_: object) -> None:
    """End this process as a decoder does that writes where it must not."""
    end_this_process(signal.SIGSEGV)


def crash_when_begun(*_: object) -> Iterator[tuple[int, int]]:
    """Do so after a step."""
    yield 1, 8
    crash()


def decoder_processes() -> list[int]:
    """Return the processes of this one that decode."""
    children = [int(one) for task in Path("/proc/self/task").iterdir() for one in _read(task / "children").split()]
    return [one for one in children if b"velum.media.image.subprocess_main" in _read(Path(f"/proc/{one}/cmdline"))]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
