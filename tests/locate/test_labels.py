"""Labels in the spellings that people use."""

import pytest

from velum.locate.labels import ALIASES, GROUPS, canonical, covered_labels

COCO = ("person", "bicycle", "car", "motorcycle", "bus", "train", "truck", "traffic light", "dog", "tv")


@pytest.mark.parametrize(
    ("wanted", "offered", "found"),
    [
        ("face", ["", "face"], {"face"}),  # an empty name is what a network calls background
        ("Number Plate", ["vehicle", "license-plate"], {"license-plate"}),
        ("licence plate", ["lp", "car"], {"lp"}),
        ("people", COCO, {"person"}),
        ("vehicle", COCO, {"bicycle", "car", "motorcycle", "bus", "train", "truck"}),
        ("car", ["vehicle", "Car"], {"Car"}),  # a vehicle need not be a car
        ("TRAFFIC_LIGHT", COCO, {"traffic light"}),  # any label a model has, without a group
        ("elephant", COCO, set()),
    ],
)
def test_a_wanted_label_covers_its_synonyms_and_parts(wanted: str, offered: list[str], found: set[str]) -> None:
    assert covered_labels(wanted, offered) == found


def test_no_spelling_stands_for_two_labels() -> None:
    spellings = [spelling for label, others in ALIASES.items() for spelling in (label, *others)]
    assert len(set(spellings)) == len(spellings)
    assert all(canonical(spelling) == spelling or spelling not in ALIASES for spelling in spellings)
    assert all(canonical(label) == label for label in GROUPS)
