"""JSON of recognisers of speech: Whisper, faster-whisper, WhisperX and whisper.cpp, with and without times of words.

Every string in the file is searched. Those of a list of objects, such as words or tokens, are searched together, too:
a number may be split over them.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import isfinite
from typing import Any

from velum.errors import BadInput
from velum.media.sound.speech import Span
from velum.media.sound.transcript import MARK, Passage, Transcript, check_span, parse_json, redact

MOST_DEPTH = 32
"""Levels of objects and lists; those of recognisers have five."""

_MARK_SIGN = "\ue000"
_WORD_KEYS = ("word", "text")


@dataclass(frozen=True, slots=True)
class _Text:
    """A string of the file: the object or list that holds it, under which key, and where it begins in the raw text."""

    holder: Any
    key: Any
    start: int
    text: str
    in_list: bool
    """True for an item of a list, and for a string of an object in a list."""

    @property
    def places(self) -> list[tuple[int, int]]:
        """Places of its characters in the raw text."""
        return [(at, at + 1) for at in range(self.start, self.start + len(self.text))]


@dataclass(slots=True)
class _Tree:
    """All strings of the file, and the raw text in which they stand one after another."""

    texts: dict[tuple[int, Any], _Text] = field(default_factory=dict)
    keys: dict[str, _Text] = field(default_factory=dict)
    """Names of fields: a file by speakers has their names there."""
    lists: list[list[Any]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    length: int = 0

    def of(self, holder: Any, key: Any) -> _Text | None:
        """Return the string under a key of an object."""
        return self.texts.get((id(holder), key))

    def walk(self, value: Any) -> None:
        """Take all strings in a value. Raises `BadInput` for one that is nested too deeply."""
        stack = [(value, 0, False)]
        while stack:
            holder, depth, in_list = stack.pop()
            if depth > MOST_DEPTH:
                raise BadInput(f"it is nested in more than {MOST_DEPTH} levels")
            is_list = isinstance(holder, list)
            if is_list:
                self.lists.append(holder)
            for key, item in list(enumerate(holder) if is_list else holder.items()):
                if not is_list and key not in self.keys:
                    self.keys[key] = self._put(None, None, key, in_list=False)
                if isinstance(item, str):
                    self.texts[id(holder), key] = self._put(holder, key, item, in_list=in_list or is_list)
                elif isinstance(item, dict | list):
                    stack.append((item, depth + 1, is_list))

    def _put(self, holder: Any, key: Any, text: str, *, in_list: bool) -> _Text:
        made = _Text(holder, key, self.length, text, in_list)
        self.raw.append(f"{text}\0")
        self.length += len(text) + 1
        return made


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment: its object, when it is said, its text, and the strings of its words with their times."""

    value: dict[str, Any]
    span: Span
    text: _Text
    words: tuple[tuple[_Text, Span], ...]


def read_segments(source: str) -> Transcript:
    """Return a transcript in JSON. Raises `BadInput` for JSON without segments, or without sensible times."""
    value = parse_json(source)
    tree = _Tree()
    if isinstance(value, dict | list):
        tree.walk(value)
    segments = sorted(_segments_of(value, tree), key=lambda segment: segment.span[0])
    if not segments:
        raise BadInput("it has no segments with start, end and text; write it with whisper --output_format json")
    units: list[Sequence[int]] = []
    known = {id(segment.text) for segment in segments}
    pieces = [piece for segment in segments for piece in _pieces_of(segment, units, known)]
    whole = _whole_text(value, tree, segments)
    passages = [Passage.of(pieces), *_list_passages(tree, known), *_other_passages(tree, whole)]
    indent = re.match(r"\s*[\[{]\r?\n( +|\t)", source)

    def write(covered: bytearray) -> str:
        _rewrite(tree, segments, whole, covered)
        text = json.dumps(
            _rename(value, _new_keys(tree, covered)), ensure_ascii=False, indent=indent[1] if indent else None
        )
        return text + ("\n" if source.endswith("\n") else "")

    return Transcript(
        "JSON", "".join(tree.raw), tuple(passages), tuple(units), tuple(segment.span for segment in segments),
        any(segment.words for segment in segments), write,
    )  # fmt: skip


