"""PDFs (ISO 32000-2): the pictures of pages are the members; all that is not shown on a page is taken out.

The result is a new file without earlier revisions. Pages keep their contents, but for pictures and invisible text.
"""

import mmap
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pikepdf
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image

from velum.errors import BadInput, LimitExceeded
from velum.limits import Limits
from velum.media.archive.member import Budget, Member
from velum.media.archive.pdf_clean import clean, remove_invisible_text
from velum.media.archive.pdf_layout import PIECES, pieces_of, share_resources
from velum.media.archive.pdf_pictures import (
    MOST_CONTENT,
    decode_picture,
    is_plain_jpeg,
    refuse_bomb,
    remove_metadata,
    resources_of,
    size_of,
    values_of,
    write_samples,
)
from velum.media.archive.pdf_text import FindText, PdfText, refuse_finds

SMALLEST = 8
"""Pictures with a shorter side, in pixels, are taken over as they are: rules, dots, glyphs."""

LARGEST_GLYPH = 128
"""Longest side, in pixels, of a picture of black and white in a glyph or a pattern, as fonts of dots have them."""

RENDER = "render its pages (pdf_pages = render)"
"""What can be done with a PDF whose pictures velum does not find or cannot read."""

_INLINE = re.compile(rb"(?<![A-Za-z0-9/])BI\s.{1,2000}?\sID\s", re.DOTALL)


@dataclass(slots=True)
class _Picture:
    """One picture of a PDF: its stream, its name for messages, and the pages that show it."""

    stream: Any
    name: str
    pages: set[int] = field(default_factory=set)
    fault: str = ""


