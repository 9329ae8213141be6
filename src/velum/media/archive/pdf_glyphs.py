"""Glyphs that the contents of a PDF's page show: where each lies, and contents without some of them (ISO 32000-2, 9.4).

A glyph that is taken out leaves a gap as wide as it was, so that all others stay where they are.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pikepdf import Array, Dictionary, Name, Stream, String

from velum.errors import BadInput
from velum.media.archive.pdf_pictures import MOST_CONTENT, commands_of, refuse_bomb, resources_of, values_of

MOST_DEPTH = 20
"""Deepest nesting of forms that is followed."""

ADVICE = "; render its pages (pdf_pages = render)"
"""What can be done with a PDF whose text cannot be searched."""

TEXT_SHOWN = {"Tj", "TJ", "'", '"'}

Matrix = tuple[float, float, float, float, float, float]
GlyphKey = tuple[tuple[int, int], int, int]
"""Object number of the contents, number of the command in them, number of the glyph in the command."""

StandardWidth = Callable[[str, int], float]
"""Width of a code in a font that a PDF names and does not hold, in thousandths of its size."""


@dataclass(frozen=True, slots=True)
class Glyph:
    """A glyph on a page: its corner at the baseline, its advance and its height as vectors, in points of the page.

    `gap` is the number for `TJ` that moves as far as the glyph does.
    """

    key: GlyphKey
    code: tuple[tuple[int, int], bytes]
    """Object number of the font, and the code in it."""
    origin: tuple[float, float]
    advance: tuple[float, float]
    up: tuple[float, float]
    gap: float


@dataclass(frozen=True, slots=True)
class _Font:
    """What positions of glyphs need: bytes of a code, and the width of each code in thousandths."""

    number: tuple[int, int]
    bytes: int
    widths: Mapping[int, float]
    usual: float
    is_vertical: bool = False


@dataclass(frozen=True, slots=True)
class _State:
    """The parameters of text that `q` keeps and `Q` brings back (9.3.1)."""

    matrix: Matrix
    font: _Font | None = None
    size: float = 0.0
    char_space: float = 0.0
    word_space: float = 0.0
    stretch: float = 1.0
    leading: float = 0.0
    rise: float = 0.0


def multiply(first: Matrix, then: Matrix) -> Matrix:
    """Return the matrix that applies `first`, and then the other one."""
    a, b, c, d, e, f = first
    g, h, i, j, k, m = then
    return a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m


@dataclass(slots=True)
class GlyphReader:
    """Reads the glyphs of pages. Raises `BadInput` for text whose place velum does not know."""

    standard_width: StandardWidth
    fonts: dict[tuple[int, int], _Font] = field(default_factory=dict)
    streams: set[tuple[int, int]] = field(default_factory=set)
    """Object numbers of the contents that were read: those that a page draws."""

    def glyphs(self, page: Any) -> Iterator[Glyph]:
        """Yield each glyph of a page with one stream of contents, in the order in which they are drawn."""
        contents = page.obj.get("/Contents")
        if isinstance(contents, Stream):
            start = _State((1, 0, 0, 1, 0, 0))
            yield from _Contents(self, contents, resources_of(page.obj), start, 0).glyphs()

    def font(self, font: Any) -> _Font:
        """Return what is known of a font of a page's resources."""
        number = font.objgen if font.is_indirect else (-1, hash(font.unparse(resolved=True)))
        if number not in self.fonts:
            kind = font.get("/Subtype")
            self.fonts[number] = self._composite(font, number) if kind == Name.Type0 else self._simple(font, number)
        return self.fonts[number]

    def _simple(self, font: Any, number: tuple[int, int]) -> _Font:
        first, unit = int(font.get("/FirstChar", 0)), 1.0
        if font.get("/Subtype") == Name.Type3:
            if shows_font(font) or any(map(shows_text, values_of(font.CharProcs))):
                raise BadInput("a glyph of a font is drawn with text of another one")
            unit = 1000 * float(font.FontMatrix[0])
        if "/Widths" in font:
            widths = {first + place: float(width) * unit for place, width in enumerate(font.Widths)}
            return _Font(number, 1, widths, float(font.get("/FontDescriptor", {}).get("/MissingWidth", 0)))
        name = str(font.get("/BaseFont", "/Helvetica"))[1:]
        return _Font(number, 1, {code: self.standard_width(name, code) for code in range(256)}, 0)

    def _composite(self, font: Any, number: tuple[int, int]) -> _Font:
        if font.get("/Encoding") not in {Name("/Identity-H"), Name("/Identity-V")}:
            raise BadInput("it has a font with codes of a kind that velum does not read (CMap)")
        inner = font.DescendantFonts[0]
        if font.Encoding == Name("/Identity-V"):
            usual = float(inner.get("/DW2", [880, -1000])[1])
            return _Font(number, 2, _widths_by_code(inner.get("/W2", []), 3), usual, is_vertical=True)
        return _Font(number, 2, _widths_by_code(inner.get("/W", []), 1), float(inner.get("/DW", 1000)))


