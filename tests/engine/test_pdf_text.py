"""Words in the text of a PDF: gone from the file, with a box in their place; what cannot be searched is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("pikepdf", reason="the extra documents is not installed")
pytest.importorskip("pypdfium2", reason="pypdfium2, which shows PDFs to these tests, is not installed")

import pikepdf
import pypdfium2
from pikepdf import Array, Dictionary, Name, Stream, String
from tests.media.archive.pdfs import everything

from velum import Engine, Limits, Plan, Report
from velum.errors import BadInput, BadPlan
from velum.plugins import RuntimeConfig
from velum.verify.leak_check import Check
from velum.verify.result import Leak

WORD = b"ada@example.org"
PLAN = Plan.of("text: text(match='email|iban') -> blacken")
SIDE = 300


def hide(source: Path, plan: Plan = PLAN) -> tuple[Report, Path]:
    target = source.with_name(f"out-{source.name}")
    with Engine() as engine:
        return engine.hide(source, target, plan), target


def leaks(file: Path, plan: Plan = PLAN) -> tuple[Leak, ...]:
    with Engine() as engine:
        return Check(engine, RuntimeConfig(), Limits())(file, plan).leaks


def drawn(path: Path) -> tuple[Any, str]:
    """The first page as pdfium shows it, and its text in one line."""
    with pypdfium2.PdfDocument(path) as document:
        page = document[0]
        pixels = np.asarray(page.render(scale=2).to_pil().convert("L")).astype(int)
        return pixels, " ".join(page.get_textpage().get_text_range().split())


def codes_of(text: bytes) -> bytes:
    """Codes of two bytes in hexadecimal, each one above the letter's own number."""
    return b"<" + b"".join(b"%04x" % (letter + 1) for letter in text) + b">"


def mapping(pairs: dict[int, str], width: int) -> bytes:
    """A ToUnicode map with these letters."""
    rows = "\n".join(f"<{code:0{width}x}> <{text.encode('utf-16-be').hex()}>" for code, text in pairs.items())
    space = f"<{'00' * (width // 2)}> <{'ff' * (width // 2)}>"
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapType 2 def\n"
        f"1 begincodespacerange {space} endcodespacerange\n{len(pairs)} beginbfchar\n{rows}\nendbfchar\nendcmap end end"
    ).encode()


def composite(pdf: Any, pairs: dict[int, str] | None = None, encoding: Any = None) -> Any:
    """A font with codes of two bytes, not embedded."""
    inner = Dictionary(
        Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=Name.Arial, DW=600, W=Array([1, 90, 500, 91, Array([450])]),
        CIDSystemInfo=Dictionary(Registry=String("Adobe"), Ordering=String("Identity"), Supplement=0),
        FontDescriptor=pdf.make_indirect(
            Dictionary(Type=Name.FontDescriptor, FontName=Name.Arial, Flags=4, ItalicAngle=0, Ascent=900, Descent=-200,
                       CapHeight=700, StemV=80, FontBBox=Array([0, -200, 1000, 900]))
        ),
    )  # fmt: skip
    pairs = pairs if pairs is not None else {code + 1: chr(code) for code in range(32, 127)}
    return Dictionary(
        Type=Name.Font, Subtype=Name.Type0, BaseFont=Name.Arial, Encoding=encoding or Name("/Identity-H"),
        DescendantFonts=Array([pdf.make_indirect(inner)]), ToUnicode=pdf.make_indirect(Stream(pdf, mapping(pairs, 4))),
    )  # fmt: skip


