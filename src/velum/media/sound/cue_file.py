"""WebVTT and SubRip: cues with a time and a text, in which there can be tags, and times of single words."""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from velum.errors import BadInput
from velum.media.sound.speech import Span
from velum.media.sound.transcript import Passage, Transcript, check_span, redact

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_TIME = r"(-?)(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_ARROW = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?=\s|$)")
_INLINE_TIME = re.compile(rf"<{_TIME}>")
_SIGNS = re.compile(r"<[^<>]*>|\{\\[^{}]*\}|&(?:[a-zA-Z]+|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});?|[\s\S]")
"""A tag, an override of SubStation, a character reference, or any other character."""

_PLAIN_TAG = re.compile(r"</?\w{0,4}>")

_Places = list[tuple[int, int]]


@dataclass(slots=True)
class _Line:
    """A line of a cue without its tags: characters, their places, and the offsets at which times of words stand."""

    text: str = ""
    places: _Places = field(default_factory=list)


@dataclass(slots=True)
class _Cue:
    """A cue: when it is shown, its lines, and pieces of its text that have times of their own."""

    span: Span
    lines: list[_Line] = field(default_factory=list)
    pieces: list[tuple[float, int, int]] = field(default_factory=list)
    """Start of each piece in seconds, and where it begins: number of the line and of the character."""


def read_cues(text: str) -> Transcript:
    """Return a transcript in WebVTT or SubRip. Raises `BadInput` for other text, and for times that cannot be."""
    kind: Literal["VTT", "SRT"] = "VTT" if re.match(r"\ufeff?WEBVTT(?=[ \t\r\n]|\Z)", text) else "SRT"
    if "X-TIMESTAMP-MAP" in text[:4096].partition("-->")[0]:
        raise BadInput("its times are shifted by X-TIMESTAMP-MAP, as in a piece of a stream; join the pieces first")
    cues, asides = _split(text, 0 if kind == "SRT" else text.index("WEBVTT") + len("WEBVTT"))
    if not cues:
        raise BadInput("it has no cue with a time, such as 00:00:01.000 --> 00:00:02.000")
    cues.sort(key=lambda cue: cue.span[0])
    units, repeated = _find_repeats(cues)
    said = [Passage.of(_pieces_of(cues, frozenset()))]
    said += [Passage.of(_pieces_of(cues, frozenset(map(id, repeated))))] if repeated else []
    more = [Passage.of([(text[start:end], [(at, at + 1) for at in range(start, end)], None)]) for start, end in asides]
    return Transcript(
        kind, text, (*said, *more), tuple(units), tuple(cue.span for cue in cues), any(cue.pieces for cue in cues),
        lambda covered: redact(text, covered),
    )  # fmt: skip


def _split(text: str, begin: int) -> tuple[list[_Cue], list[tuple[int, int]]]:
    """Return the cues, and the places of all text from `begin` on that is not said: notes, styles, names, settings."""
    cues: list[_Cue] = []
    asides: list[tuple[int, int]] = []
    open_cue, aside = False, -1
    for number, hit in enumerate(_LINE.finditer(text), 1):
        line, start = hit.group().rstrip("\r\n"), hit.start()
        if "-->" in line:
            arrow = _ARROW.match(line)
            if arrow is None:
                raise BadInput(f"line {number} is {line[:60]!r}; write times as 00:00:01.000 --> 00:00:02.000")
            if aside >= 0:
                asides.append((aside, start))
            first, last = _seconds(arrow)
            cues.append(_Cue(check_span(first, last, f"the cue in line {number}")))
            open_cue, aside = True, -1
            if line[arrow.end() :].strip():
                asides.append((start + arrow.end(), start + len(line)))
        elif not line.strip():
            if aside >= 0:
                asides.append((aside, start))
            open_cue, aside = False, -1
        elif open_cue:
            asides += _add_line(cues[-1], line, start)
        elif aside < 0:
            aside = max(start, begin)
    if aside >= 0:
        asides.append((aside, len(text)))
    return cues, asides


def _seconds(hit: re.Match[str]) -> tuple[float, ...]:
    """Return the times in a match of one or two times, in seconds."""
    groups = hit.groups()
    times = (groups[at : at + 5] for at in range(0, len(groups), 5))
    return tuple(
        (-1 if sign else 1) * (3600 * int(hours or 0) + 60 * int(minutes) + int(seconds) + float(f"0.{fraction}"))
        for sign, hours, minutes, seconds, fraction in times
    )


def _add_line(cue: _Cue, line: str, start: int) -> Iterator[tuple[int, int]]:
    """Add a line to a cue; yield the places of what its tags say, such as `v Jane Roe`."""
    made = _Line()
    cue.lines.append(made)
    for hit in _SIGNS.finditer(line):
        sign, place = hit.group(), (start + hit.start(), start + hit.end())
        if time := _INLINE_TIME.fullmatch(sign):
            cue.pieces.append((_seconds(time)[0], len(cue.lines) - 1, len(made.text)))
        elif len(sign) > 1 and sign[0] in "<{":
            if not _PLAIN_TAG.fullmatch(sign):
                yield place[0] + 1, place[1] - 1
        else:
            plain = html.unescape(sign) if sign[0] == "&" else sign
            made.text += plain
            made.places += [place] * len(plain)


def _find_repeats(cues: Sequence[_Cue]) -> tuple[list[tuple[int, int]], list[_Line]]:
    """Return the lines that cues repeat from the cue before, as captions do that roll up, and pairs of equal places."""
    units: list[tuple[int, int]] = []
    repeated = []
    for before, cue in pairwise(cues):
        shown = {line.text.strip(): line for line in before.lines if line.text.strip()}
        for line in cue.lines:
            if (original := shown.get(line.text.strip())) is not None:
                repeated.append(line)
                units += zip(_visible_places(original), _visible_places(line), strict=True)
    return units, repeated


def _visible_places(line: _Line) -> list[int]:
    return [begin for sign, (begin, _) in zip(line.text, line.places, strict=True) if not sign.isspace()]


def _pieces_of(cues: Sequence[_Cue], left_out: frozenset[int]) -> Iterator[tuple[str, _Places, Span | None]]:
    """Yield the text of all cues in pieces, with a blank after each line; `left_out` are ids of lines."""
    for cue in cues:
        for number, line in enumerate(cue.lines):
            if id(line) in left_out:
                continue
            at = 0
            for span, until in _times_in_line(cue, number, len(line.text)):
                yield line.text[at:until], line.places[at:until], span
                at = until
            end = line.places[-1][1] if line.places else 0
            yield " ", [(end, end)], None


def _times_in_line(cue: _Cue, number: int, length: int) -> Iterator[tuple[Span, int]]:
    """Yield when the pieces of a line are said, and where they end.

    Times of words that run backwards or leave the cue are not to be trusted: then the whole cue counts.
    """
    starts = [cue.span[0], *(start for start, _, _ in cue.pieces), cue.span[1]]
    if not cue.pieces or any(after < before for before, after in pairwise(starts)):
        yield cue.span, length
        return
    begins = [(0, 0), *((line, at) for _, line, at in cue.pieces), (len(cue.lines), 0)]
    for index, (begin, until) in enumerate(pairwise(begins)):
        first = begin[1] if begin[0] == number else 0 if begin[0] < number else length
        last = until[1] if until[0] == number else length if until[0] > number else 0
        if first < last:
            span = starts[index], starts[index + 1]
            yield (span if span[0] < span[1] else cue.span), last