def shows_font(holder: Any, depth: int = 0) -> bool:
    """Tell whether a form, a pattern or a font has fonts among its resources, or among those of the forms in them."""
    own = holder.get("/Resources") if isinstance(holder, Dictionary | Stream) else None
    if not isinstance(own, Dictionary):
        return False
    inner = [*values_of(own.get("/XObject")), *values_of(own.get("/Pattern"))]
    return bool(values_of(own.get("/Font"))) or (depth < MOST_DEPTH and any(shows_font(x, depth + 1) for x in inner))


def shows_text(stream: Any) -> bool:
    """Tell whether contents have a command that shows text."""
    refuse_bomb(stream, MOST_CONTENT, "a glyph or a form")
    return any(str(instruction.operator) in TEXT_SHOWN for instruction in commands_of(stream))


def _widths_by_code(entries: Any, step: int) -> dict[int, float]:
    """Return the widths of `/W` by code; of `/W2`, with a step of 3, the first number of each (9.7.4.3)."""
    widths: dict[int, float] = {}
    values = list(entries)
    while values:
        first = int(values.pop(0))
        if isinstance(values[0], Array):
            numbers = [float(value) for value in values.pop(0)]
            widths |= {first + place: width for place, width in enumerate(numbers[::step])}
        else:
            last, width = min(int(values.pop(0)), 0xFFFF), float(values.pop(0))
            widths |= dict.fromkeys(range(first, last + 1), width)
            del values[: step - 1]
    return widths


