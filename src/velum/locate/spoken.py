"""Find personal data in what was said, as transcripts write it: numbers as words, digit by digit, across sentences.

The text of a transcript has no certain form: a telephone number may stand there as `0171 234`, as `0, 1, 7, 1, 2, 3, 4`
or as `null eins sieben eins`. So the kinds of `velum.locate.pii` are searched in the text as it is, and in readings of
it in which words for numbers are digits and nothing stands between digits. A miss is worse than a false match.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from velum.errors import BadPlan
from velum.locate import pii
from velum.locate.pii import Match
from velum.spec import PartSpec

_UNITS = {
    "0": "null zero oh o zéro cero", "1": "eins ein eine one un une uno una", "2": "zwei zwo two deux dos due",
    "3": "drei three trois tres tre", "4": "vier four quatre cuatro quattro", "5": "fünf five cinq cinco cinque",
    "6": "sechs six seis sei", "7": "sieben seven sept siete sette", "8": "acht eight huit ocho otto",
    "9": "neun nine neuf nueve nove", "10": "zehn ten dix diez dieci", "11": "elf eleven onze once undici",
    "12": "zwölf twelve douze doce dodici", "13": "dreizehn thirteen", "14": "vierzehn fourteen",
    "15": "fünfzehn fifteen", "16": "sechzehn sixteen", "17": "siebzehn seventeen", "18": "achtzehn eighteen",
    "19": "neunzehn nineteen",
}  # fmt: skip
_TENS = {
    "2": "zwanzig twenty", "3": "dreißig dreissig thirty", "4": "vierzig forty fourty", "5": "fünfzig fifty",
    "6": "sechzig sixty", "7": "siebzig seventy", "8": "achtzig eighty", "9": "neunzig ninety",
}  # fmt: skip
_UNIT = {word: digits for digits, words in _UNITS.items() for word in words.split()}
_TEN = {word: digit for digit, words in _TENS.items() for word in words.split()}
_AMBIGUOUS = frozenset({"o", "oh", "ein", "eine", "un", "une", "uno", "una", "once", "sei", "dos", "due", "tre"})
"""Words that are numbers only beside other numbers."""

_TWICE, _HUNDRED = frozenset({"double", "doppel"}), frozenset({"hundert", "hundred"})
_FILLERS = frozenset(
    ("äh", "ähm", "öh", "hm", "hmm", "mhm", "uh", "um", "er", "erm", "and", "und", "dann", "then", "also", "so", "ja")
)
"""Words that people say between the digits of a number."""

_MOST_BETWEEN = 4
"""Fillers and punctuation marks up to which digits belong to one number."""

_LEAST_PHONE, _ANNOUNCED = 7, 80
_ANNOUNCEMENT = re.compile(r"(?i)tel|phone|fon|mobil|cell|handy|fax|\bcall|\bruf|number|nummer|vorwahl|numéro|número")
_YEARS = re.compile(r"(?:(?:19|20)\d\d ?)+")

_DOT, _JOINT = r"(?:dot|punkt|point|punto)", r"(?:underscore|unterstrich|minus|dash|bindestrich|strich|hyphen)"
_PART = rf"(?:(?:\w ){{0,20}}[\w+-]{{1,40}}(?: {_JOINT} [\w+-]{{1,40}}){{0,3}})"
_SPOKEN_EMAIL = re.compile(
    rf"(?i)(?<!\w){_PART}(?: ?(?:{_DOT}|\.) ?{_PART}){{0,3}}(?: (?:at|ät|aet|et|klammeraffe|arroba) | ?@ ?)"
    rf"{_PART}(?: ?(?:{_DOT}|\.) ?[\w-]{{1,40}}){{1,4}}"
)
_SPOKEN_URL = re.compile(
    rf"(?i)(?<!\w)[\w-]{{1,60}}(?: {_DOT} [\w-]{{1,60}}){{0,4}}? {_DOT} (?:com|org|net|info|eu|[a-z]{{2}})(?!\w)"
)
_AT = re.compile(r"(?i)@|\b(?:at|ät|aet|et|klammeraffe|arroba)\b")
_SPOKEN = {"email": _SPOKEN_EMAIL, "url": _SPOKEN_URL}
_LEAST_DIGITS = {"iban": 8, "card": 12, "phone": 6, "date": 2, "ip": 4, "plate": 1}
_SPELLED_KINDS = frozenset({"iban", "plate", "mac", "card"})
_WINDOW, _OVERLAP = 1200, 400
"""Characters that are searched at a time, and those that two windows share: some expressions take quadratic time."""


@dataclass(frozen=True, slots=True)
class SpokenRule:
    """What is muted where it is said: kinds of personal data, names, and a regular expression."""

    kinds: frozenset[str]
    names: tuple[str, ...]
    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, text: str) -> "SpokenRule":
        """Return the rule of a plan's `video.mute`. Raises `BadPlan` for unknown options and kinds."""
        spec = PartSpec.parse(text)
        options = {name: spec.options.get(name, "") for name in ("match", "names", "regex")}
        unknown = sorted(set(spec.options) - set(options))
        if spec.name != "text" or unknown or not all(isinstance(value, str) for value in options.values()):
            raise BadPlan(
                f"video.mute is {text!r}; write kinds such as 'phone|card', or text(match='phone|card', "
                "names='Jane Roe|Roe', regex='...')"
            )
        match, names, regex = map(str, options.values())
        parts = tuple(name.strip() for name in names.split("|") if name.strip())
        if short := [name for name in parts if len(_fold(name)[0].strip()) < 2]:
            raise BadPlan(f"video.mute names {short[0]!r}; a name has two letters or more")
        rule = cls(pii.parse_kinds(match), parts, pii.compile_pattern(regex))
        if not (rule.kinds or rule.names or rule.pattern):
            raise BadPlan("video.mute says nothing to mute; write kinds such as 'phone|card', names='...' or regex")
        return rule


