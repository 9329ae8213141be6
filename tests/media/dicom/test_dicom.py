"""DICOM: samples outside of regions stay bit for bit, identifiers are gone, and what is not read is refused by name."""

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the extra dicom is not installed")

import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests.media.dicom.factories import BOX, PLAN, SAMPLES, SECRET, Finder, engine_with, picture, values_of
from tests.rows import but_for

from velum import Engine, Limits, Plan, Region, Report, media
from velum.batch.arrange import result_suffix
from velum.errors import BadInput, BadPlan, LimitExceeded, NotHidden, OutputFailed, Unavailable
from velum.plugins import Patch, RuntimeConfig
from velum.verify.leak_check import Check

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

FOUND = Region(BOX, "face", 0.9)


@pytest.fixture
def finder() -> Finder:
    return Finder(FOUND)


@pytest.fixture
def engine(finder: Finder, tmp_path: Path) -> Iterator[Engine]:
    with engine_with(finder, tmp_path / "secret" / "key") as engine:
        yield engine


def hide(engine: Engine, source: Path, plan: Plan = PLAN) -> tuple[Report, Path]:
    target = source.parent / f"out-{source.stem}.dcm"
    return engine.hide(source, target, plan, overwrite=True), target


def leaks(engine: Engine, file: Path, plan: Plan = PLAN, **more: Any) -> list[str]:
    result = Check(engine, RuntimeConfig(), Limits())(file, plan, **more)
    return [leak.message for leak in result.leaks if leak.kind != "seen"]


def samples_of(path: Path, frames: int) -> "np.typing.NDArray[Any]":
    """All stored samples as pydicom, which knows nothing of velum, decodes them: (frames, rows, columns, bands)."""
    file = pydicom.dcmread(path)
    return file.pixel_array.reshape(frames, file.Rows, file.Columns, -1)


CODED = (
    "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm", "CT_small.dcm", "JPEG2000.dcm", "693_J2KI.dcm", "image_dfl.dcm",
    "ExplVR_BigEnd.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_small_odd_big_endian.dcm", "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_jls_lossy_line.dcm", "SC_rgb_gdcm_KY.dcm", "examples_palette.dcm",
    "examples_overlay.dcm", "examples_rgb_color.dcm", "examples_jpeg2k.dcm", "examples_ybr_color.dcm",
    "JPEGLSNearLossless_16.dcm", "dicomdirtests/77654033/CR1/6154", "MR_small_padded.dcm",
)  # fmt: skip
FEW = ("MR_small_bigendian.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
       "image_dfl.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_jpeg_dcmtk.dcm", "dicomdirtests/77654033/CR1/6154",
       "examples_palette.dcm")  # fmt: skip


@pytest.mark.parametrize("name", but_for(CODED, FEW))
def test_samples_outside_of_regions_stay_and_those_inside_are_black(name: str, engine: Engine, tmp_path: Path) -> None:
    source = tmp_path / "in.dcm"
    source.write_bytes((SAMPLES / name).read_bytes())

    report, target = hide(engine, source)

    before, after = samples_of(source, report.frames), samples_of(target, report.frames)
    rows, columns = before.shape[1:3]
    outside = np.ones((rows, columns), bool)
    outside[BOX.slices] = False
    assert np.array_equal(before[:, outside], after[:, outside])
    inside = after[:, ~outside].reshape(-1, after.shape[-1])
    assert len(np.unique(inside, axis=0)) == (inside.size > 0)  # one picture of 3 x 3 pixels has none inside
    assert before.dtype.itemsize == after.dtype.itemsize
    assert leaks(engine, target, against=source) == []


