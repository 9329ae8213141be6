"""Doubtful detections of a video get a second look, or must be found twice, before a track hides them for long."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest

from velum import Engine, Plan, RuntimeConfig
from velum.errors import PluginFault, Unavailable
from velum.frame import Frame
from velum.plan import Video
from velum.region import Box, Region

COUNT, START = 25, 0.4
THING, OTHER = Box(40, 30, 72, 62), Box(100, 70, 132, 102)
FOUND_AT = 8
PLAN = Plan.of("face: scripted -> blacken with grow=0", video=Video(every=4))


@dataclass
class Scripted:
    """Finds regions by frame, and gives those of its second look, in order of the calls."""

    found: dict[int, list[Region]]
    again: Callable[[Frame, Sequence[Region]], list[float | None]]
    labels: frozenset[str] = frozenset({"face"})
    track_threshold: float = START
    looks_to_track: int = 1
    asked: list[tuple[int, list[Box]]] = field(default_factory=list)

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        return [list(self.found.get(frame.index, ())) for frame in frames]

    def look_again(self, frame: Frame, regions: Sequence[Region]) -> list[float | None]:
        assert frame.planes, "the frame is at hand"
        self.asked.append((frame.index, [region.box for region in regions]))
        return self.again(frame, regions)

    def close(self) -> None:
        pass


def face(box: Box, score: float) -> Region:
    return Region(box, "face", score)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    ground = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for _ in range(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(ground, "rgb24")))
        container.mux(stream.encode())
    return path


def shown_boxes(clip: Path, part: Scripted, video: Video = PLAN.video) -> dict[int, list[Box]]:
    """Return the boxes that are hidden in each frame, and check that no pass over the file hides others."""
    host = RuntimeConfig(localizers={"scripted": lambda: part})
    plan, found = Plan(PLAN.rules, video=video), dict[int, tuple[Region, ...]]()
    with Engine(host=host) as engine:
        engine.hide(clip, clip.with_name("out.mkv"), plan, on_regions=found.__setitem__, overwrite=True)
        annotations = engine.locate(clip, plan)
    hidden, located = (
        {index: sorted(region.box for region in regions) for index, regions in frames.items() if regions}
        for frames in (found, annotations.frames)
    )
    assert hidden == located
    return hidden


@pytest.mark.parametrize("score", [0.5, 0.3])
@pytest.mark.parametrize(
    ("again", "frames"),
    [
        pytest.param(0.0, set(), id="nothing is there"),
        pytest.param(0.2, {FOUND_AT}, id="still doubtful"),
        pytest.param(0.6, set(range(COUNT)), id="something is there"),
    ],
)
def test_the_score_of_the_second_look_decides(clip: Path, score: float, again: float, frames: set[int]) -> None:
    part = Scripted({FOUND_AT: [face(THING, score)]}, lambda _, regions: [again] * len(regions))
    assert shown_boxes(clip, part).keys() == frames
    assert part.asked == [(FOUND_AT, [THING])] * 2  # once in each pass


@pytest.mark.parametrize(("score", "frames"), [(0.5, set(range(COUNT))), (0.3, {FOUND_AT})])
def test_a_region_without_a_second_score_is_hidden(clip: Path, score: float, frames: set[int]) -> None:
    part = Scripted({FOUND_AT: [face(THING, score)]}, lambda _, regions: [None] * len(regions))
    assert shown_boxes(clip, part).keys() == frames


def test_only_regions_that_continue_no_track_get_a_second_look(clip: Path) -> None:
    found = {index: [face(THING, 0.9 if index == 4 else 0.3)] for index in (4, 8, 12)}
    found[12].append(face(OTHER, 0.3))
    part = Scripted(found, lambda _, regions: [0.0 if region.box == OTHER else 0.9 for region in regions])
    shown = shown_boxes(clip, part)
    assert shown.keys() == set(range(COUNT))
    assert all(box.join(THING) == box and not box.overlaps(OTHER) for (box,) in shown.values())
    assert part.asked[: len(part.asked) // 2] == [(4, [THING]), (12, [OTHER])]


def test_regions_that_would_start_a_track_come_first(clip: Path) -> None:
    part = Scripted({8: [face(THING, 0.3), face(OTHER, 0.5)]}, lambda _, regions: [None] * len(regions))
    shown_boxes(clip, part)
    assert part.asked[0] == (8, [OTHER, THING])


def test_an_unconfirmed_region_joins_a_track_that_starts_at_its_place_later(clip: Path) -> None:
    found = {4: [face(THING.move(2, 0), 0.3)], 12: [face(THING, 0.9)]}
    part = Scripted(found, lambda _, regions: [0.0 if region.score < START else None for region in regions])
    shown = shown_boxes(clip, part)
    assert shown.keys() == set(range(COUNT))
    assert all(box.join(THING.move(2, 0)) == box for box in shown[4])


def test_without_tracking_there_is_no_second_look(clip: Path) -> None:
    part = Scripted({8: [face(THING, 0.3)]}, lambda _, regions: [0.0] * len(regions))
    assert shown_boxes(clip, part, Video(track=False)).keys() == {8}
    assert part.asked == []


EVERY = Video(every=1)


@pytest.mark.parametrize(
    ("found_at", "shown"),
    [
        pytest.param({8}, {8}, id="in one frame"),
        pytest.param({8, 9}, set(range(COUNT)), id="in two"),
        pytest.param({8, 12}, set(range(COUNT)), id="and again within the padding"),
        pytest.param({4, 16}, {4, 16}, id="twice, far apart"),
    ],
)
def test_an_object_that_must_be_found_twice_is_still_hidden_where_it_is_found_once(
    clip: Path, found_at: set[int], shown: set[int]
) -> None:
    part = Scripted(
        {index: [face(THING, 0.9)] for index in found_at}, lambda _, regions: [None] * len(regions), looks_to_track=2
    )
    assert shown_boxes(clip, part, EVERY).keys() == shown


def test_two_distant_objects_do_not_count_as_one_found_twice(clip: Path) -> None:
    part = Scripted(
        {8: [face(THING, 0.9)], 9: [face(OTHER, 0.9)]}, lambda _, regions: [None] * len(regions), looks_to_track=2
    )
    assert shown_boxes(clip, part, EVERY) == {8: [THING], 9: [OTHER]}


def fail(frame: Frame, regions: Sequence[Region]) -> list[float | None]:
    raise ValueError("no")


def be_away(frame: Frame, regions: Sequence[Region]) -> list[float | None]:
    raise Unavailable("the network is gone")


@pytest.mark.parametrize(
    ("again", "error", "why"),
    [
        (fail, PluginFault, "failed to look again at frame 8: ValueError: no"),
        (be_away, Unavailable, "the network is gone"),
        (lambda _, regions: [], PluginFault, "gave 0 scores at a second look at 1 regions"),
    ],
)
def test_a_second_look_that_fails_publishes_nothing(
    clip: Path, again: Callable[[Frame, Sequence[Region]], list[float | None]], error: type[Exception], why: str
) -> None:
    part = Scripted({8: [face(THING, 0.3)]}, again)
    target = clip.with_name("none.mkv")
    with Engine(host=RuntimeConfig(localizers={"scripted": lambda: part})) as engine, pytest.raises(error, match=why):
        engine.hide(clip, target, PLAN)
    assert not target.exists()
