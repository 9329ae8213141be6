"""Videos hidden segment by segment: objects are hidden at every seam, and the result is that of one run."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.rows import but_for

from velum import Annotations, Engine, Plan, Region, RuntimeConfig
from velum.errors import BadInput, VelumError
from velum.frame import Frame, Samples
from velum.media import Segment
from velum.plan import Rule, Video
from velum.region import Box
from velum.report import Report
from velum.spec import PartSpec
from velum.testing import FakeLocalizer

pytestmark = pytest.mark.slow

WIDTH, HEIGHT, COUNT, GROUP = 96, 64, 260, 10
GROUND = np.random.default_rng(0).integers(40, 200, (HEIGHT // 4, WIDTH // 4, 3), dtype=np.uint8)
THING = np.random.default_rng(1).integers(90, 230, (5, 5, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
PLAN = Plan(
    (Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0),),
    video=Video(codec="ffv1", window_seconds=0.4, audio="drop"),
)


def box_at(index: int) -> Box:
    left = 4 + abs(index % 128 - 64)
    return Box(left, 20, left + 20, 40)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    ground = GROUND.repeat(4, 0).repeat(4, 1)
    with av.open(str(path), "w") as container:
        options = {"g": str(GROUP), "sc_threshold": "0", "bf": "2", "crf": "10", "preset": "ultrafast"}
        stream = container.add_stream("libx264", 25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(COUNT):
            picture = ground.copy()
            picture[box_at(index).slices] = THING
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def luma(path: Path) -> list[Samples]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray()[:HEIGHT].astype(np.uint8) for frame in container.decode(video=0)]


def finding(regions: Callable[[Frame], Sequence[Region]]) -> Engine:
    return Engine(host=RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(regions)}))


def unseen_in(*frames: int) -> Callable[[Frame], list[Region]]:
    return lambda frame: [] if frame.index in frames else [Region(box_at(frame.index), "face", 0.9)]


def cut(engine: Engine, clip: Path, plan: Plan, **more: Any) -> tuple[Segment, ...]:
    spans = engine.split(clip, "MKV", plan, seconds=4.0, **more)
    assert not isinstance(spans, str), spans
    return spans


def in_spans(
    engine: Engine, clip: Path, target: Path, plan: Plan, regions: Annotations | None = None
) -> tuple[Report, tuple[Segment, ...]]:
    spans = cut(engine, clip, plan, given=regions is not None)
    made: list[tuple[Path, Report]] = []
    for span in reversed(spans):
        part = target.with_name(f"{span.index}.part")
        report = engine.hide_segment(clip, part, plan, span, regions=regions)
        made.insert(0, (part, Report.from_json(json.loads(json.dumps(report.to_json())))))
    return engine.concat(clip, made, target, plan), spans


# What is not found around the seam between frames 109 and 110.
MISSES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "found in every frame": ((), {}),
    "missed on both sides": (tuple(range(106, 114)), {}),
    "missed before": (tuple(range(102, 110)), {}),
    "missed behind": (tuple(range(110, 118)), {}),
    "appears behind it": (tuple(range(90, 115)), {}),
    "was last seen before it": (tuple(range(107, 135)), {}),
    "looked for in some frames": (tuple(range(106, 114)), {"every": 3}),
    "not followed": ((), {"track": False}),
}


@pytest.mark.parametrize("case", but_for(MISSES, ["missed on both sides"]))
def test_segments_give_the_same_samples_as_one_run(case: str, clip: Path, tmp_path: Path) -> None:
    missed, changes = MISSES[case]
    plan = replace(PLAN, video=replace(PLAN.video, **changes))
    with finding(unseen_in(*missed)) as engine:
        whole = engine.hide(clip, tmp_path / "whole.mkv", plan)
        joined, spans = in_spans(engine, clip, tmp_path / "joined.mkv", plan)
    assert [span.first.frame for span in spans][1] in ({100} if changes.get("track") is False else {110})
    before, after = luma(tmp_path / "whole.mkv"), luma(tmp_path / "joined.mkv")
    assert len(before) == len(after) == COUNT
    for index in range(COUNT):
        assert np.array_equal(before[index], after[index]), f"frame {index}"
    for index in sorted({*range(COUNT)} - {*range(90, 135)} | ({*range(104, 118)} if len(missed) < 9 else set())):
        assert (after[index][box_at(index).slices] == 16).all(), f"the thing shows in frame {index}"
    assert joined.frames == whole.frames == COUNT
    assert sum(one.frames for one in joined.tracks) == sum(one.frames for one in whole.tracks)
    same = ("format", "width", "height", "plan", "rules", "models", "input_sha256", "encoding", "warnings", "version")
    assert {name: getattr(joined, name) for name in same} == {name: getattr(whole, name) for name in same}
    assert set(joined.seconds) == set(whole.seconds)


class Doubting:
    """Finds the thing at times, not surely, and something else beside it that a second look does not find."""

    labels = frozenset({"face"})
    track_threshold = 0.5

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        return [
            [Region(box_at(frame.index), "face", 0.4 + 0.2 * (frame.index % 10 == 0)), Region(BESIDE, "face", 0.6)]
            if frame.index % 5 == 0
            else []
            for frame in frames
        ]

    def look_again(self, frame: Frame, regions: Sequence[Region]) -> list[float | None]:
        return [0.0 if region.box == BESIDE else 0.6 for region in regions]

    def close(self) -> None:
        pass


BESIDE = Box(0, 50, 12, 62)


def test_a_second_look_gives_the_same_in_segments(clip: Path, tmp_path: Path) -> None:
    with Engine(host=RuntimeConfig(localizers={"fake": Doubting})) as engine:
        engine.hide(clip, tmp_path / "whole.mkv", PLAN)
        in_spans(engine, clip, tmp_path / "joined.mkv", PLAN)
    before, after = luma(tmp_path / "whole.mkv"), luma(tmp_path / "joined.mkv")
    for index, (whole, joined) in enumerate(zip(before, after, strict=True)):
        assert np.array_equal(whole, joined), f"frame {index}"
        assert (joined[box_at(index).slices] == 16).all()
        assert not (joined[BESIDE.slices] == 16).all()


def test_each_segment_has_track_ids_of_its_own(clip: Path, tmp_path: Path) -> None:
    with finding(unseen_in()) as engine:
        report, spans = in_spans(engine, clip, tmp_path / "out.mkv", PLAN)
    of_span = [[one.track for one in report.tracks if one.first_frame == span.first.frame] for span in spans]
    assert all(len(numbers) == 1 for numbers in of_span)
    assert len({one.track for one in report.tracks}) == len(report.tracks) == len(spans)


def test_given_regions_are_hidden_and_their_tracks_go_on(clip: Path, tmp_path: Path) -> None:
    with finding(unseen_in(*range(106, 114))) as engine:
        findings = engine.locate(clip, PLAN)
    with finding(lambda frame: pytest.fail("located though the regions are known")) as engine:
        whole = engine.hide(clip, tmp_path / "whole.mkv", PLAN, regions=findings)
        joined, spans = in_spans(engine, clip, tmp_path / "joined.mkv", PLAN, findings)
    assert len(spans) > 1
    assert spans[1].read == spans[1].first
    assert joined.tracks == whole.tracks
    assert all(map(np.array_equal, luma(tmp_path / "whole.mkv"), luma(tmp_path / "joined.mkv")))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"two_pass": True}, "whole file"),
        ({"smart": True}, "whole file"),
        ({"on_damage": "cover"}, "covered"),
        ({"window_seconds": 2.0}, "short"),  # spans that would mostly overlap are longer
    ],
)
def test_a_video_that_cannot_be_split_stays_whole(changes: dict[str, Any], why: str, clip: Path) -> None:
    with finding(unseen_in()) as engine:
        reason = engine.split(clip, "MKV", replace(PLAN, video=replace(PLAN.video, **changes)), seconds=4.0)
    assert isinstance(reason, str)
    assert why in reason


def test_progress_counts_the_frames_of_the_segment(clip: Path, tmp_path: Path) -> None:
    done: list[tuple[int, int | None]] = []
    with finding(unseen_in()) as engine:
        span = cut(engine, clip, PLAN)[1]
        part = tmp_path / "1.part"
        report = engine.hide_segment(clip, part, PLAN, span, progress=lambda count, total: done.append((count, total)))
    assert done == [(count, span.frames) for count in range(1, span.frames + 1)]
    assert report.frames == span.frames


Change = Callable[[list[tuple[Path, Report]]], list[tuple[Path, Report]]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda made: made[:1], "some are missing"),
        (lambda made: [], "reports are not of segments"),
        (lambda made: [(made[0][0], replace(made[0][1], input_sha256="0")), made[1]], "reports are not of segments"),
        (lambda made: [(file, replace(one, input_sha256="0")) for file, one in made], "has changed"),
        (lambda made: [(file, replace(one, plan="0")) for file, one in made], "another plan"),
    ],
)
def test_segments_that_do_not_belong_together_are_not_joined(
    change: Change, why: str, clip: Path, tmp_path: Path
) -> None:
    plan = replace(PLAN, video=replace(PLAN.video, track=False))
    with finding(lambda frame: []) as engine:
        spans = cut(engine, clip, plan)
        made = []
        for span in spans:
            part = tmp_path / f"{span.index}.part"
            made.append((part, engine.hide_segment(clip, part, plan, span)))
        with pytest.raises(BadInput, match=why):
            engine.concat(clip, change(made), tmp_path / "out.mkv", plan)
    assert {path.suffix for path in tmp_path.iterdir()} == {".part"}


def test_a_failing_localizer_leaves_no_segment_file(clip: Path, tmp_path: Path) -> None:
    def failing(frame: Frame) -> list[Region]:
        raise RuntimeError("device lost")

    with finding(failing) as engine, pytest.raises(VelumError, match="device lost"):
        engine.hide_segment(clip, tmp_path / "1.part", PLAN, cut(engine, clip, PLAN)[1])
    assert not list(tmp_path.iterdir())
