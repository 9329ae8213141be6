"""Whether hidden faces are still recognisable: a trained network compares each with its own original.

A hidden face is recognisable when its distance to its own original is below the middle between those of one person and
of strangers. Of 40 faces, none that `blacken`, `pixelate` and `blur` hide at their default degrees is; behind blur of
degree 0.1 there are 35, of degree 0.25 two. The edges of cells mislead the network, as they do people who do not
squint: so each hidden face is compared as it is and smoothed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from velum import media
from velum.frame import Frame, Plane, Role
from velum.limits import Limits
from velum.locate.embedding.face_quality import fault_of
from velum.locate.labels import covers
from velum.plugins import FaceEmbedder
from velum.region import Box, Points, Region
from velum.verify.alignment import pair_in_order
from velum.verify.result import Leak

NO_LANDMARKS = (
    "no hidden face could be compared with its original: none has landmarks and is large, sharp and seen from the front"
)

SMOOTHED = (0.05, 0.1)
"""Sigmas by which a hidden face is smoothed, in distances between its eyes. Of 34 faces 13 are recognised so behind
cells of degree 0.05, as they are one; behind `pixelate` and `blur` at their default degrees none is."""

MARGIN = 3
"""Distances between the eyes around the middle of a face that are smoothed with it: more than a network looks at."""


def identity_leaks(
    file: Path, source: Path | media.BytesSource, regions: Mapping[int, tuple[Region, ...]], embedder: FaceEmbedder,
    limits: Limits,
) -> tuple[list[Leak], int]:  # fmt: skip
    """Return a leak for each hidden face of a file that is recognisable, and how many were compared.

    `regions` are those of the source by frame; faces that are ignored or have no landmarks are left out. Raises any
    `VelumError` for files that cannot be read.
    """
    leaks: list[Leak] = []
    count = 0
    with media.open_source(file, limits) as after, media.open_source(source, limits) as before:
        for pair in pair_in_order(after.frames(), before.frames()):
            if pair.after is None or pair.before is None:
                break
            hidden = list(_faces_of(regions.get(pair.before.index, ()), pair.before))
            if not hidden or (pair.after.width, pair.after.height) != (pair.before.width, pair.before.height):
                continue
            points = [region.points for region in hidden if region.points is not None]
            count += len(hidden)
            leaks += _judge(hidden, _least_distances(embedder, pair.after, pair.before, points), embedder, pair.after)
    return leaks, count


def _least_distances(embedder: FaceEmbedder, after: Frame, before: Frame, points: Sequence[Points]) -> list[float]:
    """Return the distance of each hidden face to its original: the least one, as it is and smoothed."""
    originals = embedder.embed(before, points)
    distances = [np.linalg.norm(embedder.embed(after, points) - originals, axis=1)]
    for sigma in SMOOTHED:
        vectors = [embedder.embed(*_smooth(after, face, sigma))[0] for face in points]
        distances.append(np.linalg.norm(np.stack(vectors) - originals, axis=1))
    least: list[float] = np.min(distances, axis=0).tolist()
    return least


def _smooth(frame: Frame, face: Points, sigma: float) -> tuple[Frame, list[Points]]:
    """Return a part of a frame around a face, smoothed, and the points of the face in it."""
    (left, top), (right, bottom), (x, y) = face[0], face[1], face[2]
    eyes = max(math.hypot(right - left, bottom - top), 1.0)
    reach = math.ceil(MARGIN * eyes)
    x0, y0 = max(int(x) - reach, 0), max(int(y) - reach, 0)
    box = Box(x0, y0, min(int(x) + reach, frame.width), min(int(y) + reach, frame.height))
    pixels = cv2.GaussianBlur(frame.rgb(box.width, box.height, box), (0, 0), sigma * eyes)
    return Frame.of(Plane(np.asarray(pixels, np.uint8), Role.RGB)), [
        tuple((across - x0, down - y0) for across, down in face)
    ]


def _faces_of(regions: tuple[Region, ...], frame: Frame) -> Iterator[Region]:
    for region in regions:
        hides_face = covers("face", region.label) and not region.ignored
        if hides_face and region.points is not None and fault_of(frame, region.points) is None:
            yield region


def _judge(hidden: list[Region], distances: list[float], embedder: FaceEmbedder, frame: Frame) -> Iterator[Leak]:
    most = (embedder.same + embedder.different) / 2
    for region, distance in zip(hidden, distances, strict=True):
        if distance < most:
            message = (
                f"{region.label} at {region.box.xyxy} is recognisable: a trained network takes it for its original "
                f"(distance {math.floor(100 * distance) / 100:.2f}, strangers have {most:.2f} and more)"
            )
            yield Leak("identity", message, frame.index, region.box, region.label, region.score)
