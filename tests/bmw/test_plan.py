"""Entries become a plan: the chosen address and technique, and the text of each error."""

import pytest

from velum.bmw.available_methods import AvailableMethods, RemoteModel
from velum.bmw.plan import ParsedRequest, Refusal, order
from velum.bmw.schema import RequestRefused
from velum.bmw.techniques import ListedTechnique
from velum.bmw.wire import Entry
from velum.service.admission import OWN_MODELS

A, B, C = "http://a/", "http://b/", "http://c/"
TECHNIQUES = [
    ListedTechnique("blackening", "blacken"),
    ListedTechnique("pixelating", "pixelate"),
    ListedTechnique("blurring", "blur"),
    ListedTechnique("swap", "swap", frozenset({"face"})),
]


def methods(**served: str) -> AvailableMethods:
    """`a="y x"`: address A has the models y and x, each of which detects persons."""
    of = {"a": A, "b": B, "c": C}
    listed = [(of[name], [RemoteModel(model, "detection", ("person",)) for model in models.split()])
              for name, models in served.items()]  # fmt: skip
    return AvailableMethods.of(listed, TECHNIQUES)


KNOWN = AvailableMethods.of(
    [
        (A, [RemoteModel("yolo", "detection", ("person", "car"))]),
        (B, [RemoteModel("seg", "segmentation", ("person", "background"))]),
        (OWN_MODELS, [RemoteModel("centerface", "detection", ("face",))]),
    ],
    TECHNIQUES,
)
PERSON = Entry("person", "yolo", "detection", "blurring", 1.0)


def changed(**changes: object) -> Entry:
    return Entry(**{name: changes.get(name, getattr(PERSON, name)) for name in PERSON.__slots__})  # type: ignore[arg-type]


ERRORS = [
    ("E1: a kind that nothing serves, before all else", changed(kind="classification", label="x"),
     "The model type <classification> in sensitive info <1> is not supported."),
    ("E1: an address that is no text", changed(url=[1]),
     "The model type <detection> in sensitive info <1> is not supported."),
    ("E2", changed(label="Person"), "The label <Person> in the sensitive info <1> is not supported."),
    ("E3", changed(label="background"),
     "The label <background> in the sensitive info <1> is not supported by a detection api."),
    ("E4", changed(url="http://a"), "the url <http://a> does not belong to the list of urls supported"),
    ("E4: an address that lacks the label", changed(label="car", url=B),
     "the url <http://b/> does not belong to the list of urls supported"),
    ("E5", changed(url=A, model="x"),
     "The model <x> in sensitive info <1> is not available in the detection url : <http://a/> for the label <person>."),
    ("E6", changed(model="x"),
     "The model <x> in sensitive info <1> is not available in the detection for label  <person>"),
    ("E7", changed(technique="zap"),
     "The technique <zap> is not supported for the label <person> in sensitive info <1>."),
    ("E7: a technique for another label", changed(technique="swap", url=A),
     "The technique <swap> is not supported for the label <person> in sensitive info <1>."),
]  # fmt: skip


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("entry", "text"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_refuses_an_impossible_entry_with_the_text_of_the_original(entry: Entry, text: str, *, strict: bool) -> None:
    """The original writes the angle brackets, too: clients compare the whole text."""
    assert order([entry], KNOWN, strict=strict) == Refusal((text,))


def test_reports_all_errors_in_the_order_of_the_entries() -> None:
    refusal = order([changed(label="x"), PERSON, changed(technique="zap")], KNOWN, strict=False)
    assert isinstance(refusal, Refusal)
    assert [error.split()[1] for error in refusal.errors] == ["label", "technique"]
    assert "sensitive info <3>" in refusal.errors[1]


LATER = [
    ("a label that is no text", changed(label=3), "The model type <detection> in sensitive info <2> is not supported."),
    ("a model that is no text", changed(model=None),
     "The model type <detection> in sensitive info <2> is not supported."),
    ("of an unknown label", changed(model=None, label="x"),
     "The label <x> in the sensitive info <2> is not supported."),
    ("with another mistake elsewhere", changed(degree=None, technique="zap"),
     "The technique <zap> is not supported for the label <person> in sensitive info <2>."),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "text"), [row[1:] for row in LATER], ids=[row[0] for row in LATER])
def test_reports_wrong_types_in_later_entries_as_the_original(entry: Entry, text: str) -> None:
    assert order([PERSON, entry], KNOWN, strict=True) == Refusal((text,))


@pytest.mark.parametrize("later", [[], [changed(label="x")]], ids=["alone", "before another mistake"])
@pytest.mark.parametrize("video", [True, False])
def test_an_invalid_degree_is_an_unexpected_error(later: list[Entry], *, video: bool) -> None:
    with pytest.raises(RequestRefused, match="^unexpected server error$"):
        order([PERSON, changed(degree=None), *later], KNOWN, strict=True, video=video)