class PdfContainer:
    """A PDF that is read, for a `with` block. Raises `BadInput` for damaged and encrypted ones."""

    names: tuple[str, ...] = ()

    def __init__(self, path: Path, budget: Budget, name: str, metadata: frozenset[str]) -> None:
        """Open `path`; messages call it `name`. `metadata` are the kinds that are kept."""
        self._path, self._budget, self._name, self._metadata = path, budget, name, metadata
        self._limits: Limits = budget.limits
        self._stack = ExitStack()
        self._unshown: dict[str, None] = {}
        self._pictures: dict[tuple[int, int], _Picture] = {}
        self._in_order: list[_Picture] = []
        self.has_text = False
        self.find_text: FindText | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack, translate_damage(self._name):
            self.pdf = stack.enter_context(open_pdf(self._path, self._name))
            self._budget.count_members(len(self.pdf.pages), self._name)
            self._note_revisions()
            self._unshown |= dict.fromkeys(clean(self.pdf, self._metadata))
            for number, page in enumerate(self.pdf.pages, 1):
                share_resources(page)
                page.externalize_inline_images()
                self._collect(resources_of(page.obj), number, set())
                self._refuse_pieces(page)
            self._collect_others()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def leftovers(self) -> tuple[str, ...]:
        """What the PDF holds that no page shows, in words; a result has none of it."""
        return tuple(self._unshown)

    def members(self) -> Iterator[Member]:
        """Yield all pictures, page by page; one that several pages show comes once."""
        self._in_order = list(self._pictures.values())
        self._budget.count_members(len(self._in_order), self._name)
        for number, picture in enumerate(self._in_order):
            stream = picture.stream
            if min(size_of(stream)) >= SMALLEST or picture.fault:
                yield Member(picture.name, int(stream.get("/Length", 0)), number, fault=picture.fault)

    def unpack(self, member: Member, target: Path) -> None:
        """Write a picture as a JPEG, PNG or TIFF file. Raises `BadInput` for one that cannot be decoded."""
        stream = self.picture(member).stream
        width, height = size_of(stream)
        self._limits.check("pixels", width * height, member.name)
        if is_plain_jpeg(stream):
            target.write_bytes(stream.read_raw_bytes())
            return
        image = decode_picture(stream, self.pdf)
        image.save(target, "TIFF" if image.mode == "CMYK" else "PNG")

    def picture(self, member: Member) -> _Picture:
        """Return the picture of a member."""
        return self._in_order[member.number]

    def remove_text(self, find: FindText, color: tuple[float, float, float]) -> Mapping[str, int]:
        """Take what `find` finds out of the text, as `velum.media.archive.remove_text` does."""
        self.find_text = find
        with translate_damage(self._name):
            text = PdfText(self.pdf, self._name, find, color)
            counts = text.remove(has_text=self.has_text)
        self._unshown |= dict.fromkeys(text.unshown)
        return counts

    def writer(self, target: Path, metadata: frozenset[str]) -> "PdfWriter":  # noqa: ARG002 - it is known already
        """Return a writer of the PDF with other pictures to `target`."""
        return PdfWriter(self, target)

    def _note_revisions(self) -> None:
        with self._path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            revisions = sum(1 for _ in re.finditer(b"startxref", data))
        if revisions > (2 if self.pdf.is_linearized else 1):
            self._unshown["earlier revisions"] = None
        if self.pdf.get_warnings():
            self._unshown["damage that was repaired"] = None

    def _collect(self, resources: Any, page: int, seen: set[tuple[int, int]]) -> None:
        """Collect the pictures among the resources of a page and of the forms that it draws."""
        self.has_text = self.has_text or bool(resources.get("/Font"))
        objects = [*values_of(resources.get("/XObject")), *values_of(resources.get("/Pattern"))]
        for font in values_of(resources.get("/Font")):
            if font.get("/Subtype") == Name.Type3:
                objects += values_of(font.get("/CharProcs"))
                self._collect_inner(font, page, seen)
        for state in values_of(resources.get("/ExtGState")):
            if isinstance(mask := state.get("/SMask"), Dictionary) and "/G" in mask:
                objects.append(mask.G)
        for value in objects:
            if not isinstance(value, Stream) or value.objgen in seen:
                continue
            seen.add(value.objgen)
            if value.get("/Subtype") == Name.Image:
                self._add(value, page, "image")
            elif value.get("/Subtype") == Name.PS:
                raise BadInput(f"cannot read {self._name}: page {page} draws by PostScript; {RENDER}")
            else:
                self._refuse_inline(value, page)
                self._collect_inner(value, page, seen)

    def _collect_inner(self, holder: Any, page: int, seen: set[tuple[int, int]]) -> None:
        if isinstance(inner := holder.get("/Resources"), Dictionary) and (
            not inner.is_indirect or inner.objgen not in seen
        ):
            seen.add(inner.objgen)
            self._collect(inner, page, seen)

    def _collect_others(self) -> None:
        """Note the pictures that no page names among its resources, but that the file would still hold."""
        waiting, seen = [self.pdf.Root], set()
        while waiting:
            value = waiting.pop()
            if value.is_indirect:
                if value.objgen in seen:
                    continue
                seen.add(value.objgen)
            if isinstance(value, Stream) and value.get("/Subtype") == Name.Image and value.objgen not in self._pictures:
                self._pictures[value.objgen] = _Picture(value, f"picture {len(self._pictures) + 1} of no page")
            items = value if isinstance(value, Array) else values_of(value)
            waiting += [item for item in items if isinstance(item, Array | Dictionary | Stream)]

    def _add(self, stream: Any, page: int, kind: str) -> None:
        if (picture := self._pictures.get(stream.objgen)) is None:
            on_page = (drawn for drawn in self._pictures.values() if page in drawn.pages)
            count = sum("mask" not in drawn.name for drawn in on_page) + 1
            picture = _Picture(stream, f"page {page}, {kind} {count}")
            self._pictures[stream.objgen] = picture
        picture.pages.add(page)
        for key in ("/SMask", "/Mask"):
            if isinstance(mask := stream.get(key), Stream) and mask.objgen != stream.objgen:
                if mask.objgen not in self._pictures:
                    self._pictures[mask.objgen] = _Picture(mask, f"{picture.name}, mask")
                self._pictures[mask.objgen].pages.add(page)

    def _refuse_inline(self, stream: Any, page: int) -> None:
        """Raise `BadInput` for a large picture inside the commands of a pattern or a glyph."""
        refuse_bomb(stream, MOST_CONTENT, self._name)
        for match in _INLINE.finditer(stream.read_bytes()):
            sides = [int(size) for size in re.findall(rb"/(?:W|H|Width|Height)\s+(\d+)", match[0])]
            is_bilevel = re.search(rb"/(?:IM|ImageMask)\s+true|/(?:BPC|BitsPerComponent)\s+1\b", match[0])
            if max(sides, default=1000) > (LARGEST_GLYPH if is_bilevel else SMALLEST):
                raise BadInput(
                    f"cannot read {self._name}: page {page} has a picture inside a pattern or a glyph; {RENDER}"
                )

    def _refuse_pieces(self, page: Any) -> None:
        """Refuse the pictures of a page that are pieces of one: nobody would be found in a piece."""
        if len(self._pictures) < PIECES:
            return
        for piece in pieces_of(page):
            self._pictures[piece].fault = (
                "it is one of several pieces of a picture, in which nobody would be found; "
                "render the pages of the PDF (pdf_pages = render)"
            )


