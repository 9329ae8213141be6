"""Find personal data in a line of text: addresses, numbers, plates, dates, places, passports and credentials.

Text that was read from images has errors. The matchers allow for the usual ones: a letter for the digit that looks like
it (O for 0, l for 1), spaces within a number or around an @, a comma for a full stop. A miss is worse than a false
match.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from velum.errors import BadPlan
from velum.locate.credentials import secrets


@dataclass(frozen=True, slots=True)
class Match:
    """The characters from `start` to before `end`. `checked` is False when a number's check digits contradict it."""

    start: int
    end: int
    kind: str
    checked: bool = True


_DIGIT = str.maketrans("OoQDIl|!iZzSsBGbT", "00001111122558667")
"""Letters and signs that readers write for digits."""

_LETTER = str.maketrans("0158", "OISB")

# Wide forms to plain ones, character by character, so that places stay the same.
_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | str.maketrans(
    "\u3000\xa0\u2010\u2011\u2012\u2013\u2014\u2212\u3002\u00ae\u00a9\u2018\u2019\u2032\u00b4\u201d\u2033\u2039",
    "  ------.@@''''\"\"<",
)

# A digit, or what is read for one.
_D = r"[0-9OoQDIl|ZSB]"

_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}

IBAN_LENGTH = {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()}
"""Country -> characters of an IBAN, from the registry of ISO 13616 that SWIFT keeps."""


def mod97(compact: str) -> int:
    """Return the remainder of an IBAN without spaces, in capitals; 1 when its check digits are right (ISO 13616).

    >>> mod97("GB82WEST12345698765432")
    1
    """
    return int("".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])) % 97


