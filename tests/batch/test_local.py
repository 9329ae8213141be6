"""Batches of local files: which file gets which target, and how a run is resumed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from velum import Engine, Plan, Region, RuntimeConfig
from velum.batch.arrange import BatchItem, arrange
from velum.batch.local import MANIFEST, run
from velum.errors import BadInput, BadPlan, OutputFailed
from velum.plan import Rule
from velum.region import Box
from velum.spec import PartSpec
from velum.storage import objects
from velum.testing import FakeLocalizer

PLAN = Plan((Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0),))
OTHER_PLAN = Plan((Rule("face", PartSpec("fake"), PartSpec("blur"), grow=0),))


@pytest.fixture
def engine() -> Engine:
    return Engine(host=RuntimeConfig(localizers={"fake": lambda: FakeLocalizer([Region(Box(0, 0, 5, 5), "face")])}))


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
def test_a_single_file_gets_a_target_beside_it(photos: Path, target: str | None, expected: str) -> None:
    source = photos / "a.png"
    assert arrange([source], photos / target if target else None) == ([BatchItem(source, photos / expected)], None)


def test_a_target_folder_mirrors_its_source(photos: Path, engine: Engine) -> None:
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
        (["empty"], None, BadInput, "no images or videos"),
    ],
)
def test_impossible_sources_and_targets_are_refused(
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
        outcome.item.source.name: outcome for outcome in run(engine, jobs, PLAN, workers=2, manifest=folder / MANIFEST)
    }
    assert isinstance(outcomes["b.png"].error, BadInput)
    assert sum(outcome.report is not None for outcome in outcomes.values()) == 3
    assert "b.png" not in names(folder)


def test_resuming_skips_finished_files_only(photos: Path, engine: Engine) -> None:
    def go(plan: Plan = PLAN) -> list[str]:
        jobs, folder = arrange([photos], None)
        assert folder
        outcomes = run(engine, jobs, plan, workers=2, manifest=folder / MANIFEST, resume=True)
        return sorted(outcome.item.source.name for outcome in outcomes if outcome.report)

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


def test_kinds_are_detected_by_content_and_unsupported_ones_are_named(tmp_path: Path, engine: Engine) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
    pixels.save(folder / "3d.MPO", "JPEG")
    pixels.save(folder / "old.dib", "BMP")
    pixels.save(folder / "noname", "PNG")
    pixels.convert("RGBA").save(folder / "plate.jpg", "PNG")
    (folder / "raw.cr2").write_bytes(b"a raw photograph")
    (folder / "new.jxl").write_bytes(b"\xff\x0a")
    (folder / "cam.wmv").write_bytes(b"broken")
    (folder / "BMW.txt").write_text("BMW is a car, and this is no picture of one, although it begins like a bitmap.")
    (folder / "song.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + bytes(20))
    (folder / "._plate.jpg").write_bytes(b"\0\x05\x16\x07 of macOS")
    jobs, target = arrange([folder], None)
    assert target is not None
    outcomes = {one.item.source.name: one for one in run(engine, jobs, PLAN, workers=2, manifest=target / MANIFEST)}
    assert names(target) == ["3d.jpg", "noname.png", "old.bmp", "plate.png"]
    assert {name for name, one in outcomes.items() if one.error} == {"raw.cr2", "new.jxl", "cam.wmv"}
    told = outcomes["plate.jpg"].report
    assert told is not None
    assert any("PNG" in one and ".jpg" in one and ".png" in one for one in told.warnings)


def test_a_renamed_result_does_not_take_the_name_of_another(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    picture = Image.new("RGB", (8, 8))
    for name in ("a.jpg", "a.mpo", "a.jps", "B.PNG", "b.jpg", "c.jpg"):
        picture.save(folder / name, "PNG" if name.endswith(("PNG", "b.jpg", "c.jpg")) else "JPEG")
    jobs, target = arrange([folder], None)
    assert target is not None
    assert {job.source.name: job.target.name for job in jobs} == {
        "a.jpg": "a.jpg", "a.mpo": "a.mpo.jpg", "a.jps": "a.jps.jpg", "B.PNG": "B.PNG", "b.jpg": "b.jpg.png",
        "c.jpg": "c.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "format", "expected"),
    [("a.MPO", "JPEG", "a.hidden.jpg"), ("a.jpg", "PNG", "a.hidden.png"), ("a.JPG", "JPEG", "a.hidden.JPG")],
)
def test_a_single_result_has_the_suffix_of_its_content(tmp_path: Path, name: str, format: str, expected: str) -> None:
    source = tmp_path / name
    Image.new("RGB", (8, 8)).save(source, format)
    jobs, _ = arrange([source], None)
    assert [job.target.name for job in jobs] == [expected]
    other = source.suffix.lower() != Path(expected).suffix.lower()
    (job,) = jobs
    assert job.note.startswith("the source has the format ") if other else job.note == ""
    (beside,) = arrange([source], tmp_path)[0]
    assert beside.target.suffix == Path(expected).suffix


def test_more_files_than_are_sorted_in_memory_come_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "SORTED_IN_MEMORY", 3)
    (tmp_path / "05").mkdir()
    names = [*(f"{number:02}.jpg" for number in range(20)), "05/a.png", "05/caf\udce9.png"]
    for name in names:
        Path(f"{tmp_path}/{name}").touch()
    jobs, folder = arrange([tmp_path], None)
    assert folder is not None
    for _ in range(2):  # as often as one likes
        assert [str(job.target.relative_to(folder)) for job in jobs] == sorted(names, key=Path)
        assert len(jobs) == 22


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.psd", b"8BPS\0\1", "it is a Photoshop picture, which velum does not read"),
        (
            "without suffix",
            b"P6\n# a comment\n2 2\n255\n" + bytes(12),
            "it is a PNM picture, which velum does not read",
        ),
        ("a.pam", b"P7\nWIDTH 2\nHEIGHT 2\n", "it is a PNM picture, which velum does not read"),
        ("favicon", b"\0\0\1\0\1\0", "it is an icon, which velum does not read"),
        ("a.qoi", b"qoif", "it is a QOI picture, which velum does not read"),
        ("a.tga", bytes(18), "unknown kind"),
        ("logo.svg", b"<svg/>", "unknown kind"),
        ("a.icns", b"other", "unknown kind"),
    ],
)
def test_a_picture_that_velum_does_not_read_is_reported_in_a_folder(
    name: str, data: bytes, reason: str, photos: Path, engine: Engine
) -> None:
    (photos / name).write_bytes(data)
    items, folder = arrange([photos], None, include=[name])
    assert folder is not None
    (outcome,) = run(engine, items, PLAN, workers=1)
    assert isinstance(outcome.error, BadInput)
    assert reason in str(outcome.error)