class PdfWriter:
    """Writes a PDF with other pictures, in a `with` block; leaving it writes the file."""

    def __init__(self, source: PdfContainer, target: Path) -> None:
        self._source, self._target = source, target
        self._changed_pages: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            return
        pdf = self._source.pdf
        with translate_damage(self._target.name):
            for number in sorted(self._changed_pages):
                remove_invisible_text(pdf.pages[number - 1])
            if "/Info" in pdf.trailer and not pdf.trailer.Info.keys():
                del pdf.trailer["/Info"]
            pdf.save(self._target, deterministic_id=True, object_stream_mode=pikepdf.ObjectStreamMode.generate)
            if self._source.find_text is not None and self._source.has_text:
                refuse_finds(self._target, self._source.find_text)

    def copy(self, member: Member, file: Path) -> None:
        """Leave a picture as it is."""

    def replace(self, member: Member, file: Path, *, hidden: bool) -> None:
        """Write a picture from an image file; an empty file leaves a white dot."""
        picture = self._source.picture(member)
        if hidden:
            self._changed_pages |= picture.pages
        if not file.stat().st_size:
            write_samples(picture.stream, Image.new("L", (1, 1), 255))
            return
        with Image.open(file) as image:
            image.load()
            if is_plain_jpeg(picture.stream) and image.format == "JPEG":
                picture.stream.write(file.read_bytes(), filter=Name.DCTDecode)
            elif hidden:
                write_samples(picture.stream, image)
            else:
                remove_metadata(picture.stream, image)


def open_pdf(path: Path, name: str) -> Any:
    """Open a PDF; messages call it `name`. Raises `BadInput` for an encrypted one."""
    try:
        pdf = pikepdf.open(path, suppress_warnings=True)
    except pikepdf.PasswordError as error:
        raise BadInput(f"cannot read {name}: it is encrypted; save it without a password first") from error
    if pdf.is_encrypted:
        pdf.close()
        raise BadInput(f"cannot read {name}: it is encrypted; save it without protection first")
    return pdf


@contextmanager
def translate_damage(name: str) -> Iterator[None]:
    """Raise `BadInput` for what pikepdf raises for a damaged PDF."""
    try:
        yield
    except (
        pikepdf.PikepdfError,
        RuntimeError,
        TypeError,
        AttributeError,
        LookupError,
        RecursionError,
        OverflowError,
    ) as error:
        raise BadInput(f"cannot read {name}: it is damaged: {str(error)[:200] or type(error).__name__}") from error
    except ValueError as error:
        if isinstance(error, BadInput | LimitExceeded):
            raise
        raise BadInput(f"cannot read {name}: it is damaged: {str(error)[:200]}") from error
