"""PDFs: the pictures of pages are hidden, all that no page shows is gone, pages stay as they were."""

import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pikepdf", reason="the extra documents is not installed")
pytest.importorskip("pypdfium2", reason="pypdfium2, which shows PDFs to these tests, is not installed")

import pikepdf
import pypdfium2
from pikepdf import Array, Dictionary, Name, String
from PIL import Image
from tests.media.archive.factories import BOX, PLAN, SIZE, finding, picture
from tests.media.archive.pdfs import crowded, document, everything, image, photo, pictures, samples
from tests.rows import but_for

from velum import Limits, Plan, Region, Report
from velum.errors import BadInput, LimitExceeded, NotHidden
from velum.media import archive
from velum.plan import Video
from velum.spec import PartSpec

WIDTH, HEIGHT = SIZE
INSIDE = (slice(BOX.y0 + 8, BOX.y1 - 8), slice(BOX.x0 + 8, BOX.x1 - 8))


def hide(source: Path, plan: Plan = PLAN, nobody: bool = False) -> tuple[Report, Path]:
    target = source.with_name(f"out-{source.name}")
    with finding(Region(BOX, "nobody" if nobody else "face", 0.9)) as engine:
        return engine.hide(source, target, plan), target


def shown(path: Path) -> tuple["np.typing.NDArray[np.uint8]", str]:
    """The first page as another program shows it, and its text."""
    with pypdfium2.PdfDocument(path) as document:
        page = document[0]
        pixels = np.asarray(page.render(scale=2).to_pil().convert("RGB"))
        return pixels.copy(), page.get_textpage().get_text_range()


def is_black(found: Image.Image) -> bool:
    return bool((np.asarray(found.convert("L"))[INSIDE] <= 8).all())


