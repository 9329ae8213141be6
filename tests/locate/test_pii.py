"""Personal data is found in text, as people write it and as text recognition misreads it."""

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from velum.errors import BadPlan
from velum.locate.pii import HOST_START, IBAN_LENGTH, KINDS, compile_pattern, find, luhn, mod97, parse_kinds

DIGITS = st.text(string.digits, min_size=1, max_size=40)


def hits(text: str, kind: str, *, checked: bool = True) -> list[str]:
    return [text[one.start : one.end] for one in find(text, frozenset({kind})) if one.checked or not checked]


def iban(country: str, account: str) -> str:
    """Return the IBAN of that account, with its check digits as ISO 13616 computes them."""
    check = 98 - int("".join(str(int(sign, 36)) for sign in account + country + "00")) % 97
    return f"{country}{check:02}{account}"


def card(body: str) -> str:
    return next(body + digit for digit in string.digits if luhn(body + digit))


def grouped(text: str, size: int = 4) -> str:
    return " ".join(text[i : i + size] for i in range(0, len(text), size))


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("email", "write to anna.muster@example.com today", ["anna.muster@example.com"]),
        ("email", "a+b_c@mail.example.co.uk.", ["a+b_c@mail.example.co.uk"]),
        ("email", "anna . muster @ example , com", ["anna . muster @ example , com"]),  # spaces and comma misread
        ("email", "info\uff20example.org", ["info\uff20example.org"]),  # a wide sign
        ("email", "meet at example.com", []),
        ("iban", "IBAN DE89 3704 0044 0532 0130 00 at", ["DE89 3704 0044 0532 0130 00"]),
        ("iban", "IBANDE89370400440532013000", ["DE89370400440532013000"]),  # a space not read
        ("iban", "GB82 WEST 1234 5698 7654 32", ["GB82 WEST 1234 5698 7654 32"]),  # letters in the account
        ("iban", "FR14 2004 1010 0505 0001 3M02 606", ["FR14 2004 1010 0505 0001 3M02 606"]),
        ("iban", "DE89 37O4 0044 0532 0l30 00", ["DE89 37O4 0044 0532 0l30 00"]),  # O for 0, l for 1
        ("iban", "0E89 3704 0044 0532 0130 00", []),  # no such country
        ("iban", "DE89 3704 0044", []),  # too short
        ("card", "4111 1111 1111 1111", ["4111 1111 1111 1111"]),
        ("card", "4111-1111-1111-1111 12/27", ["4111-1111-1111-1111"]),  # an expiry date follows
        ("card", "3782 822463 10005", ["3782 822463 10005"]),  # 15 digits, grouped otherwise
        ("card", "4l1I 1111 1111 1111", ["4l1I 1111 1111 1111"]),
        ("card", "4111 1111 1111 1112", []),  # wrong check digit
        ("phone", "Tel: +49 (0) 151 2345 6789", ["+49 (0) 151 2345 6789"]),
        ("phone", "030 / 123 45 67", ["030 / 123 45 67"]),
        ("phone", "(212) 555-0199", ["(212) 555-0199"]),
        ("phone", "call 555-867-5309 now", ["555-867-5309"]),
        ("phone", "Tel. 8675309", ["8675309"]),  # only since it is announced
        ("phone", "+49 151 2345 67O9", ["+49 151 2345 67O9"]),
        ("phone", "invoice 8675309", []),
        ("phone", "01.02.2024", []),  # a date
        ("plate", "B-MW 1234", ["B-MW 1234"]),  # DE
        ("plate", "the AB12 CDE drove", ["AB12 CDE"]),  # GB
        ("plate", "AB-123-CD", ["AB-123-CD"]),  # FR, IT
        ("plate", "1234 BCD", ["1234 BCD"]),  # ES
        ("plate", "7ABC123", ["7ABC123"]),  # US
        ("plate", "MH 12 AB 1234", ["MH 12 AB 1234"]),  # IN
        ("plate", "ABC1D23", ["ABC1D23"]),  # BR
        ("plate", "COVID19 HELLO 2024 12345", []),
        ("ip", "host 192.168.0.1 up", ["192.168.0.1"]),
        ("ip", "192,168.0.l", ["192,168.0.l"]),
        ("ip", "fe80::1", ["fe80::1"]),
        ("ip", "300.168.0.1 12:30:15", []),
        ("url", "see www.example.com/a?b=c now", ["www.example.com/a?b=c"]),
        ("url", "https://example.org", ["https://example.org"]),
        ("url", "example.de", ["example.de"]),
        ("url", "..example.de, -sub.example.com", ["example.de", "-sub.example.com"]),
        ("url", "-www.example.com/a?b", ["-www.example.com/a?b"]),
        ("url", "end. Next", []),
        ("date", "born 12.03.1984 in", ["12.03.1984"]),
        ("date", "1984-03-12", ["1984-03-12"]),
        ("date", "Jan 5, 2021", ["Jan 5, 2021"]),
        ("date", "5. März 2021", ["5. März 2021"]),
        ("date", "3rd of 12", []),
        ("mac", "eth0 00:1B:44:11:3a:B7 up", ["00:1B:44:11:3a:B7"]),
        ("mac", "00-1B-44-11-3A-B7", ["00-1B-44-11-3A-B7"]),
        ("mac", "0O:1B:44:l1:3A:B7", ["0O:1B:44:l1:3A:B7"]),  # O for 0, l for 1
        ("mac", "port 001b.4411.3ab7", ["001b.4411.3ab7"]),  # as switches write it
        ("mac", "at 12:30:15", []),
        ("mac", "fe80:0000:0000:0000:0202:b3ff:fe1e:8329", []),
        ("gps", "52.52000, 13.40495", ["52.52000, 13.40495"]),
        ("gps", "GPS -33.8688 151.2093", ["-33.8688 151.2093"]),
        ("gps", "52°31'12.0\"N 13°24'17.8\"E", ["52°31'12.0\"N", "13°24'17.8\"E"]),
        ("gps", "N 52° 31.200'", ["N 52° 31.200'"]),
        ("gps", "N52.5200 E13.4050", ["N52.5200", "E13.4050"]),
        ("gps", "geo:52.52,13.405;u=10", ["geo:52.52,13.405;u=10"]),
        ("gps", "at 9F4MGC22+22 or 6GCR+CX", ["9F4MGC22+22", "6GCR+CX"]),
        ("gps", "lat: 52.52 lon: 13.40", ["lat: 52.52", "lon: 13.40"]),
        ("gps", "20° outside, 3.14 and 1 + 1", []),
        ("mrz", "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", ["P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<"]),
        ("mrz", "L898902C36UTO7408122F1204159ZE184226B<<<<<10", ["L898902C36UTO7408122F1204159ZE184226B<<<<<10"]),
        ("mrz", "I<UTOD231458907<<<<<<<<<<<<<<<", ["I<UTOD231458907<<<<<<<<<<<<<<<"]),
        ("mrz", "P<UTOERIKSSON«ANNA(MARIA<<<<<<<<<<<<<<<<<<<", ["P<UTOERIKSSON«ANNA(MARIA<<<<<<<<<<<<<<<<<<<"]),
        ("mrz", "L898902C37UTO7408122F1204159ZE184226B<<<<<10", []),  # a wrong check digit
        ("mrz", "A LONG LINE IN CAPITAL LETTERS WITHOUT ANY FILLER", []),
        ("secret", "export AWS_KEY=AKIAIOSFODNN7EXAMPLE", ["AKIAIOSFODNN7EXAMPLE"]),
        ("secret", "token ghp_abcdefghij1234567890ABCDEFGHIJ123456", ["ghp_abcdefghij1234567890ABCDEFGHIJ123456"]),
        ("secret", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]),
        ("secret", "Authorization: Bearer abc.def-123", ["abc.def-123"]),
        ("secret", "Passwort: Sommer2026!", ["Sommer2026!"]),
        ("secret", "DB_PASSWORD='hunter2'", ["hunter2"]),
        ("secret", "-----BEGIN OPENSSH PRIVATE KEY-----", ["-----BEGIN OPENSSH PRIVATE KEY-----"]),
        ("secret", "commit 9fceb02d0ae598e95dc970b74767f19372d61af8", ["9fceb02d0ae598e95dc970b74767f19372d61af8"]),
        ("secret", "Donaudampfschifffahrtsgesellschaft is a word", []),
        ("secret", "the passenger is here; InternationalizationOfApplications", []),
    ],
)
def test_every_kind_is_found_in_texts_as_people_write_them(kind: str, text: str, expected: list[str]) -> None:
    assert hits(text, kind) == expected


