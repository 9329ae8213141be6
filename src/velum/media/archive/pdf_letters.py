"""The letters that a page of a PDF shows, as pdfium reads them: in the order of its contents, and line by line."""

import ctypes
import logging
import math
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pypdfium2
from pypdfium2 import raw

from velum.media.archive.pdf_glyphs import Glyph

logging.getLogger("pypdfium2").setLevel(logging.ERROR)  # it would advise users of XFA forms to build it anew

PDFIUM = threading.Lock()
"""pdfium is not thread-safe: every call of it, also for other documents, waits for the one before."""

NEW_WORD = 0.2
"""Smallest gap between two glyphs of one line that counts as a space, in heights."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter that pdfium reads on a page, and its place in points; NaN for one between the letters of the page."""

    text: str
    x: float
    y: float


def page_texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each page, as pdfium reads it."""
    with PDFIUM, closing(pypdfium2.PdfDocument(file)) as document:
        count = len(document)
    for number in range(1, count + 1):
        chars = read_letters(file, number)
        yield number, text_of(chars, range(len(chars)))[0]


def read_letters(file: Path, number: int) -> list[Letter]:
    """Return the letters of a page in the order of its contents."""
    chars = []
    with (
        PDFIUM,
        closing(pypdfium2.PdfDocument(file)) as document,
        closing(document[number - 1]) as page,
        closing(page.get_textpage()) as text,
    ):
        x, y = ctypes.c_double(), ctypes.c_double()
        for place in range(raw.FPDFText_CountChars(text)):
            code = raw.FPDFText_GetUnicode(text, place)
            if raw.FPDFText_IsGenerated(text, place) == 1:
                chars.append(Letter(chr(code), math.nan, math.nan))
                continue
            is_known = raw.FPDFText_HasUnicodeMapError(text, place) != 1
            raw.FPDFText_GetCharOrigin(text, place, x, y)
            chars.append(Letter(chr(code) if is_known and code else "\ufffd", x.value, y.value))
    return chars


def visual_order(chars: Sequence[Letter], by_char: Mapping[int, Sequence[int]], glyphs: Sequence[Glyph]) -> list[int]:
    """Return the places of letters line by line as they are seen, with -1 for a space and -2 for a new line."""
    lines: dict[tuple[int, int], list[tuple[float, float, int]]] = defaultdict(list)
    for place in range(len(chars)):
        if not by_char.get(place) or chars[place].text.isspace():
            continue
        glyph = glyphs[by_char[place][0]]
        height = math.hypot(*glyph.up) or 1.0
        up_x, up_y = glyph.up[0] / height, glyph.up[1] / height
        along, across = glyph.origin[0] * up_y - glyph.origin[1] * up_x, glyph.origin[0] * up_x + glyph.origin[1] * up_y
        width = glyph.advance[0] * up_y - glyph.advance[1] * up_x
        turn = round(math.degrees(math.atan2(up_x, up_y)))
        lines[turn, round(-across / 2)].append((along, along + width + NEW_WORD * height, place))
    order: list[int] = []
    for key in sorted(lines):
        end = math.inf
        for start, reach, place in sorted(lines[key]):
            order += [-1, place] if start > end else [place]
            end = reach
        order.append(-2)
    return order


def text_of(chars: Sequence[Letter], order: Iterable[int]) -> tuple[str, list[int | None]]:
    """Return a text of letters in this order, and the place of each of its characters; None where it has none."""
    text, places = "", []
    for place in order:
        part = " " if place == -1 else "\n" if place == -2 else chars[place].text
        part = {"\r": "", "\x02": "-", "\xad": "-"}.get(part, part if _is_letter(part) else "\ufffd")
        text += part
        places += [place if place >= 0 else None] * len(part)
    return text, places


def nearest_letters(
    chars: Sequence[Letter], cells: Mapping[tuple[int, int], Sequence[int]], origin: tuple[float, float], reach: float
) -> list[int]:
    """Return the letters that are nearest to a place, several where they are at the same one.

    `cells` has the letters by their places divided by 4 and rounded.
    """
    column, row = round(origin[0] / 4), round(origin[1] / 4)
    around = max(1, math.ceil(reach / 4))
    near = [
        (math.hypot(chars[place].x - origin[0], chars[place].y - origin[1]), place)
        for dx in range(-around, around + 1)
        for dy in range(-around, around + 1)
        for place in cells.get((column + dx, row + dy), ())
    ]
    least = min((distance for distance, _ in near), default=math.inf)
    return [place for distance, place in near if distance <= reach and distance <= least + 0.01]


def _is_letter(text: str) -> bool:
    code = ord(text)
    return not (code in {0, 0xFFFD, 0xFFFE, 0xFFFF} or 0xE000 <= code <= 0xF8FF or code >= 0xF0000)


class StandardWidths:
    """Widths of the fonts that a PDF names and does not hold, as pdfium has them; for a `with` block."""

    def __enter__(self) -> Self:
        with PDFIUM:
            self._document = pypdfium2.PdfDocument.new()
            self._fonts: dict[str, Any] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with PDFIUM:
            for font in filter(None, self._fonts.values()):
                raw.FPDFFont_Close(font)
            self._document.close()

    def width(self, name: str, code: int) -> float:
        """Return the width of a code in thousandths of the size of the font; 0 where it is not known."""
        width = ctypes.c_float()
        with PDFIUM:
            if name not in self._fonts:
                self._fonts[name] = raw.FPDFText_LoadStandardFont(self._document, name.encode())
            letter = bytes([code]).decode("cp1252", "replace")
            if self._fonts[name]:
                raw.FPDFFont_GetGlyphWidth(self._fonts[name], ord(letter), 1000.0, width)
        return width.value