def test_compressed_frames_are_copied_without_metadata_where_nothing_is_hidden(
    engine: Engine, finder: Finder, tmp_path: Path
) -> None:
    finder.regions = []
    source = tmp_path / "in.dcm"
    file = pydicom.dcmread(SAMPLES / "SC_rgb_jpeg_dcmtk.dcm")
    (frame,) = pydicom.encaps.generate_frames(file.PixelData, number_of_frames=1)
    comment = b"\xff\xfe" + struct.pack(">H", len(SECRET) + 2) + SECRET.encode()
    exif = b"\xff\xe1" + struct.pack(">H", len(SECRET) + 8) + b"Exif\0\0" + SECRET.encode()
    file.PixelData = pydicom.encaps.encapsulate([frame[:2] + exif + frame[2:]])
    file.save_as(source)
    assert any("metadata in the JPEG of frame 1" in leak for leak in leaks(engine, source))
    file.PixelData = pydicom.encaps.encapsulate([frame[:2] + comment + frame[2:]])
    file.save_as(source)
    assert any("comment" in leak for leak in leaks(engine, source))

    report, target = hide(engine, source)

    after = pydicom.dcmread(target)
    assert after.file_meta.TransferSyntaxUID == file.file_meta.TransferSyntaxUID
    assert np.array_equal(after.pixel_array, file.pixel_array)
    assert SECRET.encode() not in target.read_bytes()
    assert report.encoding.startswith("exact: the JPEG of the source")
    assert after.LossyImageCompression == "01"
    assert leaks(engine, target, against=source) == []


@pytest.mark.parametrize("table", ["VOILUTSequence", "RedPaletteColorLookupTableData"])
def test_tables_longer_than_they_state_are_left_out(table: str, engine: Engine, tmp_path: Path) -> None:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [2, 0, 16], SECRET.encode()
    item["LUTData"].VR = "OW"
    value: Any = Sequence([item]) if table == "VOILUTSequence" else SECRET.encode()
    source = picture(tmp_path / "in.dcm", None, **{table: value})
    assert any(table.removesuffix("Data") in leak for leak in leaks(engine, source))

    _, target = hide(engine, source)

    assert SECRET.encode() not in target.read_bytes()
    assert leaks(engine, target) == []


