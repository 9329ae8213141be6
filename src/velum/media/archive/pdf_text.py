"""Takes words out of the text of a PDF: out of its pages, with a box in their place, and out of bookmarks and links.

pdfium says which letters a page shows and where; velum finds the glyph at each of these places in the contents. Where
the two do not agree, or a glyph has no letter, the PDF is refused: its text cannot be searched.
"""

import math
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pikepdf
from pikepdf import Array, ContentStreamInstruction, Dictionary, Name, Operator, Stream, String

from velum.errors import BadInput
from velum.media.archive.pdf_clean import drop_spoken_text, empty_unshown_text, rename_destinations
from velum.media.archive.pdf_glyphs import ADVICE, Glyph, GlyphKey, GlyphReader, shows_font
from velum.media.archive.pdf_layout import close_states
from velum.media.archive.pdf_letters import (
    Letter,
    StandardWidths,
    nearest_letters,
    page_texts,
    read_letters,
    text_of,
    visual_order,
)
from velum.media.archive.pdf_pictures import commands_of, resources_of, values_of

FindText = Callable[[str], Iterable[tuple[int, int]]]
"""Returns the places, from and to before, of what must go out of a text of several lines."""

SAME_PLACE = 0.25
"""Largest distance, in heights of a glyph, between it and the place that pdfium states: pdfium rounds widths."""

SAME_LINE, NEW_COLUMN = 0.1, 1.0
"""Distances over the line and along it, in heights of a glyph, up to which the next one has the same box."""

BELOW, ABOVE = 0.25, 0.9
"""Edges of the box for a glyph under and over its baseline, in heights of the glyph."""

_NO_TEXT = {"/Registry", "/Ordering", "/Panose", "/CharSet", "/ID", "/Filter"}
_MASK = "*"
_ELSEWHERE = "bookmarks, links and other texts"
_UNKNOWN = re.compile("\\w\ufffd+\\w|\ufffd{3}")
"""Glyphs without a letter that may be part of a word. One between spaces is a bullet, or a sign of a formula."""