def find_spoken(text: str, rule: SpokenRule) -> list[Match]:
    """Return everything in a transcript's text that a rule mutes, by position. Matches can overlap."""
    matches = list(_find_in_windows(text, rule.kinds))
    if rule.pattern is not None:
        matches += [Match(*hit.span(), "regex") for hit in rule.pattern.finditer(text) if hit.group()]
    if rule.kinds:
        items = _items(text)
        matches += _find_in_reading(_read(items, spelled=False), rule.kinds)
        matches += _find_in_reading(_read(items, spelled=True), rule.kinds & _SPELLED_KINDS)
    matches += _find_names(text, rule.names)
    return _merge(matches)


def _merge(matches: Sequence[Match]) -> list[Match]:
    """Return the matches by position; those of one kind that overlap are one."""
    merged: dict[str, list[Match]] = {}
    for match in sorted(matches, key=lambda match: (match.start, match.end)):
        of_kind = merged.setdefault(match.kind, [])
        if of_kind and match.start < of_kind[-1].end:
            last = of_kind.pop()
            joined = Match(last.start, max(last.end, match.end), match.kind, last.checked or match.checked)
            of_kind.append(joined)
        else:
            of_kind.append(match)
    return sorted((match for found in merged.values() for match in found), key=lambda match: (match.start, match.end))


def count_name_parts(text: str, rule: SpokenRule, matches: Sequence[Match]) -> int:
    """Return how often a part of a name, of three letters or more, is said where the rule does not mute it."""
    parts = {part for name in rule.names for part in re.findall(r"\w{3,}", name)}
    taken = [(match.start, match.end) for match in matches]
    alone = _find_names(text, tuple(parts - set(rule.names)))
    return sum(not any(start <= match.start and match.end <= end for start, end in taken) for match in alone)


def _find_in_windows(text: str, kinds: frozenset[str]) -> Iterator[Match]:
    """Yield the matches of kinds in a text, window by window."""
    patterns = [(kind, pattern) for kind, pattern in _SPOKEN.items() if kind in kinds]
    for start in range(0, max(len(text) - _OVERLAP, 1), _WINDOW - _OVERLAP):
        part = text[start : start + _WINDOW]
        usual = kinds if "@" in part else kinds - {"email"}  # whose expression takes long where there is no address
        found = [match for match in pii.find(part, usual) if _has_digits(part, match)]
        found += [
            Match(*hit.span(), kind)
            for kind, pattern in patterns
            if kind != "email" or _AT.search(part)
            for hit in pattern.finditer(part)
        ]
        yield from (Match(match.start + start, match.end + start, match.kind, match.checked) for match in found)


def _has_digits(text: str, match: Match) -> bool:
    """Tell whether a number has digits enough: the letters that look like digits in images are no digits here."""
    return sum(map(str.isdecimal, text[match.start : match.end])) >= _LEAST_DIGITS.get(match.kind, 0)


@dataclass(frozen=True, slots=True)
class _Item:
    """A word or sign of the text: its place, and the digits that it stands for, if any."""

    start: int
    end: int
    text: str
    digits: str = ""


def _items(text: str) -> list[_Item]:
    """Return the words and signs of a text, with digits for words that are numbers."""
    found = [_Item(*hit.span(), hit.group()) for hit in re.finditer(r"[^\W\d_]+|\d+|\S", text)]
    digits = [_digits_of(item.text.casefold()) for item in found]
    items = []
    for i, item in enumerate(found):
        word, value = item.text.casefold(), digits[i]
        after = digits[i + 1] if i + 1 < len(found) else ""
        before = digits[i - 1] if i else ""
        if word in _AMBIGUOUS and not (before or after):
            value = ""
        elif word in _TEN and len(after) == 1 and after != "0":
            value = _TEN[word]
        elif word in _TWICE | {"triple"} and after:
            value = after if word in _TWICE else 2 * after
        elif word in {"plus", "+"} and after:
            value = "+"
        items.append(_Item(item.start, item.end, item.text, value))
    return items


