"""Find personal data in text that a document holds as letters: of several lines, with words broken at their ends.

What `velum.locate.pii` finds in each line is found here, too, and what goes on in the next line.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from velum.errors import BadPlan
from velum.locate import pii
from velum.plan import Rule

Find = Callable[[str], list[tuple[int, int]]]
"""Returns the places, from and to before, of what a plan hides of a text of several lines."""

MOST_ADDRESS = 254
"""Characters of the longest e-mail address (RFC 5321, 4.5.3.1.3)."""

_BREAK = re.compile(
    r"(?<=\w)[-\u2010\u2011]\n[ \t]*(?=\w)|(?<=[-@._/+])\n[ \t]*|\n[ \t]*(?=[@._])|"
    r"[\u00ad\u200b-\u200d\u2060\ufeff]+\n?[ \t]*"
)
"""A break within a word: after a hyphen, which may belong to the word or not, beside a sign of addresses, or where a
sign without width allows it."""

_LINE_END = re.compile(r"(?<=\w)\n[ \t]*(?=\w)")

_LETTER_SPACE = re.compile(r"(?<=(?<!\S)\S)[ \t](?=\S(?!\S))")
"""A space between two letters that stand alone, as between all those of a word that is set wide."""


def reads_text(rule: Rule) -> bool:
    """Tell whether a rule looks for text, other than plates by their shape."""
    return rule.locate.name == "text" and rule.locate.options.get("shape") != "plate"


def text_finder(rules: Sequence[Rule]) -> Find:
    """Return what finds all that the rules for text hide. Raises `BadPlan` for unknown kinds and expressions."""
    chosen = [rule.locate.options for rule in rules if reads_text(rule)]
    for options in chosen:
        if not all(isinstance(options.get(name, ""), str) for name in ("match", "regex")):
            raise BadPlan("match and regex of text must be strings")
    pairs = [
        (pii.parse_kinds(str(options.get("match", ""))), pii.compile_pattern(str(options.get("regex", ""))))
        for options in chosen
    ]
    if any(not kinds and pattern is None for kinds, pattern in pairs):
        return lambda text: [match.span() for match in re.finditer(r"[^\s*][^\n]*", text)]
    return lambda text: sorted({span for kinds, pattern in pairs for span in find_in_lines(text, kinds, pattern)})


def find_in_lines(text: str, kinds: frozenset[str], pattern: re.Pattern[str] | None) -> list[tuple[int, int]]:
    r"""Return the places of matches in a text of several lines.

    A number that goes on in the next line counts only if its check digits are right, or it begins with +: columns of
    figures would be numbers, too.

    >>> find_in_lines("to ada@exam-\nple.org", frozenset({"email"}), None)
    [(3, 20)]
    """
    found = {(match.start, match.end) for match in pii.find(text, kinds, pattern)}
    for match in pii.find(text.replace("\n", " "), kinds & {"iban", "card", "phone"}, pattern):
        part = text[match.start : match.end]
        is_sure = match.checked if match.kind != "phone" else part.startswith("+")
        if "\n" in part and is_sure:
            found.add((match.start, match.end))
    breaks = [gap.span() for gap in _BREAK.finditer(text)]
    for keeps_hyphen in (True, False):
        found |= _found_in_joined(text, kinds, pattern, breaks, keeps_hyphen=keeps_hyphen)
    found |= _found_in_joined(text, kinds & {"email"}, None, _address_breaks(text), keeps_hyphen=False)
    # Digits that stand alone are often a scale or a table, and no phone number.
    wide = [gap.span() for gap in _LETTER_SPACE.finditer(text)]
    found |= _found_in_joined(text, kinds - {"phone"}, pattern, wide, keeps_hyphen=False)
    return _without_parts(found)


def _without_parts(found: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the places in order, without those that lie within another one."""
    kept: list[tuple[int, int]] = []
    for start, stop in sorted(found, key=lambda place: (place[0], -place[1])):
        if not kept or stop > kept[-1][1]:
            kept.append((start, stop))
    return kept


def _address_breaks(text: str) -> list[tuple[int, int]]:
    """Return the ends of lines that may part an address between two letters.

    The first part has an @ and no dot after it, the second one a dot (`ada@exam`, `ple.org`); or the second part has
    the @, and the first one is no plain word (`ada.love`, `lace@example.org`).
    """
    breaks = []
    for gap in _LINE_END.finditer(text):
        first = text[max(0, gap.start() - MOST_ADDRESS) : gap.start()].rsplit(maxsplit=1)[-1]
        second = text[gap.end() : gap.end() + MOST_ADDRESS].split(maxsplit=1)[0]
        at = first.rfind("@")
        if (at >= 0 and ("." not in first[at:] or "." in second[:-1])) or ("@" in second and not first.isalpha()):
            breaks.append(gap.span())
    return breaks


def _found_in_joined(
    text: str,
    kinds: frozenset[str],
    pattern: re.Pattern[str] | None,
    gaps: Sequence[tuple[int, int]],
    *,
    keeps_hyphen: bool,
) -> set[tuple[int, int]]:
    """Return the places of matches that gaps within words, from and to before, part."""
    if not gaps:
        return set()
    places: list[int] = []
    end = 0
    for begin, stop in gaps:
        places += range(end, begin + (keeps_hyphen and text[begin] == "-"))
        end = stop
    places += range(end, len(text))
    joined = "".join(text[place] for place in places)
    spans = ((places[match.start], places[match.end - 1] + 1) for match in pii.find(joined, kinds, pattern))
    begins = [begin for begin, _ in gaps]
    return {(start, stop) for start, stop in spans if bisect_left(begins, start) < bisect_left(begins, stop)}
