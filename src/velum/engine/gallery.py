"""The faces of one source or several by person, for a reviewer who decides about people instead of tracks.

A few faces of each track are compared, and tracks whose mean vectors are near become one person. A track that may be of
another person than its group stays alone. Vectors are in memory only until the groups are known.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from velum import media
from velum.annotations import Annotations
from velum.engine.known_people import embed
from velum.engine.repeated_faces import is_same_place
from velum.errors import BadInput
from velum.frame import Frame, Plane, Rgb, Role
from velum.limits import Limits
from velum.locate.embedding.face_quality import Fault, fault_of
from velum.locate.labels import covers
from velum.plugins import FaceEmbedder
from velum.region import Box, Points, Region

MOST_SAMPLES = 10
"""Faces of a track that are compared; they are spread over its length."""

MOST_TRACKS = 3000
"""Tracks that are compared with each other; those with the fewest frames stay alone where there are more."""

PICTURE_SIDE = 96
"""Side of a face's picture, in pixels."""

AROUND = 0.6
"""How much of a face's box is cut out around it on each side, for its picture and for comparing it."""

REPORT_FRAMES = 25
"""Frames between two reports of progress."""

Doubt = Literal["small", "turned", "blurred", "hidden", "no landmarks", "several", "may be another"]
"""Why a track stays alone: a fault of all its faces, faces that differ among themselves, or one near to a group."""


@dataclass(frozen=True, slots=True)
class GalleryTrack:
    """A track of a gallery, or a region without one: its place, its person, and its picture."""

    source: int
    """Index of its source."""
    first_frame: int
    box: Box
    """Box of its region in the first frame."""
    last_frame: int
    frames: int
    person: int
    """Number of its person, from 1; the person in most frames comes first."""
    doubt: Doubt | None
    may_be: int | None
    """Person of a group that it is near to, without surely being the same."""
    picture: bytes
    """A JPEG file."""
    seconds: float | None = None
    """Time of the picture from the first frame on; None where frames have no times."""


@dataclass(frozen=True, slots=True)
class FaceCut:
    """A face cut out of a frame, with its points in the cut; `fault` says why it cannot be compared."""

    number: int
    """Number of the track that it is of."""
    pixels: Rgb
    points: Points | None
    fault: Fault | None
    time: Fraction | None = None
    """Time of its frame."""


Wanted = Mapping[int, Sequence[tuple[int, Region]]]
"""Regions of faces by frame, each with the number of its track."""

Cuts = Generator[tuple[int, int, Sequence[FaceCut]], None, None]
"""Frames done, frames in all, and the faces cut out since the last report."""


