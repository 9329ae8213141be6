"""A job that is rendered again makes only those pieces whose regions have changed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from velum import __version__
from velum.annotations import Annotations, line_of
from velum.engine.segments import RenderedSegment, reusable_segments
from velum.errors import BadInput
from velum.jobs import RegionsOrigin, State
from velum.region import Box, Region

from .conftest import MOSTLY_SQLITE, Office


@MOSTLY_SQLITE
@pytest.mark.slow
def test_pieces_with_unchanged_regions_are_reused(office: Office) -> None:
    with office.working():
        (done,) = office.ended(office.submit(pieces=3, same=[0, 2]))
        key = office.store.put([json.dumps(Annotations(4, 4, {}).to_json()).encode()]).key
        before = office.pieces(done)
        assert office.desk.correct(done.id, key)
        once = office.content(office.rendered(done))
        after = office.pieces(done)
        twice = office.content(office.rendered(done, Annotations(4, 4, {})))
    assert {n for n in before if before[n] == after[n]} == {0, 2}
    assert twice == once
    assert office.made() == [
        "job 0", "job 1", "job 2", "found [0, 1, 2]", "job 1", "given [0, 1, 2]", "job 1"
    ]  # fmt: skip
    assert {kept.key for kept in office.store.list()} == office.files(done)


@pytest.mark.slow
def test_a_rendering_cancelled_before_it_began_changes_nothing(back_office: Office) -> None:
    with back_office.working():
        (done,) = back_office.ended(back_office.submit(pieces=2, same=[0]))
    key = back_office.store.put([b"{}"]).key
    for _ in range(2):
        assert back_office.desk.correct(done.id, key)
        assert back_office.desk.render(done.id)
        cancelled = back_office.desk.cancel(done.id)
        assert cancelled is not None
        assert cancelled.state == State.CANCELLED
    assert back_office.desk.retry(done.id)
    with back_office.working():
        back_office.ended(done)
    assert back_office.made() == ["job 0", "job 1", "found [0, 1]", "job 1"]


@pytest.mark.slow
def test_deleted_pieces_are_made_again(back_office: Office) -> None:
    with back_office.working():
        (done,) = back_office.ended(back_office.submit(pieces=3, same=[0, 1, 2]))
        gone = back_office.pieces(done)[1]
        assert gone is not None
        back_office.store.delete(gone)
        assert back_office.desk.correct(done.id, back_office.store.put([b"{}"]).key)
        back_office.rendered(done)
    assert back_office.made() == ["job 0", "job 1", "job 2", "found [0, None, 2]", "job 1"]


Things = Mapping[int, Sequence[tuple[int, int]]]
"""By frame: left edge of a face, number of its track."""


def findings(things: Things) -> Annotations:
    frames = {
        n: tuple(Region(Box(x, 0, x + 20, 20), "face", 0.9, track=track) for x, track in found)
        for n, found in things.items()
    }
    return Annotations(200, 100, frames)


FOUND: list[Things] = [
    {0: [(0, 2)], 1: [(2, 2)]},
    {2: [(4, 5)], 3: [(6, 5), (100, 7)]},
    {4: [(102, 10)], 5: []},
]
"""Spans in which one thing has the numbers 2 and 5, another 7 and 10."""
NOW: Things = {0: [(0, 2)], 1: [(2, 2)], 2: [(4, 2)], 3: [(6, 2), (100, 7)], 4: [(102, 7)], 5: []}
ROWS: list[tuple[str, RegionsOrigin, Things, list[bool]]] = [
    ("nothing changed", RegionsOrigin.FOUND, NOW, [True, True, True]),
    ("frames without regions left out", RegionsOrigin.FOUND, {n: NOW[n] for n in range(5)}, [True, True, True]),
    ("one moved", RegionsOrigin.FOUND, {**NOW, 3: [(7, 2), (100, 7)]}, [True, False, True]),
    ("one gone", RegionsOrigin.FOUND, {**NOW, 4: []}, [True, True, False]),
    ("one added", RegionsOrigin.FOUND, {**NOW, 5: [(0, 20)]}, [True, True, False]),
    ("two made one", RegionsOrigin.FOUND, {**NOW, 4: [(102, 2)]}, [True, True, False]),
    ("numbers as the spans gave them", RegionsOrigin.FOUND, {**NOW, 2: [(4, 5)]}, [True, False, True]),
    ("numbers that were given are not linked", RegionsOrigin.GIVEN, NOW, [True, False, False]),
    ("numbers that were given", RegionsOrigin.GIVEN, {**NOW, 4: [(102, 10)]}, [True, False, True]),
]


def spans(folder: Path, version: str = __version__) -> list[RenderedSegment | None]:
    rendered: list[RenderedSegment | None] = []
    for number, things in enumerate(FOUND):
        path = folder / f"{number}.told"
        path.write_text("".join(f"{line_of(n, found)}\n" for n, found in findings(things).frames.items()))
        tracks = sorted({track for found in things.values() for _, track in found})
        rendered.append(({"version": version, "tracks": [{"track": track} for track in tracks]}, path))
    return rendered


def written(folder: Path, things: Things) -> Path:
    path = folder / "regions.json"
    path.write_text(json.dumps(findings(things).to_json()))
    return path


@pytest.mark.parametrize(("former", "now", "same"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_segment_is_reused_exactly_where_its_regions_are_equal(
    tmp_path: Path, former: RegionsOrigin, now: Things, same: list[bool]
) -> None:
    again = reusable_segments(spans(tmp_path), written(tmp_path, now), detected=former is RegionsOrigin.FOUND)
    assert [segment is not None for segment in again] == same
    for number, reused in enumerate(again):
        if reused is not None:
            note, regions_file = reused
            lines = [json.loads(line) for line in regions_file.read_text().splitlines()]
            assert [line["index"] for line in lines] == list(FOUND[number])
            numbers = [[region["track"] for region in line["regions"]] for line in lines]
            assert numbers == [[track for _, track in now.get(line["index"], [])] for line in lines]
            assert {track["track"] for track in note["tracks"]} == {track for found in numbers for track in found}


def written_otherwise(region: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(key, [float(edge) for edge in value] if key == "xyxy" else value) for key, value in region.items()]


def test_equal_regions_are_recognised_however_their_json_is_written(tmp_path: Path) -> None:
    given = json.loads(written(tmp_path, NOW).read_text())
    for frame in given["frames"]:
        frame["regions"] = [dict(reversed(written_otherwise(region))) for region in frame["regions"]]
    path = tmp_path / "otherwise.json"
    path.write_text(json.dumps(given, indent=1))
    assert all(reusable_segments(spans(tmp_path), path, detected=True))


def test_no_segment_is_reused_where_the_first_one_is_missing(tmp_path: Path) -> None:
    given, rendered = written(tmp_path, NOW), spans(tmp_path)
    rendered[0] = None
    assert reusable_segments(rendered, given, detected=True) == [None] * 3
    assert reusable_segments(rendered, given, detected=False) == [None] * 3


def test_segments_of_another_version_of_velum_are_made_again(tmp_path: Path) -> None:
    assert reusable_segments(spans(tmp_path, "0.0.1"), written(tmp_path, NOW), detected=True) == [None] * 3


def test_a_file_that_is_no_annotation_file_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "regions.json"
    given.write_text("[]")
    with pytest.raises(BadInput, match="put it again"):
        reusable_segments(spans(tmp_path), given, detected=True)
