"""Configurations: which are accepted, and the exact text for the others."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.bmw import wire
from velum.bmw.schema import MOST_BYTES, MOST_ENTRIES, RequestRefused, read_configuration
from velum.errors import LimitExceeded

GOOD: dict[str, Any] = {
    "model_name": "yolo", "class_name": "person", "anonymization_technique": "Blurring", "inference_type": "DETECTION",
    "anonymization_degree": 0.5, "url": "http://a:80/",
}  # fmt: skip
PREFIX = "Invalid model configuration: "


def dumped(*entries: Any) -> bytes:
    return json.dumps({"sensitive_info": list(entries)}).encode()


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def test_folds_the_case_of_kinds_and_techniques_only() -> None:
    entry = GOOD | {"class_name": "Person", "model_name": "YOLO", "anonymization_technique": "BLURRING", "more": [1]}
    (read,) = read_configuration(dumped(entry), strict=False)
    assert read == wire.Entry("Person", "YOLO", "detection", "blurring", 0.5, "http://a:80/")


ENTRY_SCHEMA = """    {'properties': {'anonymization_degree': {'maximum': 1,
                                             'minimum': 0,
                                             'type': 'number'},
                    'anonymization_technique': {'type': 'string'},
                    'class_name': {'type': 'string'},
                    'inference_type': {'type': 'string'},
                    'model_name': {'type': 'string'}},
     'required': ['model_name',
                  'class_name',
                  'anonymization_technique',
                  'inference_type',
                  'anonymization_degree'],
     'type': 'object'}"""
AT = "schema['properties']['sensitive_info']['items'][0]"
TEXTS = [
    ("a degree above one", GOOD | {"anonymization_degree": 2},
     (f"2 is greater than the maximum of 1\n\nFailed validating 'maximum' in {AT}"
      "['properties']['anonymization_degree']:"
     "\n    {'maximum': 1, 'minimum': 0, 'type': 'number'}\n\n"
     "On instance['sensitive_info'][0]['anonymization_degree']:\n    2")),
    ("a degree below nothing", GOOD | {"anonymization_degree": -1},
     (f"-1 is less than the minimum of 0\n\nFailed validating 'minimum' in {AT}['properties']['anonymization_degree']:"
     "\n    {'maximum': 1, 'minimum': 0, 'type': 'number'}\n\n"
     "On instance['sensitive_info'][0]['anonymization_degree']:\n    -1")),
    ("a truth value is no number", GOOD | {"anonymization_degree": True},
     (f"True is not of type 'number'\n\nFailed validating 'type' in {AT}['properties']['anonymization_degree']:"
     "\n    {'maximum': 1, 'minimum': 0, 'type': 'number'}\n\n"
     "On instance['sensitive_info'][0]['anonymization_degree']:\n    True")),
    ("a number where a name belongs", GOOD | {"model_name": 3},
     (f"3 is not of type 'string'\n\nFailed validating 'type' in {AT}['properties']['model_name']:"
     "\n    {'type': 'string'}\n\nOn instance['sensitive_info'][0]['model_name']:\n    3")),
    ("no object at all", "x",
     (f"'x' is not of type 'object'\n\nFailed validating 'type' in {AT}:\n{ENTRY_SCHEMA}\n\n"
     "On instance['sensitive_info'][0]:\n    'x'")),
    ("a missing field comes before a wrong one: it lies less deep", {"model_name": 3},
     (f"'class_name' is a required property\n\nFailed validating 'required' in {AT}:\n{ENTRY_SCHEMA}\n\n"
     "On instance['sensitive_info'][0]:\n    {'model_name': 3}")),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "text"), [row[1:] for row in TEXTS], ids=[row[0] for row in TEXTS])
@pytest.mark.parametrize("strict", [True, False])
def test_reports_violations_with_the_texts_of_the_original(entry: Any, text: str, *, strict: bool) -> None:
    with pytest.raises(RequestRefused) as caught:
        read_configuration(dumped(entry), strict=strict)
    assert str(caught.value) == PREFIX + text


@pytest.mark.parametrize("name", wire.REQUIRED)
def test_requires_each_field(name: str) -> None:
    with pytest.raises(RequestRefused, match=f"^{PREFIX}'{name}' is a required property\n"):
        read_configuration(dumped(without(name)), strict=False)


ROOTS = [
    ("no object", b"[]", "[] is not of type 'object'\n\nFailed validating 'type' in schema:\n    {'properties'"),
    ("no entries", b"{}", "'sensitive_info' is a required property\n\nFailed validating 'required' in schema:\n"),
    ("entries that are no list", b'{"sensitive_info": {}}', ("{} is not of type 'array'\n\nFailed validating 'type' in "
     "schema['properties']['sensitive_info']:\n    {'items': [{'properties'")),
    ("nothing", b"", "Json file corrupted"),
    ("no JSON", b"{", "Json file corrupted"),
    ("no text", b"\xff\xfe\xff", "Json file corrupted"),
    ("not a number of JSON", b'{"sensitive_info": [NaN]}', "Json file corrupted"),
    ("nested without end", b"[" * 100_000, "Json file corrupted"),
    ("a number of too many digits", b"9" * 5000, "Json file corrupted"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "error"), [row[1:] for row in ROOTS], ids=[row[0] for row in ROOTS])
def test_refuses_a_file_that_is_not_a_configuration(text: bytes, error: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        read_configuration(text, strict=False)
    assert str(caught.value).startswith(PREFIX + error)


def test_accepts_a_byte_order_mark() -> None:
    assert read_configuration(b"\xef\xbb\xbf" + dumped(GOOD), strict=True)


LATER = [
    ("missing field", without("model_name"), "['sensitive_info'][1]:", wire.UNEXPECTED),
    ("wrong type", GOOD | {"inference_type": 1}, "['sensitive_info'][1]['inference_type']:", wire.UNEXPECTED),
    (
        "technique that is no text",
        GOOD | {"anonymization_technique": None},
        "['anonymization_technique']:",
        wire.UNEXPECTED,
    ),
    ("label that is no text", GOOD | {"class_name": None}, "[1]['class_name']:", None),
    ("model that is no text", GOOD | {"model_name": [1]}, "[1]['model_name']:", None),
    ("degree in quotes", GOOD | {"anonymization_degree": "1"}, "[1]['anonymization_degree']:", None),
    ("degree below nothing", GOOD | {"anonymization_degree": -1}, "[1]['anonymization_degree']:", None),
    ("degree above one", GOOD | {"anonymization_degree": 7}, "[1]['anonymization_degree']:", None),
]


@pytest.mark.parametrize(("entry", "place", "strict_text"), [row[1:] for row in LATER], ids=[row[0] for row in LATER])
def test_validates_later_entries_unless_strict(entry: Any, place: str, strict_text: str | None) -> None:
    with pytest.raises(RequestRefused, match=PREFIX) as caught:
        read_configuration(dumped(GOOD, entry), strict=False)
    assert place in str(caught.value)
    if strict_text is None:
        assert len(read_configuration(dumped(GOOD, entry), strict=True)) == 2
        return
    with pytest.raises(RequestRefused) as strictly:
        read_configuration(dumped(GOOD, entry), strict=True)
    assert str(strictly.value) == strict_text


def test_a_later_entry_cannot_pixelate_by_more_than_one() -> None:
    """The original resizes to no pixels there, and fails; it blurs and blackens."""
    later = {
        name: GOOD | {"anonymization_degree": 7, "anonymization_technique": name}
        for name in ("pixelating", "blurring", "blackening")
    }
    entries = read_configuration(dumped(GOOD, *later.values()), strict=True)
    assert [entry.degree for entry in entries[1:]] == [None, 7, 7]


@pytest.mark.parametrize("strict", [True, False])
def test_refuses_a_configuration_without_entries(*, strict: bool) -> None:
    with pytest.raises(RequestRefused, match=wire.UNEXPECTED):
        read_configuration(dumped(), strict=strict)


def test_refuses_too_many_bytes_or_entries() -> None:
    with pytest.raises(LimitExceeded, match="bytes"):
        read_configuration(b" " * (MOST_BYTES + 1), strict=False)
    with pytest.raises(LimitExceeded, match="entries"):
        read_configuration(dumped(*[GOOD] * (MOST_ENTRIES + 1)), strict=False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["sensitive_info", *GOOD]) | st.text(), inner),
    max_leaves=12,
)


@given(JSON | st.dictionaries(st.just("sensitive_info"), st.lists(JSON), min_size=1), st.booleans())
def test_any_json_is_read_or_refused(value: Any, strict: bool) -> None:
    try:
        entries = read_configuration(json.dumps(value).encode(), strict=strict)
    except RequestRefused as error:
        wire.envelope(error=str(error))
    else:
        assert isinstance(entries[0].label, str)
        assert all(entry.degree is None or entry.degree >= 0 for entry in entries)
        assert strict or all(isinstance(entry.label, str) and entry.degree is not None for entry in entries)
