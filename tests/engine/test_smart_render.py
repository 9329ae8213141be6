"""Smart rendering in the engine and the command: regions that are known beforehand decide which groups are copied."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from velum import Annotations, Engine, Plan, Region, RuntimeConfig
from velum.cli.main import app
from velum.frame import Samples
from velum.plan import Rule, Video
from velum.region import Box
from velum.spec import PartSpec
from velum.testing import FakeLocalizer

SIZE, COUNT, GROUP = (96, 64), 30, 6
BOX = Box(20, 20, 40, 40)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path, rng = tmp_path / "clip.mp4", np.random.default_rng(0)
    ground = rng.integers(40, 230, (SIZE[1] // 8, SIZE[0] // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"g": str(GROUP), "sc_threshold": "0", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.roll(ground, index, 1), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def luma(path: Path) -> list[Samples]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray()[: SIZE[1]].astype(np.uint8) for frame in container.decode(video=0)]


def assert_copied(clip: Path, out: Path, groups: set[int], hidden: set[int]) -> None:
    before, after = luma(clip), luma(out)
    assert len(after) == COUNT
    for index in range(COUNT):
        assert np.array_equal(before[index], after[index]) == (index // GROUP in groups), index
    for index in hidden:
        assert abs(after[index][BOX.slices].astype(int) - 16).max() < 12, index


def test_smart_rendering_locates_first_and_copies_groups_without_regions(clip: Path, tmp_path: Path) -> None:
    seen = {13, 14}
    faces = FakeLocalizer(lambda frame: [Region(BOX, "face")] if frame.index in seen else [])
    other = FakeLocalizer(lambda frame: [])
    host = RuntimeConfig(localizers={"fake": lambda: faces, "other": lambda: other})
    rules = tuple(Rule("face", PartSpec(name), PartSpec("blacken"), grow=0) for name in ("other", "fake"))
    plan = Plan(rules, video=Video(smart=True, track=False))
    with Engine(host=host) as engine:
        report = engine.hide(clip, tmp_path / "out.mp4", plan)
    assert report.encoding.startswith("smart: 24 of 30 frames copied; the rest re-encoded: libx264")
    assert_copied(clip, tmp_path / "out.mp4", {0, 1, 3, 4}, seen)


def test_frames_into_which_an_object_is_tracked_are_not_copied(clip: Path, tmp_path: Path) -> None:
    faces = FakeLocalizer(lambda frame: [Region(BOX, "face")] if frame.index in range(6, 12) else [])
    plan = Plan((Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0),), video=Video(smart=True))
    with Engine(host=RuntimeConfig(localizers={"fake": lambda: faces})) as engine:
        report = engine.hide(clip, tmp_path / "out.mp4", plan)
    first, last = report.tracks[0].first_frame, report.tracks[0].last_frame
    assert first < 6
    assert last > 11
    touched = {index // GROUP for index in range(first, last + 1)}
    assert_copied(clip, tmp_path / "out.mp4", set(range(5)) - touched, set(range(6, 12)))


def test_two_passes_hide_doubtful_detections_that_continue_a_track(clip: Path, tmp_path: Path) -> None:
    def found(frame: object) -> list[Region]:
        index = frame.index  # type: ignore[attr-defined]
        return [Region(BOX, "face", 0.9 if index in {9, 20} else 0.4)] if 9 <= index <= 20 else []

    rule = Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0, min_score=0.6)
    for two_pass in (False, True):
        plan = Plan((rule,), video=Video(two_pass=two_pass))
        with Engine(host=RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(found)})) as engine:
            engine.hide(clip, tmp_path / "out.mp4", plan, overwrite=True)
        after = luma(tmp_path / "out.mp4")
        assert all(abs(after[index][BOX.slices].astype(int) - 16).max() < 12 for index in range(9, 21)), two_pass


def test_the_command_copies_groups_without_regions_of_an_annotation_file(clip: Path, tmp_path: Path) -> None:
    doubtful = Region(BOX, "face", 0.1)
    findings = Annotations(*SIZE, {3: (doubtful,), 14: (Region(BOX, "license_plate"),)})
    regions = tmp_path / "regions.json"
    regions.write_text(json.dumps(findings.to_json()))
    out = tmp_path / "out.mp4"
    arguments = ["hide", str(clip), "-o", str(out), "--regions", str(regions), "--smart", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["encoding"].startswith("smart: 24 of 30 frames copied")
    assert_copied(clip, out, {1, 2, 3, 4}, {3})
