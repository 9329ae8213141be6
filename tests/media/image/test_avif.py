"""An AVIF is written like its own image, whatever other items the file has: alpha, thumbnails, similar bytes."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from velum.errors import BadInput
from velum.media.containers import iso_boxes
from velum.media.image import headers

from .factories import HEIGHT, WIDTH, copy, encoded, frames, noise

BLUE = (20, 40, 220)
GREY_AV1C = b"\0\0\0\x0cav1C\x81\0\x1c\0"
"""The configuration of a picture without colour."""

_INSIDE = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iref": 4}
Tree = list[tuple[bytes, "bytes | Tree"]]


def _tree(data: bytes) -> Tree:
    found: Tree = []
    for box in iso_boxes(data, 0, len(data)):
        body = data[box.content : box.end]
        found.append((box.name, _tree(body) if box.name in {b"moov", b"iprp", b"ipco"} else body))
    return found


def _bytes(tree: Tree) -> bytes:
    parts = [(name, body if isinstance(body, bytes) else _bytes(body)) for name, body in tree]
    return b"".join((len(body) + 8).to_bytes(4) + name + body for name, body in parts)


def _still(alpha: int = 200) -> bytes:
    return encoded(Image.new("RGBA", (WIDTH, HEIGHT), (*BLUE, alpha)), "AVIF", quality=90)


def _moving() -> bytes:
    pictures = [Image.new("RGBA", (WIDTH, HEIGHT), (*BLUE, alpha)) for alpha in (200, 100)]
    return encoded(pictures[0], "AVIF", save_all=True, append_images=pictures[1:], quality=90)


def _alpha_item_first(data: bytes) -> bytes:
    """Turn the shared properties round, so that those of the alpha item come first, and number them anew."""
    start = data.index(b"iprp") - 4
    size = int.from_bytes(data[start : start + 4])
    (ipco, ipma) = _tree(data[start + 8 : start + size])
    properties, associations = ipco[1], ipma[1]
    assert isinstance(properties, list)
    assert isinstance(associations, bytes)
    table = bytearray(associations)
    at = 8
    for _ in range(int.from_bytes(table[4:8])):
        for place in range(at + 3, at + 3 + table[at + 2]):
            table[place] = table[place] & 0x80 | len(properties) + 1 - (table[place] & 0x7F)
        at += 3 + table[at + 2]
    return (
        data[:start]
        + _bytes([(b"iprp", [(b"ipco", properties[::-1]), (b"ipma", bytes(table))])])
        + data[start + size :]
    )


def _alpha_track_first(data: bytes) -> bytes:
    tree = _tree(data)
    (place,) = [index for index, (name, _) in enumerate(tree) if name == b"moov"]
    moov = tree[place][1]
    assert isinstance(moov, list)
    assert [name for name, _ in moov] == [b"mvhd", b"trak", b"trak"]
    tree[place] = (b"moov", [moov[0], moov[2], moov[1]])
    return _bytes(tree)


def _in_front(decoy: bytes) -> Callable[[bytes], bytes]:
    """Put a box of free space with `decoy` behind the file's type; items move (their table has offsets of 4 bytes)."""

    def put(data: bytes) -> bytes:
        free = (len(decoy) + 8).to_bytes(4) + b"free" + decoy
        moved, table = bytearray(data), data.index(b"iloc")
        assert data[table + 4 : table + 10] == b"\0\0\0\0\x44\0"
        for item in range(int.from_bytes(data[table + 10 : table + 12])):
            at = table + 12 + 14 * item + 6
            moved[at : at + 4] = (int.from_bytes(data[at : at + 4]) + len(free)).to_bytes(4)
        head = int.from_bytes(data[:4])
        return bytes(moved[:head]) + free + bytes(moved[head:])

    return put


ODD = [
    (_still, _alpha_item_first, "the alpha item's configuration comes first"),
    (_still, _in_front(GREY_AV1C), "bytes that look like one"),
    (_still, _in_front(GREY_AV1C.replace(b"\x1c", b"\x4c")), "bytes that look like one of 10 bits"),
    (_moving, _alpha_track_first, "the alpha track comes first"),
]


@pytest.mark.parametrize(("make", "change", "reason"), ODD, ids=[row[2] for row in ODD])
def test_the_colour_image_is_found_behind_other_items(
    tmp_path: Path, make: Callable[[], bytes], change: Callable[[bytes], bytes], reason: str
) -> None:
    source, target = tmp_path / "a.avif", tmp_path / "out.avif"
    source.write_bytes(change(make()))
    copy(source, target)
    before, after = frames(source), frames(target)
    assert after[0].coding.chroma == before[0].coding.chroma == "4:2:0", reason
    assert len(after[1]) == len(before[1])
    for frame in after[1]:
        assert np.abs(frame.planes[0].pixels[5, 5, :3].astype(int) - BLUE).max() < 12, reason


def test_the_configuration_of_a_grid_is_that_of_its_tiles() -> None:
    """Two items of 4:4:4 under a grid, which is the primary one, beside a grey item that comes first."""

    def full(name: bytes, body: bytes) -> tuple[bytes, bytes | Tree]:
        return name, bytes(4) + body

    properties = [(b"av1C", b"\x81\0\x1c\0"), (b"av1C", b"\x81\x20\0\0"), (b"ispe", bytes(12))]
    table = b"\0\0\0\3" + b"\0\1\1\x81" + b"\0\2\1\x82" + b"\0\3\1\x03"
    reference = (b"dimg", b"\0\3\0\2\0\2\0\2")
    meta = _bytes([
        full(b"pitm", b"\0\3"), full(b"iref", _bytes([reference])),
        (b"iprp", [(b"ipco", list(properties)), full(b"ipma", table)]),
    ])  # fmt: skip
    data = _bytes([(b"ftyp", b"avif\0\0\0\0"), full(b"meta", meta)])
    assert headers.avif(data, sequence=False) == headers.Av1Picture(8, "4:4:4", None)


def test_the_depth_is_that_of_the_colour_image_and_not_of_its_alpha(tmp_path: Path) -> None:
    made = cv2.imencode(".avif", noise(64, 64, 4, kind=np.uint16) >> 6, [cv2.IMWRITE_AVIF_DEPTH, 10])[1].tobytes()
    assert headers.avif(made, sequence=False).depth == 10
    grey8 = _in_front(GREY_AV1C)(made)
    assert headers.avif(grey8, sequence=False).depth == 10


@pytest.mark.parametrize("keep", range(24, 400, 16))
def test_truncated_boxes_give_a_result_or_a_clear_error(keep: int) -> None:
    with suppress(BadInput):
        assert headers.avif(_still()[:keep], sequence=False).depth == 8
