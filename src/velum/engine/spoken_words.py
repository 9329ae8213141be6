"""Words that a plan mutes: found in a transcript, which is written without them beside the result."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from velum import media
from velum.atomic import ensure_free, keep_earlier, keep_original, publish
from velum.errors import BadPlan, NotHidden, OutputFailed
from velum.file_hash import sha256_of
from velum.limits import Limits
from velum.media.sound.speech import Span, merge_spans
from velum.media.sound.transcript import (
    GUARD_SECONDS,
    MARK,
    Transcript,
    WordSpans,
    parse_transcript,
    read_transcript,
)
from velum.plan import Plan
from velum.report import Report, say_count

if TYPE_CHECKING:
    from velum.locate.spoken import SpokenRule

BRIDGE_SECONDS = 2.0
"""Pauses within what is muted that are muted with it: people hesitate between the digits of a number."""

_ROUNDS = 4
"""How often a transcript is redacted at most, until nothing is found in it any more."""

_NO_MARK = "\u00a7" * len(MARK)
"""Stands for a mark in the text that is searched: no rule matches it, and no number goes across it."""


@dataclass(frozen=True, slots=True)
class RedactedTranscript:
    """A transcript without what the plan mutes, and what was found in it."""

    text: str
    words: WordSpans
    format: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How much was found of each kind."""
    warnings: tuple[str, ...] = ()
    has_words: bool = False
    target: Path | None = None
    file: Path | None = None
    """Where the redacted transcript lies until it is published."""

    def add_to(self, report: Report) -> Report:
        """Return the report with what was found in the transcript, but not the words."""
        if self.target is None:
            return report
        found = {
            "target": str(self.target), "format": self.format, "timed_by": "words" if self.has_words else "cues",
            "muted": dict(self.counts), "output_sha256": sha256_of(self.target),
        }  # fmt: skip
        return replace(report, transcript=found, warnings=(*report.warnings, *self.warnings))


NO_TRANSCRIPT = RedactedTranscript("", WordSpans())


def find_words(transcript: Transcript, rule: "SpokenRule") -> list[list[tuple[int, int, str]]]:
    """Return start, end and kind of what a rule mutes in each passage of a transcript."""
    from velum.locate.spoken import find_spoken  # noqa: PLC0415 - loaded when it is used

    texts = (passage.text.replace(MARK, _NO_MARK) for passage in transcript.passages)
    return [
        [
            (match.start, match.end, match.kind)
            for match in find_spoken(text, rule)
            if text[match.start : match.end].strip(f"{_NO_MARK} ")
        ]
        for text in texts
    ]


def redact_transcript(transcript: Transcript, rule: "SpokenRule") -> RedactedTranscript:
    """Return a transcript without what a rule mutes, and when that is said.

    Raises `NotHidden` where something is found again in every redacted transcript.
    """
    cues, found = transcript.cues, find_words(transcript, rule)
    ends = max(end for _, end in cues)
    counts, asides = _count(transcript, found)
    warnings = _warnings(transcript, rule, counts, asides, found)
    spans: list[Span] = []
    current = transcript
    for _ in range(_ROUNDS):
        spans += _spans_of(current, found)
        text = current.write(current.cover([[(start, end) for start, end, _ in stretch] for stretch in found]))
        current = parse_transcript(text)
        found = find_words(current, rule)
        if not any(found):
            words = WordSpans(tuple(merge_spans(spans, gap=0, guard=GUARD_SECONDS)), cues[-1][0], ends)
            return RedactedTranscript(text, words, transcript.format, counts, warnings, transcript.has_words)
    raise NotHidden(
        f"{sum(map(len, found))} matches of video.mute are left in the transcript, however often it is redacted; "
        "nothing was published; write a regex that does not match what stands between words"
    )


def _spans_of(transcript: Transcript, found: list[list[tuple[int, int, str]]]) -> Iterator[Span]:
    """Yield when matches are said, and the short pauses within them."""
    for passage, stretches in zip(transcript.passages, found, strict=True):
        for start, end, _ in stretches:
            said = sorted(passage.spans_of(start, end))
            yield from said
            for before, after in pairwise(said):
                if 0 < after[0] - before[1] <= BRIDGE_SECONDS:
                    yield before[1], after[0]