def type3(pdf: Any, procedure: bytes = b"500 0 0 0 400 600 d1 0 0 400 600 re f") -> Any:
    """A font whose glyphs are all a rectangle."""
    glyph = pdf.make_indirect(Stream(pdf, procedure))
    codes = range(32, 127)
    return Dictionary(
        Type=Name.Font, Subtype=Name.Type3, FontBBox=Array([0, 0, 500, 700]),
        FontMatrix=Array([0.001, 0, 0, 0.001, 0, 0]),
        FirstChar=32, LastChar=126, Widths=Array([500] * len(codes)), Resources=Dictionary(),
        CharProcs=Dictionary({f"/g{code}": glyph for code in codes}),
        Encoding=Dictionary(Type=Name.Encoding, Differences=Array([32, *(Name(f"/g{code}") for code in codes)])),
        ToUnicode=pdf.make_indirect(Stream(pdf, mapping({code: chr(code) for code in codes}, 2))),
    )  # fmt: skip


def ligatures(pdf: Any) -> Any:
    """Helvetica, in which code 1 is a ligature, code 2 a hyphen of Unicode, and code 3 a space without width."""
    pairs = {code: chr(code) for code in range(32, 127)} | {1: "ff", 2: "\u2010", 3: "\u200b"}
    return Dictionary(
        Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica, FirstChar=1, LastChar=126,
        Widths=Array([600] * 126), ToUnicode=pdf.make_indirect(Stream(pdf, mapping(pairs, 2))),
    )  # fmt: skip


def document(
    path: Path, contents: bytes, fonts: Callable[[Any], dict[str, Any]] | None = None, more: Any = None
) -> Path:
    """A page of text; F1 is Helvetica, `fonts` are others, `more(pdf, page)` adds what else it has."""
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(SIDE, SIDE)).obj
        plain = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica, Encoding=Name.WinAnsiEncoding)
        page.Resources = Dictionary(Font=Dictionary({"/F1": pdf.make_indirect(plain)}))
        for name, font in (fonts(pdf) if fonts else {}).items():
            page.Resources.Font[f"/{name}"] = pdf.make_indirect(font)
        page.Contents = Stream(pdf, b"1 0 0 RG 10 10 280 280 re S\n" + contents)
        if more is not None:
            more(pdf, page)
        pdf.save(path)
    return path


def form(pdf: Any, page: Any) -> None:
    """A form with the word, drawn twice, one of them turned."""
    inner = Stream(pdf, b"BT /F1 12 Tf 5 5 Td (by form to " + WORD + b" now) Tj ET")
    inner.Type, inner.Subtype, inner.BBox = Name.XObject, Name.Form, Array([0, 0, 250, 40])
    inner.Matrix, inner.Resources = Array([1, 0, 0, 1, 3, 0]), page.Resources
    page.Resources.XObject = Dictionary(Fm0=pdf.make_indirect(inner))