def _segments_of(value: Any, tree: _Tree) -> Iterator[_Segment]:
    found = value
    if isinstance(value, dict):
        found = next((value[key] for key in ("segments", "transcription") if isinstance(value.get(key), list)), None)
    for number, segment in enumerate(found if isinstance(found, list) else (), 1):
        text = tree.of(segment, "text")
        if not isinstance(segment, dict) or text is None:
            raise BadInput(f"its segment {number} has no text")
        words = segment.get("words")
        start, end = _times_of(segment)
        span = check_span(start, end, f"its segment {number}")
        yield _Segment(segment, span, text, tuple(_words_of(words if isinstance(words, list) else (), tree, span)))


def _times_of(value: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return start and end of a segment in seconds; whisper.cpp writes milliseconds."""
    offsets = value.get("offsets")
    if "start" not in value and isinstance(offsets, Mapping):
        start, end = (time / 1000 if isinstance(time, int) else None for time in map(offsets.get, ("from", "to")))
        return start, end
    return value.get("start"), value.get("end")


def _words_of(words: Sequence[Any], tree: _Tree, span: Span) -> Iterator[tuple[_Text, Span]]:
    """Yield the strings of words with their times; those without sensible times have those of the segment."""
    spans = [_span_of(word) for word in words]
    starts = [time[0] for time in spans if time]
    in_order = all(before <= after for before, after in pairwise(starts))
    for word, time in zip(words, spans, strict=True):
        text = next((text for key in _WORD_KEYS if (text := tree.of(word, key))), None)
        if text is not None:
            yield text, time if time and in_order else span


def _span_of(word: Any) -> Span | None:
    """Return when a word is said; None where its times are missing, or leave no time to say it."""
    times = _times_of(word) if isinstance(word, Mapping) else (None, None)
    first, last = (time if isinstance(time, int | float) and isfinite(time) else -1.0 for time in times)
    return (float(first), float(last)) if 0 <= first < last else None


def _pieces_of(
    segment: _Segment, units: list[Sequence[int]], known: set[int]
) -> Iterator[tuple[str, list[tuple[int, int]], Span | None]]:
    """Yield the text of a segment in pieces with their times, after a blank; add places of words to the units.

    The ids of words that make up the text are added to those that are `known`.
    """
    text = segment.text
    yield " ", [(text.start, text.start)], None
    said = _letters([(text, segment.span)])
    spelled = _letters(segment.words)
    if not said or [sign for sign, *_ in said] != [sign for sign, *_ in spelled]:
        if segment.words:  # somebody has changed one of the two: the whole segment is one word
            units.append([at for part in (text, *(word for word, _ in segment.words)) for at in _solid_places(part)])
        yield text.text, text.places, segment.span
        return
    known.update(id(word) for word, _ in segment.words)
    at, last = 0, said[-1][1]
    for _, letters in groupby(zip(said, spelled, strict=True), key=lambda pair: id(pair[1][2])):
        pairs = list(letters)
        first, end = pairs[0], len(text.text) if pairs[-1][0][1] == last else pairs[-1][0][1] - text.start + 1
        yield text.text[at:end], text.places[at:end], first[1][3]
        units.append([*(here for (_, here, _, _), _ in pairs), *_solid_places(first[1][2])])
        at = end


def _solid_places(word: _Text) -> list[int]:
    """Return the places of a word, without the blanks before and after it."""
    lead = len(word.text) - len(word.text.lstrip())
    return list(range(word.start + lead, word.start + len(word.text.rstrip())))


def _letters(texts: Sequence[tuple[_Text, Span]]) -> list[tuple[str, int, _Text, Span]]:
    """Return the letters and digits of texts, with their places and times; consecutive marks count as one sign."""
    found: list[tuple[str, int, _Text, Span]] = []
    for text, span in texts:
        for hit in re.finditer(rf"{re.escape(MARK)}|[^\W_]", text.text):
            if hit.group() != MARK:
                found.append((hit.group().casefold(), text.start + hit.start(), text, span))
            elif found and found[-1][0] == _MARK_SIGN:
                first = found.pop()
                found.append((*first[:3], (first[3][0], max(first[3][1], span[1]))))
            else:
                found.append((_MARK_SIGN, text.start + hit.end() - 1, text, span))
    return found


def _list_passages(tree: _Tree, known: set[int]) -> Iterator[Passage]:
    """Yield the strings of each list and of the objects in it, joined with and without blanks; words with their times.

    Strings that are `known` from the segments, by id, are left out.
    """
    for items in tree.lists:
        keys: dict[Any, list[tuple[_Text, Span | None]]] = {}
        for number, item in enumerate(items):
            if text := tree.of(items, number):
                keys.setdefault(None, []).append((text, None))
            for key in item if isinstance(item, dict) else ():
                if (text := tree.of(item, key)) and id(text) not in known:
                    keys.setdefault(key, []).append((text, _span_of(item) if key in _WORD_KEYS else None))
        for found in keys.values():
            for joint in ("", " "):
                yield Passage.of(
                    piece
                    for text, span in found
                    for piece in (
                        (joint, [(text.start, text.start)] * len(joint), None),
                        (text.text, text.places, span),
                    )
                )


def _whole_text(value: Any, tree: _Tree, segments: Sequence[_Segment]) -> _Text | None:
    """Return the string of the whole text, where it is that of all segments."""
    whole = tree.of(value, "text")
    joined = "".join(segment.text.text for segment in segments)
    return whole if whole is not None and whole.text.split() == joined.split() else None


def _other_passages(tree: _Tree, whole: _Text | None) -> Iterator[Passage]:
    """Yield the strings that are in no list, but for the whole text."""
    for text in (*tree.texts.values(), *tree.keys.values()):
        if not text.in_list and text is not whole:
            yield Passage.of([(text.text, text.places, None)])


def _rewrite(tree: _Tree, segments: Sequence[_Segment], whole: _Text | None, covered: bytearray) -> None:
    """Put the redacted strings into the file's value, and leave out tokens, which stand for words."""
    raw = "".join(tree.raw)
    for text in tree.texts.values():
        end = text.start + len(text.text)
        if covered.find(1, text.start, end) >= 0:
            text.holder[text.key] = redact(raw, covered, text.start, end)
    changed = False
    for segment in segments:
        places = [segment.text, *(word for word, _ in segment.words)]
        if any(covered.find(1, text.start, text.start + len(text.text)) >= 0 for text in places):
            changed = True
            if isinstance(segment.value.get("tokens"), list):
                segment.value["tokens"] = []
    if changed and whole is not None:
        joint = "" if all(segment.text.text[:1] == " " for segment in segments[1:]) else " "
        whole.holder[whole.key] = joint.join(segment.value["text"] for segment in segments)


def _new_keys(tree: _Tree, covered: bytearray) -> dict[str, str]:
    """Return new names of fields for those that are covered, each another one."""
    found = [key for key, text in tree.keys.items() if covered.find(1, text.start, text.start + len(key)) >= 0]
    return {key: MARK if number == 1 else f"{MARK} ({number})" for number, key in enumerate(found, 1)}


def _rename(value: Any, keys: Mapping[str, str]) -> Any:
    """Return a value with new names of fields."""
    if isinstance(value, dict) and keys:
        return {keys.get(key, key): _rename(item, keys) for key, item in value.items()}
    return [_rename(item, keys) for item in value] if isinstance(value, list) and keys else value
