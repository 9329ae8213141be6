"""PDFs whose pages are drawn as pictures: each page is a member, and the result has nothing but these pictures.

pdfium draws the pages as a viewer shows them, with forms, annotations and the layers that are on by default.
"""

import math
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import pypdfium2
from PIL import Image

from velum.errors import BadInput
from velum.media.archive.member import Budget, Member
from velum.media.archive.pdf_file import open_pdf, translate_damage
from velum.media.archive.pdf_letters import PDFIUM

RENDER_QUALITY = 90
"""Quality of the JPEG of a page, where the plan states none."""

FEW_COLOURS, FLAT = 256, 0.5
"""A page of at most so many colours, one of which covers this share of it, is text or a drawing: it is written without
loss. Photographs, also grey ones, have no such colour."""

_XFA = {pypdfium2.raw.FORMTYPE_XFA_FULL, pypdfium2.raw.FORMTYPE_XFA_FOREGROUND}

_PLACES = {0: "{w} 0 0 {h} 0 0", 90: "0 {h} -{w} 0 {w} 0", 180: "-{w} 0 0 -{h} {w} {h}", 270: "0 -{h} {w} 0 0 {h}"}
"""Matrix that draws an upright picture over the whole of a page, by the page's rotation (ISO 32000-2, 8.3)."""


@dataclass(frozen=True, slots=True)
class _PageSize:
    """Size of a page as it is shown, in units of 1/72 inch times `unit`; its rotation, clockwise in degrees.

    `dpi` are the pixels for each inch of its picture, in both directions.
    """

    width: float
    height: float
    rotation: int
    unit: float
    dpi: int

    @property
    def scale(self) -> float:
        return self.dpi / 72 * self.unit

    @property
    def pixels(self) -> int:
        return math.ceil(self.width * self.scale) * math.ceil(self.height * self.scale)