T = b"BT /F1 12 Tf 20 200 Td "
CASES: dict[str, tuple[bytes, Any, Any, str]] = {
    "one command": (T + b"(to ada@example.org now) Tj ET", None, None, "to now"),
    "kerning": (T + b"[(to a) 20 (da@e) -30 (xample.o) 12 (rg now)] TJ (!) Tj ET", None, None, "to now!"),
    "several commands": (
        T + b"(to ada) Tj /F1 12.5 Tf (@exam) Tj 0.2 g (ple) Tj 1 Tr (.org) Tj 0 Tr ( now) Tj ET", None, None, "to now",
    ),
    "spaces of letters and words, stretched": (
        T + b"2 Tc 5 Tw 80 Tz 3 Ts (to ada@example.org now) Tj ET", None, None, "to now",
    ),
    "next line commands": (
        T + b"14 TL (first) Tj (at ada@example.org now) ' 1 0.5 (or ada@example.org soon) \" T* (last) Tj ET",
        None, None, "first at now or soon last",
    ),
    "placed letter by letter, from the end": (
        b"BT /F1 12 Tf 1 0 0 1 75 200 Tm (example.org) Tj 1 0 0 1 42 200 Tm (ada@) Tj 1 0 0 1 20 200 Tm (to) Tj ET",
        None, None, "to",
    ),
    "turned": (b"BT /F1 12 Tf 0.8 0.6 -0.6 0.8 60 60 Tm (to ada@example.org now) Tj ET", None, None, "to now"),
    "a form drawn twice": (b"q 1 0 0 1 10 200 cm /Fm0 Do Q q 0 1 -1 0 200 20 cm /Fm0 Do Q", None, form,
                           "by form to nowby form to now"),
    "hyphenated": (T + b"14 TL (to ada.love-) Tj (lace@example.org) ' (now) ' ET", None, None, "to now"),
    "broken between letters": (T + b"14 TL (to ada@exam) Tj (ple.org now) ' ET", None, None, "to now"),
    "a name broken between letters": (
        T + b"14 TL (to ada.love) Tj (lace@example.org) ' (now) ' ET", None, None, "to now",
    ),
    "a number over two lines": (T + b"14 TL (pay DE89 3704 0044) Tj (0532 0130 00 now) ' ET", None, None, "pay now"),
    "codes of two bytes": (
        b"BT /F2 14.2 Tf 20.3 200 Td " + codes_of(b"to ada@example.org now") + b" Tj ET",
        lambda pdf: {"F2": composite(pdf)}, None, "to now",
    ),
    "glyphs drawn by commands": (
        b"BT /F2 12 Tf 20 200 Td (to ada@example.org now) Tj ET", lambda pdf: {"F2": type3(pdf)}, None, "to now",
    ),
    "a ligature": (
        b"BT /F2 12 Tf 20 200 Td (to o\\001ice@example.org now) Tj ET", lambda pdf: {"F2": ligatures(pdf)}, None,
        "to now",
    ),
    "hyphenated by a browser": (
        b"BT /F2 12 Tf 20 200 Td 14 TL (to ada.love\\002) Tj (lace@example.org) ' (now) ' ET",
        lambda pdf: {"F2": ligatures(pdf)}, None, "to now",
    ),
    "with spaces of no width": (
        b"BT /F2 12 Tf 20 200 Td (to ada\\003@ex\\003ample.org now) Tj ET", lambda pdf: {"F2": ligatures(pdf)}, None,
        "to now",
    ),
    "set wide": (
        T + b"[(to ) -900 " + b" ".join(b"(%c) -250" % letter for letter in WORD) + b" -900 (now)] TJ ET", None, None,
        "to now",
    ),
    "stated beside the glyphs": (
        T + b"(see ) Tj /Span << /ActualText (ada@example.org) >> BDC (the address) Tj EMC ET", None, None,
        "see the address",
    ),
    "glyphs behind another text": (
        T + b"/Span << /ActualText (nobody) >> BDC (to ada@example.org now) Tj EMC ET", None, None, "to now",
    ),
    "invisible": (T + b"(to ) Tj 3 Tr (ada@example.org) Tj 0 Tr ( now) Tj ET", None, None, "to now"),
    "unbalanced commands": (b"0.9 0 0 0.9 5 5 cm Q q q 0.8 0 0 0.8 30 30 cm " + T + b"(to ada@example.org now) Tj ET",
                            None, None, "to now"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_words_are_taken_out_of_text_of_every_form_and_all_else_stays_where_it_was(tmp_path: Path, case: str) -> None:
    contents, fonts, more, left = CASES[case]
    source = document(tmp_path / "in.pdf", contents, fonts, more)
    report, target = hide(source)
    before, after = drawn(source)[0], drawn(target)[0]
    assert drawn(target)[1].replace("\x02", "-") == left
    boxes = cv2.dilate(cv2.erode((after == 0).astype(np.uint8), np.ones((5, 5))), np.ones((15, 15)))
    assert not (
        (np.abs(before - after) > 48) & (boxes == 0)
    ).any()  # boxes, and their edges: nothing else has moved or gone
    if case == "stated beside the glyphs":
        assert np.array_equal(before, after)
    else:
        assert (after == 0).sum() > 1000
    assert report.members[0] == {
        "name": "page 1",
        "action": "edited",
        "hidden": {"text": 1 + ("next" in case or "twice" in case)},
    }
    data = everything(target)
    assert not any(part in data for part in (WORD, b"example", b"lace@", b"0532", codes_of(b"example")[1:-1]))
    assert leaks(target, PLAN) == ()
    assert any(leak.kind == "seen" for leak in leaks(source, PLAN))


def test_bookmarks_links_and_descriptions_lose_the_words_too(tmp_path: Path) -> None:
    def more(pdf: Any, page: Any) -> None:
        with pdf.open_outline() as outline:
            outline.root.append(pikepdf.OutlineItem("Mail of ada@example.org", 0))
        link = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=Array([0, 0, 9, 9]))
        link.A = Dictionary(S=Name.URI, URI=String("mailto:ada%40example.org"))
        page.Annots = Array([pdf.make_indirect(link)])
        pdf.Root.StructTreeRoot = Dictionary(
            K=Dictionary(S=Name.Figure, Alt=String("Bild von ada@example.org"), E="Ada")
        )
        pdf.Root.Dests = Dictionary({"/ada@example.org": Array([page, Name.Fit])})
        other = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=Array([0, 0, 9, 9]), Dest=Name("/ada@example.org"))
        page.Annots.append(pdf.make_indirect(other))
        pdf.Root.Names = Dictionary(Dests=Dictionary(Names=Array([String("ada@example.org"), Array([page, Name.Fit])])))

    source = document(tmp_path / "in.pdf", T + b"(Nothing here) Tj ET", None, more)
    report, target = hide(source)
    assert report.members == ({"name": "bookmarks, links and other texts", "action": "edited", "hidden": {"text": 5}},)
    assert b"example" not in everything(target)
    with pikepdf.open(target) as pdf, pdf.open_outline() as outline:
        assert outline.root[0].title == f"Mail of {'*' * 15}"
    assert np.array_equal(drawn(source)[0], drawn(target)[0])
    assert len(leaks(source, PLAN)) >= 1