@dataclass(slots=True)
class _Track:
    places: list[tuple[int, Region]] = field(default_factory=list)
    vectors: list[npt.NDArray[np.float32]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    picture: bytes = b""
    picture_time: Fraction | None = None
    picture_worth: float = -1.0


@dataclass(frozen=True, slots=True, eq=False)
class SourceFaces:
    """The faces of one source by track, to be grouped. It holds biometric data: keep it in memory, and not for long."""

    tracks: tuple[GalleryTrack, ...]
    """Each a person of its own."""
    means: tuple[npt.NDArray[np.float64] | None, ...]
    """The mean vector of each track; None for those that are not compared."""
    apart: tuple[tuple[int, int], ...]
    """Indices of tracks that are seen in different places of one frame, so that they are different persons."""


def faces_of(
    annotations: Annotations, embedder: FaceEmbedder, cut: Callable[[Wanted], Cuts],
    progress: Callable[[int, int | None], None] | None = None,
) -> SourceFaces:  # fmt: skip
    """Return the faces of one source with their vectors.

    `cut` yields the wanted regions, by frame and with the numbers of their tracks, cut out of the source.
    """
    tracks = _face_tracks(annotations)
    wanted: dict[int, list[tuple[int, Region]]] = defaultdict(list)
    for number, track in enumerate(tracks):
        for frame, region in _samples(track):
            wanted[frame].append((number, region))
    with closing(cut(wanted)) as reports:
        for done, total, faces in reports:
            for face in faces:
                _take_face(tracks[face.number], face, embedder)
            if progress is not None:
                progress(done, total)
    doubts = [_doubt_of(track, embedder) for track in tracks]
    means = tuple(
        np.array(track.vectors, np.float64).mean(axis=0) if doubt is None else None
        for track, doubt in zip(tracks, doubts, strict=True)
    )
    compared = {number: track for number, track in enumerate(tracks) if means[number] is not None}
    gallery_tracks = (_gallery_track(track, number, doubts[number]) for number, track in enumerate(tracks))
    return SourceFaces(tuple(gallery_tracks), means, tuple(_seen_together(compared)))


def face_cutter(source: Path, limits: Limits, decoders: media.DecoderPool | None) -> Callable[[Wanted], Cuts]:
    """Return what cuts faces out of a source for `faces_of`, in this process or in one of `decoders`."""
    if decoders is None:
        return partial(cut_faces, source, limits)
    return lambda wanted: decoders.steps(str(source), limits, cut_faces, source, limits, wanted)


def cut_faces(source: Path, limits: Limits, wanted: Wanted) -> Cuts:
    """Decode a source up to the last wanted frame, and yield the wanted regions of faces. Raises as reading does."""
    last = max(wanted, default=-1)
    with media.open_source(source, limits) as reader:
        cuts: list[FaceCut] = []
        for frame in reader.frames():
            cuts += [_cut_face(frame, number, region) for number, region in wanted.get(frame.index, ())]
            if frame.index >= last:
                break
            if frame.index % REPORT_FRAMES == 0:
                yield frame.index + 1, last + 1, cuts
                cuts = []
        yield last + 1, last + 1, cuts


def _face_tracks(annotations: Annotations) -> list[_Track]:
    """Return the tracks of faces in the order in which they begin; regions without a track are tracks of one frame."""
    tracks: dict[object, _Track] = {}
    for frame, regions in sorted(annotations.frames.items()):
        for number, region in enumerate(regions):
            if not covers("face", region.label):
                continue
            key = (frame, number) if region.track is None else region.track
            tracks.setdefault(key, _Track()).places.append((frame, region))
    return list(tracks.values())


def _samples(track: _Track) -> Iterator[tuple[int, Region]]:
    """Yield the largest face in each of a few stretches of a track: those with points, or one where none has them."""
    faces = [(frame, region) for frame, region in track.places if region.points is not None]
    if not faces:
        yield next((place for place in track.places if place[1].origin == "detected"), track.places[0])
        return
    parts = np.array_split(np.arange(len(faces)), min(MOST_SAMPLES, len(faces)))
    for part in parts:
        yield max((faces[index] for index in part), key=lambda entry: entry[1].box.width * entry[1].box.height)


def _cut_face(frame: Frame, number: int, region: Region) -> FaceCut:
    box, points = region.box, region.points
    around = box.pad(round(AROUND * box.width), round(AROUND * box.height)).clip(frame.width, frame.height)
    around = Box(0, 0, 1, 1) if around is None else around
    inside = None if points is None else tuple((x - around.x0, y - around.y0) for x, y in points)
    fault = None if points is None else fault_of(frame, points)
    return FaceCut(number, frame.rgb(around.width, around.height, around).copy(), inside, fault, frame.time)


def _take_face(track: _Track, face: FaceCut, embedder: FaceEmbedder) -> None:
    """Note the vector or the fault of a face, and keep its picture if it is the best one so far."""
    worth = float(face.pixels.size) * (0.01 if face.points is None or face.fault else 1.0)
    if worth > track.picture_worth:
        track.picture, track.picture_time, track.picture_worth = _picture(face.pixels), face.time, worth
    if face.fault is not None:
        track.faults.append(face.fault)
    elif face.points is not None:
        track.vectors += list(embed(embedder, Frame.of(Plane(face.pixels, Role.RGB)), [face.points]))


def _picture(pixels: Rgb) -> bytes:
    """Return the middle of a cut-out as a small square JPEG."""
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = pixels[top : top + side, left : left + side]
    small = cv2.resize(square, (PICTURE_SIDE, PICTURE_SIDE), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small[..., ::-1])
    if not done:
        raise BadInput("the picture of a face cannot be encoded")
    return data.tobytes()


def _doubt_of(track: _Track, embedder: FaceEmbedder) -> Doubt | None:
    """Return why a track cannot be compared, or shows several persons; None where it can join others."""
    if not track.vectors:
        common = Counter(track.faults).most_common(1)
        return common[0][0] if common else "no landmarks"
    if any(np.linalg.norm(vector - other) >= embedder.different for vector, other in combinations(track.vectors, 2)):
        return "several"
    return None


def _gallery_track(track: _Track, number: int, doubt: Doubt | None) -> GalleryTrack:
    (first, region), (last, _) = track.places[0], track.places[-1]
    return GalleryTrack(
        0,
        first,
        region.box,
        last,
        len(track.places),
        number + 1,
        doubt,
        None,
        track.picture,
        None if track.picture_time is None else float(track.picture_time),
    )


def _seen_together(tracks: Mapping[int, _Track]) -> set[tuple[int, int]]:
    """Return pairs of tracks that are in different places of one frame, so that they are different persons."""
    at: dict[int, list[tuple[int, Region]]] = defaultdict(list)
    for number, track in tracks.items():
        for frame, region in track.places:
            if region.origin == "detected":
                at[frame].append((number, region))
    pairs = set()
    for tracks_in_frame in at.values():
        for (number, region), (other, other_region) in combinations(tracks_in_frame, 2):
            if number != other and (number, other) not in pairs and not is_same_place(region, other_region):
                pairs.add((number, other))
    return pairs