def test_two_pixels_that_share_their_colour_are_hidden_together(engine: Engine, tmp_path: Path) -> None:
    source = tmp_path / "in.dcm"
    source.write_bytes((SAMPLES / "SC_ybr_full_422_uncompressed.dcm").read_bytes())

    _, target = hide(engine, source)

    before, after = (np.frombuffer(pydicom.dcmread(file).PixelData, np.uint8) for file in (source, target))
    units_before, units_after = before.reshape(100, 50, 4), after.reshape(100, 50, 4)
    outside = np.ones((100, 50), bool)
    outside[BOX.y0 : BOX.y1, BOX.x0 // 2 : BOX.x1 // 2] = False
    assert np.array_equal(units_before[outside], units_after[outside])
    assert (units_after[~outside] == (0, 0, 128, 128)).all()


SIGNED = np.array([[-2048, -1, 0, 2047]] * 4, "<i2")


@pytest.mark.parametrize(("stored", "signed"), [(12, True), (12, False), (16, True), (16, False), (8, False)])
def test_every_depth_keeps_its_numbers(stored: int, signed: bool, engine: Engine, tmp_path: Path) -> None:
    low = -(1 << (stored - 1)) if signed else 0
    numbers = np.linspace(low, low + (1 << stored) - 1, 24 * 32).round().astype("<i2" if signed else "<u2")
    source = picture(
        tmp_path / "in.dcm", numbers.reshape(24, 32), BitsStored=stored, HighBit=stored - 1,
        PixelRepresentation=int(signed),
    )  # fmt: skip

    _, target = hide(engine, source)

    after = pydicom.dcmread(target).pixel_array
    outside = np.ones((24, 32), bool)
    outside[BOX.slices] = False
    assert np.array_equal(after[outside], numbers.reshape(24, 32)[outside])
    assert (after[BOX.slices] == low).all()


def test_white_is_the_lowest_sample_where_the_file_says_so(engine: Engine, tmp_path: Path) -> None:
    _, target = hide(engine, picture(tmp_path / "in.dcm", PhotometricInterpretation="MONOCHROME1"))

    assert (pydicom.dcmread(target).pixel_array[BOX.slices] == 4095).all()


@pytest.mark.parametrize(
    ("attributes", "dark", "light"),
    [
        ({"WindowCenter": 1000, "WindowWidth": 200}, 0, 255),
        ({"WindowCenter": 1000, "WindowWidth": 200, "PhotometricInterpretation": "MONOCHROME1"}, 255, 0),
        ({"WindowCenter": 0, "WindowWidth": 200, "RescaleSlope": "1", "RescaleIntercept": "-1000"}, 0, 255),
        ({}, 20, 235),
        ({"WindowCenter": 9999, "WindowWidth": 2}, 20, 235),
    ],
)
def test_localizers_see_what_viewers_show(
    attributes: dict[str, Any], dark: int, light: int, engine: Engine, finder: Finder, tmp_path: Path
) -> None:
    samples = np.full((24, 32), 800, "<u2")
    samples[:, 16:] = 1200
    samples[0], samples[-1] = 766, 1234

    hide(engine, picture(tmp_path / "in.dcm", samples, **attributes))

    shown = finder.shown[0]
    assert abs(int(shown[5, 5, 0]) - dark) <= 2
    assert abs(int(shown[5, 25, 0]) - light) <= 2


def test_each_frame_is_shown_by_its_own_window(engine: Engine, finder: Finder, tmp_path: Path) -> None:
    def groups(keyword: str, **values: Any) -> Dataset:
        inner, outer = Dataset(), Dataset()
        for name, value in values.items():
            setattr(inner, name, value)
        setattr(outer, keyword, Sequence([inner]))
        return outer

    frames = np.stack([np.full((24, 32), 300, "<u2"), np.full((24, 32), 3000, "<u2")])
    frames[:, :, 16:] += 200
    windows = [groups("FrameVOILUTSequence", WindowCenter=center, WindowWidth=100) for center in (400, 3100)]
    shift = groups("PixelValueTransformationSequence", RescaleIntercept="0", RescaleSlope="1", RescaleType="US")
    source = picture(
        tmp_path / "in.dcm", frames, NumberOfFrames="2", PerFrameFunctionalGroupsSequence=Sequence(windows),
        SharedFunctionalGroupsSequence=Sequence([shift]),
    )  # fmt: skip

    _, target = hide(engine, source)

    assert [(int(shown[20, 2, 0]), int(shown[20, 30, 0])) for shown in finder.shown] == [(0, 255), (0, 255)]
    after = pydicom.dcmread(target)
    kept = [item.FrameVOILUTSequence[0].WindowCenter for item in after.PerFrameFunctionalGroupsSequence]
    assert kept == [400, 3100]
    assert leaks(engine, target, against=source) == []


def test_sequences_in_sequences_end_at_some_depth(engine: Engine, tmp_path: Path) -> None:
    deep = b""
    for _ in range(60):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(deep)) + deep
        deep = b"\x28\x00\x10\x30SQ\0\0" + struct.pack("<I", len(item)) + item
    source = picture(tmp_path / "in.dcm")
    data = source.read_bytes()
    at = data.index(b"\xe0\x7f\x10\x00OW")
    source.write_bytes(data[:at] + deep + data[at:])

    _, target = hide(engine, source)

    assert len(target.read_bytes()) < len(data) + 2000
    assert any("VOILUTSequence" in leak for leak in leaks(engine, source))
    assert leaks(engine, target) == []


