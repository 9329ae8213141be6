"""Transcripts: the text of what is said, when it is said, and where it stands in the file; marks for muted words."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from pathlib import Path

from velum.errors import BadInput
from velum.limits import Limits
from velum.media.sound.speech import Span

MARK = "[muted]"
"""Stands in a redacted transcript for what is muted."""

MOST_BYTES = 16 << 20
"""Largest transcript, in bytes: some hundred hours of speech with times of words."""

GUARD_SECONDS = 0.15
"""Seconds that are muted before and after words: recognisers of speech place them as exactly as this."""

_TAG = re.compile(r"(?:<(?!\d)[^<>]*>)*")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")


@dataclass(frozen=True, slots=True)
class WordSpans:
    """What is muted because of words, in seconds of the transcript's clock, which begins with the sound or the file."""

    spans: tuple[Span, ...] = ()
    last: float = 0.0
    """When the last words begin; sound that ends before that is another recording."""
    end: float = 0.0
    """When the last words end."""


@dataclass(slots=True)
class Passage:
    """Consecutive text of a transcript. `text` has no tags and no line breaks."""

    text: str = ""
    places: list[tuple[int, int]] = field(default_factory=list)
    """Where each character stands in the transcript's `raw` text; equal ends for one that stands nowhere."""
    times: list[tuple[int, Span]] = field(default_factory=list)
    """Ends of the stretches of the text, and when they are said, in order; empty where the text is not said."""

    @classmethod
    def of(cls, pieces: "Iterable[tuple[str, Sequence[tuple[int, int]], Span | None]]") -> "Passage":
        """Return the passage of texts with the places of their characters, and when they are said."""
        made, texts, length = cls(), [], 0
        for text, places, span in pieces:
            kept = [i for i, sign in enumerate(text) if not _INVISIBLE.match(sign)]
            texts.append("".join(" " if text[i] in "\r\n\t" else text[i] for i in kept))
            made.places += [places[i] for i in kept]
            length += len(kept)
            if span is not None:
                made.times.append((length, span))
        made.text = "".join(texts)
        return made

    def spans_of(self, start: int, end: int) -> Iterator[Span]:
        """Yield when the characters from `start` to before `end` are said."""
        first = bisect_right(self.times, start, key=lambda stretch: stretch[0])
        for index in range(first, len(self.times)):
            if index and self.times[index - 1][0] >= end:
                return
            yield self.times[index][1]


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript that was read. `write` gives the file's text without the covered characters of `raw`."""

    format: str
    raw: str
    passages: tuple[Passage, ...]
    units: tuple[Sequence[int], ...]
    """Places in `raw` that are covered together, such as those of a word that stands in the file twice."""
    cues: tuple[Span, ...]
    """When there is speech, by start."""
    has_words: bool
    """True where words have times of their own."""
    write: Callable[[bytearray], str]

    @property
    def overlaps(self) -> bool:
        """True where two voices speak at a time, so that their words are not in one order."""
        return any(after[0] < before[1] - 0.02 for before, after in pairwise(self.cues))

    def spans_of_marks(self) -> list[Span]:
        """Return when words were said in whose place there is a mark."""
        return [
            span
            for passage in self.passages
            for hit in re.finditer(re.escape(MARK), passage.text)
            for span in passage.spans_of(*hit.span())
        ]

    def cover(self, found: Sequence[Sequence[tuple[int, int]]]) -> bytearray:
        """Return which characters of `raw` are covered: those of stretches of each passage, and what says the same."""
        covered = bytearray(len(self.raw))
        for passage, stretches in zip(self.passages, found, strict=True):
            for start, end in stretches:
                for begin, until in passage.places[start:end]:
                    covered[begin:until] = b"\1" * (until - begin)
        for unit in (*self.units, *reversed(self.units)):  # captions repeat what was said before, and before that
            if any(covered[place] for place in unit):
                for place in unit:
                    covered[place] = 1
        return covered


def read_transcript(path: Path, limits: Limits) -> Transcript:
    """Read a transcript: WebVTT, SubRip, or JSON of Whisper. Raises `BadInput` for all else."""
    try:
        return parse_transcript(_decode(path, limits))
    except OSError as error:
        raise BadInput(f"cannot read the transcript {path}: {error.strerror or error}") from error
    except BadInput as error:
        raise BadInput(f"cannot read the transcript {path}: {error}") from error


def parse_transcript(text: str) -> Transcript:
    """Return the transcript in a file's text. Raises `BadInput` for text that is none."""
    from velum.media.sound.cue_file import read_cues  # noqa: PLC0415  # it builds on this module
    from velum.media.sound.whisper_json import read_segments  # noqa: PLC0415  # likewise

    is_json = text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}
    return read_segments(text) if is_json else read_cues(text)


def parse_json(text: str) -> object:
    """Return the value of JSON text. Raises `BadInput` for text that is none, or is nested too deeply."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadInput(f"it is not valid JSON: {reason}") from error


def _decode(path: Path, limits: Limits) -> str:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise BadInput(f"it has more than the {MOST_BYTES >> 20} MiB allowed")
    limits.check("bytes", len(data), str(path))
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise BadInput("it is empty")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start} is not UTF-8; save the file as UTF-8") from error
    if "\0" in text:
        raise BadInput("it has a zero byte, as text in UTF-16 has; save the file as UTF-8")
    return text


def check_span(start: object, end: object, where: str) -> Span:
    """Return a span of seconds. Raises `BadInput` for what is none, negative, or ends before it starts."""
    numbers = [value for value in (start, end) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != 2 or not all(map(isfinite, numbers)):
        raise BadInput(f"{where} has no start and end in seconds")
    first, last = map(float, numbers)
    if first < 0:
        raise BadInput(f"{where} starts at {first:g} s; times must not be negative")
    if last < first:
        raise BadInput(f"{where} starts at {first:.3f} s and ends at {last:.3f} s, which is earlier")
    return first, last


def redact(raw: str, covered: bytearray, start: int = 0, end: int | None = None) -> str:
    """Return a part of the raw text with a mark in place of each stretch that is covered.

    Stretches between which there is nothing but tags, as in `J<b>ane</b>`, get one mark.
    """
    parts: list[str] = []
    at, stop, is_open = start, len(raw) if end is None else end, False
    while at < stop:
        is_covered = covered[at]
        until = covered.find(b"\0" if is_covered else b"\1", at, stop)
        until = stop if until < 0 else until
        if is_covered:
            run = raw[at:until]
            parts += [] if is_open else [" " * (len(run) - len(run.lstrip(" "))), MARK]
            is_open = True
        else:
            parts.append(raw[at:until])
            is_open = is_open and _TAG.fullmatch(raw[at:until]) is not None
        at = until
    return "".join(parts)
