"""Tracking objects between locating and hiding."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import SimpleNamespace
from typing import cast
from weakref import WeakSet

import numpy as np
import pytest

from velum import media
from velum.engine.prepare import PreparedPlan, PreparedRule
from velum.engine.stages import FrameRegions
from velum.engine.tracking import HELD_BYTES, TrackingWindow, track_regions
from velum.frame import Frame, Plane, Role
from velum.plan import Plan
from velum.region import Box, Region
from velum.techniques.blacken import Blacken
from velum.testing import FakeLocalizer

GROUND = np.random.default_rng(0).integers(0, 256, (120, 160), dtype=np.uint8)
THING = np.random.default_rng(1).integers(0, 256, (24, 24), dtype=np.uint8)


PARTS = FakeLocalizer(), FakeLocalizer(labels=frozenset({"zone"}))
PLAN = Plan.of("face: a -> blacken", "zone: b -> blacken")
WORK = PreparedPlan(PLAN, tuple(PreparedRule(rule, Blacken(), place) for place, rule in enumerate(PLAN.rules)), PARTS)


def box_at(index: int) -> Box:
    return Box(10 + 2 * index, 40, 34 + 2 * index, 64)


def film(count: int) -> Iterator[Frame]:
    for index in range(count):
        pixels = GROUND.copy()
        pixels[box_at(index).slices] = THING
        yield Frame.of(Plane(pixels, Role.GREY), index=index)


def looked(count: int, seen: Sequence[int], *, zone: bool = False) -> Iterator[FrameRegions]:
    for frame in film(count):
        regions = [Region(box_at(frame.index), "face", 0.9)] if frame.index in seen else []
        zones = [Region(Box(0, 0, 9, 9), "zone", origin="manual")] if zone and frame.index == 3 else []
        yield FrameRegions(frame, (regions, zones))


@pytest.mark.parametrize("window", [None, 20])
def test_a_gap_is_closed_and_frames_stay_in_order(window: int | None) -> None:
    seen = [i for i in range(40) if not 12 <= i < 22]
    out = list(track_regions(looked(40, seen), WORK, TrackingWindow(window, 3)))
    assert [look.frame.index for look in out] == list(range(40))
    for look in out:
        (region,) = look.regions[0] or ()
        thing = box_at(look.frame.index)
        assert region.box.join(thing) == region.box  # contains it
        assert region.origin == ("detected" if look.frame.index in seen else "interpolated")
    assert bool(out[0].frame.planes) is (window is not None)  # without end, no picture is held


def test_tracking_holds_no_more_frames_than_its_window() -> None:
    alive: WeakSet[FrameRegions] = WeakSet()
    most = 0

    class Watched(FrameRegions):
        __slots__ = ("__weakref__",)

    def watched() -> Iterator[FrameRegions]:
        for look in looked(60, range(60)):
            one = Watched(look.frame, look.regions)
            alive.add(one)
            yield one

    for _ in track_regions(watched(), WORK, TrackingWindow(10, 3)):
        most = max(most, len(alive))
    assert most <= 10 + 3  # those between two stages


def test_a_zone_stays_where_and_when_it_was_placed() -> None:
    out = list(track_regions(looked(8, range(8), zone=True), WORK, TrackingWindow(4, 3)))
    assert [len(look.regions[1] or ()) for look in out] == [0, 0, 0, 1, 0, 0, 0, 0]


def test_tracks_of_two_localizers_have_different_ids() -> None:
    def twice() -> Iterator[FrameRegions]:
        for look in looked(5, range(5)):
            yield FrameRegions(look.frame, (look.regions[0], look.regions[0]))

    for look in track_regions(twice(), WORK, TrackingWindow(3, 1)):
        tracks = [region.track for found in look.regions for region in found or ()]
        assert len(set(tracks)) == 2


def test_no_frames_give_no_frames() -> None:
    assert list(track_regions(iter(()), WORK, TrackingWindow(5, 1))) == []


def test_large_frames_are_held_for_a_shorter_time() -> None:
    def held(width: int, height: int) -> int:
        info = SimpleNamespace(fps=Fraction(30), frame_bytes=width * height)
        window = TrackingWindow.of(PLAN, cast("media.Reader", SimpleNamespace(info=info)))
        assert window is not None
        assert window.window_frames is not None
        return window.window_frames

    assert held(640, 480) == 60
    assert 0 < held(8000, 4000) * 8000 * 4000 <= max(HELD_BYTES, 8 * 8000 * 4000)


def test_a_doubtful_detection_is_hidden_in_its_frame_and_starts_no_track() -> None:
    work = PreparedPlan(PLAN, WORK.rules, (FakeLocalizer(track_threshold=0.5), PARTS[1]))

    def doubtful() -> Iterator[FrameRegions]:
        for frame in film(9):
            score = {4: 0.3}.get(frame.index)
            yield FrameRegions(frame, ([Region(box_at(frame.index), "face", score)] if score else [], []))

    out = list(track_regions(doubtful(), work, TrackingWindow(4, 2)))
    assert [[region.box for region in look.regions[0] or ()] for look in out] == [[]] * 4 + [[box_at(4)]] + [[]] * 4
    assert all(look.final for look in out)