class RenderedPdf:
    """A PDF that is read page by page as pictures, for a `with` block. Raises `BadInput` as `PdfContainer` does."""

    names: tuple[str, ...] = ()
    has_text = False

    def __init__(self, path: Path, budget: Budget, name: str, dpi: int) -> None:
        """Open `path` for pictures of `dpi` pixels an inch; messages call it `name`."""
        self._path, self._budget, self._name, self._dpi = path, budget, name, dpi
        self.sizes: list[_PageSize] = []
        self.leftovers: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        with translate_damage(self._name):
            with open_pdf(self._path, self._name) as pdf:
                units = [float(page.obj.get("/UserUnit", 1)) for page in pdf.pages]
            if not units:
                raise BadInput(f"cannot read {self._name}: it has no pages")
            self._budget.count_members(len(units), self._name)
            with self._open() as document:
                if len(document) != len(units):
                    raise BadInput(f"cannot read {self._name}: it is damaged: its number of pages is not certain")
                if document.get_formtype() in _XFA:
                    self.leftovers = ("a form in XML (XFA), of which only the pages for other viewers are drawn",)
                self.sizes = [_size_of(document, number, unit, self._dpi) for number, unit in enumerate(units)]
        self._budget.limits.check("image_pixels", sum(size.pixels for size in self.sizes), self._name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open between two pages."""

    def members(self) -> Iterator[Member]:
        """Yield all pages in order."""
        for number in range(len(self.sizes)):
            yield Member(f"page {number + 1}", 0, number)

    def unpack(self, member: Member, target: Path) -> None:
        """Write a page as a JPEG file, or as a TIFF file where it has few colours."""
        size = self.sizes[member.number]
        self._budget.limits.check("pixels", size.pixels, member.name)
        with (
            translate_damage(self._name),
            self._open() as document,
            closing(document[member.number]) as page,
            closing(page.render(scale=size.scale, rev_byteorder=True)) as bitmap,
        ):
            image = bitmap.to_pil().copy()
        _write_image(image, target)

    def writer(self, target: Path, metadata: frozenset[str]) -> "PagesWriter":  # noqa: ARG002 - pictures have none
        """Return a writer of a PDF with the pictures of all pages to `target`."""
        return PagesWriter(self.sizes, target)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """Open the PDF for one page: what pdfium remembers of pages grows with their number."""
        with PDFIUM, closing(pypdfium2.PdfDocument(self._path)) as document:
            document.init_forms()
            yield document


def _size_of(document: Any, number: int, unit: float, dpi: int) -> _PageSize:
    width, height = document.get_page_size(number)
    with closing(document[number]) as page:
        rotation = page.get_rotation()
    return _PageSize(width, height, rotation, unit if unit > 0 else 1, dpi)


def _write_image(image: Image.Image, target: Path) -> None:
    """Write the picture of a page as JPEG, or without loss where it has few colours."""
    colours: list[tuple[int, Any]] | None = image.getcolors(FEW_COLOURS)
    if colours is not None and all(red == green == blue for _, (red, green, blue) in colours):
        image = image.convert("L")
    if colours is not None and max(colours)[0] >= FLAT * image.width * image.height:
        image.save(target, "TIFF")
    else:
        image.save(target, "JPEG", quality=RENDER_QUALITY, subsampling=0)


@dataclass(slots=True)
class PagesWriter:
    """Writes a PDF with one picture a page, in a `with` block, page by page; leaving it writes the list of pages.

    Nothing but the pictures and the sizes and rotations of the pages comes from the source.
    """

    sizes: list[_PageSize]
    target: Path
    _file: BinaryIO = field(init=False)
    _offsets: dict[int, int] = field(default_factory=dict)
    _pages: list[int] = field(default_factory=list)
    """Object numbers of the pages that have been written."""

    def __enter__(self) -> Self:
        self._file = self.target.open("wb")
        self._file.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file as file:
            if error is not None:
                return
            kids = " ".join(f"{number} 0 R" for number in self._pages)
            self._write_object(1, b"<< /Type /Catalog /Pages 2 0 R >>")
            self._write_object(2, f"<< /Type /Pages /Count {len(self._pages)} /Kids [{kids}] >>".encode())
            start, count = file.tell(), len(self._offsets) + 1
            rows = "".join(f"{self._offsets[number]:010d} 00000 n \n" for number in range(1, count))
            file.write(f"xref\n0 {count}\n0000000000 65535 f \n{rows}".encode())
            file.write(f"trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())

    def copy(self, member: Member, file: Path) -> None:
        """Write a page as it was drawn."""
        self.replace(member, file, hidden=False)

    def replace(self, member: Member, file: Path, *, hidden: bool) -> None:  # noqa: ARG002 - all pages are pictures
        """Write a page from an image file; an empty file leaves an empty page."""
        size, page = self.sizes[member.number], 3 + 3 * len(self._pages)
        is_turned = size.rotation in {90, 270}
        width, height = (size.height, size.width) if is_turned else (size.width, size.height)
        entries = f"/MediaBox [0 0 {_number(width)} {_number(height)}] /Rotate {size.rotation}"
        entries += "" if size.unit == 1 else f" /UserUnit {_number(size.unit)}"
        contents, picture = b"", b"null"
        if file.stat().st_size:
            matrix = _PLACES[size.rotation].format(w=_number(width), h=_number(height))
            contents, picture = f"q {matrix} cm /Page Do Q".encode(), _picture_of(file)
        self._write_object(
            page,
            f"<< /Type /Page /Parent 2 0 R {entries} /Contents {page + 1} 0 R "
            f"/Resources << /XObject << /Page {page + 2} 0 R >> >> >>".encode(),
        )
        self._write_object(page + 1, _stream("", contents))
        self._write_object(page + 2, picture)
        self._pages.append(page)

    def _write_object(self, number: int, value: bytes) -> None:
        self._offsets[number] = self._file.tell()
        self._file.write(b"%d 0 obj\n%b\nendobj\n" % (number, value))


def _picture_of(file: Path) -> bytes:
    """Return the stream of a picture: the JPEG as it is, or the samples of a TIFF, packed without loss."""
    with Image.open(file, formats=("JPEG", "TIFF")) as opened:
        is_jpeg = opened.format == "JPEG"
        is_bilevel = not is_jpeg and {value for _, value in opened.getcolors(2) or [(0, 1)]} <= {0, 255}
        image: Image.Image = opened.convert("1") if is_bilevel else opened
        colours = "/DeviceRGB" if image.mode == "RGB" else "/DeviceGray"
        entries = (
            f"/Type /XObject /Subtype /Image /Width {image.width} /Height {image.height} /ColorSpace {colours} "
            f"/BitsPerComponent {1 if is_bilevel else 8}"
        )
        if is_jpeg:
            return _stream(f"{entries} /Filter /DCTDecode", file.read_bytes())
        return _stream(f"{entries} /Filter /FlateDecode", zlib.compress(image.tobytes(), 6))


def _stream(entries: str, data: bytes) -> bytes:
    return b"<< %b /Length %d >>\nstream\n%b\nendstream" % (entries.encode(), len(data), data)


def _number(value: float) -> str:
    """Return a number as PDFs write it: without an exponent."""
    return f"{value:.4f}".rstrip("0").rstrip(".")