@given(st.sampled_from(sorted(IBAN_LENGTH)), st.data())
def test_every_valid_iban_is_found_however_it_is_written(country: str, data: st.DataObject) -> None:
    length = IBAN_LENGTH[country] - 4
    account = data.draw(st.text(string.digits, min_size=length, max_size=length))
    number = iban(country, account)
    assert mod97(number) == 1
    # Within one there may be what is another by chance: digits are also read as the letters they resemble.
    assert number in hits(f"x {number}, y", "iban")
    assert grouped(number) in hits(grouped(number), "iban")
    misread = number[:2] + number[2:].replace("0", "O").replace("1", "l").replace("5", "S")
    assert grouped(misread) in hits(grouped(misread), "iban")


@given(st.text(string.digits, min_size=18, max_size=18), st.integers(4, 21), st.integers(1, 9))
def test_iban_with_one_wrong_digit_is_found_but_not_as_checked(account: str, place: int, step: int) -> None:
    number = iban("DE", account)
    wrong = number[:place] + str((int(number[place]) + step) % 10) + number[place + 1 :]
    assert mod97(wrong) != 1, "ISO 7064 finds every single wrong digit"
    assert hits(wrong, "iban") == []
    assert hits(wrong, "iban", checked=False) == [wrong]


@given(DIGITS, st.integers(0, 39), st.integers(1, 9))
@example("411111111111111", 3, 1)
def test_the_luhn_check_detects_every_single_wrong_digit(body: str, place: int, step: int) -> None:
    number = card(body)
    assert luhn(number)
    assert sum(luhn(body + digit) for digit in string.digits) == 1
    place %= len(number)
    assert not luhn(number[:place] + str((int(number[place]) + step) % 10) + number[place + 1 :])