def pattern(pdf: Any, page: Any) -> None:
    tile = Stream(pdf, b"BT /F1 8 Tf (ada@example.org) Tj ET")
    tile.PatternType, tile.PaintType, tile.TilingType = 1, 1, 1
    tile.BBox, tile.XStep, tile.YStep, tile.Resources = Array([0, 0, 90, 10]), 90, 10, page.Resources
    page.Resources = Dictionary(Font=page.Resources.Font, Pattern=Dictionary(P0=pdf.make_indirect(tile)))


def form_in_pattern(pdf: Any, page: Any) -> None:
    pattern(pdf, page)
    tile = page.Resources.Pattern.P0
    inner = Stream(pdf, tile.read_bytes())
    inner.Subtype, inner.BBox, inner.Resources = Name.Form, tile.BBox, tile.Resources
    tile.Resources = Dictionary(XObject=Dictionary(Fm0=pdf.make_indirect(inner)))
    tile.write(b"/Fm0 Do")


NO_LETTERS = {code + 1: chr(0xE000 + code) for code in range(32, 127)}


@pytest.mark.parametrize(
    ("contents", "fonts", "more", "message"),
    [
        (b"BT /F2 12 Tf 20 200 Td " + codes_of(WORD) + b" Tj ET", lambda pdf: {"F2": composite(pdf, NO_LETTERS)}, None,
         "does not say which letters"),
        (b"BT /F2 12 Tf 20 200 Td " + codes_of(WORD) + b" Tj ET",
         lambda pdf: {"F2": composite(pdf, encoding=Name("/UniGB-UTF16-H"))}, None, "codes of a kind"),
        (T + b"(Text) Tj ET /Pattern cs /P0 scn 20 20 90 90 re f", None, pattern, "has text in a pattern"),
        (b"/Pattern cs /P0 scn 20 20 90 90 re f", None, form_in_pattern, "has text in a pattern"),
        (b"BT /F1 0 Tf 20 200 Td (ada@example.org) Tj ET", None, None, "whose letters or places are not certain"),
        (b"BT 20 200 Td (ada@example.org) Tj ET", None, None, "before it names a font"),
        (b"BT /F2 12 Tf 20 200 Td (x) Tj ET",
         lambda pdf: {"F2": type3(pdf, b"500 0 d0 BT /F1 500 Tf (ada@example.org) Tj ET")}, None,
         "text of another one"),
    ],
    ids=["no letters", "an unknown encoding", "in a pattern",
         "in a form in a pattern", "of no size", "no font", "in a glyph"],
)  # fmt: skip
def test_text_that_cannot_be_searched_is_refused_with_the_way_out(
    tmp_path: Path, contents: bytes, fonts: Any, more: Any, message: str
) -> None:
    source = document(tmp_path / "in.pdf", contents, fonts, more)
    with pytest.raises(BadInput, match=rf"{message}.*pdf_pages = render"):
        hide(source)
    assert [file.name for file in tmp_path.iterdir()] == ["in.pdf"]


