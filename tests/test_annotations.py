"""Annotations: the annotation file that people review and correct."""

import json
from typing import Any

import pytest

from velum.annotations import FORMAT, Annotations
from velum.errors import BadInput
from velum.region import Box, Region

GOOD: dict[str, Any] = {
    "format": FORMAT,
    "width": 20,
    "height": 10,
    "frames": [{"index": 0, "regions": [{"label": "face", "xyxy": [1, 2, 3, 4]}]}],
}


def test_annotations_survive_a_json_round_trip() -> None:
    findings = Annotations(
        20, 10, {0: (Region(Box(1, 2, 3, 4), "face"),), 3: ()}, "ab" * 32, ({"model": "m", "sha256": "cd"},)
    )
    again = Annotations.from_json(json.loads(json.dumps(findings.to_json())))
    assert again.to_json() == findings.to_json()


def test_a_file_written_by_hand_needs_only_size_and_regions() -> None:
    findings = Annotations.from_json(GOOD)
    assert [region.box for region in findings.frames[0]] == [Box(1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "velum-regions/9"}, FORMAT),
        ({"width": 0}, "above 0"),
        ({"height": True}, "above 0"),
        ({"sha256": 3}, "string"),
        ({"frames": {}}, "no list of frames"),
        ({"frames": [3]}, "index and regions"),
        ({"frames": [{"index": 0, "regions": [], "x": 1}]}, "index and regions"),
        ({"frames": [{"index": "0", "regions": []}]}, "whole number"),
        ({"frames": [{"index": 1, "regions": []}, {"index": 1, "regions": []}]}, "frame 1 twice"),
        ({"frames": [{"index": 4, "regions": [{"label": "face", "xyxy": [1, 2]}]}]}, "frame 4 .*four numbers"),
        ({"models": "m"}, "list of objects"),
        ({"note": "x"}, "unknown fields note"),
    ],
)
def test_a_wrong_annotation_file_is_refused_with_the_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Annotations.from_json(GOOD | change)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"width": 10, "height": 20}, "20 x 10 pixels, this source has 10 x 20"),
        ({"frames": 1}, "frame 3, the source has 1"),
        ({"sha256": "ef" * 32}, "another file"),
    ],
)
def test_annotations_of_another_source_are_refused(source: dict[str, Any], message: str) -> None:
    findings = Annotations(20, 10, {3: ()}, "ab" * 32)
    right = {"width": 20, "height": 10, "frames": 4, "sha256": "ab" * 32}
    findings.check(**right)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=message):
        findings.check(**(right | source))  # type: ignore[arg-type]
