"""Where pictures lie on the page of a PDF (ISO 32000-2, 8.3): whether several of them make up one."""

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pikepdf
from pikepdf import Matrix, Name, Stream

from velum.media.archive.pdf_pictures import resources_of, size_of, values_of

PIECES, PIXELS = 3, 1024
"""From so many different pictures that touch each other, with so many pixels in all, they count as pieces of one, in
which nobody would be found. Rules and dots have fewer pixels."""

TOUCHING, ALONG = 0.02, 0.5
"""Largest gap between neighbours, and least length that their edges share, in shorter sides of the smaller one."""

MOST_DEPTH = 20
"""Deepest nesting of forms that is followed."""

Edges = tuple[float, float, float, float]
"""Left, bottom, right and top of a picture on the page, in points."""

Placement = tuple[tuple[int, int], Edges, int]
"""Object number of a picture, its edges, and its number of pixels."""


def pieces_of(page: Any) -> set[tuple[int, int]]:
    """Return the object numbers of the pictures of a page that touch each other, at least `PIECES` together."""
    placed = sorted(
        _placements(pikepdf.parse_content_stream(page), resources_of(page.obj), Matrix(), 0),
        key=lambda item: item[1][0],
    )
    group = list(range(len(placed)))

    def first_of(number: int) -> int:
        while group[number] != number:
            group[number] = number = group[group[number]]
        return number

    for index, (_, edges, _) in enumerate(placed):
        for other in range(index + 1, len(placed)):
            if placed[other][1][0] > edges[2] + _reach(edges):
                break
            if _touch(edges, placed[other][1]):
                group[first_of(other)] = first_of(index)
    members: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for number, (picture, _, pixels) in enumerate(placed):
        members[first_of(number)][picture] = pixels
    return {
        picture
        for pictures in members.values()
        if len(pictures) >= PIECES and sum(pictures.values()) >= PIXELS
        for picture in pictures
    }


def close_states(page: Any) -> int:
    """Drop each `Q` of a page's contents that closes no state, as viewers do; return the number of states left open."""
    page.contents_coalesce()
    if not isinstance(contents := page.obj.get("/Contents"), Stream):
        return 0
    kept: list[Any] = []
    depth, dropped = 0, 0
    for instruction in pikepdf.parse_content_stream(contents):
        operator = str(instruction.operator)
        if operator == "Q" and not depth:
            dropped += 1
            continue
        depth += (operator == "q") - (operator == "Q")
        kept.append(instruction)
    if dropped:
        contents.write(pikepdf.unparse_content_stream(kept))
    return depth


def share_resources(page: Any) -> None:
    """Give forms without resources the resources of the page or form that draws them (ISO 32000-2, 8.10.1)."""
    waiting, seen = [(value, resources_of(page.obj)) for value in _forms(resources_of(page.obj))], set()
    while waiting:
        form, outer = waiting.pop()
        if form.objgen in seen:
            continue
        seen.add(form.objgen)
        if "/Resources" not in form:
            form.Resources = outer
        waiting += [(value, form.Resources) for value in _forms(form.Resources)]


def _forms(resources: Any) -> list[Any]:
    return [
        value for value in values_of(resources.get("/XObject"))
        if isinstance(value, Stream) and value.get("/Subtype") == Name.Form
    ]  # fmt: skip


def _placements(commands: Any, resources: Any, matrix: Matrix, depth: int) -> Iterator[Placement]:
    """Yield each picture that commands draw, its edges and its number of pixels."""
    stack: list[Matrix] = []
    objects = resources.get("/XObject") or {}
    for operands, operator in commands:
        match str(operator):
            case "q":
                stack.append(matrix)
            case "Q" if stack:
                matrix = stack.pop()
            case "cm":
                matrix = Matrix(*map(float, operands)) @ matrix
            case "Do" if str(operands[0]) in objects:
                value = objects[str(operands[0])]
                if value.get("/Subtype") == Name.Image:
                    yield value.objgen, _edges(matrix), math.prod(size_of(value))
                elif value.get("/Subtype") == Name.Form and depth < MOST_DEPTH:
                    inner = Matrix(*map(float, value.get("/Matrix", [1, 0, 0, 1, 0, 0]))) @ matrix
                    own = value.get("/Resources", resources)
                    yield from _placements(pikepdf.parse_content_stream(value), own, inner, depth + 1)


def _edges(matrix: Matrix) -> Edges:
    corners = [matrix.transform(corner) for corner in ((0, 0), (1, 0), (0, 1), (1, 1))]
    across, up = zip(*corners, strict=True)
    return min(across), min(up), max(across), max(up)


def _reach(edges: Edges) -> float:
    return TOUCHING * min(edges[2] - edges[0], edges[3] - edges[1])


def _touch(first: Edges, other: Edges) -> bool:
    """Tell whether two pictures are neighbours: an edge of one lies at an edge of the other."""
    smaller = min(first[2] - first[0], first[3] - first[1], other[2] - other[0], other[3] - other[1])
    gap = max(TOUCHING * smaller, 0.05)
    across = min(first[2], other[2]) - max(first[0], other[0])
    up = min(first[3], other[3]) - max(first[1], other[1])
    return (-gap <= across <= gap and up >= ALONG * smaller) or (-gap <= up <= gap and across >= ALONG * smaller)
