"""An inference server that answers at once: what it finds is written in the colour profile of the JPEG it is sent.

Run as a process of its own: `python -m bench.stub`. It prints its port, and ends when its standard input does.
"""

import asyncio
import io
import json
import sys
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

MARK = b"velum-bench:"
"""Starts the profile; JSON and a zero byte follow. A list of boxes (x0, y0, x1, y1), or (width, height, shift)."""

BOXES, MASKS, LABEL = "boxes", "masks", "person"
"""Names of the two models, and what they find."""

_told: dict[bool, Any] = {}
"""What was written in the last upload, for each model: other services drop the profile, and are asked after velum."""

PALETTE = [0, 0, 0, 255, 255, 255]
_PNG = "image/jpg"  # as the original servers say


def ellipse(width: int, height: int, shift: int) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Return a mask of almost a third of the picture, off the middle by `shift` sixteenths of it."""
    y, x = np.mgrid[:height, :width]
    centre = width * (0.5 + shift / 16)
    inside: np.ndarray[Any, np.dtype[np.bool_]] = (
        ((x - centre) / (0.25 * width)) ** 2 + ((y - height / 2) / (0.38 * height)) ** 2
    ) < 1
    return inside


@cache
def _mask(width: int, height: int, shift: int) -> bytes:
    image, file = Image.fromarray(ellipse(width, height, shift).astype(np.uint8)), io.BytesIO()
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(PALETTE)
    image.save(file, "PNG")
    return file.getvalue()


def _envelope(data: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps({"data": data, "error": "", "success": True}).encode()


def _answer(path: str, body: bytes) -> tuple[str, bytes]:
    what = path.rpartition("/")[2]
    masks = f"/{MASKS}/" in path
    simple = {
        "models": {"models": [BOXES, MASKS]},  # as the only form that the original reads
        "labels": ["background", LABEL] if masks else [LABEL],
        "config": {"type": "segmentation" if masks else "detection"},
        "palette": PALETTE,
    }
    if what in simple:
        return _envelope(simple[what])
    if MARK in body:
        start = body.index(MARK) + len(MARK)
        _told[masks] = json.loads(body[start : body.index(b"\0", start)])
    told = _told[masks]
    if masks:
        return _PNG, _mask(*told)
    boxes = [
        {"ObjectClassName": LABEL, "ObjectClassId": 1, "confidence": 90.0,
         "coordinates": dict(zip(("left", "top", "right", "bottom"), box, strict=True))}
        for box in told
    ]  # fmt: skip
    return _envelope({"bounding-boxes": boxes})


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._held = bytearray()
        self._head: tuple[str, int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (self._head or self._read_head()) and len(self._held) >= (self._head or ("", 0))[1]:
            path, size = self._head or ("", 0)
            kind, body = _answer(path, bytes(self._held[:size]))
            del self._held[:size]
            self._head = None
            head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)

    def _read_head(self) -> bool:
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._held[:end].decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(":", 1) for line in lines)
        del self._held[: end + 4]
        self._head = first.split(" ")[1], int(headers.get("content-length", 0))
        return True


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
