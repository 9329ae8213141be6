"""DICOM codings that few files have: lossless JPEG, colours of JPEG-LS and RLE, and palettes in segments."""

import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the extra dicom is not installed")

import pydicom
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLosslessSV1, JPEGLSLossless, RLELossless
from tests.media.dicom.factories import BOX, PLAN, SAMPLES, Finder, engine_with, picture

from velum import Engine, Region
from velum.errors import BadInput
from velum.media.dicom import pixel_format


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engine_with(Finder(Region(BOX, "face", 0.9)), tmp_path / "secret" / "key") as engine:
        yield engine


def hidden(engine: Engine, source: Path) -> Path:
    target = source.with_name(f"out-{source.name}")
    engine.hide(source, target, PLAN)
    return target


def outside(values: "np.typing.NDArray[Any]") -> "np.typing.NDArray[Any]":
    """Return the samples outside of the region, of (rows, columns[, bands])."""
    mask = np.ones(values.shape[:2], bool)
    mask[BOX.slices] = False
    return values[mask]


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
def test_the_result_states_the_colours_that_the_decoder_gives(syntax: UID, engine: Engine, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(20, 230, (24, 32, 3), np.uint8)
    colour = {
        "SamplesPerPixel": 3, "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7,
        "PhotometricInterpretation": "YBR_FULL", "PixelData": samples.tobytes(),
    }  # fmt: skip
    source = picture(tmp_path / "in.dcm", samples[..., 0], **colour)
    file = pydicom.dcmread(source)
    file.compress(syntax, generate_instance_uid=False)
    file.save_as(source)

    result = pydicom.dcmread(hidden(engine, source))

    assert result.PhotometricInterpretation == "YBR_FULL"
    assert np.array_equal(outside(pixel_array(result, raw=True)), outside(samples))
    assert np.array_equal(outside(pixel_array(result)), outside(pixel_array(file)))


@pytest.mark.skipif(find_spec("gdcm") is None, reason="python-gdcm, which reads lossless JPEG, is not installed")
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_is_read_where_its_library_is_installed(bits: int, engine: Engine, tmp_path: Path) -> None:
    if bits == 8:
        source = tmp_path / "in.dcm"
        source.write_bytes((SAMPLES / "SC_rgb_jpeg_gdcm.dcm").read_bytes())
    else:
        samples = np.random.default_rng(0).integers(0, 1 << bits, (24, 32)).astype("<u2")
        source = as_lossless_jpeg(picture(tmp_path / "plain.dcm", samples, BitsStored=bits, HighBit=bits - 1))
    before = pydicom.dcmread(source)
    assert before.file_meta.TransferSyntaxUID == JPEGLosslessSV1

    result = pydicom.dcmread(hidden(engine, source))

    assert result.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert result.PhotometricInterpretation == before.PhotometricInterpretation
    assert np.array_equal(outside(result.pixel_array), outside(before.pixel_array))
    assert len(np.unique(result.pixel_array[BOX.slices])) == 1


def as_lossless_jpeg(source: Path) -> Path:
    """Compress a file by another program's library."""
    import gdcm  # noqa: PLC0415 - the test that calls this is skipped without it

    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    target = source.with_name("in.dcm")
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target


def test_without_its_library_lossless_jpeg_is_refused_with_what_to_install(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_format, "find_spec", lambda name: None)
    source = tmp_path / "in.dcm"
    source.write_bytes((SAMPLES / "SC_rgb_jpeg_gdcm.dcm").read_bytes())

    with pytest.raises(BadInput, match="lossless JPEG.*pip install python-gdcm, or decompress it first"):
        hidden(engine, source)


def segments(*parts: tuple[int, ...], bits: int = 16) -> bytes:
    """Palette data of segments: (0, count, values ...) or (1, count, last value), PS3.3, C.7.9.2."""
    words = [word for part in parts for word in part]
    data = struct.pack(f"<{len(words)}{'H' if bits == 16 else 'B'}", *words)
    return data + b"\0" * (len(data) % 2)


def with_palette(path: Path, descriptor: tuple[int, int, int], *channels: bytes) -> Path:
    """A picture of 8 bits, each of whose indices occurs, with a palette in segments."""
    samples = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    attributes: dict[str, Any] = {
        "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PhotometricInterpretation": "PALETTE COLOR",
    }  # fmt: skip
    for colour, data in zip(("Red", "Green", "Blue"), channels, strict=True):
        attributes[f"{colour}PaletteColorLookupTableDescriptor"] = list(descriptor)
        attributes[f"Segmented{colour}PaletteColorLookupTableData"] = data
    return picture(path, samples, **attributes)


@pytest.mark.parametrize(
    ("descriptor", "bits", "parts"),
    [
        ((256, 0, 16), 16, [(0, 2, 65535, 0), (1, 254, 65000)]),
        ((256, 0, 8), 8, [(0, 3, 250, 0, 9), (1, 253, 255)]),
        ((100, 50, 16), 16, [(0, 1, 300), (1, 99, 60000)]),
    ],
)
def test_a_palette_in_segments_looks_the_same_in_the_result(
    descriptor: tuple[int, int, int], bits: int, parts: list[tuple[int, ...]], engine: Engine, tmp_path: Path
) -> None:
    reverse = [(0, descriptor[0], *(value % 200 for value in range(descriptor[0])))]
    if bits == 8:  # a segment of 8 bits has at most 255 values
        reverse = [(0, 200, *range(200)), (0, 56, *range(56))]
    data = [segments(*parts, bits=bits), segments(*reverse, bits=bits), segments(*parts, bits=bits)]
    source = with_palette(tmp_path / "in.dcm", descriptor, *data)
    before = pydicom.dcmread(source)

    result = pydicom.dcmread(hidden(engine, source))

    assert "SegmentedRedPaletteColorLookupTableData" not in result
    shown = apply_color_lut(result.pixel_array, result)
    expected = apply_color_lut(before.pixel_array, before).astype(np.uint16) * (257 if bits == 8 else 1)
    assert np.array_equal(outside(shown), outside(expected))
    assert len(np.unique(result.pixel_array[BOX.slices])) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (segments((0, 2, 1, 2)), "another length"),
        (segments((0, 2, 1, 2), *[(1, 65535, 9)] * 500), "another length"),
        (segments((0, 255, *range(255)), (2, 1, 0, 0)), "indirect"),
        (segments((0, 256, *range(9))), "truncated"),
        (b"", "another length"),
    ],
)
def test_segments_that_contradict_the_palette_are_refused(
    data: bytes, reason: str, engine: Engine, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=reason):
        hidden(engine, with_palette(tmp_path / "in.dcm", (256, 0, 16), data, data, data))
