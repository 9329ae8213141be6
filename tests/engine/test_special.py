"""Regions with a technique of their own, and regions that a person has set to be ignored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.engine.test_video import COUNT, HEIGHT, WIDTH, clip, planes  # noqa: F401 - a fixture

from velum import Annotations, Engine, Limits, Plan, Region, RuntimeConfig
from velum.errors import BadPlan, PluginFault
from velum.evidence.statement import Declared, compose, file_entry
from velum.frame import Plane, Role, Samples
from velum.media.image import turbojpeg
from velum.plan import Video
from velum.plugins import Patch
from velum.region import Box
from velum.spec import PartSpec
from velum.techniques.pixelate import Pixelate
from velum.testing import FakeLocalizer
from velum.verify.leak_check import Check

PLAN = Plan.of("face: fixed -> blacken with grow=0", video=Video(codec="ffv1"))
COARSE = PartSpec("pixelate", {"degree": 0.5})
LEFT = Region(Box(8, 8, 24, 24), "face")
RIGHT = Region(Box(40, 8, 56, 24), "face", technique=COARSE)
OFF = Region(Box(8, 32, 24, 40), "face", technique=COARSE, ignored=True)


def findings(*regions: Region, width: int = 64, height: int = 48, frames: int = 1) -> Annotations:
    return Annotations(width, height, dict.fromkeys(range(frames), regions))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(1, 256, (48, 64, 3), dtype=np.uint8)).save(path)
    return path


def pixels(path: Path) -> Samples:
    return np.asarray(Image.open(path))


def coarse(before: Samples, box: Box) -> Samples:
    cut = before[box.slices].copy()
    plane = Plane(cut, Role.RGB)
    Pixelate(0.5).hide(Patch((plane,), (None,), box.width, box.height))
    return plane.pixels


def test_each_region_has_its_technique_and_ignored_ones_stay_visible(photo: Path) -> None:
    out = photo.with_name("out.png")
    told: list[tuple[Region, ...]] = []
    with Engine() as engine:
        report = engine.hide(
            photo, out, PLAN, regions=findings(LEFT, RIGHT, OFF), on_regions=lambda _, regions: told.append(regions)
        )
    before, after = pixels(photo), pixels(out)
    expected = before.copy()
    expected[LEFT.box.slices] = 0
    expected[RIGHT.box.slices] = coarse(before, RIGHT.box)
    assert np.array_equal(after, expected)
    assert [(one.box, one.technique) for one in report.hidden] == [(LEFT.box, "blacken"), (RIGHT.box, str(COARSE))]
    assert any("pixelate(degree=0.5) does not destroy" in warning for warning in report.warnings)
    assert told == [(LEFT, RIGHT, OFF)], "what is off is remembered"


def test_ignored_regions_alone_hide_nothing(photo: Path) -> None:
    out = photo.with_name("out.png")
    with Engine() as engine:
        report = engine.hide(photo, out, PLAN, regions=findings(OFF))
    assert np.array_equal(pixels(out), pixels(photo))
    assert report.hidden == ()
    assert not any("pixelate" in warning for warning in report.warnings)


def test_a_destroying_technique_wins_where_regions_overlap(photo: Path) -> None:
    over = Region(Box(40, 8, 48, 24), "face")
    out = photo.with_name("out.png")
    with Engine() as engine:
        engine.hide(photo, out, PLAN, regions=findings(RIGHT, over))
    assert not pixels(out)[over.box.slices].any()
    assert pixels(out)[8:24, 48:56].any()


def test_the_technique_of_a_region_wins_over_a_rule_that_destroys_no_more(photo: Path) -> None:
    plan, chosen = Plan.of("face: fixed -> blur with grow=0"), Region(LEFT.box, "face", technique=COARSE)
    over = Region(Box(8, 8, 16, 24), "face")
    with Engine() as engine:
        for number, regions in enumerate(((chosen, over), (over, chosen))):
            engine.hide(photo, out := photo.with_name(f"{number}.png"), plan, regions=findings(*regions))
            assert np.array_equal(pixels(out)[LEFT.box.slices], coarse(pixels(photo), LEFT.box))


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize(
    ("technique", "why"),
    [(PartSpec("smear"), "smear.* is unknown"), (PartSpec("blur", {"degree": 7}), "degree of blur is 7")],
)
def test_an_unknown_technique_is_an_error_before_anything_is_written(
    photo: Path, technique: PartSpec, why: str, off: bool
) -> None:
    out = photo.with_name("out.png")
    with Engine() as engine, pytest.raises(BadPlan, match=why):
        engine.hide(photo, out, PLAN, regions=findings(Region(LEFT.box, "face", technique=technique, ignored=off)))
    assert not out.exists()


@pytest.mark.skipif(
    not turbojpeg.available(), reason="no TurboJPEG library here (Debian: apt-get install libturbojpeg0)"
)
def test_untouched_blocks_of_a_jpeg_keep_their_coefficients(photo: Path) -> None:
    source, out = photo.with_suffix(".jpg"), photo.with_name("out.jpg")
    Image.open(photo).save(source, quality=95, subsampling=0)
    with Engine() as engine:
        report = engine.hide(source, out, PLAN, regions=findings(LEFT, RIGHT, OFF))
    before, after = pixels(source), pixels(out)
    changed = np.abs(before.astype(int) - after).max(axis=2) > 0
    assert report.encoding.startswith("exact")
    assert not changed[24:].any()
    assert changed[LEFT.box.slices].mean() > 0.9
    assert after[LEFT.box.slices].max() < 24
    assert after[RIGHT.box.slices].max() > 60


@pytest.mark.slow
def test_regions_of_videos_have_techniques_of_their_own(clip: Path, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    box = Box(4, 4, 20, 20)
    out = tmp_path / "out.mkv"
    regions = findings(
        Region(box, "face", track=1, technique=COARSE), Region(Box(30, 4, 46, 20), "face", track=2, ignored=True),
        width=WIDTH, height=HEIGHT, frames=COUNT,
    )  # fmt: skip
    with Engine() as engine:
        report = engine.hide(clip, out, PLAN, regions=regions)
    told = [(one.track, one.technique, one.frames, one.largest_side) for one in report.tracks]
    assert told == [(1, str(COARSE), COUNT, 16)]
    for before, after in zip(planes(clip), planes(out), strict=True):
        changed = before[0] != after[0]
        assert changed[4:20, 4:20].any()
        changed[4:20, 4:20] = False
        assert not changed.any()
        assert after[0][4:20, 4:20].max() > 16, "not black"


@pytest.mark.slow
def test_a_track_with_two_techniques_is_counted_for_both(clip: Path, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    one, other = (
        Region(Box(4, 4, 20, 20), "face", track=1),
        Region(Box(4, 4, 20, 20), "face", track=1, technique=COARSE),
    )
    frames = {index: (one if index < 3 else other,) for index in range(COUNT)}
    with Engine() as engine:
        report = engine.hide(clip, tmp_path / "out.mkv", PLAN, regions=Annotations(WIDTH, HEIGHT, frames))
    assert [(one.technique, one.frames) for one in report.tracks] == [("blacken", 3), (str(COARSE), COUNT - 3)]
    assert file_entry(report, "a.mkv")["techniques"] == ["blacken", str(COARSE)]


@pytest.mark.parametrize("region", [RIGHT, OFF])
def test_localizers_cannot_choose_the_technique_of_a_region(photo: Path, region: Region) -> None:
    host = RuntimeConfig(localizers={"fake": lambda: FakeLocalizer([region])})
    with Engine(host=host) as engine, pytest.raises(PluginFault, match="only people may"):
        engine.hide(photo, photo.with_name("out.png"), Plan.of("face: fake -> blacken"))


def test_the_check_judges_each_region_by_its_technique(photo: Path) -> None:
    out = photo.with_name("out.png")
    host = RuntimeConfig(offline=True)
    with Engine(host=host) as engine:
        check = Check(engine, host, Limits())
        large = Region(Box(32, 8, 60, 40), "face", technique=COARSE)
        zone = Region(Box(0, 0, 64, 48), "face", ignored=True)  # the plan's own, which people turned off
        regions = findings(LEFT, large, OFF, zone)
        engine.hide(photo, out, PLAN, regions=regions)
        good = check(out, PLAN, against=photo, regions=regions)
        assert (good.leaks, good.regions) == ((), 2)
        weak = findings(LEFT, zone, replace(large, technique=PartSpec("blur", {"degree": 0.0})))
        engine.hide(photo, out, PLAN, regions=weak, overwrite=True)
        assert [leak.kind for leak in check(out, PLAN, against=photo, regions=regions).leaks] == ["weak"]


def test_evidence_does_not_claim_anonymisation_with_ignored_regions(photo: Path) -> None:
    with Engine() as engine:
        reports = [
            engine.hide(photo, photo.with_name(f"{name}.png"), PLAN, regions=findings(*regions))
            for name, regions in (("plain", (LEFT,)), ("coarse", (LEFT, RIGHT)))
        ]
    gone = Declared(originals_destroyed=True)
    made = [compose([file_entry(report, "a.png")], PLAN, (), gone) for report in reports]
    assert [one["standing"] for one in made] == ["anonymised", "pseudonymised"]
    assert made[1]["because"] == ["pixelate(degree=0.5) does not destroy what it hides"]
