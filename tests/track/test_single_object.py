"""An object that a person pointed at is followed in both directions, in drawn clips."""

from collections.abc import Callable

import pytest
from tests.track.test_tracker import HEIGHT, WIDTH, Film, Thing, played, steady

from velum.region import Box, Region
from velum.track.tracker import track_object

PAD = 3


def around(x: float, y: float, side: float = 90) -> Box:
    return Box.around(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def run(film: Film, at: int, box: Box) -> dict[int, Region]:
    return track_object([look for look, _ in played(film)], at, Region(box, "face", origin="manual"), PAD)


@pytest.mark.parametrize(
    ("path", "at"),
    [(steady(480, 270), 0), (steady(200, 200, 6, 1), 30), (steady(800, 400, -6, -2), 59)],
)
def test_a_followed_object_is_covered_wherever_it_moves(path: Callable[[int], tuple[float, float]], at: int) -> None:
    found = run(Film((Thing(path),)), at, around(*path(at)))
    assert sorted(found) == list(range(60))
    for index, region in found.items():
        inner = around(*path(index), 80)
        assert region.box.join(inner) == region.box, (index, region.box, inner)
        assert region.box.width < 200
    hows = {index: region.origin for index, region in found.items()}
    assert hows == {i: "back-filled" if i < at else "manual" if i == at else "interpolated" for i in range(60)}
    assert found[at].box == around(*path(at))


def test_following_ends_with_the_scene() -> None:
    film = Film((Thing(steady(480, 270)),), cuts=(20, 45))
    assert sorted(run(film, 30, around(480, 270))) == list(range(20, 45))
    assert sorted(run(film, 20, around(480, 270))) == list(range(20, 45))


def test_following_ends_shortly_after_the_object_leaves() -> None:
    left = run(Film((Thing(steady(480, 270, 12, 0)),)), 0, around(480, 270))
    assert 38 <= max(left) <= 46
    assert all(one.box.x0 >= 0 and one.box.x1 <= WIDTH and one.box.y1 <= HEIGHT for one in left.values())
    hidden = run(Film((Thing(steady(480, 270), visible=lambda n: n < 30),)), 10, around(480, 270))
    assert max(hidden) == 29 + PAD


def test_an_object_that_comes_back_is_covered_meanwhile() -> None:
    gone = run(Film((Thing(steady(480, 270), visible=lambda n: not 20 <= n < 30),)), 5, around(480, 270))
    assert sorted(gone) == list(range(60))
    assert gone[25].box.width > gone[5].box.width


def test_an_object_that_looks_like_its_background_is_covered_for_a_moment() -> None:
    film = Film(())
    looks = [look for look, _ in played(film)]
    for look in looks:
        look.thumbnail[:] = 90
    found = track_object(looks, 30, Region(around(480, 270), "face"), PAD)
    played.cache_clear()
    assert sorted(found) == list(range(30 - PAD, 31 + PAD))