def everything(path: Path) -> Path:
    """A file with the secret in every kind of place: texts, numbers, terms, sequences, private, overlay, icon, ends."""
    nested = Dataset()
    nested.PatientName, nested.PixelSpacing = SECRET, [1, 1]
    inner = Dataset()
    inner.PixelMeasuresSequence = Sequence([nested])
    inner.add_new(0x00091001, "LO", SECRET)
    icon = Dataset()
    icon.Rows, icon.Columns, icon.BitsAllocated, icon.PixelData = 1, 10, 8, SECRET.encode()
    item = Dataset()
    item.PatientID = SECRET
    source = picture(
        path, SharedFunctionalGroupsSequence=Sequence([inner]), OtherPatientIDsSequence=Sequence([item]),
        InstitutionName=SECRET, PatientBirthDate="19700101", StudyDate="20240229", StudyDescription=SECRET,
        BodyPartExamined=SECRET, ImageType=["ORIGINAL", SECRET], WindowCenterWidthExplanation=SECRET,
        private=(0x00090010, "LO", SECRET), text=(0x00091001, "UN", SECRET.encode()),
        number=(0x00181050, "DS", "1.0"), overlay=(0x60003000, "OW", SECRET.encode()),
        label=(0x60000022, "LO", SECRET), comment=(0x00204000, "LT", SECRET), curve=(0x50003000, "OW", SECRET.encode()),
        spacing=(0x00280030, "LO", SECRET),
    )  # fmt: skip
    file = pydicom.dcmread(source)
    file.preamble = SECRET.encode().ljust(128, b"!")
    file.file_meta.SourceApplicationEntityTitle = SECRET
    file.IconImageSequence = Sequence([icon])
    file.add_new(0xFFFCFFFC, "OB", SECRET.encode())
    pydicom.dcmwrite(source, file, enforce_file_format=True)
    return source


def test_no_identifier_is_left_wherever_it_was(engine: Engine, tmp_path: Path) -> None:
    source = everything(tmp_path / "in.dcm")
    assert source.read_bytes().count(SECRET.encode()) > 15

    report, target = hide(engine, source)

    assert SECRET.encode() not in target.read_bytes()
    file = pydicom.dcmread(target)
    groups = {element.tag.group for element in file.iterall()}
    assert not {group for group in groups if group % 2 or group in {0x5000, 0x6000}}
    assert (file.PatientName, file.PatientID, file.StudyDate, file.PatientIdentityRemoved) == ("", "", "", "YES")
    assert [item.CodeValue for item in file.DeidentificationMethodCodeSequence] == ["113100"]
    assert file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing == [1, 1]
    assert file.preamble == bytes(128)
    assert leaks(engine, target) == []
    told = " ".join(report.warnings)
    assert all(part in told for part in ("private", "overlay graphics", "icon", "preamble", "after the pixel data"))


def test_the_check_names_what_a_stranger_finds(engine: Engine, tmp_path: Path) -> None:
    found = " ".join(leaks(engine, everything(tmp_path / "in.dcm")))

    for part in ("PatientName", "InstitutionName", "SOPInstanceUID of the source", "preamble", "after the pixel data",
                 "StudyDate", "(0009,0010)", "SourceApplicationEntityTitle", "further attributes"):  # fmt: skip
        assert part in found


def test_the_check_finds_an_overlay_in_the_high_bits_and_bytes_behind_the_last_frame(
    engine: Engine, tmp_path: Path
) -> None:
    _, target = hide(engine, picture(tmp_path / "in.dcm"))
    file = pydicom.dcmread(target)
    file.PixelData = np.full((24, 32), 0x1000, "<u2").tobytes() + SECRET.encode()
    pydicom.dcmwrite(target, file)

    found = " ".join(leaks(engine, target))

    assert "bits above those of the samples" in found
    assert f"{len(SECRET)} bytes after the last frame" in found


