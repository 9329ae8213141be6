"""Following one thing that a person pointed at, forwards and backwards through pictures that are all at hand."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from velum.region import Box, Origin, Region
from velum.track.float_boxes import FloatBox, edges_of, grow
from velum.track.interpolation import worth_following
from velum.track.observation import Observation
from velum.track.scene_cuts import scenes
from velum.track.template_matcher import Pyramid, TemplateMatcher
from velum.track.window import margin


def track_object(looks: Sequence[Observation], start: int, region: Region, pad: int) -> dict[int, Region]:
    """Return where the thing is, by the index of the look: `region` in `looks[start]`, and around it as far as it goes.

    Each way ends where the scene does, where the thing leaves the picture, and `pad` frames after it was recognised
    last; boxes grow the farther they are from what the person said.
    """
    begins = [new for _, new in scenes(looks)]
    first = next((i for i in range(start, 0, -1) if begins[i]), 0)
    last = next((i for i in range(start + 1, len(looks)) if begins[i]), len(looks))
    found = {looks[start].index: region}
    ways: tuple[tuple[Sequence[Observation], Origin], ...] = (
        (looks[start:last], "interpolated"), (looks[first : start + 1][::-1], "back-filled"),
    )  # fmt: skip
    for way, how in ways:
        for look, edges in _follow_one_way(way, edges_of(region.box), pad):
            box = Box.around(*edges).clip(look.width, look.height)
            if box is not None:
                found[look.index] = replace(region, box=box, mask=None, found=how)
    return found


def _follow_one_way(way: Sequence[Observation], edges: FloatBox, pad: int) -> Iterator[tuple[Observation, FloatBox]]:
    """Yield the looks after the first with the box in each; guesses only where the thing was recognised again."""
    chase = TemplateMatcher(Pyramid(way[0]), edges)
    unsure: list[tuple[Observation, FloatBox]] = []
    for away, look in enumerate(way[1:], 1):
        picture = Pyramid(look)
        held = chase.step(picture)
        if not worth_following(chase, picture):
            break
        unsure.append((look, grow(chase.edges, margin(away, chase.lost))))
        if held or chase.leaving(picture):
            yield from unsure
            unsure.clear()
    yield from unsure[:pad]
