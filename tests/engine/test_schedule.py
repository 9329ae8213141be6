"""Localizers see a few frames a second of a video, both sides of each cut, and zones see them all."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
import pytest
from PIL import Image

from velum import Engine, Plan
from velum.engine.schedule import EVERY_FRAME, Schedule
from velum.frame import Frame, Plane, Role
from velum.plan import Effort, Video
from velum.plugins import RuntimeConfig
from velum.region import Box, Region

FACE = Box(40, 30, 72, 62)


def frames(count: int, cuts: Sequence[int] = ()) -> Iterator[Frame]:
    """Yield frames of scenes that differ in where light and shade lie."""
    scene = 0
    for index in range(count):
        scene += index in cuts
        pixels = np.random.default_rng(scene).integers(0, 2, (6, 8)).repeat(20, 0).repeat(20, 1) * 200
        yield Frame.of(Plane(pixels.astype(np.uint8), Role.GREY), index=index)


def due(schedule: Schedule, given: Iterator[Frame]) -> list[int]:
    scheduled = list(schedule.frames(given))
    assert [item.frame.index for item in scheduled] == sorted(item.frame.index for item in scheduled)
    return [item.frame.index for item in scheduled if item.due]


@pytest.mark.parametrize(
    ("effort", "fps", "window", "interval"),
    [
        ("fast", 25, 50, 10), ("balanced", 25, 50, 8), ("balanced", 30, 60, 9), ("balanced", 10, 20, 3),
        ("balanced", 3, 6, 1), ("balanced", 60, 120, 18), ("thorough", 25, 50, 2), ("thorough", 10, 20, 1),
        ("balanced", 25, 15, 6), ("balanced", 25, 8, 3), ("balanced", 25, 0, 1), ("balanced", 25, None, 8),
    ],
)  # fmt: skip
def test_the_interval_follows_effort_frame_rate_and_window(
    effort: Effort, fps: int, window: int | None, interval: int
) -> None:
    schedule = Schedule.of(Plan(effort=effort), Fraction(fps), window)
    assert schedule.interval == interval
    assert schedule.scenes == (interval > 1)


@pytest.mark.parametrize(
    ("video", "fps", "schedule"),
    [
        (Video(every=5), Fraction(25), Schedule(5)),
        (Video(every=1), Fraction(25), EVERY_FRAME),
        (Video(track=False), Fraction(25), EVERY_FRAME),
        (Video(), None, EVERY_FRAME),
    ],
)
def test_the_plan_takes_precedence(video: Video, fps: Fraction | None, schedule: Schedule) -> None:
    assert Schedule.of(Plan(video=video), fps, 50) == schedule


@pytest.mark.parametrize(
    ("count", "cuts", "expected"),
    [
        (20, (), [0, 8, 16, 19]),
        (20, (13,), [0, 8, 12, 13, 16, 19]),
        (10, (8,), [0, 7, 8, 9]),
        (1, (), [0]),
        (0, (), []),
    ],
)
def test_both_sides_of_a_cut_and_the_last_frame_are_seen(count: int, cuts: Sequence[int], expected: list[int]) -> None:
    assert due(Schedule(8, scenes=True), frames(count, cuts)) == expected


def test_a_part_of_a_video_is_seen_like_the_whole() -> None:
    whole = due(Schedule(8, scenes=True), frames(60, (21, 37)))
    part = due(Schedule(8, scenes=True), (frame for frame in frames(60, (21, 37)) if 10 <= frame.index < 50))
    assert part[:-1] == [index for index in whole if 10 <= index < 49]


class Counting:
    """Finds a face in each frame that it sees, and remembers which these were."""

    labels = frozenset({"face"})

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.sparse: bool | None = None

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        self.seen += [frame.index for frame in frames]
        return [[Region(FACE, "face", 0.9)] for _ in frames]

    def close(self) -> None:
        pass


class Bearing(Counting):
    """One that can do with fewer frames."""

    def for_video(self, *, sparse: bool) -> Self:
        self.sparse = sparse
        return self


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(20):
            pixels = np.full((120, 160, 3), 90, np.uint8)
            pixels[30:62, 40:72] = 200
            pixels[80:100, 10 + index : 40 + index] = 150
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


def hidden(clip: Path, part: Counting, video: Video | None = None) -> list[np.ndarray[Any, Any]]:
    rules = ("face: counting -> blacken with grow=0", "zone: fixed(box=[100, 0, 160, 40]) -> blacken with grow=0")
    host = RuntimeConfig(localizers={"counting": lambda: part})
    target = clip.with_name("hidden.mkv")
    with Engine(host=host) as engine:
        engine.hide(clip, target, Plan.of(*rules, video=video or Video()), overwrite=True)
    with av.open(target) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


@pytest.mark.parametrize("every", [None, 1, 3, 7])
def test_zones_and_tracked_objects_are_hidden_in_every_frame(clip: Path, every: int | None) -> None:
    part = Bearing()
    shown = hidden(clip, part, Video(every=every))
    assert len(shown) == 20
    for index, pixels in enumerate(shown):
        assert pixels[2:38, 102:158].max() <= 18, f"the zone shows in frame {index}"
        assert pixels[32:60, 42:70].max() <= 18, f"the face shows in frame {index}"
    assert part.seen == [index for index in range(20) if index % (every or 8) == 0] + ([19] if every is None else [])
    assert part.sparse == (every is None)


def test_a_localizer_that_does_not_say_so_sees_every_frame(clip: Path) -> None:
    part = Counting()
    hidden(clip, part)
    assert part.seen == list(range(20))


def test_an_image_is_never_scheduled_like_a_video(tmp_path: Path) -> None:
    part, host = Bearing(), None
    host = RuntimeConfig(localizers={"counting": lambda: part})
    with Engine(host=host) as engine:
        engine.hide_pixels(np.full((120, 160, 3), 90, np.uint8), Plan.of("face: counting -> blacken"))
    assert part.sparse is None


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_every_frame_of_an_animation_is_seen(tmp_path: Path, suffix: str) -> None:
    part, images = Bearing(), [Image.fromarray(np.full((120, 160, 3), 30 * index, np.uint8)) for index in range(6)]
    images[0].save(tmp_path / f"in{suffix}", save_all=True, append_images=images[1:], duration=100)
    host = RuntimeConfig(localizers={"counting": lambda: part})
    with Engine(host=host) as engine:
        engine.hide(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", Plan.of("face: counting -> blacken"))
    assert part.seen == list(range(6))
    assert part.sparse is False