def test_kinds_of_metadata_are_kept_as_the_plan_says(engine: Engine, tmp_path: Path) -> None:
    source = picture(tmp_path / "in.dcm", StudyDate="20240229", StudyDescription="Knie", KVP="120", StationName="A")
    plan = Plan(PLAN.rules, metadata=("datetime", "camera"))

    _, target = hide(engine, source, plan)

    file = pydicom.dcmread(target)
    assert (file.StudyDate, file.StationName) == ("20240229", "A")
    assert "StudyDescription" not in file
    assert "KVP" not in file
    codes = [item.CodeValue for item in file.DeidentificationMethodCodeSequence]
    assert sorted(codes) == ["113100", "113106", "113109"]
    assert file.LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert leaks(engine, target, plan) == []
    assert any("StudyDate" in leak for leak in leaks(engine, target))


def test_a_series_stays_a_series_and_only_the_secret_links_it(engine: Engine, tmp_path: Path) -> None:
    first = picture(tmp_path / "1.dcm")
    second = tmp_path / "2.dcm"
    file = pydicom.dcmread(first)
    file.SOPInstanceUID = pydicom.uid.generate_uid()
    pydicom.dcmwrite(second, file, enforce_file_format=True)

    one, two = (pydicom.dcmread(hide(engine, source)[1]) for source in (first, second))
    with engine_with(Finder(FOUND), tmp_path / "other") as stranger:
        (tmp_path / "other").write_text("0f" * 32, encoding="ascii")
        other = pydicom.dcmread(hide(stranger, first)[1])

    assert one.SeriesInstanceUID == two.SeriesInstanceUID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID
    assert len({str(file.StudyInstanceUID), str(one.StudyInstanceUID), str(other.StudyInstanceUID)}) == 3


def test_a_secret_that_is_none_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("short", encoding="ascii")
    with engine_with(Finder(), key) as engine, pytest.raises(Unavailable, match="5 characters"):
        hide(engine, picture(tmp_path / "in.dcm"))
    assert not (tmp_path / "out-in.dcm").exists()


@pytest.mark.parametrize(
    ("rule", "searched", "expected"),
    [
        ("text: text -> blacken", True, "NO"),
        ("text: text -> blacken", False, "YES"),
        ("text: text -> blur", True, "YES"),
        ("text: text(match='phone') -> blacken", True, "YES"),
        ("text: fixed(box=[1, 1, 9, 9], label='text') -> blacken", True, "YES"),
    ],
)
def test_text_counts_as_gone_only_where_it_was_looked_for(
    rule: str, searched: bool, expected: str, tmp_path: Path
) -> None:
    source, key = picture(tmp_path / "in.dcm", BurnedInAnnotation="YES"), tmp_path / "key"
    key.write_text("5e" * 32, encoding="ascii")

    with (
        media.open_source(source, Limits()) as reader,
        media.open_sink(tmp_path / "out.dcm", reader, Plan.of(rule), uid_key=key, searched=searched) as writer,
    ):
        for frame in reader.frames():
            writer.write(frame)

    file = pydicom.dcmread(tmp_path / "out.dcm")
    assert file.BurnedInAnnotation == expected
    assert ("113101" in [item.CodeValue for item in file.DeidentificationMethodCodeSequence]) == (expected == "NO")
    assert any("burned into" in warning for warning in writer.warnings) == (expected == "YES")