def luhn(digits: str) -> bool:
    """Tell whether the last of the digits is the right check digit (ISO/IEC 7812-1, annex B).

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def find(text: str, kinds: frozenset[str], pattern: re.Pattern[str] | None = None) -> list[Match]:
    """Return the matches of the kinds and of the pattern, sorted by position. Matches can overlap."""
    plain = text.translate(_PLAIN)
    matches = [match for kind in kinds for match in KINDS[kind](plain)]
    if pattern is not None:
        matches += [Match(*hit.span(), "regex") for hit in pattern.finditer(text) if hit.group()]
    return sorted(matches, key=lambda match: (match.start, match.end, match.kind))


def parse_kinds(match: str) -> frozenset[str]:
    """Parse kinds separated by `|`. Raises `BadPlan` for an unknown one, with the known ones."""
    kinds = frozenset(name.strip().lower() for name in match.split("|") if name.strip())
    if unknown := sorted(kinds - KINDS.keys()):
        raise BadPlan(
            f"match of text names {', '.join(unknown)}; it must be of {', '.join(KINDS)}, several separated by |; "
            "for anything else give regex"
        )
    return kinds


def compile_pattern(regex: str) -> re.Pattern[str] | None:
    """Compile a regular expression that ignores case; None for an empty one. Raises `BadPlan` for an invalid one."""
    try:
        return re.compile(regex, re.IGNORECASE) if regex else None
    except re.error as error:
        raise BadPlan(f"regex of text is {regex!r}, which Python cannot compile: {error}") from error


def _everywhere(kind: str, pattern: str, flags: int = 0) -> Callable[[str], Iterator[Match]]:
    expression = re.compile(pattern, flags)
    return lambda text: (Match(*hit.span(), kind) for hit in expression.finditer(text))


_WORD = r"[\w+%'-]"
_EMAIL = rf"{_WORD}+(?: ?\. ?{_WORD}+|\.)* ?@ ?[\w-]+(?: ?[.,] ?[\w-]+)*"
HOST_START = r"(?<![\w-])(?<![\w-]\.)"
"""Where the name of a host may begin: not within one, or a text of thousands of dots takes quadratic time."""

_URL = (
    r"\b(?:https?|ftp) ?: ?/ ?/ ?\S+|(?<!-)-*\bwww ?[.,] ?[\w-]+\S*(?: ?[.,] ?\w{2,}[\w-]*(?:\.[\w-]+)*)?|"
    + HOST_START
    + r"[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|info|edu|gov|biz|app|dev|shop|online|io|eu|[a-z]{2})\b(?:/\S*)?"
)
_MONTH = (
    r"(?:jan|feb|f[eé]v|m[aäà]r|apr|avr|abr|ma[iy]|jun|juin|jul|juil|"
    r"aug|ao[uû]|ago|sep|set|o[ck]t|ott|nov|d[eéi][cz])\w*"
)
_DAY = rf"{_D}{{1,2}}(?:st|nd|rd|th|\.)?"
_DATE = (
    rf"(?<!\w)(?:{_D}{{1,2}} ?([./-]) ?{_D}{{1,2}} ?\1 ?{_D}{{2}}(?:{_D}{{2}})?|"
    rf"{_D}{{4}} ?([./-]) ?{_D}{{1,2}} ?\2 ?{_D}{{1,2}}|"
    rf"{_DAY} ?{_MONTH}\.?,? ?{_D}{{2,4}}|{_MONTH}\.? ?{_DAY},? ?{_D}{{4}})(?!\w)"
)


def _ibans(text: str) -> Iterator[Match]:
    for hit in re.finditer(r"(?:(?<![A-Za-z0-9])|(?<=IBAN))[A-Za-z0158]{2} ?" + _D * 2, text):
        country = hit.group()[:2].upper().translate(_LETTER)
        length = IBAN_LENGTH.get(country, 0)
        body = re.compile(rf"(?:[ .:-]{{0,2}}[A-Za-z0-9|!]){{{length - 4}}}").match(text, hit.end()) if length else None
        if body:
            number = country + re.sub(r"[ .:-]", "", hit.group()[2:] + body.group())
            yield Match(hit.start(), body.end(), "iban", _iban_checks(number))


def _iban_checks(number: str) -> bool:
    """Tell whether the check digits are right, with letters read as digits from some place on or not at all."""
    head = number[:2] + number[2:4].translate(_DIGIT)
    readings = {head + number[4:keep] + number[keep:].translate(_DIGIT) for keep in (4, 5, 6, 8, len(number))}
    return any(mod97(reading) == 1 for reading in map(str.upper, readings) if reading.isalnum() and reading.isascii())


def _cards(text: str) -> Iterator[Match]:
    """Yield runs of 13 to 19 digits (ISO/IEC 7812-1), with single signs between, that begin and end with a group.

    What follows, such as an expiry date, may look as if it belonged to the number: every end of a group is tried.
    """
    for run in re.finditer(rf"(?<![0-9])[2-6](?:[ .-]?{_D}){{12,}}", text):
        ends = [run.start() + at.end() for at in re.finditer(rf"{_D}(?!{_D})", run.group())]
        sized = [(end, re.sub(r"[ .-]", "", text[run.start() : end]).translate(_DIGIT)) for end in ends]
        likely = [(end, digits) for end, digits in sized if 13 <= len(digits) <= 19]
        right = [end for end, digits in likely if luhn(digits)]
        if likely:
            yield Match(run.start(), max(right) if right else likely[-1][0], "card", bool(right))


def _phones(text: str) -> Iterator[Match]:
    """Yield numbers of 7 to 15 digits (ITU-T E.164) that begin, are grouped or are announced as phone numbers are."""
    for hit in re.finditer(rf"(?<![\w.,])(?:\+|\()? ?[0-9O](?:[ ./()-]{{0,3}}{_D}){{5,}}(?![\w@])", text):
        number = hit.group()
        digits = re.sub(r"\D", "", number.translate(_DIGIT))
        begins = number[0] in "+(" or number[0] in "0O"
        grouped = re.fullmatch(r"1?[ .-]?\d{3}[ .-]\d{3,4}[ .-]\d{4}", number.translate(_DIGIT))
        announced = re.search(r"(?i)(?:tel|phone|fon|mobil|cell|handy|fax|call)\w*[ .:]{0,3}$", text[: hit.start()])
        if 7 <= len(digits) <= 15 and (begins or grouped or announced) and not re.fullmatch(_DATE, number):
            yield Match(*hit.span(), "phone")


def _plates(text: str) -> Iterator[Match]:
    """Yield text that has the form of a registration plate of any country.

    4 to 10 capitals and digits, of both kinds, in up to four groups, runs of at most 3 letters and 5 digits: so are
    those of Europe, America, India and Australia. Other short codes are as well, and are found too.
    """
    for hit in re.finditer(r"(?<![\w])[A-ZÄÖÜ0-9]{1,7}(?:[ .:·•|-]{1,2}[A-ZÄÖÜ0-9]{1,5}){0,3}(?!\w)", text):
        groups = [(hit.start() + at.start(), hit.start() + at.end()) for at in re.finditer(r"[^\W_]+", hit.group())]
        yield from _plates_of(text, groups)


def _plates_of(text: str, groups: list[tuple[int, int]]) -> Iterator[Match]:
    """Yield the longest plates that whole groups of characters make, from left to right."""
    first = 0
    while first < len(groups):
        for last in range(len(groups), first, -1):
            code = "".join(text[start:end] for start, end in groups[first:last])
            if 4 <= len(code) <= 10 and re.search(r"\d", code) and not re.search(r"[^\W\d]{4}|\d{6}|^\d+$", code):
                yield Match(groups[first][0], groups[last - 1][1], "plate")
                first = last - 1
                break
        first += 1


def _addresses(text: str) -> Iterator[Match]:
    """Yield addresses of the Internet Protocol, version 4 with commas for full stops too, and version 6."""
    for hit in re.finditer(rf"(?<![\w.]){_D}{{1,3}}(?: ?[.,] ?{_D}{{1,3}}){{3}}(?![\w])", text):
        if _is_address(re.sub(" ", "", hit.group()).replace(",", ".").translate(_DIGIT)):
            yield Match(*hit.span(), "ip")
    for hit in re.finditer(r"(?i)(?<![\w:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", text):
        if _is_address(hit.group()):
            yield Match(*hit.span(), "ip")


def _is_address(text: str) -> bool:
    parts = text.split(".")
    if len(parts) == 4:
        return all(int(part) < 256 for part in parts)
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_HEX = r"[0-9A-Fa-fOoQDIlSZ]"
_MAC = (
    rf"(?<![\w:-]){_HEX}{{2}} ?([:-]) ?{_HEX}{{2}}(?: ?\1 ?{_HEX}{{2}}){{4}}(?:(?: ?\1 ?{_HEX}{{2}}){{2}})?(?![\w:-])"
    rf"|(?<![\w.]){_HEX}{{4}}\.{_HEX}{{4}}\.{_HEX}{{4}}(?![\w.])"
)
"""Addresses of network devices, of 48 and 64 bits (IEEE 802), in pairs of digits or, as on switches, in fours."""

_SIDE = r"(?:[NSEWO]|Nord|Süd|Ost|West|North|South|East)"
_MINUTES = rf"(?:{_D}{{1,2}}(?:[.,]{_D}+)? ?' ?)?(?:{_D}{{1,2}}(?:[.,]{_D}+)? ?(?:\"|'{{2}}) ?)?"
_ANGLE = rf"(?:{_D}{{1,3}} ?[°º˚] ?{_MINUTES}|{_D}{{1,3}}[.,]{_D}{{2,}} ?[°º˚]? ?)"
_DEGREES = r"[+-]?\d{1,3}\.\d{3,}"
_CODE = "[23456789CFGHJMPQRVWX]"
_PLACE = (
    rf"(?<![\w.]){_SIDE}? ?{_ANGLE}{_SIDE}(?!\w)|(?<![\w.]){_SIDE} ?{_ANGLE}(?!\w)|{_D}{{1,3}}[°º˚] ?{_D}{{1,2}} ?'"
    rf"|(?<![\w.]){_DEGREES}\s?[,;/ ]\s?{_DEGREES}(?![\w.])|(?<!\w)geo:\S+|(?<!\w){_CODE}{{4,8}}\+{_CODE}{{2,3}}(?!\w)"
    rf"|(?<!\w)(?:lat|lon|lng|breite|länge)[\w ]{{0,9}}[:=]? ?[+-]?{_D}{{1,3}}[.,]{_D}{{2,}}"
)
"""Coordinates with degrees or decimals, URIs of RFC 5870, and plus codes (the specification of Open Location Code)."""


def _machine_readable(text: str) -> Iterator[Match]:
    """Yield lines of the machine readable zone of passports and cards: 30, 36 or 44 signs (ICAO Doc 9303).

    `checked` is False only for a second line whose document number contradicts its check digit. The filler `<` may have
    been read as another sign.
    """
    for hit in re.finditer(r"(?<!\w)[A-Z0-9][A-Z0-9<«({\[ ]{26,60}(?!\w)", text):
        line = re.sub(r"[({\[]", "<", hit.group().replace("«", "<<")).replace(" ", "")
        if 28 <= len(line) <= 46 and line.count("<") > 2:
            is_second = re.match(r"[A-Z0-9<]{9}\d[A-Z]{3}\d{6}", line)
            numbers = {line[:9], line[:9].translate(_DIGIT)}
            yield Match(*hit.span(), "mrz", not is_second or line[9] in map(_check_digit, numbers))


def _check_digit(signs: str) -> str:
    """Return the check digit of ICAO Doc 9303, part 3: weights 7, 3, 1; letters count from 10, `<` is 0.

    >>> _check_digit("L898902C3")
    '6'
    """
    values = [
        0 if sign == "<" else int(sign, 36) for sign in signs if sign == "<" or (sign.isascii() and sign.isalnum())
    ]
    return str(sum(value * (7, 3, 1)[place % 3] for place, value in enumerate(values)) % 10)


KINDS: dict[str, Callable[[str], Iterator[Match]]] = {
    "email": _everywhere("email", _EMAIL),
    "iban": _ibans,
    "phone": _phones,
    "plate": _plates,
    "card": _cards,
    "ip": _addresses,
    "url": _everywhere("url", _URL, re.IGNORECASE),
    "date": _everywhere("date", _DATE, re.IGNORECASE),
    "gps": _everywhere("gps", _PLACE, re.IGNORECASE),
    "mac": _everywhere("mac", _MAC),
    "mrz": _machine_readable,
    "secret": lambda text: (Match(*span, "secret") for span in secrets(text)),
}
"""Kind, as the option `match` names it -> its matcher."""
