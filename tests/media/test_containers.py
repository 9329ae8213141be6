"""Walkers give the positions of the parts of a file, and trust no length in it."""

import io
import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from velum.media import containers
from velum.media.containers import FileBytes, Part, ebml_element, ebml_elements, iso_boxes, riff_chunks


def _encoded(format: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 10, 10)).save(stream, format)
    return stream.getvalue()


def _box(name: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4) + name + body


BOXES = _box(b"ftyp", b"isom") + _box(b"moov", _box(b"trak", b"")) + b"\0\0\0\1mdat" + (19).to_bytes(8) + b"abc"
CHUNKS = b"ABCD\3\0\0\0abc\0EFGH\0\0\0\0"
ELEMENTS = ebml_element(0x1A45DFA3, b"ab") + ebml_element(0xEC, b"", 8) + b"\x1f\x43\xb6\x75\xffcluster"

KINDS: list[tuple[bytes, Callable[[Any, int, int], Iterator[Part[Any]]], list[tuple[object, int, int]]]] = [
    (BOXES, iso_boxes, [(b"ftyp", 8, 12), (b"moov", 20, 28), (b"mdat", 44, 47)]),
    (CHUNKS, riff_chunks, [(b"ABCD", 8, 11), (b"EFGH", 20, 20)]),
    (ELEMENTS, ebml_elements, [(0x1A45DFA3, 5, 7), (0xEC, 16, 16), (0x1F43B675, 21, 28)]),
]


@pytest.mark.parametrize(("data", "walk", "expected"), KINDS)
def test_bytes_a_memory_map_and_a_file_give_the_same_parts(
    data: bytes, walk: Callable[[Any, int, int], Iterator[Part[Any]]], expected: list[tuple[object, int, int]],
    tmp_path: Path,
) -> None:  # fmt: skip
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb", buffering=0) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for view in (data, bytearray(data), mapped, FileBytes(file)):
            parts = list(walk(view, 0, len(data)))
            assert [(part.name, part.content, part.end) for part in parts] == expected
            assert not any(part.missing for part in parts)


@pytest.mark.parametrize(
    ("data", "walk"), [(BOXES, iso_boxes), (CHUNKS[:11], riff_chunks), (ELEMENTS[:7], ebml_elements)]
)
def test_a_truncated_part_states_how_many_bytes_are_missing(
    data: bytes, walk: Callable[[Any, int, int], Iterator[Part[Any]]]
) -> None:
    last = list(walk(data[:-1], 0, len(data) - 1))[-1]
    assert (last.end, last.missing) == (len(data) - 1, 1)


def test_a_truncated_jpeg_segment_states_how_many_bytes_are_missing() -> None:
    data = _encoded("JPEG")
    first = next(containers.jpeg_segments(data))
    assert (first.name, first.start, first.content, first.missing) == (0xE0, 2, 6, 0)
    assert next(containers.jpeg_segments(data[: first.end - 1])).missing == 1


def test_segments_end_with_the_scan_and_the_scan_with_the_file() -> None:
    data = _encoded("JPEG")
    *_, scan = containers.jpeg_segments(data[:2] + b"\xff" * 5 + data[2:])
    assert scan.name == containers.SOS
    assert containers.end_of_scan(data, scan.end) == len(data) - 2
    assert containers.end_of_scan(data[:-2], scan.end) == len(data) - 2


def test_chunks_of_a_png_end_with_its_last_one() -> None:
    chunks = list(containers.png_chunks(_encoded("PNG") + bytes(100)))
    assert [chunk.name for chunk in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    assert chunks[0].end - chunks[0].content == 13


@pytest.mark.parametrize(
    ("data", "walk"),
    [
        (b"\0\0\0\7free", iso_boxes), (b"\0\0\0\1free\0\0", iso_boxes), (b"\0\0\1\0free", iso_boxes),
        (b"\xec\x85ab", ebml_elements), (b"\xec\xff", ebml_elements), (b"\0\0", ebml_elements),
        (b"\xec", ebml_elements),
    ],
)  # fmt: skip
def test_truncated_parts_are_left_out_on_request(data: bytes, walk: Callable[..., Iterator[Part[Any]]]) -> None:
    assert not list(walk(data, 0, len(data), whole=True))