REFUSED = {
    "dicomdirtests/DICOMDIR": "DICOMDIR", "reportsi.dcm": "structured report", "waveform_ecg.dcm": "waveform",
    "rtplan.dcm": "RT Plan Storage", "JPEG-lossy.dcm": "JPEG of 8 bits",
    "liver_1frame.dcm": "1 bits of 1", "rtdose.dcm": "32 bits of 32", "MR_truncated.dcm": "cut off",
    "badVR.dcm": "1A", "rtstruct.dcm": "128 bytes and 'DICM'", "ExplVR_BigEndNoMeta.dcm": "128 bytes and 'DICM'",
    "meta_missing_tsyntax.dcm": "how it is coded",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_by_name(name: str, engine: Engine, tmp_path: Path) -> None:
    source = tmp_path / "in.dcm"
    source.write_bytes((SAMPLES / name).read_bytes())

    with pytest.raises(BadInput, match=REFUSED[name]):
        hide(engine, source)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "frames": ({"NumberOfFrames": "2"}, "truncated"),
    "no frames": ({"NumberOfFrames": "0"}, "make no picture"),
    "rows": ({"Rows": 60000}, "truncated"),
    "no rows": ({"Rows": None}, "Rows is missing"),
    "bits": ({"BitsStored": 17, "HighBit": 16}, "17 bits of 16"),
    "high bit": ({"HighBit": 15}, "HighBit is 15"),
    "bands": ({"SamplesPerPixel": 3}, "1 samples a pixel, not 3"),
    "colours": ({"PhotometricInterpretation": "HSV"}, "HSV"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "damaged"),
}


@pytest.mark.parametrize("name", WRONG)
def test_attributes_that_contradict_the_samples_are_refused(name: str, engine: Engine, tmp_path: Path) -> None:
    attributes, reason = WRONG[name]
    source = picture(tmp_path / "in.dcm", **attributes)

    with pytest.raises(BadInput, match=reason):
        hide(engine, source)


def test_limits_hold_before_anything_is_decoded(tmp_path: Path) -> None:
    source = picture(tmp_path / "in.dcm")
    deflated = SAMPLES / "image_dfl.dcm"

    for limits, file in ((Limits(pixels=700), source), (Limits(unpacked_bytes=1000), deflated)):
        with pytest.raises(LimitExceeded):
            media.open_source(file, limits)
    with pytest.raises(LimitExceeded):
        media.open_source(picture(tmp_path / "many.dcm", NumberOfFrames="99999999"), Limits())


def test_a_compressed_frame_of_another_size_is_not_decoded(engine: Engine, tmp_path: Path) -> None:
    source = tmp_path / "in.dcm"
    data = (SAMPLES / "JPEG2000.dcm").read_bytes()
    at = data.index(b"\xff\x4f\xff\x51") + 8
    source.write_bytes(data[:at] + struct.pack(">II", 60000, 60000) + data[at + 8 :])

    with pytest.raises(BadInput, match="60000"):
        hide(engine, source)


def test_only_a_dicom_file_comes_of_one(engine: Engine, tmp_path: Path) -> None:
    source = picture(tmp_path / "in.dcm")

    with pytest.raises(BadPlan, match=r"\.dcm"):
        engine.hide(source, tmp_path / "out.png", PLAN)
    with pytest.raises(OutputFailed, match="source itself"):
        engine.hide(source, source, PLAN, overwrite=True)
    with pytest.raises(BadInput, match="a DICOM file"):
        media.open_source(media.BytesSource("upload", source.read_bytes()), Limits())


class Nothing:
    """A technique that says it destroys, and does not."""

    destroys, labels = True, None

    def hide(self, patch: Patch) -> None:
        pass


def test_a_leak_is_not_published(finder: Finder, tmp_path: Path) -> None:
    with engine_with(finder, tmp_path / "key", nothing=Nothing) as engine, pytest.raises(NotHidden):
        plan = Plan.of("face: finder -> nothing", verify=True)
        engine.hide(picture(tmp_path / "in.dcm"), tmp_path / "out.dcm", plan)
    assert not (tmp_path / "out.dcm").exists()


def test_archives_and_folders_take_them(engine: Engine, tmp_path: Path) -> None:
    source = picture(tmp_path / "IM0001")
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(source, "study/IM0001")

    engine.hide(archive, tmp_path / "out.zip", PLAN)

    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        data = file.read("study/IM0001")
    assert data[128:132] == b"DICM"
    assert SECRET.encode() not in data
    assert leaks(engine, tmp_path / "out.zip") == []
    assert result_suffix(source) == ("", "")
    assert media.is_picture(source)
    assert values_of(source) != []