@given(st.text(string.digits, min_size=11, max_size=17), st.sampled_from("23456"))
def test_every_valid_card_number_is_found(body: str, first: str) -> None:
    number = card(first + body)
    assert any(number.startswith(hit) or hit == number for hit in hits(number, "card"))
    assert any(grouped(number).startswith(hit) for hit in hits(grouped(number), "card"))


@given(st.text(max_size=60))
def test_matches_lie_inside_any_text(text: str) -> None:
    for one in find(text, frozenset(KINDS), re.compile(r"\w+")):
        assert 0 <= one.start < one.end <= len(text)


def test_a_regex_ignores_case() -> None:
    assert [(one.start, one.end, one.kind) for one in find("Dear ANNA", frozenset(), compile_pattern("anna"))] == [
        (5, 9, "regex")
    ]


def test_kinds_and_regex_are_parsed_or_refused() -> None:
    assert parse_kinds("email| IBAN") == {"email", "iban"}
    assert parse_kinds("") == frozenset()
    assert compile_pattern("") is None
    with pytest.raises(BadPlan, match=r"names ssn; it must be of email, iban"):
        parse_kinds("email|ssn")
    with pytest.raises(BadPlan, match="regex of text"):
        compile_pattern("(")


def test_a_text_of_many_dots_is_searched_from_one_place() -> None:
    text = "a." * 5000
    assert len(re.findall(HOST_START, text)) == 1
    assert find(text, frozenset({"url"})) == []