def _digits_of(word: str) -> str:
    """Return the digits of a number from 0 to 999 that is written as a word or in digits; empty for other words.

    >>> _digits_of("dreiundzwanzig"), _digits_of("achthundertfünf"), _digits_of("seven"), _digits_of("seventh")
    ('23', '805', '7', '')
    """
    if word.isdecimal():
        return "".join(str(unicodedata.decimal(digit)) for digit in word)
    if word in _UNIT:
        return _UNIT[word]
    if word in _TEN:
        return f"{_TEN[word]}0"
    if word in _HUNDRED:
        return "00"
    for hundred in _HUNDRED:
        head, middle, tail = word.partition(hundred)
        if middle and len(first := _UNIT.get(head, "")) == 1:
            rest = _digits_of(tail.removeprefix("und")) if tail else "00"
            return f"{first}{rest:0>2}" if 0 < len(rest) <= 2 else ""
    unit, joint, ten = word.partition("und")
    return f"{_TEN[ten]}{_UNIT[unit]}" if joint and ten in _TEN and len(_UNIT.get(unit, "")) == 1 else ""


_Reading = tuple[str, list[tuple[int, int]]]
"""A text, and the place of each of its characters in the text that it is read from."""


def _read(items: Sequence[_Item], *, spelled: bool) -> _Reading:
    """Return the text with digits for numbers, and with nothing but a blank at most between those of one number.

    With `spelled`, single letters are joined as single digits are.
    """
    parts: list[str] = []
    places: list[tuple[int, int]] = []
    waiting: list[_Item] = []
    last: str | None = None

    def put(text: str, start: int, end: int) -> None:
        parts.append(text)
        places.extend([(start, end)] * len(text))

    for item in items:
        value = item.digits or (item.text if spelled and len(item.text) == 1 and item.text.isalpha() else "")
        is_between = item.text.casefold() in _FILLERS or not item.text[0].isalnum()
        if not value and is_between and last is not None and len(waiting) < _MOST_BETWEEN:
            waiting.append(item)
            continue
        if value and last is not None:
            put("" if len(value) == 1 and len(last) == 1 else " ", item.start, item.start)
        else:
            for skipped in waiting:
                put(f" {skipped.text}", skipped.start, skipped.end)
            put(" ", item.start, item.start)
        put(value or item.text, item.start, item.end)
        last, waiting = value or None, []
    return "".join(parts), places


def _find_in_reading(reading: _Reading, kinds: frozenset[str]) -> Iterator[Match]:
    """Yield the matches in a reading, at their places in the text."""
    text, places = reading
    found = list(_find_in_windows(text, kinds))
    if "phone" in kinds:
        found += _dictated_phones(text)
    for match in found:
        if not match.checked and _YEARS.fullmatch(text[match.start : match.end]):
            continue
        begin, end = _strip_blanks(text, match.start, match.end)
        yield Match(places[begin][0], places[end - 1][1], match.kind, match.checked)


def _strip_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())


def _dictated_phones(text: str) -> Iterator[Match]:
    """Yield numbers that begin as those of telephones do, are announced, or are said digit by digit or in groups."""
    for hit in re.finditer(r"(?<![\w+])\+?\d(?: ?\d)*(?!\w)", text):
        number = hit.group()
        is_likely = number[0] in "+0" or number.count(" ") > 2 or re.search(r"\d{6}", number) is not None
        if sum(map(str.isdecimal, number)) >= _LEAST_PHONE and not _YEARS.fullmatch(number):
            before = text[max(hit.start() - _ANNOUNCED, 0) : hit.start()]
            if is_likely or _ANNOUNCEMENT.search(before):
                yield Match(*hit.span(), "phone")


def _fold(text: str) -> _Reading:
    """Return a text without case, accents and invisible characters; `ß` is `ss`."""
    folded: list[str] = []
    places: list[tuple[int, int]] = []
    for at, sign in enumerate(text):
        plain = "".join(
            part
            for part in unicodedata.normalize("NFKD", sign.casefold())
            if unicodedata.category(part) not in {"Mn", "Cf"}
        )
        folded.append(plain)
        places.extend([(at, at + 1)] * len(plain))
    return "".join(folded), places


def _find_names(text: str, names: Sequence[str]) -> Iterator[Match]:
    """Yield the places of names: all words of a name in its order, in any case, with or without accents."""
    if not names:
        return
    folded, places = _fold(text)
    for name in names:
        words = re.findall(r"\w+", _fold(re.sub("[äöüÄÖÜ]", lambda hit: f"{hit.group()}e", name))[0])
        # `Müller` is also written `Mueller` and, by programs that know no other letters, `Muller`.
        patterns = [re.sub("([aou])e", r"\1e?", word) for word in words]
        joint = r"(?:[\W_]+(?:ah|ahm|uh|um|er|hm)[\W_]+|[\W_]{1,5})"
        for hit in re.finditer(rf"(?<!\w){joint.join(patterns)}(?:['\u2019]?s)?(?!\w)", folded):
            yield Match(places[hit.start()][0], places[hit.end() - 1][1], "name")
