"""Folders: which file goes where, and runs that go on."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from velum import Engine, Host, Plan, Region
from velum.batch.local import MANIFEST, Job, arrange, run
from velum.errors import BadInput, BadPlan, OutputFailed
from velum.plan import Rule
from velum.region import Box
from velum.testing import FakeLocalizer
from velum.use import Use

PLAN = Plan((Rule("face", Use("fake"), Use("blacken"), grow=0),))
OTHER_PLAN = Plan((Rule("face", Use("fake"), Use("blur"), grow=0),))


@pytest.fixture
def engine() -> Engine:
    return Engine(host=Host(localizers={"fake": lambda: FakeLocalizer([Region(Box(0, 0, 5, 5), "face")])}))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("b.png", "a.png", "trip/day 1/ü.PNG", "trip/c.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), len(name), np.uint8)).save(path)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST
    )


@pytest.mark.parametrize(
    ("target", "expected"),
    [(None, "a.hidden.png"), ("out.webp", "out.webp"), ("trip", "trip/a.png")],  # an existing folder takes the name
)
def test_one_file(photos: Path, target: str | None, expected: str) -> None:
    source = photos / "a.png"
    assert arrange([source], photos / target if target else None) == ([Job(source, photos / expected)], None)


def test_a_folder_is_mirrored(photos: Path, engine: Engine) -> None:
    jobs, folder = arrange([photos], None)
    assert folder == photos.with_name("photos.hidden")
    outcomes = list(run(engine, jobs, PLAN, workers=2, manifest=folder / MANIFEST))
    assert all(outcome.report for outcome in outcomes)
    assert names(folder) == ["a.png", "b.png", "trip/c.png", "trip/day 1/ü.PNG"]


def test_a_target_inside_the_source_is_not_taken_for_a_source(photos: Path, engine: Engine) -> None:
    for _ in range(2):
        jobs, folder = arrange([photos], photos / "safe")
        assert folder is not None
        assert len(jobs) == 4
        list(run(engine, jobs, PLAN, workers=1, manifest=folder / MANIFEST, resume=True))


def test_linked_folders_are_not_followed(photos: Path) -> None:
    (photos / "loop").symlink_to(photos)
    assert len(arrange([photos], None)[0]) == 4


@pytest.mark.parametrize(
    ("sources", "target", "error", "message"),
    [
        (["missing.png"], None, BadInput, "does not exist"),
        (["a.png", "b.png"], None, BadPlan, "-o FOLDER"),
        (["."], ".", BadPlan, "both source and target"),
        (["."], "a.png", BadPlan, "is a file"),
        (["trip", "a.png", "trip/c.png"], "safe", BadPlan, "both be written to"),
        (["empty"], None, BadInput, "no pictures"),
    ],
)
def test_what_cannot_be_arranged(
    photos: Path, sources: list[str], target: str | None, error: type[Exception], message: str
) -> None:
    (photos / "empty").mkdir()
    with pytest.raises(error, match=message):
        arrange([photos / source for source in sources], photos / target if target else None)


def test_a_bad_file_does_not_stop_the_rest(photos: Path, engine: Engine) -> None:
    (photos / "b.png").write_bytes(b"not a picture at all")
    jobs, folder = arrange([photos], None)
    assert folder
    outcomes = {
        outcome.job.source.name: outcome for outcome in run(engine, jobs, PLAN, workers=2, manifest=folder / MANIFEST)
    }
    assert isinstance(outcomes["b.png"].error, BadInput)
    assert sum(outcome.report is not None for outcome in outcomes.values()) == 3
    assert "b.png" not in names(folder)


def test_resume_skips_what_is_finished_and_only_that(photos: Path, engine: Engine) -> None:
    def go(plan: Plan = PLAN) -> list[str]:
        jobs, folder = arrange([photos], None)
        assert folder
        outcomes = run(engine, jobs, plan, workers=2, manifest=folder / MANIFEST, resume=True)
        return sorted(outcome.job.source.name for outcome in outcomes if outcome.report)

    assert go() == ["a.png", "b.png", "c.png", "ü.PNG"]
    assert go() == []
    photos.with_name("photos.hidden").joinpath("a.png").unlink()  # the result is gone
    Image.new("RGB", (9, 9)).save(photos / "b.png")  # the source is another
    assert go() == ["a.png", "b.png"]
    manifest = photos.with_name("photos.hidden") / MANIFEST
    manifest.write_text(manifest.read_text() + '["trip/c.p')  # killed while writing
    assert go() == []
    assert go(OTHER_PLAN) == ["a.png", "b.png", "c.png", "ü.PNG"]  # another plan makes other pictures


def test_without_resume_existing_results_are_kept(photos: Path, engine: Engine) -> None:
    jobs, folder = arrange([photos], None)
    assert folder
    list(run(engine, jobs, PLAN, workers=1, manifest=folder / MANIFEST))
    again = list(run(engine, jobs, PLAN, workers=1, manifest=folder / MANIFEST))
    assert all(isinstance(outcome.error, OutputFailed) for outcome in again)
    replaced = list(run(engine, jobs, PLAN, workers=1, manifest=folder / MANIFEST, overwrite=True))
    assert all(outcome.report for outcome in replaced)


def test_the_manifest_is_one_line_a_file(photos: Path, engine: Engine) -> None:
    jobs, folder = arrange([photos], None)
    assert folder
    list(run(engine, jobs, PLAN, workers=2, manifest=folder / MANIFEST))
    lines = [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]
    assert sorted(line[0] for line in lines) == names(folder)
    assert {line[3] for line in lines} == {PLAN.digest}