def test_an_error_of_an_earlier_entry_comes_before_an_invalid_degree() -> None:
    text = "The label <x> in the sensitive info <1> is not supported."
    assert order([changed(label="x"), changed(degree=None)], KNOWN, strict=True) == Refusal((text,))


KIND, LABEL, ZAP = changed(kind="classification"), changed(label="x"), changed(technique="zap")
VIDEOS = [
    ("the first alone", [LABEL, ZAP], [1]),
    ("after a good one", [PERSON, ZAP, LABEL], [2]),
    ("an unknown kind does not stop it", [KIND, LABEL, ZAP], [1, 2]),
    ("nor do several", [KIND, KIND, LABEL, ZAP], [1, 2, 3]),
    ("a good one after them does", [KIND, PERSON, ZAP], [1]),
    ("after a good one it does", [PERSON, KIND, ZAP], [2]),
    ("after another it is not reached", [LABEL, KIND], [1]),
]


@pytest.mark.parametrize(("entries", "told"), [row[1:] for row in VIDEOS], ids=[row[0] for row in VIDEOS])
def test_a_video_reports_the_errors_at_which_the_original_stops(entries: list[Entry], told: list[int]) -> None:
    def numbers(*, strict: bool, video: bool) -> list[int]:
        refusal = order(entries, KNOWN, strict=strict, video=video)
        assert isinstance(refusal, Refusal)
        return [int(error.split("sensitive info <")[1][0]) for error in refusal.errors]

    assert numbers(strict=True, video=True) == told
    everything = [i for i, entry in enumerate(entries, 1) if entry != PERSON]
    assert numbers(strict=True, video=False) == numbers(strict=False, video=True) == everything


CHOICES = [
    ("equal ones", methods(a="y", b="y"), A, A),
    ("the last has more", methods(a="y", b="y x"), A, B),
    ("the last has less", methods(a="y x", b="y"), A, B),
    ("one of them does not have it", methods(a="y", b="x", c="y"), A, A),
    ("the first does not have it", methods(a="x", b="y"), B, B),
]


@pytest.mark.parametrize(("known", "first", "strict"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES])
def test_chooses_an_address_when_the_entry_names_none(known: AvailableMethods, first: str, strict: str) -> None:
    for expected, how in ((first, False), (strict, True)):
        made = order([changed(model="y")], known, strict=how)
        assert isinstance(made, ParsedRequest)
        assert made.plan.rules[0].locate.options["url"] == expected


def test_makes_a_rule_with_localizer_and_technique_of_each_entry() -> None:
    face = Entry("face", "centerface", "detection", "swap", 1)
    made = order([PERSON, face, changed(kind="segmentation", model="seg", technique="blackening")], KNOWN, strict=False)
    assert isinstance(made, ParsedRequest)
    assert set(map(str, made.plan.rules)) == {
        "=person: asked(kind='detection', model='yolo', url='http://a/') -> blur(degree=1.0, per_object=1) with grow=0",
        "face: centerface -> swap(degree=1.0)",
        "=person: asked(kind='segmentation', model='seg', url='http://b/') -> blacken(degree=1.0) with grow=0",
    }
    assert made.services == {A, B, OWN_MODELS}


def test_equal_entries_share_one_rule_and_one_failure() -> None:
    made = order([PERSON, changed(label="car"), PERSON], KNOWN, strict=False)
    assert isinstance(made, ParsedRequest)
    assert len(made.plan.rules) == 2
    # The original blurs for each of them, and what it blurs twice shows less.
    assert {str(rule.hide) for rule in made.plan.rules} == {
        "blur(degree=1.0, per_object=2)", "blur(degree=1.0, per_object=1)",
    }  # fmt: skip
    (use,) = {rule.locate for rule in made.plan.rules}
    assert [error.split("info <")[1][0] for error in made.refuse_localizers(frozenset({use})).errors] == ["1", "2", "3"]


def test_a_strong_technique_wins_over_a_weak_one() -> None:
    degrees = [("blurring", 0.0), ("blackening", 0.5), ("blurring", 0.2), ("pixelating", 1.0), ("blackening", 1.0)]
    made = order([changed(technique=name, degree=degree) for name, degree in degrees], KNOWN, strict=False)
    assert isinstance(made, ParsedRequest)
    assert [str(rule.hide) for rule in made.plan.rules] == [
        "blacken(degree=1.0)", "pixelate(degree=1.0)", "blur(degree=0.2, per_object=1)",
        "blacken(degree=0.5, per_object=1)", "blur(degree=0.0)",
    ]  # fmt: skip
