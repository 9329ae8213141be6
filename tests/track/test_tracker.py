"""Drawn clips with a detector of known faults: how many objects stay visible, and how much is hidden needlessly."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from tests.rows import but_for, exhaustive

from velum.region import Box, Region
from velum.track.template_matcher import Observation, Thumbnail
from velum.track.tracker import track_observations

WIDTH, HEIGHT, SCALE = 960, 540, 2
PAD = 6
Route = Callable[[int], tuple[float, float]]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Thing:
    """A textured disc: its middle and its size in pixels of the picture, by frame, and how the detector sees it."""

    path: Route
    size: Callable[[int], float] = lambda _: 90.0
    label: str = "face"
    seen: Callable[[int], bool] = lambda _: True
    score: Callable[[int], float] = lambda _: 0.9
    visible: Callable[[int], bool] = lambda _: True


@dataclass(frozen=True, eq=False)
class Film:
    """Things in front of a textured ground; the later ones in front of the others."""

    things: tuple[Thing, ...]
    frames: int = 60
    jitter: float = 0.0
    pan: float = 0.0
    cuts: tuple[int, ...] = ()
    flashes: tuple[int, ...] = ()
    every: int = 1
    sure: dict[str, float] = field(default_factory=dict)


@cache
def texture(seed: int, height: int, width: int, grain: float) -> Thumbnail:
    noise = np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), grain)
    return np.asarray(np.clip(128 + 50 * soft / soft.std(), 0, 255), np.uint8)


def steady(x: float, y: float, dx: float = 0.0, dy: float = 0.0) -> Route:
    return lambda n: (x + dx * n, y + dy * n)


@cache
def played(film: Film) -> list[tuple[Observation, list[Flags]]]:
    """Return the looks, with which samples of the thumb show each thing."""
    rng, frames = np.random.default_rng(7), list[tuple[Observation, list[Flags]]]()
    skins = [texture(100 + i, 64, 64, 5) for i in range(len(film.things))]
    disc = cv2.circle(np.zeros((64, 64), np.uint8), (32, 32), 31, 255, -1)
    for n in range(film.frames):
        scene = sum(n >= cut for cut in film.cuts)
        wide = texture(scene, HEIGHT // SCALE, WIDTH // SCALE + 400, 6)
        start = round(film.pan * n)
        thumb, shows, regions = wide[:, start : start + WIDTH // SCALE].copy(), list[Flags](), list[Region]()
        for thing, skin in zip(film.things, skins, strict=True):
            (x, y), size = thing.path(n), thing.size(n)
            zoom = size / SCALE / 64
            place = np.array([[zoom, 0, x / SCALE - 32 * zoom], [0, zoom, y / SCALE - 32 * zoom]])
            drawn, mask = (cv2.warpAffine(one, place, thumb.shape[::-1], flags=cv2.INTER_AREA) for one in (skin, disc))
            there = (mask > 127) & thing.visible(n)
            thumb[there] = drawn[there]
            shows = [*(show & ~there for show in shows), there]
        for thing, show in zip(film.things, shows, strict=True):
            wobble = rng.normal(0, film.jitter * thing.size(n), 4) if film.jitter else np.zeros(4)
            if thing.seen(n) and show.sum() > 0.4 * np.pi * (thing.size(n) / 2 / SCALE) ** 2:
                (x, y), half = thing.path(n), thing.size(n) / 2
                box = Box.around(*(np.array([x - half, y - half, x + half, y + half]) + wobble)).clip(WIDTH, HEIGHT)
                regions += [Region(box, thing.label, thing.score(n))] if box else []
        if n in film.flashes:
            thumb = np.asarray(np.clip(thumb.astype(np.int16) + 150, 0, 255), np.uint8)
        looked = tuple(regions) if n % film.every == 0 else None
        frames.append((Observation(n, WIDTH, HEIGHT, looked, thumb), shows))
    return frames


def covered(regions: Sequence[Region]) -> Flags:
    hidden = np.zeros((HEIGHT // SCALE, WIDTH // SCALE), bool)
    for region in regions:
        x0, y0, x1, y1 = region.box.xyxy
        hidden[-(-y0 // SCALE) : y1 // SCALE, -(-x0 // SCALE) : x1 // SCALE] = True
    return hidden


def played_and_followed(
    film: Film, window: int | None = 60
) -> tuple[list[list[float]], float, list[tuple[Region, ...]]]:
    """Return the covered share of each thing by frame (1 when it does not show), hidden per shown area, the regions."""
    frames = played(film)
    out = list(track_observations((look for look, _ in frames), window, PAD, film.sure))
    assert len(out) == len(frames)
    hidden = [covered(regions) for regions in out]
    shares = [
        [(h & s).sum() / s.sum() if s.sum() > 40 else 1.0 for s in shows]
        for (_, shows), h in zip(frames, hidden, strict=True)
    ]
    shown = sum(np.any(shows, axis=0).sum() for _, shows in frames)
    return shares, sum(h.sum() for h in hidden) / shown, out


def misses(share: float, seed: int = 1) -> Callable[[int], bool]:
    luck = np.random.default_rng(seed).random(1000)
    return lambda n: bool(luck[n] >= share)


def outside(*spans: tuple[int, int]) -> Callable[[int], bool]:
    return lambda n: not any(start <= n < end for start, end in spans)


RIGHT, LEFT = steady(150, 200, 8, 2), steady(800, 260, -8, 0)
FILMS = {
    "moves evenly": Film((Thing(RIGHT),)),
    "found too late: visible from 0, found from 8": Film((Thing(RIGHT, seen=lambda n: n >= 8),)),
    "found very late and only once": Film((Thing(steady(200, 200, 3, 1), seen=lambda n: n == 40),)),
    "lost after 10: still there to the end": Film((Thing(RIGHT, seen=lambda n: n < 10),)),
    "blind for 12 frames": Film((Thing(RIGHT, seen=outside((20, 32))),)),
    "blind for 30 frames": Film((Thing(RIGHT, seen=outside((15, 45))),)),
    "blind while it turns back": Film(
        (Thing(lambda n: (480 + 250 * np.sin(n / 9), 270 + 60 * np.cos(n / 7)), seen=outside((8, 24))),)
    ),
    "30 % missed": Film((Thing(RIGHT, seen=misses(0.3)), Thing(LEFT, seen=misses(0.3, 2))), jitter=0.04),
    "70 % missed": Film((Thing(RIGHT, seen=misses(0.7)),), jitter=0.03),
    "two cross": Film((Thing(steady(200, 250, 9, 0)), Thing(steady(750, 270, -9, 0)))),
    "two cross, both missed then": Film(
        (Thing(steady(200, 250, 9, 0), seen=outside((25, 36))), Thing(steady(750, 270, -9, 0), seen=outside((24, 38))))
    ),
    "speeds up": Film((Thing(lambda n: (100 + 0.2 * n * n, 270), seen=misses(0.4)),)),
    "brakes while missed": Film((Thing(lambda n: (100 + 20 * n - 0.16 * n * n, 270), seen=outside((20, 40))),)),
    "leaves": Film((Thing(steady(700, 200, 8, 0), seen=lambda n: n < 25),)),
    "enters from the left, found when well inside": Film((Thing(steady(-60, 200, 8, 0), seen=lambda n: n >= 22),)),
    "comes nearer while missed": Film((Thing(steady(450, 260), size=lambda n: 60 * 1.015**n, seen=outside((25, 45))),)),
    "camera pans": Film((Thing(steady(700, 200, -5, 0), seen=misses(0.3)),), pan=4),
    "camera pans, blind for 20": Film((Thing(steady(700, 200, -8, 0), seen=outside((15, 35))),), pan=4),
    "small and fast, each third missed": Film(
        (Thing(steady(60, 60, 14, 6), size=lambda _: 26, seen=lambda n: n % 3 > 0),)
    ),
    "each third frame": Film((Thing(RIGHT), Thing(LEFT)), every=3, jitter=0.02),
    "each fifth frame": Film((Thing(RIGHT), Thing(LEFT)), every=5, jitter=0.02),
    "each fifth frame, small and fast": Film((Thing(steady(60, 60, 13, 5), size=lambda _: 30),), every=5),
    "each fifth frame, missed at times": Film((Thing(RIGHT, seen=outside((15, 26))),), every=5),
    "two labels in one place": Film(
        (
            Thing(steady(300, 250, 4, 0), size=lambda _: 200, label="car", seen=misses(0.3)),
            Thing(steady(300, 250, 4, 0), size=lambda _: 60, label="plate", seen=misses(0.5, 3)),
        )
    ),
    "scene cut": Film((Thing(RIGHT, seen=outside((25, 34))),), cuts=(30,)),
    "flash": Film((Thing(RIGHT, seen=outside((28, 36))),), flashes=(30, 31)),
    "doubtful finds go on with a track": Film(
        (Thing(RIGHT, score=lambda n: 0.9 if n < 10 else 0.2),), sure={"face": 0.5}
    ),
}


@pytest.mark.parametrize("window", [60, *exhaustive([None])])
@pytest.mark.parametrize("name", but_for(FILMS, list(FILMS)[::2]))
def test_objects_are_hidden_in_every_frame(name: str, window: int | None) -> None:
    shares, excess, _ = played_and_followed(FILMS[name], window)
    for frame, by_thing in enumerate(shares):
        assert min(by_thing) >= 0.9, f"{by_thing} covered in frame {frame}"
    assert excess <= 2.5


@pytest.mark.exhaustive
def test_the_films_need_tracking() -> None:
    bare = 0
    for film in FILMS.values():
        for look, shows in played(film):
            hidden = covered(look.regions or ())
            bare += any((show & ~hidden).sum() > 0.5 * show.sum() for show in shows)
    assert bare > 300


@pytest.mark.parametrize(
    ("window", "bare"),
    [
        (12, (0, 21)),  # the first find is in frame 30; of the window, 3 frames are for telling flashes from cuts
        (0, (0, 30)),  # live: nothing is known ahead
    ],
)
def test_the_window_bounds_how_far_back_objects_are_followed(window: int, bare: tuple[int, int]) -> None:
    shares, _, _ = played_and_followed(Film((Thing(steady(300, 200, 3, 1), seen=lambda n: n >= 30),)), window)
    uncovered = [n for n, (share,) in enumerate(shares) if share < 0.9]
    assert uncovered == list(range(*bare))


def test_an_object_that_is_gone_is_hidden_for_the_padding_only() -> None:
    film = Film((Thing(RIGHT, visible=lambda n: 20 <= n < 40),))
    _, _, out = played_and_followed(film)
    hidden = [n for n, regions in enumerate(out) if regions]
    assert hidden == list(range(20 - PAD, 40 + PAD))


@pytest.mark.parametrize("window", [60, None])
def test_no_track_crosses_a_cut(window: int | None) -> None:
    before, after = Thing(RIGHT, visible=lambda n: n < 30), Thing(LEFT, visible=lambda n: n >= 40)
    _, _, out = played_and_followed(Film((before, after), cuts=(30, 40)), window)
    assert not any(out[30:40])
    assert all(len(regions) == 1 for regions in (*out[:30], *out[40:]))


def test_an_object_keeps_its_track_id_through_gaps_flashes_and_crossings() -> None:
    things = Thing(steady(200, 150, 9, 0), seen=misses(0.3)), Thing(steady(750, 300, -9, 0), seen=outside((25, 34)))
    _, _, out = played_and_followed(Film(things, flashes=(20, 21)))
    assert [sorted(region.track or 0 for region in regions) for regions in out] == [[1, 2]] * 60


def test_each_region_says_how_it_was_found() -> None:
    seen = outside((0, 8), (20, 25), (50, 60))
    _, _, out = played_and_followed(Film((Thing(RIGHT, seen=seen),)))
    found = [regions[0].origin for regions in out]
    assert found == ["back-filled"] * 8 + [
        "detected" if seen(n) else "interpolated" for n in range(8, 60)
    ]  # fmt: skip


def test_doubtful_detections_start_no_track_but_join_one_that_starts_later() -> None:
    alone = Film((Thing(RIGHT, score=lambda _: 0.2),), sure={"face": 0.5})
    assert not any(played_and_followed(alone)[2])
    late = Film((Thing(RIGHT, score=lambda n: 0.2 if n < 20 else 0.9),), sure={"face": 0.5})
    _, _, out = played_and_followed(late)
    assert [[region.origin for region in regions] for regions in out] == [["detected"]] * 60


def test_filled_frames_get_the_mask_of_the_nearest_detection_a_little_wider() -> None:
    disc = cv2.circle(np.zeros((90, 90), np.uint8), (45, 45), 45, 1, -1).astype(bool)
    frames = played(Film((Thing(RIGHT, seen=outside((10, 20))),), frames=30))
    looks = [
        Observation(
            look.index,
            WIDTH,
            HEIGHT,
            tuple(Region(r.box, r.label, 0.8, disc) for r in look.regions or ()),
            look.thumbnail,
        )
        for look, _ in frames
    ]
    out = list(track_observations(looks, 60, PAD))
    for (look, (shows,)), (region,) in zip(frames, out, strict=True):
        if look.regions:
            assert region.box == look.regions[0].box
            assert region.mask is disc
        assert region.mask is not None
        whole = np.zeros((HEIGHT, WIDTH), bool)
        whole[region.box.slices] = region.mask
        assert whole[::SCALE, ::SCALE][shows].mean() >= 0.9
        assert 0.6 * np.pi / 4 < region.mask.mean() < 0.95


@pytest.mark.parametrize("masked", [False, True])
def test_points_are_those_of_detections_in_their_own_frames(masked: bool) -> None:
    disc = np.ones((90, 90), bool) if masked else None
    seen = outside((0, 8), (20, 25), (50, 60))
    looks = [
        replace(look, regions=tuple(replace(r, mask=disc, points=((look.index, 7.0),)) for r in look.regions or ()))
        for look, _ in played(Film((Thing(RIGHT, seen=seen),)))
    ]
    out = list(track_observations(looks, 60, PAD))
    for n, regions in enumerate(out):
        assert [region.points for region in regions] == [((n, 7.0),) if seen(n) else None]


def test_the_same_detections_give_the_same_regions() -> None:
    def told() -> list[list[dict[str, object]]]:
        return [[r.to_json() for r in regions] for regions in played_and_followed(FILMS["30 % missed"])[2]]

    assert told() == told()


BOXES = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(-20, 110), st.integers(-20, 70), st.integers(1, 60), st.integers(1, 60),
)  # fmt: skip
REGIONS = st.builds(Region, BOXES, st.sampled_from(["face", "plate"]), st.sampled_from([0.2, 0.9]))
STORIES = st.lists(st.none() | st.lists(REGIONS, max_size=4).map(tuple), max_size=16)
GROUNDS = [texture(seed, 32, 48, 3) for seed in (1, 2)] + [np.zeros((32, 48), np.uint8)]


@given(STORIES, st.lists(st.sampled_from(GROUNDS), min_size=16, max_size=16), st.none() | st.integers(0, 12))
def test_every_detection_is_hidden_in_order_and_within_the_window(
    story: list[tuple[Region, ...] | None], thumbs: list[Thumbnail], window: int | None
) -> None:
    taken = 0

    def looks() -> Iterator[Observation]:
        nonlocal taken
        for n, regions in enumerate(story):
            taken += 1
            yield Observation(n, 96, 64, regions, thumbs[n])

    told = 0
    for n, regions in enumerate(track_observations(looks(), window, 2, {"face": 0.5})):
        told += 1
        assert window is None or taken - told <= window
        for region in regions:
            assert region.box == region.box.clip(96, 64)
            assert region.track is not None
        for find in story[n] or ():
            box, sure = find.box.clip(96, 64), find.label == "plate" or find.score >= 0.5
            if box and sure:
                assert any(r.label == find.label and r.box.join(box) == r.box for r in regions)
    assert told == len(story)


@pytest.mark.real
def test_labelled_faces_are_hidden_between_the_scheduled_frames(shared: Path) -> None:
    """Faces are given as labelled in each second labelled frame of a real clip, and must be covered in the others."""
    truth = json.loads((shared / "media" / "ground_truth.json").read_text())["video/walking_faces.gif"]
    by_frame = {int(n): [Box.around(*one["bbox"]) for one in faces] for n, faces in truth["objects_by_frame"].items()}
    given_in = sorted(by_frame)[::2]
    with Image.open(shared / "media" / "video" / "walking_faces.gif") as clip:
        thumbs = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(clip)]
    width, height = truth["width"], truth["height"]
    looks = [
        Observation(n, width, height, tuple(Region(b, "face") for b in by_frame[n]) if n in given_in else None, thumb)
        for n, thumb in enumerate(thumbs)
    ]
    out = list(track_observations(looks, 24, 2))
    for n in by_frame.keys() - set(given_in):
        hidden = np.zeros((height, width), bool)
        for region in out[n]:
            hidden[region.box.slices] = True
        assert min(hidden[box.slices].mean() for box in by_frame[n]) >= 0.9, f"frame {n}"