SEPARATION = Array([
    Name.Separation, Name.Spot, Name.DeviceGray,
    Dictionary(FunctionType=2, Domain=Array([0, 1]), N=1, C0=Array([1]), C1=Array([0])),
])  # fmt: skip
PALETTE = b"\x20\x20\x20" * 255 + b"\xff\x80\x40"
CODED: dict[str, Callable[[Any], Any]] = {
    "JPEG": photo,
    "JPEG in Flate": lambda pdf: image(
        pdf, zlib.compress(picture("JPEG")), Filter=Array([Name.FlateDecode, Name.DCTDecode])
    ),
    "JPEG 2000": lambda pdf: image(pdf, picture("JPEG2000"), Filter=Name.JPXDecode),
    "RGB": lambda pdf: image(pdf, samples(3)),
    "grey": lambda pdf: image(pdf, samples(), Name.DeviceGray),
    "palette": lambda pdf: image(pdf, samples(), Array([Name.Indexed, Name.DeviceRGB, 255, String(PALETTE)])),
    "calibrated": lambda pdf: image(pdf, samples(3), Array([Name.CalRGB, Dictionary(WhitePoint=Array([1, 1, 1]))])),
    "CMYK": lambda pdf: image(pdf, samples(4), Name.DeviceCMYK),
    "JPEG in CMYK": lambda pdf: image(pdf, cmyk(), Name.DeviceCMYK, Filter=Name.DCTDecode),
    "JPEG in CMYK, inverted": lambda pdf: image(
        pdf, cmyk(), Name.DeviceCMYK, Filter=Name.DCTDecode, Decode=Array([1, 0] * 4)
    ),
    "JPEG in grey, inverted": lambda pdf: image(
        pdf, grey(), Name.DeviceGray, Filter=Name.DCTDecode, Decode=Array([1, 0])
    ),
    "inverted": lambda pdf: image(pdf, samples(), Name.DeviceGray, Decode=Array([1, 0])),
    "stencil": lambda pdf: image(pdf, b"\xff" * (WIDTH // 8 * HEIGHT), None, 1, ImageMask=True),
    "black and white": lambda pdf: image(pdf, b"\xff" * (WIDTH // 8 * HEIGHT), Name.DeviceGray, 1),
    "CCITT": lambda pdf: image(
        pdf, fax(), Name.DeviceGray, 1, Filter=Name.CCITTFaxDecode,
        DecodeParms=Dictionary(K=-1, Columns=WIDTH, Rows=HEIGHT, BlackIs1=False),
    ),
}  # fmt: skip


def cmyk() -> bytes:
    """A JPEG in CMYK, as Pillow writes it."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(picture())) as opened:
        opened.convert("CMYK").save(file, "JPEG", quality=95)
    return file.getvalue()


def grey() -> bytes:
    """A JPEG in grey."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(picture())) as opened:
        opened.convert("L").save(file, "JPEG", quality=95)
    return file.getvalue()


def fax() -> bytes:
    """The strip of a TIFF in group 4."""
    file = io.BytesIO()
    Image.new("1", SIZE, 1).save(file, "TIFF", compression="group4")
    with Image.open(file) as opened:
        tags = opened.tag_v2  # type: ignore[attr-defined]
        return file.getvalue()[tags[273][0] : tags[273][0] + tags[279][0]]


def test_a_jpeg_is_coded_anew_as_a_whole_without_turbojpeg_and_the_report_says_so(
    tmp_path: Path, has_turbojpeg: bool
) -> None:
    source = document(tmp_path / "in.pdf", photo)
    report, target = hide(source)
    encoding = report.members[0]["encoding"]
    (before,), (found,) = pictures(source), pictures(target)
    assert is_black(found)
    assert encoding.startswith("exact") == has_turbojpeg
    assert ("no TurboJPEG library here" in encoding) != has_turbojpeg
    right = (slice(None), slice(BOX.x1 + 17, None))  # its units of 16 pixels, and what decoders smooth beside them
    change = np.abs(np.asarray(before).astype(int) - np.asarray(found).astype(int))[right]
    assert change.max() <= (0 if has_turbojpeg else 32)


@pytest.mark.parametrize("kind", but_for(CODED, ("JPEG", "JPEG in CMYK", "palette", "stencil", "CCITT")))
def test_pictures_of_every_coding_are_hidden_and_show_elsewhere_what_they_showed(tmp_path: Path, kind: str) -> None:
    source = document(tmp_path / "in.pdf", CODED[kind])
    report, target = hide(source)
    assert report.labels == {"face": 1}
    assert (report.format, report.members[0]["name"]) == ("PDF", "page 1, image 1")
    (found,) = pictures(target)
    assert found.size == SIZE
    assert is_black(found)
    before, after = shown(source)[0].astype(int), shown(target)[0].astype(int)
    x0, y0 = 20 + BOX.x0 * 200 // WIDTH, 230 + BOX.y0 * 150 // HEIGHT
    x1, y1 = 20 + BOX.x1 * 200 // WIDTH, 230 + BOX.y1 * 150 // HEIGHT
    # Black ink of CMYK is shown as a dark grey.
    assert after[y0 + 30 : y1 - 30, x0 + 30 : x1 - 30].max() <= (35 if "CMYK" in kind else 8)
    outside = np.ones(before.shape, bool)
    outside[y0 - 40 : y1 + 40, x0 - 40 : x1 + 40] = False
    is_exact = "not exact" not in report.members[0]["encoding"]  # a JPEG, without TurboJPEG
    assert np.abs(before - after)[outside].max() <= (4 if is_exact else 32)


def test_nothing_is_coded_anew_where_nothing_is_hidden(tmp_path: Path) -> None:
    source = document(tmp_path / "in.pdf", CODED["CCITT"], b"q 100 0 0 75 10 10 cm /Im0 Do Q")
    _, target = hide(source, nobody=True)
    with pikepdf.open(source) as before, pikepdf.open(target) as after:
        streams = [pdf.pages[0].Resources.XObject.Im0.read_raw_bytes() for pdf in (before, after)]
        contents = [pdf.pages[0].Contents.read_bytes() for pdf in (before, after)]
    assert streams[0] == streams[1]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("inks", [False, True])
@pytest.mark.usefixtures("has_turbojpeg")
def test_a_photograph_in_which_nothing_is_hidden_loses_its_metadata_and_no_sample(tmp_path: Path, inks: bool) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Jane"
    data = io.BytesIO()
    with Image.open(io.BytesIO(cmyk() if inks else picture("JPEG"))) as opened:
        opened.save(data, "JPEG", exif=exif)
    behind, colours = b"Jane, too", Name.DeviceCMYK if inks else Name.DeviceRGB
    source = document(
        tmp_path / "in.pdf", lambda pdf: image(pdf, data.getvalue() + behind, colours, Filter=Name.DCTDecode)
    )
    _, target = hide(source, nobody=True)
    assert everything(source).count(b"Jane") == 2
    assert b"Jane" not in everything(target)
    assert np.array_equal(np.asarray(pictures(source)[0]), np.asarray(pictures(target)[0]))


def test_all_that_no_page_shows_is_gone(tmp_path: Path) -> None:
    source = crowded(tmp_path / "in.pdf")
    assert everything(source).count(b"Jane") > 8
    report, target = hide(source)
    left = everything(target)
    for secret in (
        b"Jane",
        b"/Thumb",
        b"/Alternates",
        b"EmbeddedFile",
        b"JavaScript",
        b"/Metadata",
        b"/XFA",
        b"/Author",
    ):
        assert secret not in left
    assert b"http://example.org" in left
    assert [is_black(found) for found in pictures(target)] == [True]
    for what in ("previews", "attached files", "scripts", "comments", "typed into forms", "XMP", "alternate pictures"):
        assert any(what in warning for warning in report.warnings)


def test_entries_that_the_standard_does_not_name_are_left_out(tmp_path: Path) -> None:
    source = document(
        tmp_path / "in.pdf", photo, XXPage=lambda _: Array([String("Jane"), Dictionary(A=Name("/Jane Roe"))])
    )
    with pikepdf.open(source, allow_overwriting_input=True) as pdf:
        pdf.Root.XXNotes = pdf.make_stream(b"Jane Roe")
        pdf.Root.XXName = Name("/Jane")
        pdf.save(source)
    assert everything(source).count(b"Jane") > 3
    report, target = hide(source)
    assert b"Jane" not in everything(target)
    assert any("entries that the standard does not name" in warning for warning in report.warnings)


def test_properties_stay_as_the_plan_keeps_kinds_of_metadata(tmp_path: Path) -> None:
    _, target = hide(crowded(tmp_path / "in.pdf"), replace(PLAN, metadata=("description",)))
    with pikepdf.open(target) as pdf:
        assert {key: str(value) for key, value in pdf.docinfo.items()} == {"/Title": "Plan"}


def test_the_result_has_no_earlier_revision(tmp_path: Path) -> None:
    source = document(tmp_path / "in.pdf", photo)
    data = source.read_bytes()
    end = int(data.rsplit(b"startxref", 1)[1].split()[0])
    note = (
        b"\n9 0 obj (Jane) endobj\nxref\n9 1\n%010d 00000 n \n"
        b"trailer << /Size 10 /Prev %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    )
    start = len(data) + 1
    source.write_bytes(data + note % (start, end, start + len(b"9 0 obj (Jane) endobj\n")))
    report, target = hide(source)
    assert target.read_bytes().count(b"startxref") == 1
    assert b"Jane" not in everything(target)
    assert any("earlier revisions" in warning for warning in report.warnings)


def test_inline_pictures_soft_masks_and_pictures_in_forms_are_hidden(tmp_path: Path) -> None:
    def form(pdf: Any) -> Any:
        soft = image(pdf, samples(), Name.DeviceGray)
        inner = pikepdf.Stream(pdf, b"q 1 0 0 1 0 0 cm /Im1 Do Q")
        inner.Type, inner.Subtype, inner.BBox = Name.XObject, Name.Form, Array([0, 0, 1, 1])
        inner.Resources = Dictionary(XObject=Dictionary(Im1=photo(pdf, SMask=soft)))
        return pdf.make_indirect(inner)

    inline = b" q 64 0 0 48 100 100 cm BI /W 64 /H 48 /CS /G /BPC 8 ID " + samples() + b" EI Q"
    report, target = hide(document(tmp_path / "in.pdf", form, b"q 100 0 0 75 10 10 cm /Im0 Do Q" + inline))
    assert report.labels == {"face": 3}
    found = pictures(target)
    assert len(found) == 3
    assert all(map(is_black, found))


def test_a_form_without_resources_keeps_its_inline_picture(tmp_path: Path) -> None:
    def form(pdf: Any) -> Any:
        commands = b"q 1 0 0 1 0 0 cm BI /W 64 /H 48 /CS /G /BPC 8 ID " + samples() + b" EI Q"
        inner = pikepdf.Stream(pdf, commands)
        inner.Type, inner.Subtype, inner.BBox = Name.XObject, Name.Form, Array([0, 0, 1, 1])
        return pdf.make_indirect(inner)

    source = document(tmp_path / "in.pdf", form, b"q 100 0 0 75 10 10 cm /Im0 Do Q")
    report, target = hide(source)
    assert report.labels == {"face": 1}
    changed = np.abs(shown(source)[0].astype(int) - shown(target)[0].astype(int))
    assert changed.any()
    assert (changed == 0).mean() > 0.9
    assert shown(target)[0].min() < 50


SCAN = (
    b"BT /F1 12 Tf 20 150 Td (Shown) Tj ET q 100 0 0 75 10 10 cm /Im0 Do Q BT 3 Tr /F1 12 Tf 20 40 Td (Jane Roe) Tj ET"
)


@pytest.mark.usefixtures("has_turbojpeg")
def test_the_text_layer_of_a_page_is_gone_where_something_is_hidden_and_shown_text_stays(tmp_path: Path) -> None:
    source = document(tmp_path / "in.pdf", photo, SCAN)
    assert "Jane" in shown(source)[1]
    report, target = hide(source)
    assert shown(target)[1].strip() == "Shown"
    assert b"Jane" not in everything(target)
    assert any("text of its own" in warning for warning in report.warnings)
    _, untouched = hide(source.rename(tmp_path / "in2.pdf"), nobody=True)
    assert "Jane" in shown(untouched)[1]


@pytest.mark.usefixtures("has_turbojpeg")
def test_a_text_layer_stays_with_a_photograph_that_is_coded_anew_although_nothing_is_hidden(tmp_path: Path) -> None:
    with Image.open(io.BytesIO(picture("JPEG"))) as opened:
        data = io.BytesIO()
        opened.save(data, "JPEG", restart_marker_rows=1)
    # Bytes that decoders skip are no metadata that could be cut out.
    junk = data.getvalue().replace(b"\xff\xd0", b"J" * 80 + b"\xff\xd0", 1)
    source = document(tmp_path / "in.pdf", lambda pdf: image(pdf, junk, Filter=Name.DCTDecode), SCAN)
    _, target = hide(source, nobody=True)
    assert "Jane" in shown(target)[1]
    assert b"JJJJJJJJ" not in everything(target)


def test_a_scan_has_no_text_of_its_own(tmp_path: Path) -> None:
    scan = document(tmp_path / "scan.pdf", photo)
    with archive.open_container(scan, "PDF", archive.Budget(Limits()), "scan.pdf") as opened:
        assert not opened.has_text


def strips(pdf: Any) -> Any:
    """A form that draws one picture in strips."""
    placed = b"q 1 0 0 .33 0 .67 cm /A Do Q q 1 0 0 .34 0 .33 cm /B Do Q q 1 0 0 .33 0 0 cm /C Do Q"
    inner = pikepdf.Stream(pdf, placed)
    inner.Type, inner.Subtype, inner.BBox = Name.XObject, Name.Form, Array([0, 0, 1, 1])
    parts = {}
    for number, name in enumerate("ABC"):
        parts[f"/{name}"] = image(pdf, samples(3)[: 8 * WIDTH * 3])
        parts[f"/{name}"].Height = 8 + 0 * number
    inner.Resources = Dictionary(XObject=Dictionary(parts))
    return pdf.make_indirect(inner)


def tiles(pdf: Any) -> Any:
    """A form that draws one picture in four tiles."""
    places = [(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)]
    inner = pikepdf.Stream(pdf, b" ".join(b"q .5 0 0 .5 %g %g cm /T%d Do Q" % (*at, n) for n, at in enumerate(places)))
    inner.Type, inner.Subtype, inner.BBox = Name.XObject, Name.Form, Array([0, 0, 1, 1])
    inner.Resources = Dictionary(XObject=Dictionary({f"/T{n}": image(pdf, samples(3)) for n in range(len(places))}))
    return pdf.make_indirect(inner)


def lines(pdf: Any) -> Any:
    """A form that draws one picture line by line, as some printers do."""
    places = b" ".join(b"q 1 0 0 %g 0 %g cm /L%d Do Q" % (1 / HEIGHT, n / HEIGHT, n) for n in range(HEIGHT))
    inner = pikepdf.Stream(pdf, places)
    inner.Type, inner.Subtype, inner.BBox = Name.XObject, Name.Form, Array([0, 0, 1, 1])
    parts = {f"/L{n}": image(pdf, samples(3)[: WIDTH * 3]) for n in range(HEIGHT)}
    for part in parts.values():
        part.Height = 1
    inner.Resources = Dictionary(XObject=Dictionary(parts))
    return pdf.make_indirect(inner)


def mapped_palette(pdf: Any) -> Any:
    colours = Array([Name.Indexed, Name.DeviceRGB, 255, pikepdf.String(bytes(range(256)) * 3)])
    return image(pdf, samples(), colours, Decode=Array([255, 0]))


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "spot colours": (lambda pdf: image(pdf, samples(), SEPARATION), "cannot decode"),
    "16 bits": (lambda pdf: image(pdf, samples(2), Name.DeviceGray, 16), "I;16"),
    "JBIG2": (lambda pdf: image(pdf, b"\0" * 50, Name.DeviceGray, 1, Filter=Name.JBIG2Decode), "JBIG2Decode"),
    "damaged": (lambda pdf: image(pdf, picture("JPEG")[:300], Filter=Name.DCTDecode), "page 1, image 1"),
    "strips": (strips, "pieces of a picture"),
    "tiles": (tiles, "pieces of a picture"),
    "lines": (lines, "pieces of a picture"),
    "a palette that is mapped": (mapped_palette, "indices are mapped"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_is_written_when_a_picture_cannot_be_hidden(tmp_path: Path, case: str) -> None:
    make, message = REFUSED[case]
    source = document(tmp_path / "in.pdf", make)
    with pytest.raises(BadInput, match=message) as error:
        hide(source)
    assert "page 1, image 1" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.pdf"]
    _, target = hide(source, replace(PLAN, video=Video(on_damage="cover")))
    assert all(found.size == (1, 1) for found in pictures(target))


def test_encrypted_pdfs_are_refused(tmp_path: Path) -> None:
    source = document(tmp_path / "plain.pdf", photo)
    for password in ("", "secret"):
        with pikepdf.open(source) as pdf:
            pdf.save(tmp_path / "in.pdf", encryption=pikepdf.Encryption(owner="owner", user=password))
        with pytest.raises(BadInput, match="it is encrypted; save it without"):
            hide(tmp_path / "in.pdf")


def test_pictures_that_unpack_to_much_more_than_they_state_are_refused(tmp_path: Path) -> None:
    def bomb(pdf: Any) -> Any:
        return image(pdf, zlib.compress(bytes(8 << 20)), Name.DeviceGray, Filter=Name.FlateDecode)

    with pytest.raises(LimitExceeded, match="unpacked_bytes"):
        hide(document(tmp_path / "in.pdf", bomb))


@pytest.mark.parametrize("damage", [lambda data: data[:200], lambda data: b"%PDF-1.7\n" + bytes(400)])
def test_damaged_pdfs_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    source = document(tmp_path / "in.pdf", photo)
    source.write_bytes(damage(source.read_bytes()))
    with pytest.raises(BadInput, match=r"in\.pdf"):
        hide(source)


@pytest.mark.slow
def test_a_checked_pdf_is_published_only_when_nothing_is_found(tmp_path: Path) -> None:
    source = crowded(tmp_path / "in.pdf")
    report, _ = hide(source, replace(PLAN, verify=True))
    assert report.check is not None
    assert report.check["passed"]
    weak = replace(PLAN, verify=True, rules=(replace(PLAN.rules[0], hide=PartSpec("blacken", {"degree": 0.2})),))
    with pytest.raises(NotHidden, match="page 1, image 1"):
        hide(source.rename(tmp_path / "again.pdf"), weak)
