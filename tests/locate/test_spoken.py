"""What is said is found in transcripts, however it is written there."""

import pytest

from velum.errors import BadPlan
from velum.locate.spoken import SpokenRule, count_name_parts, find_spoken

EVERYTHING = SpokenRule.of("text(match='phone|card|iban|email|url', names='Jane Müller|Roe')")


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("call 0171 2345678 now", "phone", "0171 2345678"),
        ("ruf null eins sieben eins, zwo äh fünf sechs an", "phone", "null eins sieben eins, zwo äh fünf sechs"),
        ("at oh one seven one double five three two", "phone", "oh one seven one double five three two"),
        ("plus four nine one seven one two three", "phone", "plus four nine one seven one two three"),
        ("my number is twenty three 45 sixty seven 89 okay", "phone", "twenty three 45 sixty seven 89"),
        ("ruf null achthundert dreiundzwanzig 45 an", "phone", "null achthundert dreiundzwanzig 45"),
        ("zéro six un deux trois quatre cinq", "phone", "zéro six un deux trois quatre cinq"),
        ("0-1-7-1. 2, 3, 4, 5, 6, 7", "phone", "0-1-7-1. 2, 3, 4, 5, 6, 7"),
        ("card 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 yes", "card", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"),
        ("card 4111-1111, 1111 1111", "card", "4111-1111, 1111 1111"),
        ("D E 8 9 3 7 0 4 0 0 4 4 0 5 3 2 0 1 3 0 0 0 okay", "iban", "D E 8 9 3 7 0 4 0 0 4 4 0 5 3 2 0 1 3 0 0 0"),
        ("write to jane dot roe at example dot com please", "email", "jane dot roe at example dot com"),
        ("an jane minus roe ät example punkt de", "email", "jane minus roe ät example punkt de"),
        ("see example dot com", "url", "example dot com"),
        ("das war jane mueller gestern", "name", "jane mueller"),
        ("JANE, äh, MULLER war da", "name", "JANE, äh, MULLER"),
        ("Roes Hund", "name", "Roes"),
        ("J\u00adane Mu\u0308ller", "name", "J\u00adane Mu\u0308ller"),
    ],
)  # fmt: skip
def test_what_is_said_is_found(text: str, kind: str, said: str) -> None:
    assert said in [text[match.start : match.end] for match in find_spoken(text, EVERYTHING) if match.kind == kind]


@pytest.mark.parametrize(
    "text",
    [
        "we have one or two apples, three pears and four of five",
        "das war 2019, 2020, 2021 und 2022",
        "in 1, 2, 3 steps, and one more",
        "so look at Iceland is lost in Bosnia or so solo Oslo Zoo",
        "Janet Miller and Roemer",
    ],
)
def test_other_talk_stays(text: str) -> None:
    assert find_spoken(text, EVERYTHING) == []


def test_a_number_is_one_match_in_long_talk() -> None:
    text = "bla " * 2000 + "null eins sieben eins zwo drei vier fünf sechs " + "bla " * 2000
    (match,) = find_spoken(text, EVERYTHING)
    assert text[match.start : match.end] == "null eins sieben eins zwo drei vier fünf sechs"


def test_parts_of_names_that_stay_are_counted() -> None:
    text = "Jane Müller and Jane and Mister Muller"
    assert count_name_parts(text, EVERYTHING, find_spoken(text, EVERYTHING)) == 2


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("text(match='phones')", "phones"),
        ("text()", "nothing to mute"),
        ("text(match=3)", "write kinds"),
        ("text(label='x')", "write kinds"),
        ("blur", "write kinds"),
        ("text(names='x')", "two letters"),
        ("text(regex='(')", "cannot compile"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule: str, message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        SpokenRule.of(rule)