def _count(transcript: Transcript, found: list[list[tuple[int, int, str]]]) -> tuple[dict[str, int], int]:
    """Return how much of each kind is said, and in how many passages something is found that is not said."""
    counts: Counter[str] = Counter()
    for passage, stretches in zip(transcript.passages, found, strict=True):
        if passage.times:
            counts |= Counter(kind for _, _, kind in stretches)  # passages repeat each other
    asides = sum(bool(some) and not part.times for part, some in zip(transcript.passages, found, strict=True))
    return dict(sorted(counts.items())), asides


def _warnings(
    transcript: Transcript, rule: "SpokenRule", counts: Mapping[str, int], asides: int,
    found: list[list[tuple[int, int, str]]],
) -> tuple[str, ...]:  # fmt: skip
    from velum.locate.spoken import count_name_parts, find_spoken  # noqa: PLC0415 - loaded when it is used

    first = transcript.passages[0]
    matches = find_spoken(first.text, rule) if rule.names else []
    alone = count_name_parts(first.text, rule, matches)
    notes = {
        "nothing in the transcript matched video.mute, so no words were muted; listen to the sound": not any(found),
        f"{say_count(asides, 'note or name', 'notes or names')} in the transcript matched and became {MARK}; "
        "these are not said, so nothing was muted for them": asides > 0,
        "the transcript has no times of words, so whole cues were muted": bool(counts) and not transcript.has_words,
        "cues of the transcript overlap: what two people say at the same time may not be matched": transcript.overlaps,
        f"a part of a name is said alone {say_count(alone, 'time', 'times')} and stays; name it, too "
        "(names='Jane Roe|Roe')": alone > 0,
    }
    return tuple(note for note, holds in notes.items() if holds)


@contextmanager
def open_transcript(
    path: Path | None, plan: Plan, source: object, target: object, limits: Limits, *, overwrite: bool
) -> Iterator[RedactedTranscript]:
    """Give the redacted transcript to hide `source` with; when the block ends well, it is published beside `target`.

    Raises `BadPlan` for a plan and a transcript that do not go together, and for a source or target that is a stream;
    `BadInput` for a transcript that cannot be read; `OutputFailed` where it cannot be written.
    """
    if (path is None) != (plan.video.mute is None):
        lacks = "words are muted by a transcript; add --transcript FILE, or leave out --mute"
        raise BadPlan(lacks if path is None else "--transcript says when words are said; add --mute 'phone|card'")
    if path is None or plan.video.mute is None:
        yield NO_TRANSCRIPT
        return
    if not isinstance(source, Path) or not isinstance(target, Path):
        raise BadPlan(
            "words are muted in files that velum reads twice, not in streams; save the stream to a file first"
        )
    if media.sound_format_of(source) is None and not media.is_video(source):
        raise BadPlan(f"{source} is neither a video nor a sound file, so it has no transcript; leave --transcript out")
    from velum.locate.spoken import SpokenRule  # noqa: PLC0415 - loaded when it is used

    redacted = redact_transcript(read_transcript(path, limits), SpokenRule.of(plan.video.mute))
    beside = target.with_name(f"{target.stem}{path.suffix}")
    if beside == target:
        raise BadPlan(f"the transcript {path} has the suffix of the result; give it its own, such as .vtt")
    for original in (path, source):
        keep_original(beside, original)
    ensure_free(beside, overwrite=overwrite)
    with _publish_both(beside, target, overwrite=overwrite) as part:
        part.write_bytes(redacted.text.encode())
        yield replace(redacted, target=beside, file=part)


@contextmanager
def _publish_both(beside: Path, target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a path for the transcript; where it cannot be published after the result, the earlier result is put back."""
    is_hidden = False
    with keep_earlier(target) as put_back:
        try:
            with publish(beside, overwrite=overwrite) as part:
                yield part
                is_hidden = True
        except OutputFailed:
            if is_hidden:
                put_back()
            raise
