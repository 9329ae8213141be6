"""DICOM files whose elements are too many, too deep, too long or cut off are refused before a library reads them."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the extra dicom is not installed")

import pydicom
from tests.media.dicom.factories import PLAN, SECRET, Finder, engine_with, picture

from velum import Engine, Limits, media
from velum.errors import BadInput, LimitExceeded
from velum.media.dicom.header import read_header
from velum.plugins import RuntimeConfig
from velum.verify.leak_check import Check

ITEM, ITEM_END, SEQUENCE_END = (b"\xfe\xff" + end for end in (b"\x00\xe0", b"\x0d\xe0", b"\xdd\xe0"))
LONG = b"\xff" * 4
PIXELS = b"\xe0\x7f\x10\x00OW"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engine_with(Finder(), tmp_path / "secret" / "key") as engine:
        yield engine


def sequence(value: bytes, *, stated: bool = True, kind: bytes = b"SQ") -> bytes:
    """A sequence of tables (0028,3010) with these items."""
    head = b"\x28\x00\x10\x30" + kind + b"\0\0"
    return head + (struct.pack("<I", len(value)) + value if stated else LONG + value + SEQUENCE_END + bytes(4))


def nested(depth: int, *, stated: bool) -> bytes:
    deep = b""
    for _ in range(depth):
        if stated:
            deep = sequence(ITEM + struct.pack("<I", len(deep)) + deep)
        else:
            deep = sequence(ITEM + LONG + deep + ITEM_END + bytes(4), stated=False)
    return deep


def with_elements(path: Path, elements: bytes) -> Path:
    """A picture with these further elements before its pixel data."""
    data = picture(path).read_bytes()
    at = data.index(PIXELS)
    path.write_bytes(data[:at] + elements + data[at:])
    return path


EMPTY = ITEM + bytes(4)
MANY: dict[str, Callable[[int], bytes]] = {
    "items": lambda count: sequence(EMPTY * count),
    "items without an end": lambda count: sequence(EMPTY * count, stated=False),
    "items of an unknown kind": lambda count: sequence(EMPTY * count, kind=b"UN"),
    "attributes": lambda count: b"".join(struct.pack("<HH2sH", 0x29, number, b"LO", 0) for number in range(count)),
    "attributes in an item": lambda count: sequence(
        ITEM + LONG + struct.pack("<HH2sH", 0x29, 1, b"LO", 0) * count + ITEM_END + bytes(4), stated=False
    ),
}


@pytest.mark.parametrize("kind", MANY)
def test_elements_are_counted_before_objects_are_made_of_them(kind: str, tmp_path: Path) -> None:
    few, many = (with_elements(tmp_path / f"{count}.dcm", MANY[kind](count)) for count in (300, 1100))

    media.open_source(few, Limits(elements=1000))
    with pytest.raises(LimitExceeded, match=r"1100\.dcm has 1,001 elements, more than the 1,000"):
        media.open_source(many, Limits(elements=1000))


def test_fragments_are_counted_too(tmp_path: Path) -> None:
    source = picture(tmp_path / "in.dcm")
    data = source.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    at = data.index(PIXELS)
    source.write_bytes(data[:at] + b"\xe0\x7f\x10\x00OB\0\0" + LONG + EMPTY * 1100 + SEQUENCE_END + bytes(4))

    with pytest.raises(LimitExceeded, match=r"1,001 elements"):
        media.open_source(source, Limits(elements=1000))


@pytest.mark.parametrize("stated", [True, False])
def test_sequences_too_deep_are_refused_by_name(stated: bool, tmp_path: Path) -> None:
    media.open_source(with_elements(tmp_path / "in.dcm", nested(50, stated=stated)), Limits())

    with pytest.raises(BadInput, match="more than 64 sequences inside one another"):
        media.open_source(with_elements(tmp_path / "deep.dcm", nested(2000, stated=stated)), Limits())


def test_a_file_that_ends_early_is_called_truncated(tmp_path: Path) -> None:
    source = with_elements(tmp_path / "in.dcm", b"\x28\x00\x00\x40LO" + struct.pack("<H", 40) + b"x" * 40)
    data = source.read_bytes()
    sized = data.index(b"\x28\x00\x10\x00US")  # Rows
    at = data.index(PIXELS)
    ends = {
        at: "without its pixel data", at - 9: "ImagePresentationComments", at + 5: "truncated", sized + 9: "Rows",
        len(data) - 9: "cut off", 150: "truncated",
    }  # fmt: skip
    for end, named in ends.items():
        source.write_bytes(data[:end])
        with pytest.raises(BadInput, match=r"truncated|cut off") as refused:
            media.open_source(source, Limits())
        assert named in str(refused.value)


def test_a_huge_attribute_is_skipped_told_and_found(engine: Engine, tmp_path: Path) -> None:
    secret = SECRET.encode() * 200_000
    private = b"\x29\x00\x01\x10UN\0\0" + struct.pack("<I", len(secret)) + secret
    source = with_elements(tmp_path / "in.dcm", private)

    report = engine.hide(source, tmp_path / "out.dcm", PLAN)

    assert any("(0029,1001)" in warning and "2,000,000 bytes" in warning for warning in report.warnings)
    assert (tmp_path / "out.dcm").stat().st_size < 10_000
    found = Check(engine, RuntimeConfig(), Limits())(source, PLAN).leaks
    assert any("(0029,1001)" in leak.message for leak in found)
    assert 0x00291001 not in read_header(source, Limits()).attributes


def test_a_huge_name_is_no_empty_one(engine: Engine, tmp_path: Path) -> None:
    source = picture(tmp_path / "in.dcm", huge=(0x00420011, "OB", bytes(2 << 20)))
    with pytest.raises(BadInput, match="a document"):
        media.open_source(source, Limits())
    source = picture(tmp_path / "in.dcm", text=(0x00100010, "UT", SECRET * 200_000))
    assert any("PatientName" in leak.message for leak in Check(engine, RuntimeConfig(), Limits())(source, PLAN).leaks)


def test_all_that_is_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("velum.media.dicom.structure.MOST_BYTES", 1 << 16)
    texts = b"".join(struct.pack("<HH2sHI", 0x29, number, b"UT", 0, 1000) + b"x" * 1000 for number in range(70))
    with pytest.raises(BadInput, match=r"attributes have more than 65,536 bytes"):
        media.open_source(with_elements(tmp_path / "in.dcm", texts), Limits())


def test_ordinary_files_are_read_as_before(tmp_path: Path) -> None:
    source = picture(tmp_path / "in.dcm", np.arange(24 * 32, dtype="<u2").reshape(24, 32), PatientComments="words")
    before = pydicom.dcmread(source)
    del before.PixelData
    assert read_header(source, Limits()).attributes == before
