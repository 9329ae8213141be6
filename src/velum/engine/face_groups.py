"""Groups tracks of faces by person, by the vectors of a network that compares faces."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from velum.engine.gallery import MOST_TRACKS, GalleryTrack, SourceFaces
from velum.plugins import FaceEmbedder


def group_faces(sources: Sequence[SourceFaces], embedder: FaceEmbedder) -> tuple[GalleryTrack, ...]:
    """Return the faces of all sources with the number of the person of each, those of a person together."""
    tracks = [replace(track, source=index) for index, faces in enumerate(sources) for track in faces.tracks]
    means = [mean for faces in sources for mean in faces.means]
    starts = np.cumsum([0, *(len(faces.tracks) for faces in sources)]).tolist()
    together = [
        (start + first, start + second)
        for start, faces in zip(starts, sources, strict=False)
        for first, second in faces.apart
    ]
    comparable = sorted(
        (number for number, mean in enumerate(means) if mean is not None), key=lambda n: -tracks[n].frames
    )
    comparable = sorted(comparable[:MOST_TRACKS])
    index_of = {number: index for index, number in enumerate(comparable)}
    vectors = np.array([means[number] for number in comparable], np.float64).reshape(
        len(comparable), -1 if comparable else 0
    )
    apart = [(index_of[a], index_of[b]) for a, b in together if a in index_of and b in index_of]
    groups, near = group_vectors(vectors, apart, embedder)
    members = [[comparable[index] for index in group] for group in groups]
    members += [[number] for number in range(len(tracks)) if number not in index_of]
    return _number_persons(tracks, members, {comparable[index]: comparable[other] for index, other in near.items()})


def group_vectors(
    vectors: npt.NDArray[np.float64], apart: Iterable[tuple[int, int]], embedder: FaceEmbedder
) -> tuple[list[list[int]], Mapping[int, int]]:
    """Group vectors (n, numbers) by agglomeration; also return a near vector of each one that stays alone in doubt.

    Groups join while the mean distance between them (average linkage) is at most that of surely the same person.
    `apart` are pairs that never join, nor do groups that hold them.
    """
    count = len(vectors)
    squares = (vectors * vectors).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, np.newaxis] + squares - 2 * vectors @ vectors.T, 0.0))
    for first, second in apart:
        distances[first, second] = distances[second, first] = np.inf
    np.fill_diagonal(distances, np.inf)
    between, groups = distances.copy(), [[number] for number in range(count)]
    nearest = between.argmin(axis=1) if count else np.zeros(0, np.int64)
    least = between[np.arange(count), nearest]
    while count and least.min() <= embedder.same:
        first = int(least.argmin())
        first, second = sorted((first, int(nearest[first])))
        weights = len(groups[first]), len(groups[second])
        joined = (between[first] * weights[0] + between[second] * weights[1]) / sum(weights)
        joined[[first, second]] = np.inf
        between[first], between[:, first], between[second], between[:, second] = joined, joined, np.inf, np.inf
        groups[first], groups[second] = groups[first] + groups[second], []
        # No mean of two distances is below both, so only rows that were nearest to one of the two change.
        for row in {first, second, *np.flatnonzero((nearest == first) | (nearest == second)).tolist()}:
            nearest[row] = between[row].argmin()
            least[row] = between[row, nearest[row]]
    middle = (embedder.same + embedder.different) / 2
    alone = [group[0] for group in groups if len(group) == 1]
    near = {number: int(distances[number].argmin()) for number in alone if distances[number].min() <= middle}
    return [group for group in groups if group], near


def _number_persons(
    tracks: Sequence[GalleryTrack], members: Sequence[Sequence[int]], near: Mapping[int, int]
) -> tuple[GalleryTrack, ...]:
    """Return the tracks by person: comparable persons first, and of these those with more frames."""

    def rank(group: Sequence[int]) -> tuple[bool, int]:
        return tracks[group[0]].doubt is not None, -sum(tracks[number].frames for number in group)

    persons = sorted(members, key=rank)
    person_of = {number: index + 1 for index, group in enumerate(persons) for number in group}

    def with_person(number: int) -> GalleryTrack:
        other = near.get(number)
        track = replace(tracks[number], person=person_of[number])
        return track if other is None else replace(track, doubt="may be another", may_be=person_of[other])

    return tuple(with_person(number) for group in persons for number in sorted(group))
