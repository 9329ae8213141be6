"""Things that go on from one span of a video to the next, each of which numbered them for itself."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from velum.region import Region
from velum.track.association import pair_overlapping
from velum.track.float_boxes import FloatBox, edges_of

Numbers = Mapping[int, int]
"""For the number of a track that another span has begun, that other number."""


def linked(told: Sequence[Path]) -> Numbers:
    """Return which tracks of a span go on with one of the span before; `told` is what was hidden in each, in order.

    The last frame of one span and the first of the next follow each other: what is of the same label and overlaps
    there, as from any frame to the next, is the same.
    """
    numbers: dict[int, int] = {}
    before: Sequence[Region] = ()
    for path in told:
        first, last = _ends(path)
        for one, same in _pairs(before, first):
            numbers[same] = numbers.get(one, one)
        before = last
    return numbers


def renumbered(lines: Iterable[str], numbers: Numbers) -> Iterator[str]:
    """Yield lines of JSON, one for each frame, in which things have one number in all spans."""
    for line in lines:
        if not numbers:
            yield line
            continue
        frame = json.loads(line)
        yield json.dumps({**frame, "regions": [_named(one, numbers) for one in frame["regions"]]}, ensure_ascii=False)


def reported(note: Mapping[str, Any], numbers: Numbers) -> Mapping[str, Any]:
    """Return the report of a span in which things have one number in all spans."""
    return {**note, "tracks": [_named(one, numbers) for one in note["tracks"]]}


def _named(one: Mapping[str, Any], numbers: Numbers) -> Mapping[str, Any]:
    number = numbers.get(one.get("track", -1))
    return one if number is None else {**one, "track": number}


def _pairs(before: Sequence[Region], after: Sequence[Region]) -> Iterator[tuple[int, int]]:
    for label in sorted({region.label for region in before} & {region.label for region in after}):
        (left, places), (right, others) = _numbered(before, label), _numbered(after, label)
        for one, same in pair_overlapping(places, others):
            yield left[one], right[same]


def _numbered(regions: Sequence[Region], label: str) -> tuple[list[int], list[FloatBox]]:
    """Return the numbers and the places of what is followed and has that label."""
    chosen = [(one.track, edges_of(one.box)) for one in regions if one.label == label and one.track is not None]
    return [track for track, _ in chosen], [place for _, place in chosen]


def _ends(path: Path) -> tuple[Sequence[Region], Sequence[Region]]:
    """Return what was hidden in the first and in the last frame of a span."""
    first = last = ""
    with path.open(encoding="utf-8") as file:
        for line in file:
            first, last = first or line, line
    return _regions(first), _regions(last)


def _regions(line: str) -> Sequence[Region]:
    return [Region.from_json(one) for one in json.loads(line)["regions"]] if line else []
