"""Plans: text, TOML and JSON forms, and the mistakes they catch."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.errors import BadPlan
from velum.plan import Plan, Rule, Video
from velum.spec import Option, PartSpec

names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
scalars = st.one_of(
    st.booleans(), st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12)
)
options = st.dictionaries(
    names,
    st.one_of(scalars, st.lists(scalars, max_size=3).map(tuple)),
    max_size=3,
)


@given(names, options)
def test_a_part_spec_round_trips_through_its_text_and_its_json(name: str, given_options: dict[str, Option]) -> None:
    use = PartSpec(name, given_options)
    assert PartSpec.parse(str(use)) == use
    assert PartSpec.from_json(json.loads(json.dumps(use.to_json()))) == use


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("face: centerface -> blacken", Rule("face", PartSpec("centerface"), PartSpec("blacken"))),
        ("  face :yunet->blur( degree = 0.5 )", Rule("face", PartSpec("yunet"), PartSpec("blur", {"degree": 0.5}))),
        (
            "license plate: m(min_side=8) -> pixelate(degree=1) with grow=0.3, shape=ellipse",
            Rule(
                "license plate",
                PartSpec("m", {"min_side": 8}),
                PartSpec("pixelate", {"degree": 1}),
                0.3,
                shape="ellipse",
            ),
        ),
        ("a: fixed(box=[1,2,3,4]) -> b", Rule("a", PartSpec("fixed", {"box": (1, 2, 3, 4)}), PartSpec("b"))),
        ("a: b(flag=true, word=auto) -> c", Rule("a", PartSpec("b", {"flag": True, "word": "auto"}), PartSpec("c"))),
    ],
)
def test_rules_as_people_write_them(text: str, rule: Rule) -> None:
    assert Rule.parse(text) == rule
    assert Rule.parse(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read rule"),
        ("face", "cannot read rule"),
        ("face: centerface", "cannot read rule"),
        (": centerface -> blur", "cannot read rule|label"),
        ("face: centerface -> blur(0.5)", "name=value"),
        ("face: centerface -> blur(degree=)", "name=value"),
        ("face: centerface -> blur(degree=1+1)", "plain value"),
        ("face: centerface -> blur(degree=open('x'))", "plain value"),
        ("face: centerface -> blur(**x)", "not allowed"),
        ("face: centerface -> blur(degree=1e999)", "finite"),
        ("face: centerface -> blur with grow=9", "from 0 to 5"),
        ("face: centerface -> blur with shape=star", "box, ellipse"),
        ("face: centerface -> blur with min_score=2", "from 0 to 1"),
        ("face: centerface -> blur with colour=red", "no colour"),
    ],
)
def test_a_wrong_rule_says_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        Rule.parse(text)


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        rule = Rule.parse(text)
    except BadPlan:
        return
    assert Rule.parse(str(rule)) == rule


def test_plan_round_trips_and_its_digest_does_not_depend_on_order() -> None:
    plan = Plan.of(
        "face: centerface(threshold=0.1, min_side=12) -> pixelate(degree=0.1)", metadata=("gps", "datetime"), quality=80
    )
    twin = Plan.of(
        "face: centerface(min_side=12, threshold=0.1) -> pixelate(degree=0.1)", metadata=("datetime", "gps"), quality=80
    )
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))).digest == plan.digest == twin.digest
    assert Plan.from_toml(plan.to_toml()) == plan
    assert plan.digest != Plan().digest


def test_video_settings_round_trip() -> None:
    plan = Plan(
        keep_out=(PartSpec("fixed", {"box": (0, 0, 9, 9)}),),
        video=Video(codec="libx264", crf=18, size="like-source", audio="drop", every=3, two_pass=True, smart=True),
    )
    assert Plan.from_toml(plan.to_toml()) == plan
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan.digest != Plan().digest


def test_the_default_plan_blackens_faces() -> None:
    assert [str(rule) for rule in Plan().rules] == ["face: centerface -> blacken"]
    assert Plan.from_toml("") == Plan()


def test_toml_can_have_rules_as_tables() -> None:
    text = '[[rules]]\nlabel = "face"\nlocate = "yunet"\nhide = {name = "blur", options = {degree = 0.9}}\ngrow = 0.5'
    assert Plan.from_toml(text).rules == (Rule("face", PartSpec("yunet"), PartSpec("blur", {"degree": 0.9}), grow=0.5),)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("rules = [", "not valid TOML"),
        ("rules = []", "at least one rule"),
        ("rules = 3", "must be a list"),
        ("rules = [3]", "neither a string nor an object"),
        ("rules = [{label='face', locate='a'}]", "lacks hide"),
        ("rules = [{label=3, locate='a', hide='b'}]", "label that is a string"),
        ("rules = [{label='face', locate='a', hide='b', why='c'}]", "no why"),
        ("rules = [{label='face', locate={name='a', options=3}, hide='b'}]", "must be an object"),
        ("metadata = ['maker']", "allowed are camera"),
        ("metadata = 'gps'", "list of names"),
        ("quality = 0", "from 1 to 100"),
        ("quality = true", "from 1 to 100"),
        ("keep_out = 'fixed'", "list of localizers"),
        ("video = 3", "must be an object"),
        ("video.every = 0", "video.every is 0"),
        ("video.audio = 'keep'", "allowed are copy, drop, silence, speech-mute"),
        ("video.track = 1", "true or false"),
        ("video.smart = 'yes'", "true or false"),
        ("video.codec = 'a b'", "must be a name"),
        ("video.crf = 99", "from 0 to 63"),
        ("video.size = 'small'", "video.size is 'small'; it must be like-source, or left out"),
        ("video.size = ['like-source']", "it must be like-source, or left out"),
        ("video.window_seconds = -1", "from 0 to 60"),
        ("effort = 'high'", "effort is 'high'; allowed are fast, balanced, thorough"),
        ("video.fps = 25", "video has no fps"),
        ("drop_members = '*.emf'", "must be a list of patterns"),
        ("copy_members = ['']", "must be a list of patterns"),
        ("pdf_pages = 'draw'", "pdf_pages is 'draw'; allowed are keep, render"),
        ("pdf_pages = 'render'\npdf_dpi = 700", "pdf_dpi is 700; it must be a whole number from 50 to 600"),
        ("pdf_pages = 'render'\npdf_dpi = true", "pdf_dpi is True; it must be a whole number"),
        ("pdf_dpi = 300", "pdf_dpi is 300, but no pages are rendered; add pdf_pages = render"),
        (
            "colour = 'red'",
            "no colour; allowed are copy_members, drop_members, effort, keep_out, metadata, pdf_dpi, pdf_pages, ",
        ),
    ],
)
def test_a_wrong_plan_says_what_is_allowed(toml: str, message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        Plan.from_toml(toml)


@pytest.mark.parametrize("text", ["rules = " + "[" * 5000, f"quality = {'9' * 5000}"])
def test_toml_beyond_the_limits_of_its_reader_is_a_bad_plan(text: str) -> None:
    with pytest.raises(BadPlan, match="not valid TOML"):
        Plan.from_toml(text)


@pytest.mark.parametrize("name", ["grow", "min_score"])
def test_a_number_too_large_for_a_float_is_a_bad_plan(name: str) -> None:
    with pytest.raises(BadPlan, match=name):
        Plan.from_json({"rules": [{"label": "a", "locate": "b", "hide": "c", name: 10**400}]})


@pytest.mark.parametrize("inner", ["[" * 3000, "(" * 300, "-" * 5000 + "1"])
def test_options_nested_too_deep_are_a_bad_plan(inner: str) -> None:
    with pytest.raises(BadPlan, match="options of"):
        PartSpec.parse(f"blur(degree={inner})")
