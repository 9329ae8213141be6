"""The persons that a plan names, known by the vectors of their photographs."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from velum import media
from velum.errors import BadInput, PluginFault, VelumError
from velum.frame import Frame, Plane, Role
from velum.locate.embedding.face_quality import Fault, fault_of
from velum.locate.labels import covers
from velum.people import People, Person, PersonPhoto
from velum.plugins import Embeddings, FaceEmbedder
from velum.region import Points, Region

LEAST_REFERENCE_EYES = 24.0
"""Least distance between the eyes in a photograph of a named person, in pixels."""

LARGEST_REFERENCE = 3000
"""Longest side to which a photograph of a named person is scaled down before a face is searched for, in pixels. In one
of 100 megapixels the search would take half a minute; only where it finds no face to compare is the whole searched."""

REFERENCE_SCORE = 0.5
"""Score from which a detection counts as a face of such a photograph."""

SMALL_SHARE = 0.25
"""Faces whose sides are below this share of those of the largest one are passers-by in such a photograph."""

FAULTS: Mapping[Fault, str] = {
    "small": "too small", "turned": "turned away", "blurred": "blurred", "hidden": "hidden already, or blurred,",
}  # fmt: skip
"""What a face is that cannot be compared, for messages."""


def say_faults(faults: Iterable[Fault | None]) -> str:
    """Return why a face could not be compared, by the fault of each frame in which it was looked at."""
    counts = Counter(FAULTS[fault] for fault in faults if fault is not None)
    if not counts:
        return "its landmarks are unknown"
    return "its face is " + ", ".join(f"{fault} in {count}" for fault, count in counts.most_common()) + " of its frames"


@dataclass(frozen=True, slots=True)
class KnownPeople:
    """The persons of a plan, with the part that compares faces and the vectors of their photographs."""

    people: People
    embedder: FaceEmbedder
    vectors: Mapping[str, Embeddings]

    @property
    def middle(self) -> float:
        """Distance in the middle between surely the same person and surely another."""
        return (self.embedder.same + self.embedder.different) / 2

    def distances(self, frame: Frame, faces: Sequence[Points]) -> list[Mapping[str, float]]:
        """Return the distance of each face to each person, by name: its mean over the photos, or the least one.

        Of several photos the least distance counts where a likeness hides, the mean where it shows.
        """
        vectors = embed(self.embedder, frame, faces)
        pick = np.mean if self.people.mode == "keep" else np.min
        return [
            {name: float(pick(np.linalg.norm(several - vector, axis=1))) for name, several in self.vectors.items()}
            for vector in vectors
        ]

    def facts(self) -> dict[str, Any]:
        """Return mode, embedding and persons for the report: photos by their hashes only."""
        persons = [
            {"name": person.name, "photos": [photo.sha256 for photo in person.photos]} for person in self.people.persons
        ]
        return {"mode": self.people.mode, "embedding": str(self.people.embedding), "persons": persons}


def embed(embedder: FaceEmbedder, frame: Frame, faces: Sequence[Points]) -> Embeddings:
    """Return a vector for each face. Raises `PluginFault` where the part breaks its contract."""
    try:
        vectors = embedder.embed(frame, faces)
    except VelumError:
        raise
    except Exception as error:
        raise PluginFault(f"embedding {type(embedder).__name__} failed: {type(error).__name__}: {error}") from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or len(vectors) != len(faces):
        raise PluginFault(
            f"embedding {type(embedder).__name__} did not return one vector for each of {len(faces)} faces"
        )
    if not np.isfinite(vectors).all():
        raise PluginFault(f"embedding {type(embedder).__name__} returned a vector with NaN or infinity")
    return vectors


PhotoOpener = Callable[[Path], media.Reader]
"""Opens a photograph for reading, as `media.open_source` does."""


def know_people(
    people: People, embedder: FaceEmbedder, locate: Callable[[Frame], Sequence[Region]], open_photo: PhotoOpener
) -> KnownPeople:
    """Return the persons with the vectors of their photographs, in each of which `locate` finds the face.

    Raises `BadInput` for a photo that shows no face or several, or one that cannot be compared, for photos of one
    name that show different persons, and for a photo that has two names.
    """
    people = people.with_hashes()
    _refuse_shared_photo(people)
    vectors = {person.name: _vectors_of(person, embedder, locate, open_photo) for person in people.persons}
    return KnownPeople(people, embedder, vectors)


def _refuse_shared_photo(people: People) -> None:
    """Raise `BadInput` where one photo is given for two persons: neither could ever be told from the other."""
    named: dict[str | None, tuple[str, str]] = {}
    for person in people.persons:
        for photo in person.photos:
            name, path = named.setdefault(photo.sha256, (person.name, photo.path))
            if name != person.name:
                raise BadInput(
                    f"{path}, given for {name}, and {photo.path}, given for {person.name}, are the same photo; give "
                    "one photo of each person, or all photos of one person under one name"
                )


def _vectors_of(
    person: Person, embedder: FaceEmbedder, locate: Callable[[Frame], Sequence[Region]], open_photo: PhotoOpener
) -> Embeddings:
    vectors = np.concatenate([_vector_of(photo, embedder, locate, open_photo) for photo in person.photos])
    for (i, first), (j, second) in combinations(enumerate(person.photos), 2):
        distance = float(np.linalg.norm(vectors[i] - vectors[j]))
        if distance > (embedder.same + embedder.different) / 2:
            raise BadInput(
                f"{first.path} and {second.path}, given for {person.name}, seem to show different persons; "
                "leave one out, or give photos in which the face is larger and seen from the front"
            )
    return vectors


def _vector_of(
    photo: PersonPhoto, embedder: FaceEmbedder, locate: Callable[[Frame], Sequence[Region]], open_photo: PhotoOpener
) -> Embeddings:
    with open_photo(Path(photo.path)) as reader:
        if reader.info.fps is not None:
            raise BadInput(f"{photo.path} is a video or an animation; give a still image of the person")
        if reader.info.frames > 1:
            raise BadInput(f"{photo.path} has {reader.info.frames} pages; give an image of one page, with the person")
        frame = next(iter(reader.frames()))
    scale = LARGEST_REFERENCE / max(frame.width, frame.height)
    if scale < 1:
        pixels = frame.rgb(round(frame.width * scale), round(frame.height * scale))
        with suppress(BadInput):
            return _vector_in(Frame.of(Plane(pixels, Role.RGB)), photo, embedder, locate)
    return _vector_in(frame, photo, embedder, locate)


def _vector_in(
    frame: Frame, photo: PersonPhoto, embedder: FaceEmbedder, locate: Callable[[Frame], Sequence[Region]]
) -> Embeddings:
    points = _only_face(photo, locate(frame))
    fault = fault_of(frame, points, LEAST_REFERENCE_EYES)
    advice = (
        "give a sharp photo, upright and from the front, without mask or sunglasses, with at least "
        f"{LEAST_REFERENCE_EYES:g} pixels between the eyes"
    )
    if fault == "small":  # what is taken for a small face is often none
        raise BadInput(f"no face that is large enough to be compared is found in {photo.path}; {advice}")
    if fault is not None:
        raise BadInput(f"the face in {photo.path} is {FAULTS[fault]} and cannot be compared; {advice}")
    return embed(embedder, frame, [points])


def _only_face(photo: PersonPhoto, regions: Sequence[Region]) -> Points:
    faces = [region for region in regions if covers("face", region.label) and region.score >= REFERENCE_SCORE]
    largest = max((min(region.box.width, region.box.height) for region in faces), default=0)
    faces = [region for region in faces if min(region.box.width, region.box.height) >= SMALL_SHARE * largest]
    if not faces:
        raise BadInput(
            f"no face is found in {photo.path}: it is missing, hidden already, too small or turned away; give an "
            "upright photo of the person from the front"
        )
    if len(faces) > 1:
        raise BadInput(f"{photo.path} shows {len(faces)} faces; cut it to the one of the person")
    points = faces[0].points
    if points is None:
        raise BadInput(
            f"the localizer gives no landmarks of the face in {photo.path}, which comparing needs; name "
            "centerface or yunet in the rule for faces"
        )
    return points
