"""Whether hidden faces are still recognisable: a trained network compares each with its own original.

A hidden face is recognisable when its distance to its own original is below the middle between those of one person and
of strangers. Of 40 faces, none that `blacken`, `pixelate` and `blur` hide at their default degrees is; behind blur of
degree 0.1 there are 35, of degree 0.25 two, and behind cells of degree 0.05 one.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from velum import media
from velum.frame import Frame
from velum.limits import Limits
from velum.locate.embedding.face_quality import fault_of
from velum.locate.labels import covers
from velum.plugins import FaceEmbedder
from velum.region import Region
from velum.verify.alignment import pair_in_order
from velum.verify.result import Leak

NO_LANDMARKS = (
    "no hidden face could be compared with its original: none has landmarks and is large, sharp and seen from the front"
)


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
            distances = np.linalg.norm(embedder.embed(pair.after, points) - embedder.embed(pair.before, points), axis=1)
            count += len(hidden)
            leaks += _judge(hidden, distances.tolist(), embedder, pair.after)
    return leaks, count


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