def test_all_text_goes_in_the_colour_of_fill_and_bad_kinds_are_named(tmp_path: Path) -> None:
    source = document(tmp_path / "in.pdf", T + b"(Ada) Tj 0 -30 Td (Lovelace) Tj ET")
    plan = Plan.of("text: text -> fill(color=grey)")
    _, target = hide(source, plan)
    pixels, text = drawn(target)
    assert text == ""
    assert (np.abs(pixels - 128) < 3).sum() > 1000
    assert leaks(target, plan) == ()
    with pytest.raises(BadPlan, match="match of text names name"):
        hide(document(tmp_path / "b.pdf", T + b"(Ada) Tj ET"), Plan.of("text: text(match=name) -> blacken"))


def other_page(pdf: Any, page: Any) -> None:
    """A page that is no longer one of the document, to which a bookmark still leads."""
    gone = pdf.make_indirect(Dictionary(Type=Name.Page, Resources=page.Resources, Contents=pdf.make_indirect(
        Stream(pdf, T + b"(ada@example.org) Tj ET")
    )))  # fmt: skip
    with pdf.open_outline() as outline:
        outline.root.append(pikepdf.OutlineItem("Next", Array([gone, Name.Fit])))


@pytest.mark.parametrize(
    ("contents", "more", "is_told"),
    [
        (b"", form, True),
        (b"", other_page, True),
        (b"/Artifact << /Type /Pagination /Contents (ada@example.org) >> BDC EMC\n", None, False),
        (b"/Mark << /Notes << /Of [(ada@example.org)] >> >> DP\n", None, False),
        (b"% ada@example.org\n", None, False),
        (b"BX (ada@example.org) unknown EX\n", None, False),
    ],
    ids=["a form", "a page", "the text of a mark", "a text in a mark", "a comment", "an unknown command"],
)
def test_text_that_no_page_shows_is_left_out(tmp_path: Path, contents: bytes, more: Any, is_told: bool) -> None:
    source = document(tmp_path / "in.pdf", contents + T + b"(Nothing 100 % here) Tj ET", None, more)
    report, target = hide(source)
    assert b"example" not in everything(target)
    assert np.array_equal(drawn(source)[0], drawn(target)[0])
    assert any("text that no page shows" in warning for warning in report.warnings) == is_told
    assert leaks(target, PLAN) == ()
    assert is_told == any("text that no page shows" in leak.message for leak in leaks(source, PLAN))


def test_what_follows_the_place_where_contents_break_off_is_left_out(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    source = document(tmp_path / "in.pdf", T + b"(Nothing here) Tj ET BT (to ada@example.org now")
    _, target = hide(source)
    assert b"example" not in everything(target)
    assert np.array_equal(drawn(source)[0], drawn(target)[0])
    assert not recwarn.list


def test_commands_without_operands_are_damage(tmp_path: Path) -> None:
    source = document(tmp_path / "in.pdf", T + b"Tj (Text) Tj ET")
    with pytest.raises(BadInput, match=r"in\.pdf: it is damaged"):
        hide(source)
    assert [file.name for file in tmp_path.iterdir()] == ["in.pdf"]