@dataclass(slots=True)
class PdfText:
    """The text of a PDF, out of which words are taken. Raises `BadInput` for text that cannot be searched."""

    pdf: Any
    name: str
    find: FindText
    color: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Red, green and blue of the boxes, from 0 to 1."""
    counts: Counter[str] = field(default_factory=Counter)
    """Number of words that were taken out, by the place: `page 3`, or `bookmarks, links and other texts`."""
    unshown: tuple[str, ...] = ()  # what was left out since no page shows it, in words
    _removed: dict[GlyphKey, Glyph] = field(default_factory=dict)
    _streams: dict[tuple[int, int], Any] = field(default_factory=dict)

    def remove(self, *, has_text: bool) -> Counter[str]:
        """Take out of the PDF in memory all that is found; return the number of words by place."""
        self.unshown = empty_unshown_text(self.pdf, self._remove_glyphs(list(self.pdf.pages)) if has_text else ())
        for value in self.pdf.objects:
            self._clean_strings(value, 0)
        self.counts[_ELSEWHERE] += rename_destinations(self.pdf, self._without_finds)
        return +self.counts

    def _remove_glyphs(self, pages: Sequence[Any]) -> set[tuple[int, int]]:
        """Take glyphs out of pages, and return the object numbers of all contents that pages draw."""
        for number, page in enumerate(pages, 1):
            page.contents_coalesce()
            self._prepare(resources_of(page.obj), page.obj.get("/Contents"), number, set())
        with tempfile.TemporaryDirectory(prefix="velum-pdf-") as folder, StandardWidths() as widths:
            copy = Path(folder) / "text.pdf"
            self.pdf.save(copy)
            reader = GlyphReader(widths.width)
            for number, page in enumerate(pages, 1):
                self._search(copy, number, self._glyphs(reader, page, number))
            drawn = enumerate(pages) if self._removed else ()
            boxes = {number: list(self._boxes(reader.glyphs(page))) for number, page in drawn}
        by_stream: dict[tuple[int, int], list[Glyph]] = defaultdict(list)
        for key, glyph in self._removed.items():
            by_stream[key[0]].append(glyph)
        for stream, glyphs in by_stream.items():
            without_glyphs(self._streams[stream], glyphs)
        for place, quads in boxes.items():
            if quads:
                _draw(pages[place], quads, self.color)
        return reader.streams

    def _prepare(self, resources: Any, contents: Any, page: int, seen: set[tuple[int, int]]) -> None:
        """Drop text beside glyphs, and note the streams that show glyphs. Raises `BadInput` for those not searched."""
        for pattern in values_of(resources.get("/Pattern")):
            if isinstance(pattern, Stream) and shows_font(pattern):
                raise BadInput(f"cannot search the text of {self.name}: page {page} has text in a pattern{ADVICE}")
        for state in values_of(resources.get("/ExtGState")):
            if isinstance(mask := state.get("/SMask"), Dictionary) and shows_font(mask.get("/G")):
                raise BadInput(f"cannot search the text of {self.name}: page {page} has text in a mask{ADVICE}")
        if isinstance(contents, Stream):
            self.counts[f"page {page}"] += sum(any(self.find(text)) for text in drop_spoken_text(contents))
            self._streams[contents.objgen] = contents
        for form in values_of(resources.get("/XObject")):
            if isinstance(form, Stream) and form.get("/Subtype") == Name.Form and form.objgen not in seen:
                seen.add(form.objgen)
                self._prepare(form.get("/Resources", resources), form, page, seen)

    def _glyphs(self, reader: GlyphReader, page: Any, number: int) -> list[Glyph]:
        try:
            return list(reader.glyphs(page))
        except BadInput as error:
            raise BadInput(f"cannot search the text of {self.name}: page {number}: {error}{ADVICE}") from error

    def _search(self, file: Path, number: int, glyphs: Sequence[Glyph]) -> None:
        """Note the glyphs of a page that are to go."""
        chars = read_letters(file, number)
        by_char = self._match(chars, glyphs, number)
        keys: set[int] = set()
        for order in (range(len(chars)), visual_order(chars, by_char, glyphs)):
            text, places = text_of(chars, order)
            if _UNKNOWN.search(text):
                raise BadInput(
                    f"cannot search the text of {self.name}: page {number} has glyphs of which the PDF does not say "
                    f"which letters they are{ADVICE}"
                )
            for start, end in self.find(text):
                places_found = {place for place in places[start:end] if place is not None}
                self.counts[f"page {number}"] += not places_found <= keys
                keys |= places_found
        for place in keys:
            for glyph in by_char.get(place, ()):
                self._removed[glyphs[glyph].key] = glyphs[glyph]

    def _match(self, chars: Sequence[Letter], glyphs: Sequence[Glyph], number: int) -> dict[int, list[int]]:
        """Return the glyphs of each letter. Raises `BadInput` where letters and glyphs are not at the same places."""
        cells: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, char in enumerate(chars):
            if not math.isnan(char.x):
                cells[round(char.x / 4), round(char.y / 4)].append(place)
        by_char: dict[int, list[int]] = defaultdict(list)
        blank, unread = set(), set()
        for index, glyph in enumerate(glyphs):
            height = math.hypot(*glyph.up)
            near = nearest_letters(chars, cells, glyph.origin, max(SAME_PLACE * height, 0.3))
            for place in near:
                by_char[place].append(index)
            if near and all(chars[place].text.isspace() for place in near):
                blank.add(glyph.code)
            if not near:
                unread.add(glyph.code)
        unread = {code for code in unread if code not in blank and code[1] not in {b" ", b"\xa0", b"\0 ", b"\0\3"}}
        lost = [char for place, char in enumerate(chars) if not math.isnan(char.x) and place not in by_char]
        if unread or any(not char.text.isspace() for char in lost):
            raise BadInput(
                f"cannot search the text of {self.name}: page {number} shows glyphs whose letters or places are not "
                f"certain{ADVICE}"
            )
        return by_char

    def _boxes(self, glyphs: Iterator[Glyph]) -> Iterator[list[tuple[float, float]]]:
        """Yield the corners of a box for each run of glyphs of a page that are taken out."""
        run: list[Glyph] = []
        for glyph in glyphs:
            if run and (glyph.key not in self._removed or not _goes_on(run[-1], glyph)):
                yield _corners(run)
                run = []
            if glyph.key in self._removed:
                run.append(glyph)
        if run:
            yield _corners(run)

    def _clean_strings(self, value: Any, depth: int) -> None:
        """Take what is found out of the texts of an object: bookmarks, links, names, descriptions of pictures."""
        if depth > 50:
            raise BadInput("its objects are nested too deeply")
        if isinstance(value, Array):
            if len(value) and str(value[0]) in {"/Indexed", "/I"}:
                return  # a palette, not a text
            items: Iterable[Any] = range(len(value))
        elif isinstance(value, Dictionary | Stream):
            for key in ("/ActualText", "/E"):
                if key in value and isinstance(value[key], String):
                    self.counts[_ELSEWHERE] += any(self.find(str(value[key])))
                    del value[key]
            items = [key for key in value.keys() if key not in _NO_TEXT]  # noqa: SIM118 - it is no dict
        else:
            return
        for key in items:
            item = value[key]
            if isinstance(item, String) and (text := self._without_finds(str(item))) != str(item):
                value[key] = String(text)
                self.counts[_ELSEWHERE] += 1
            elif isinstance(item, Array | Dictionary) and not item.is_indirect:
                self._clean_strings(item, depth + 1)

    def _without_finds(self, text: str) -> str:
        spans = list(self.find(text))
        if not spans and unquote(text) != text and any(self.find(unquote(text))):
            return _MASK * 3
        for start, end in spans:
            text = text[:start] + _MASK * (end - start) + text[end:]
        return text


def refuse_finds(file: Path, find: FindText) -> None:
    """Raise `BadInput` where pdfium still finds something in the text of a written PDF."""
    for number, text in page_texts(file):
        if any(find(text)):
            raise BadInput(f"cannot take all words out of the text: page {number} still shows one{ADVICE}")


def _goes_on(last: Glyph, glyph: Glyph) -> bool:
    """Tell whether a glyph follows another one on its line: one box covers both, and tells no width of a letter."""
    height = math.hypot(*last.up) or 1.0
    x = glyph.origin[0] - last.origin[0] - last.advance[0]
    y = glyph.origin[1] - last.origin[1] - last.advance[1]
    across = (x * last.up[0] + y * last.up[1]) / height**2
    along = (x * last.up[1] - y * last.up[0]) / height**2
    if abs(last.advance[0] * last.up[0] + last.advance[1] * last.up[1]) > abs(
        last.advance[0] * last.up[1] - last.advance[1] * last.up[0]
    ):  # it is written downwards
        across, along = along, -across
    return abs(across) < SAME_LINE and -0.5 < along < NEW_COLUMN


def _corners(run: Sequence[Glyph]) -> list[tuple[float, float]]:
    first, last = run[0], run[-1]
    end = last.origin[0] + last.advance[0], last.origin[1] + last.advance[1]
    low = -BELOW * first.up[0], -BELOW * first.up[1]
    high = ABOVE * first.up[0], ABOVE * first.up[1]
    ends = (first.origin, end, end, first.origin)
    return [(x + dx, y + dy) for (x, y), (dx, dy) in zip(ends, (low, low, high, high), strict=True)]


def _draw(page: Any, quads: Iterable[Sequence[tuple[float, float]]], color: tuple[float, float, float]) -> None:
    """Draw filled boxes over all that a page shows."""
    lines = [f"{color[0]:.4f} {color[1]:.4f} {color[2]:.4f} rg"]
    for quad in quads:
        path = " l ".join(f"{x:.3f} {y:.3f}" for x, y in quad)
        lines.append(path.replace(" l ", " m ", 1) + " l f")
    closing_states = "\nQ" * (close_states(page) + 1)
    page.contents_add(b"q\n", prepend=True)
    page.contents_add((closing_states + "\nq\n" + "\n".join(lines) + "\nQ\n").encode())


def without_glyphs(stream: Any, glyphs: Iterable[Glyph]) -> None:
    """Take glyphs out of the contents that show them."""
    commands: dict[int, dict[int, Glyph]] = {}
    for glyph in glyphs:
        commands.setdefault(glyph.key[1], {})[glyph.key[2]] = glyph
    instructions: list[Any] = []
    for number, instruction in enumerate(commands_of(stream)):
        if number not in commands:
            instructions.append(instruction)
            continue
        operands, name = list(instruction.operands), str(instruction.operator)
        if name == '"':
            instructions.append(ContentStreamInstruction([operands[0]], Operator("Tw")))
            instructions.append(ContentStreamInstruction([operands[1]], Operator("Tc")))
        if name in {"'", '"'}:
            instructions.append(ContentStreamInstruction([], Operator("T*")))
        items = operands[0] if name == "TJ" else [operands[-1]]
        instructions.append(ContentStreamInstruction([_with_gaps(items, commands[number])], Operator("TJ")))
    stream.write(pikepdf.unparse_content_stream(instructions))


def _with_gaps(items: Any, removed: Mapping[int, Glyph]) -> Array:
    """Return the array of `TJ` with gaps for glyphs. Kerning beside a gap becomes part of it: it tells of letters."""
    result: list[Any] = []
    place, gap = 0, 0.0
    size = len(next(iter(removed.values())).code[1])
    for item in items:
        if not isinstance(item, String):
            gap += float(item)
            continue
        data = bytes(item)
        for start in range(0, len(data), size):
            if place in removed:
                gap += removed[place].gap
            else:
                if gap:
                    result.append(Decimal(f"{gap:.3f}"))
                    gap = 0.0
                if result and isinstance(result[-1], bytes):
                    result[-1] += data[start : start + size]
                else:
                    result.append(data[start : start + size])
            place += 1
    if gap:
        result.append(Decimal(f"{gap:.3f}"))
    return Array([String(item) if isinstance(item, bytes) else item for item in result])
