"""An object has one track id, however many segments it is in."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from velum.annotations import line_of
from velum.engine.segments import link_tracks, renumber_lines, renumber_report
from velum.region import Box, Region

Thing = tuple[str, int, int]
"""Label, left edge of a box of 20 pixels, number of its track."""

ROWS: list[tuple[str, list[list[list[Thing]]], dict[int, int]]] = [
    ("goes on", [[[("face", 0, 1)], [("face", 2, 1)]], [[("face", 4, 7)], [("face", 6, 7)]]], {7: 1}),
    ("goes on and on", [[[("face", 0, 1)]], [[("face", 2, 7)]], [[("face", 4, 9)]]], {7: 1, 9: 1}),
    ("two that stay two", [[[("face", 0, 1), ("face", 100, 2)]], [[("face", 102, 5), ("face", 2, 6)]]], {5: 2, 6: 1}),
    ("another place", [[[("face", 0, 1)]], [[("face", 60, 7)]]], {}),
    ("another kind", [[[("face", 0, 1)]], [[("plate", 0, 7)]]], {}),
    ("left before the cut", [[[("face", 0, 1)], []], [[("face", 0, 7)]]], {}),
    ("nothing at all", [[[]], [[]]], {}),
    ("no frames", [[], [[("face", 0, 7)]]], {}),
]


def told(folder: Path, spans: Sequence[Sequence[Sequence[Thing]]]) -> list[Path]:
    paths = []
    for number, frames in enumerate(spans):
        lines = [
            line_of(index, [Region(Box(x, 0, x + 20, 20), label, 0.9, track=track) for label, x, track in things])
            for index, things in enumerate(frames)
        ]
        paths.append(folder / str(number))
        paths[-1].write_text("".join(f"{line}\n" for line in lines))
    return paths


@pytest.mark.parametrize(("spans", "numbers"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_an_object_keeps_its_track_id_through_all_segments(
    tmp_path: Path, spans: list[list[list[Thing]]], numbers: dict[int, int]
) -> None:
    paths = told(tmp_path, spans)
    assert link_tracks(paths) == numbers
    lines = [line for path in paths for line in path.read_text().splitlines()]
    before = [[one["track"] for one in json.loads(line)["regions"]] for line in lines]
    after = [[one["track"] for one in json.loads(line)["regions"]] for line in renumber_lines(lines, numbers)]
    assert after == [[numbers.get(track, track) for track in tracks] for tracks in before]
    note = renumber_report({"frames": 3, "tracks": [{"track": 7}, {"track": None}]}, numbers)
    assert note == {"frames": 3, "tracks": [{"track": numbers.get(7, 7)}, {"track": None}]}