@dataclass(slots=True)
class _Contents:
    """Goes through the contents of a page or a form, with the state of text and its matrices."""

    reader: GlyphReader
    stream: Any
    resources: Any
    state: _State
    depth: int
    line: Matrix = (1, 0, 0, 1, 0, 0)
    text: Matrix = (1, 0, 0, 1, 0, 0)

    def glyphs(self) -> Iterator[Glyph]:
        """Yield the glyphs of these contents and of the forms that they draw."""
        if self.depth > MOST_DEPTH:
            raise BadInput("its forms are nested too deeply")
        refuse_bomb(self.stream, MOST_CONTENT, "a page")
        self.reader.streams.add(self.stream.objgen)
        saved: list[_State] = []
        for number, instruction in enumerate(commands_of(self.stream)):
            operands = instruction.operands
            match str(instruction.operator):
                case "q":
                    saved.append(self.state)
                case "Q" if saved:
                    self.state = saved.pop()
                case "Do":
                    yield from self._form(str(operands[0]))
                case "Tj" | "TJ" | "'" | '"' as name:
                    yield from self._show(number, name, operands)
                case name:
                    self._set(name, operands)

    def _form(self, name: str) -> Iterator[Glyph]:
        form = (self.resources.get("/XObject") or {}).get(name)
        if form is not None and form.get("/Subtype") == Name.Form:
            own: Matrix = tuple(map(float, form.get("/Matrix", (1, 0, 0, 1, 0, 0))))  # type: ignore[assignment]  # six
            state = replace(self.state, matrix=multiply(own, self.state.matrix))
            resources = form.get("/Resources", self.resources)
            yield from _Contents(self.reader, form, resources, state, self.depth + 1).glyphs()

    def _set(self, name: str, operands: Any) -> None:
        """Take over what an operator changes of the state of text."""
        match name:
            case "cm":
                self.state = replace(self.state, matrix=multiply(_numbers(operands), self.state.matrix))
            case "BT":
                self.line = self.text = (1, 0, 0, 1, 0, 0)
            case "Tm":
                self.line = self.text = _numbers(operands)
            case "Td" | "TD":
                across, down = map(float, operands)
                self.state = replace(self.state, leading=-down) if name == "TD" else self.state
                self._move(across, down)
            case "T*":
                self._move(0, -self.state.leading)
            case "Tf":
                font = self.resources.Font[str(operands[0])]
                self.state = replace(self.state, font=self.reader.font(font), size=float(operands[1]))
            case "gs":
                state = (self.resources.get("/ExtGState") or {}).get(str(operands[0]), {})
                if "/Font" in state:
                    font, size = state.Font
                    self.state = replace(self.state, font=self.reader.font(font), size=float(size))
            case "Tz":
                self.state = replace(self.state, stretch=float(operands[0]) / 100)
            case "Tc" | "Tw":
                spaces = {"Tc": self.state.char_space, "Tw": self.state.word_space, name: float(operands[0])}
                self.state = replace(self.state, char_space=spaces["Tc"], word_space=spaces["Tw"])
            case "TL":
                self.state = replace(self.state, leading=float(operands[0]))
            case "Ts":
                self.state = replace(self.state, rise=float(operands[0]))

    def _move(self, across: float, down: float) -> None:
        self.line = self.text = multiply((1, 0, 0, 1, across, down), self.line)

    def _show(self, number: int, name: str, operands: Any) -> Iterator[Glyph]:
        if name == '"':
            self.state = replace(self.state, word_space=float(operands[0]), char_space=float(operands[1]))
        if name in {"'", '"'}:
            self._move(0, -self.state.leading)
        if (font := self.state.font) is None:
            raise BadInput("it shows text before it names a font")
        place = 0
        for item in operands[0] if name == "TJ" else [operands[-1]]:
            if not isinstance(item, String):
                self._advance(-float(item) / 1000 * self.state.size)
                continue
            data = bytes(item)
            for start in range(0, len(data), font.bytes):
                yield self._glyph((self.stream.objgen, number, place), font, data[start : start + font.bytes])
                place += 1

    def _glyph(self, key: GlyphKey, font: _Font, code: bytes) -> Glyph:
        state = self.state
        width = font.widths.get(int.from_bytes(code), font.usual) / 1000 * state.size
        shift = width + state.char_space + (state.word_space if code == b" " else 0)
        matrix = multiply((1, 0, 0, 1, 0, state.rise), multiply(self.text, state.matrix))
        along = (0.0, width) if font.is_vertical else (width * state.stretch, 0.0)
        advance = along[0] * matrix[0] + along[1] * matrix[2], along[0] * matrix[1] + along[1] * matrix[3]
        up = state.size * matrix[2], state.size * matrix[3]
        if font.is_vertical:
            up = state.size * matrix[0], state.size * matrix[1]
        self._advance(shift)
        gap = -1000 * shift / state.size if state.size else 0.0
        return Glyph(key, (font.number, code), (matrix[4], matrix[5]), advance, up, gap)

    def _advance(self, shift: float) -> None:
        is_vertical = self.state.font is not None and self.state.font.is_vertical
        move = (0.0, shift) if is_vertical else (shift * self.state.stretch, 0.0)
        self.text = multiply((1, 0, 0, 1, *move), self.text)


def _numbers(operands: Any) -> Matrix:
    values = tuple(map(float, operands))
    if len(values) != 6 or not all(map(math.isfinite, values)):
        raise BadInput(f"a matrix of it is {values}")
    return values
