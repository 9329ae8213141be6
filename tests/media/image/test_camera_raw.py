"""A thumbnail is never taken for the picture: raw photographs are refused by name, TIFFs give their full pictures."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from velum import media
from velum.errors import BadInput
from velum.limits import Limits
from velum.media.image.tiff_directories import Tiff

from .factories import Array, copy, encoded, frames, noise

FULL, SECOND = noise(40, 60, 3), noise(40, 60, 3, seed=2)
THUMB = noise(10, 15, 3, seed=1)


class Builder:
    """A TIFF or BigTIFF of hand-made directories: numbers by tag, samples not compressed."""

    def __init__(self, *, big: bool = False, order: str = "<") -> None:
        self.order, self.big = order, big
        self.data = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42))
        self.data += struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)
        self.link = 8 if big else 4

    def _entry(self, tag: int, values: tuple[int, ...], kind: str) -> bytes:
        number = {"H": 3, "I": 4, "Q": 16, "B": 1, "s": 2}[kind]
        packed = struct.pack(f"{self.order}{len(values)}{'B' if kind == 's' else kind}", *values)
        head = struct.pack(self.order + ("HHQ" if self.big else "HHI"), tag, number, len(values))
        room = 8 if self.big else 4
        if len(packed) > room:
            at = len(self.data)
            self.data += packed + bytes(len(packed) % 2)
            packed = struct.pack(self.order + ("Q" if self.big else "I"), at)
        return head + packed.ljust(room, b"\0")

    def directory(self, pixels: Array | None, *, linked: bool = True, **more: Any) -> int:
        """Append a directory; `more` are further tags, such as `t254=("I", 1)`. Returns where it is."""
        tags: dict[int, tuple[str, Any]] = {int(name[1:]): value for name, value in more.items()}
        if pixels is not None:
            at = len(self.data)
            self.data += pixels.tobytes()
            height, width = pixels.shape[:2]
            tags = {
                256: ("I", width), 257: ("I", height), 258: ("H", (8, 8, 8)), 259: ("H", 1), 262: ("H", 2),
                273: ("I", at), 277: ("H", 3), 278: ("I", height), 279: ("I", pixels.nbytes),
            } | tags  # fmt: skip
        entries = [
            self._entry(tag, value if isinstance(value, tuple) else (value,), kind)
            for tag, (kind, value) in sorted(tags.items())
        ]
        at = len(self.data)
        self.data += struct.pack(self.order + ("Q" if self.big else "H"), len(entries)) + b"".join(entries)
        word = "Q" if self.big else "I"
        if linked:
            self.data[self.link : self.link + (8 if self.big else 4)] = struct.pack(self.order + word, at)
            self.link = len(self.data)
        self.data += bytes(8 if self.big else 4)
        return at


KINDS = pytest.mark.parametrize(("big", "order"), [(False, "<"), (False, ">"), (True, "<"), (True, ">")])


def _pixels(path: Path) -> list[Array]:
    return [frame.planes[0].pixels for frame in frames(path)[1]]


def _same(found: list[Array], expected: list[Array]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


@KINDS
def test_the_full_picture_inside_a_thumbnail_is_taken(tmp_path: Path, *, big: bool, order: str) -> None:
    made = Builder(big=big, order=order)
    inner = made.directory(FULL, linked=False, t254=("I", 0))
    made.directory(THUMB, t254=("I", 1), t330=("I", inner), t274=("H", 3))
    (tmp_path / "a.tif").write_bytes(made.data)
    assert _same(_pixels(tmp_path / "a.tif"), [FULL[::-1, ::-1]]), "turned, as the file says once for all"
    writer = copy(tmp_path / "a.tif", tmp_path / "out.tif")
    assert any("first image is a thumbnail" in warning for warning in writer.warnings)
    assert _same(_pixels(tmp_path / "out.tif"), [FULL[::-1, ::-1]])


@KINDS
@pytest.mark.parametrize("said", [{"t254": ("I", 1)}, {"t255": ("H", 2)}])
def test_a_reduced_page_is_left_out_wherever_it_is(
    tmp_path: Path, said: dict[str, Any], *, big: bool, order: str
) -> None:
    made = Builder(big=big, order=order)
    made.directory(THUMB, **said)
    made.directory(FULL)
    made.directory(THUMB, **said)
    made.directory(SECOND)
    (tmp_path / "a.tif").write_bytes(made.data)
    assert _same(_pixels(tmp_path / "a.tif"), [FULL, SECOND])
    writer = copy(tmp_path / "a.tif", tmp_path / "out.tif")
    assert any("reduced copies of other pages are left out: 2" in warning for warning in writer.warnings)
    assert _same(_pixels(tmp_path / "out.tif"), [FULL, SECOND])


def test_a_larger_picture_inside_a_page_is_the_picture(tmp_path: Path) -> None:
    """As some programs write it, who do not say that the first one is reduced."""
    made = Builder()
    inner = made.directory(FULL, linked=False)
    made.directory(THUMB, t330=("I", inner))
    (tmp_path / "a.tif").write_bytes(made.data)
    assert _same(_pixels(tmp_path / "a.tif"), [FULL])


def test_a_first_directory_without_an_image_is_skipped(tmp_path: Path) -> None:
    made = Builder()
    inner = made.directory(FULL, linked=False)
    made.directory(None, t330=("I", inner), t270=("s", tuple(b"nothing here\0")))
    (tmp_path / "a.tif").write_bytes(made.data)
    assert _same(_pixels(tmp_path / "a.tif"), [FULL])


def test_smaller_images_inside_a_page_are_not_pages(tmp_path: Path) -> None:
    made = Builder()
    inner = made.directory(THUMB, linked=False, t254=("I", 1))
    made.directory(FULL, t330=("I", inner))
    (tmp_path / "a.tif").write_bytes(made.data)
    assert _same(_pixels(tmp_path / "a.tif"), [FULL])
    assert copy(tmp_path / "a.tif", tmp_path / "out.tif").warnings == ()
    assert THUMB.tobytes() not in (tmp_path / "out.tif").read_bytes()


def test_a_single_reduced_image_is_read_with_a_warning(tmp_path: Path) -> None:
    made = Builder()
    made.directory(FULL, t254=("I", 1))
    (tmp_path / "a.tif").write_bytes(made.data)
    assert _same(_pixels(tmp_path / "a.tif"), [FULL])
    assert any("reduced copy" in warning for warning in copy(tmp_path / "a.tif", tmp_path / "out.tif").warnings)


def test_metadata_with_offsets_outside_the_file_is_ignored(tmp_path: Path) -> None:
    made = Builder()
    made.directory(FULL, t270=("s", tuple(b"a description that is cut off\0")))
    data = made.data
    at = data.index(struct.pack("<HH", 270, 2)) + 8
    data[at : at + 4] = struct.pack("<I", len(data) + 100)
    (tmp_path / "a.tif").write_bytes(data)
    assert _same(_pixels(tmp_path / "a.tif"), [FULL])


def test_a_bigtiff_is_read_in_8_and_in_16_bits(tmp_path: Path) -> None:
    deep = noise(40, 60, 3, kind=np.uint16)
    made = Builder(big=True)
    made.directory(FULL)
    (tmp_path / "a.tif").write_bytes(made.data)
    assert _same(_pixels(tmp_path / "a.tif"), [FULL])
    made = Builder(big=True)
    made.directory(deep, t258=("H", (16, 16, 16)))
    (tmp_path / "b.tif").write_bytes(made.data)
    assert _same(_pixels(tmp_path / "b.tif"), [deep])


def _raw(make: str = "", *, inner: dict[str, Any] | None = None, **first: Any) -> bytes:
    made = Builder()
    inner = inner or {"t254": ("I", 0), "t262": ("H", 32803)}
    place = made.directory(FULL, linked=False, **inner)
    said: dict[str, Any] = {"t271": ("s", (*make.encode(), 0))} if make else {}
    made.directory(THUMB, t254=("I", 1), t330=("I", place), **said, **first)
    return bytes(made.data)


RAW = [
    (_raw(t50706=("B", (1, 4, 0, 0))), "a DNG, a raw photograph"),
    (_raw("Apple", t50706=("B", (1, 6, 0, 0))), "a DNG, a raw photograph"),
    (_raw(inner={"t262": ("H", 34892), "t50706": ("B", (1, 4, 0, 0))}), "a DNG, a raw photograph"),
    (_raw("NIKON CORPORATION"), "an NEF, a raw photograph"),
    (_raw("NIKON CORPORATION", inner={"t259": ("H", 34713), "t262": ("H", 32803)}), "an NEF, a raw photograph"),
    (_raw("SONY", inner={"t259": ("H", 32767)}), "an ARW, a raw photograph"),
    (_raw("SAMSUNG", inner={"t259": ("H", 32770)}), "an SRW, a raw photograph"),
    (_raw("Hasselblad"), "a 3FR, a raw photograph"),
    (_raw("PENTAX", inner={"t259": ("H", 65535)}), "a PEF, a raw photograph"),
    (_raw("Nobody knows"), "a raw photograph"),
    (b"II*\0\x10\0\0\0CR\2\0" + bytes(200), "a CR2, a raw photograph"),
    (b"IIRO\x08\0\0\0" + bytes(200), "an ORF, a raw photograph"),
    (b"IIU\0\x18\0\0\0" + bytes(200), "an RW2, a raw photograph"),
    (b"FUJIFILMCCD-RAW 0201" + bytes(200), "an RAF, a raw photograph"),
    (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(200), "a CR3, a raw photograph"),
    (b"FOVb\0\0\3\0" + bytes(200), "an X3F, a raw photograph"),
    (b"\0MRM\0\0\1\0" + bytes(200), "an MRW, a raw photograph"),
    (b"II\x1a\0\0\0HEAPCCDR" + bytes(200), "a CRW, a raw photograph"),
]


@pytest.mark.parametrize(("data", "name"), RAW, ids=[f"{index}-{row[1]}" for index, row in enumerate(RAW)])
def test_raw_photographs_are_refused_by_name(tmp_path: Path, data: bytes, name: str) -> None:
    source = tmp_path / "a.tif"
    source.write_bytes(data)
    with pytest.raises(BadInput, match=f"it is {name}.*develop it first"):
        media.open_source(source, Limits())


def test_other_tiffs_are_not_called_raw_photographs(tmp_path: Path) -> None:
    for kind in ("TIFF", "PNG", "JPEG"):
        (tmp_path / "a").write_bytes(encoded(Image.fromarray(FULL), kind))
        assert len(_pixels(tmp_path / "a")) == 1


def test_directories_with_loops_and_absurd_counts_end() -> None:
    made = Builder()
    made.directory(FULL)
    data = made.data
    struct.pack_into("<I", data, made.link, int.from_bytes(data[4:8], "little"))
    assert len(Tiff(bytes(data)).pages()) == 1
    at = int.from_bytes(data[4:8], "little")
    struct.pack_into("<H", data, at, 65535)
    assert Tiff(bytes(data)).pages() == []


@pytest.mark.real
def test_a_real_dng_is_refused(shared: Path) -> None:
    with pytest.raises(BadInput, match="a DNG, a raw photograph"):
        media.open_source(shared / "cases" / "dng-becomes-thumbnail" / "thumb.dng", Limits())
