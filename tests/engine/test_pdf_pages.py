"""PDFs whose pages are rendered: what a page draws is hidden, and the result has nothing but pictures of pages."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pikepdf", reason="the extra documents is not installed")
pytest.importorskip("pypdfium2", reason="the extra documents is not installed")

import pikepdf
import pypdfium2
from pikepdf import Array, Dictionary, Name, Stream
from tests.media.archive.factories import BOX, PLAN, finding, zipped
from tests.media.archive.pdfs import crowded, document, everything, image, photo, pictures, samples

from velum import Engine, Limits, Plan, Region, Report, RuntimeConfig
from velum.errors import BadInput, LimitExceeded
from velum.media.still import render_still
from velum.plan import Rule, Video
from velum.region import Box
from velum.spec import PartSpec
from velum.testing import FakeLocalizer
from velum.verify.leak_check import Check

RENDER = replace(PLAN, pdf_pages="render")
TEXT = b"BT /F1 12 Tf 20 150 Td (Jane Roe, jane@example.org) Tj ET"
PHOTO = b"q 160 0 0 120 20 20 cm /Im0 Do Q"


def hide(source: Path, plan: Plan = RENDER, *regions: Region) -> tuple[Report, Path]:
    target = source.with_name(f"out-{source.name}")
    with finding(*regions) as engine:
        return engine.hide(source, target, plan), target


def shown(path: Path, scale: float = 1) -> list[Any]:
    """All pages as pdfium shows them, in grey."""
    with pypdfium2.PdfDocument(path) as opened:
        opened.init_forms()
        return [np.asarray(page.render(scale=scale).to_pil().convert("L")).astype(int) for page in opened]


def text_of(path: Path) -> str:
    with pypdfium2.PdfDocument(path) as opened:
        return "".join(page.get_textpage().get_text_range() for page in opened)


def test_text_that_a_page_draws_is_hidden_and_the_result_has_no_text(tmp_path: Path) -> None:
    source = document(tmp_path / "in.pdf", photo, TEXT)
    line = Region(Box(50, 90, 480, 150), "text", 0.9)
    plan = replace(RENDER, rules=(Rule("text", PartSpec("fake"), PartSpec("blacken"), grow=0),))
    localizer, target = FakeLocalizer((line,), labels=frozenset({"text"})), tmp_path / "out.pdf"
    with Engine(host=RuntimeConfig(localizers={"fake": lambda: localizer}, offline=True)) as engine:
        report = engine.hide(source, target, plan)
    assert report.labels == {"text": 1}
    assert [member["name"] for member in report.members] == ["page 1"]
    assert any("can no longer be selected" in warning for warning in report.warnings)
    assert "Jane" in text_of(source)
    assert text_of(target) == ""
    assert b"/Font" not in everything(target)
    (page,) = shown(target)
    assert page[36:50, 20:170].max() <= 8
    assert page[60:].min() == 255


def test_nothing_of_the_source_is_in_the_result(tmp_path: Path) -> None:
    source = crowded(tmp_path / "in.pdf")
    report, target = hide(source, replace(RENDER, metadata=("copyright", "description")))
    assert any("XFA" in warning for warning in report.warnings)
    left = everything(target)
    for secret in (b"Jane", b"Plan", b"example.org", b"/Annots", b"/AcroForm", b"/Info", b"/Metadata", b"EmbeddedFile"):
        assert secret not in left
    assert len(pictures(target)) == 1


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_page_looks_as_before_outside_of_regions_and_has_its_size_and_rotation(tmp_path: Path, turn: int) -> None:
    def made(pdf: Any) -> Any:
        pdf.pages[0].obj.MediaBox = Array([-10, -20, 290, 380])
        pdf.pages[0].obj.CropBox = Array([0, 0, 200, 250])
        return photo(pdf)

    source = document(tmp_path / "in.pdf", made, PHOTO, Rotate=lambda _: turn, UserUnit=lambda _: 2)
    _, target = hide(source, RENDER, Region(BOX, "nobody", 0.9))
    ((before,), (after,)) = shown(source), shown(target)
    assert before.shape == after.shape
    assert np.abs(before - after).mean() < 2
    with pikepdf.open(target) as pdf:
        page = pdf.pages[0].obj
        assert [float(edge) for edge in page.MediaBox] == [0, 0, 200, 250]
        assert (int(page.Rotate), float(page.UserUnit)) == (turn, 2)
    (picture,) = pictures(target)
    assert max(picture.size) == 1389  # 250 units of 2/72 inch


@pytest.mark.parametrize("dpi", [50, 150])
def test_pages_have_the_pixels_that_the_plan_says_and_the_size_of_the_source(tmp_path: Path, dpi: int) -> None:
    source = document(tmp_path / "in.pdf", photo, PHOTO)
    plan = Plan.from_toml(replace(RENDER, pdf_dpi=dpi).to_toml())
    _, target = hide(source, plan)
    ((before,), (after,)), (picture,) = (shown(source), shown(target)), pictures(target)
    assert before.shape == after.shape
    assert picture.width == -(-before.shape[1] * dpi // 72)
    assert plan.digest not in {RENDER.digest, replace(plan, pdf_dpi=dpi + 1).digest}
    with Engine(host=RuntimeConfig(localizers={"fake": FakeLocalizer}, offline=True)) as engine:
        check = Check(engine, RuntimeConfig(offline=True), Limits())
        assert check(target, plan, against=source).is_clean


def form_and_layers(pdf: Any) -> Any:
    """A page with a typed field, a stamp, and a layer that is off."""
    page, font = pdf.pages[0].obj, Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)
    layer = pdf.make_indirect(Dictionary(Type=Name.OCG, Name="hidden"))
    pdf.Root.OCProperties = Dictionary(OCGs=Array([layer]), D=Dictionary(OFF=Array([layer])))
    entry = pdf.make_indirect(Dictionary(
        Type=Name.Annot, Subtype=Name.Widget, FT=Name.Tx, T="name", V="MMMMMM", DA="/F1 20 Tf 0 g",
        Rect=Array([10, 150, 190, 190]), F=4,
    ))  # fmt: skip
    look = Stream(pdf, b"0 g 0 0 50 50 re f")
    look.Type, look.Subtype, look.BBox = Name.XObject, Name.Form, Array([0, 0, 50, 50])
    stamp = Dictionary(Type=Name.Annot, Subtype=Name.Stamp, Rect=Array([0, 0, 50, 50]), F=4, AP=Dictionary(N=look))
    page.Annots = Array([entry, pdf.make_indirect(stamp)])
    fonts = Dictionary(Font=Dictionary(F1=pdf.make_indirect(font)))
    pdf.Root.AcroForm = Dictionary(Fields=Array([entry]), NeedAppearances=True, DR=fonts)
    return photo(pdf)


def test_forms_and_annotations_are_drawn_and_layers_that_are_off_are_not(tmp_path: Path) -> None:
    source = document(
        tmp_path / "in.pdf", form_and_layers, b"/OC /L BDC 0 g 100 0 100 100 re f EMC",
        Resources=lambda pdf: Dictionary(Properties=Dictionary(L=pdf.Root.OCProperties.OCGs[0])),
    )  # fmt: skip
    _, target = hide(source, RENDER, Region(BOX, "nobody", 0.9))
    (page,) = shown(target)
    assert page[155:195, 5:45].max() <= 8  # the stamp
    assert page[10:50, 10:190].min() < 100  # what was typed
    assert page[105:, 105:].min() == 255  # the layer


@pytest.mark.parametrize(
    ("contents", "filter", "bits"),
    [(PHOTO, "/DCTDecode", 8), (TEXT, "/FlateDecode", 8), (b"0 g 0 0 100 100 re f", "/FlateDecode", 1)],
)
def test_photographs_become_jpegs_and_few_colours_stay_as_they_are(
    tmp_path: Path, contents: bytes, filter: str, bits: int
) -> None:
    source = document(tmp_path / "in.pdf", lambda pdf: image(pdf, samples(3)), contents)
    _, target = hide(source, replace(RENDER, quality=60), Region(BOX, "nobody", 0.9))
    with pikepdf.open(target) as pdf:
        picture = pdf.pages[0].Resources.XObject.Page
        assert (str(picture.Filter), int(picture.BitsPerComponent)) == (filter, bits)


def pages(path: Path, count: int, size: float = 72) -> Path:
    with pikepdf.new() as pdf:
        for _ in range(count):
            pdf.add_blank_page(page_size=(size, size))
        pdf.save(path)
    return path


def encrypted(path: Path) -> Path:
    with pikepdf.open(pages(path.with_name("plain.pdf"), 1)) as pdf:
        pdf.save(path, encryption=pikepdf.Encryption(owner="owner", user="secret"))
    path.with_name("plain.pdf").unlink()
    return path


def damaged(path: Path) -> Path:
    path.write_bytes(b"%PDF-1.7\n" + bytes(400))
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (encrypted, "it is encrypted; save it without"),
        (damaged, r"in\.pdf"),
        (lambda path: pages(path, 0), "it has no pages"),
        (lambda path: pages(path, 1, 14_000), "page 1.*pixels"),
        (lambda path: pages(path, 60, 5_000), "image_pixels"),
        (lambda path: pages(path, 101), "members"),
    ],
)
def test_nothing_is_written_of_a_pdf_that_cannot_be_rendered(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    source = make(tmp_path / "in.pdf")
    engine = Engine(host=RuntimeConfig(localizers={"fake": FakeLocalizer}, offline=True), limits=Limits(members=100))
    with engine, pytest.raises((BadInput, LimitExceeded), match=message):
        engine.hide(source, tmp_path / "out.pdf", RENDER)
    assert [path.name for path in tmp_path.iterdir()] == ["in.pdf"]


def test_a_page_that_is_dropped_or_cannot_be_rendered_is_empty(tmp_path: Path) -> None:
    source = document(tmp_path / "in.pdf", photo, PHOTO)
    report, target = hide(source, replace(RENDER, drop_members=("page 1",)))
    assert report.members[0]["action"] == "emptied"
    assert shown(target)[0].min() == 255
    huge = pages(tmp_path / "huge.pdf", 1, 14_000)
    report, target = hide(huge, replace(RENDER, video=Video(on_damage="cover")))
    assert report.members[0]["reason"] == "damaged"
    with pikepdf.open(target) as pdf:
        assert [float(edge) for edge in pdf.pages[0].MediaBox] == [0, 0, 14_000, 14_000]


def test_pdfs_in_archives_are_rendered_and_previews_show_pages(tmp_path: Path) -> None:
    inner = document(tmp_path / "a.pdf", photo, TEXT)
    source = zipped(tmp_path / "in.zip", {"a.pdf": inner.read_bytes(), "page 3": b"notes"})
    report, target = hide(source)
    assert "a.pdf/page 1" in [member["name"] for member in report.members]
    (tmp_path / "scratch").mkdir()
    for file in (source, target):
        still = render_still(file, Limits(), 0, 0, "a.pdf/page 1", tmp_path / "scratch")
        assert still.jpeg.startswith(b"\xff\xd8")


@pytest.mark.slow
def test_a_rendered_pdf_passes_the_check_against_its_source(tmp_path: Path) -> None:
    source = document(tmp_path / "in.pdf", photo, PHOTO + TEXT)
    report, _ = hide(source, replace(RENDER, verify=True))
    assert report.check is not None
    assert report.check["passed"]
