"""Decides which faces are hidden, by the photographs of the persons that a plan names.

Faces are compared while localizers run, in the frames that they see, and only their distances to the named persons are
held. When the regions of the whole source are known, one decision is made for each track of a video and for each face
of an image; faces that need not be hidden become regions that are `ignored`. A face in doubt is hidden.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from velum.annotations import Annotations
from velum.engine.known_people import KnownPeople, say_faults
from velum.engine.repeated_faces import is_same_place, repeated_places
from velum.locate.embedding.face_quality import Fault, fault_of
from velum.locate.labels import covers
from velum.region import Points, Region

if TYPE_CHECKING:
    from velum.engine.stages import FrameRegions

LEAST_FACES = 2
"""Faces of a track that must have been compared before it is shown: one may be a chance likeness."""

GAP_SECONDS = 0.2
"""Longest time between two frames of a track that are sure in which it is shown without being sure. In a longer one,
somebody else may have taken the place."""

FADE_SECONDS = 0.5
"""Time around faces in doubt in which a track is hidden although its frames are sure: in a dissolve, the mixture of two
faces looks like the first of them until a third to two thirds of it are the other one."""

Result = Literal["shown", "hidden"]
Nearness = Literal["near", "in doubt", "far", "not compared"]


@dataclass(frozen=True, slots=True)
class FaceSight:
    """A face in one frame: its distance to each person, or why it was not compared."""

    distances: Mapping[str, float] = field(default_factory=dict)
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class FaceDecision:
    """Whether the face of a track, or one face of an image, is shown, and why."""

    result: Result
    nearness: Nearness
    why: str
    faces: int
    """Faces that were compared."""
    person: str | None = None
    """The named person that it is taken for, where it is near to one."""

    def to_json(self) -> dict[str, Any]:
        """Return the decision as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class FaceObserver:
    """Compares the faces of one source while it is located; holds their distances by frame and landmarks."""

    known: KnownPeople
    sights: dict[tuple[int, Points], FaceSight] = field(default_factory=dict)

    def observe(self, located: "Iterable[FrameRegions]") -> "Iterator[FrameRegions]":
        """Pass the frames on; compare the faces that were detected in each."""
        for item in located:
            self._observe_frame(item)
            yield item

    def _observe_frame(self, item: "FrameRegions") -> None:
        faces = [region for regions in item.regions for region in regions or () if _is_comparable(region)]
        every = dict.fromkeys(region.points for region in faces if region.points is not None)
        faults = {points: fault_of(item.frame, points) for points in every}
        usable = [points for points, fault in faults.items() if fault is None]
        distances = self.known.distances(item.frame, usable) if usable else []
        index = item.frame.index
        self.sights |= {(index, points): FaceSight(fault=fault) for points, fault in faults.items()}
        self.sights |= {(index, points): FaceSight(faces) for points, faces in zip(usable, distances, strict=True)}

    def sight_of(self, frame: int, region: Region) -> FaceSight | None:
        """Return the comparable face of a region; None for an interpolated region, or one without landmarks."""
        return None if region.points is None else self.sights.get((frame, region.points))


def _is_comparable(region: Region) -> bool:
    return region.points is not None and region.origin != "manual" and covers("face", region.label)


@dataclass(frozen=True, slots=True)
class PeopleOutcome:
    """The regions of a source after the decision, with what the report says of it."""

    annotations: Annotations
    report: Mapping[str, Any]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Face:
    """The regions of one face: a track of a video, or one region of an image."""

    track: int | None
    places: list[tuple[int, Region]] = field(default_factory=list)
    sights: list[tuple[int, FaceSight]] = field(default_factory=list)


def decide_people(observer: FaceObserver, annotations: Annotations, fps: float | None) -> PeopleOutcome:
    """Decide for each face of a source whether it is shown. `fps` None: an image, in which nothing is tracked."""
    people = observer.known
    faces = _faces_of(observer, annotations, tracked=fps is not None)
    least = 1 if fps is None else LEAST_FACES
    decisions = [decide_face(people, [sight for _, sight in face.sights], least) for face in faces]
    decisions, alike = _hide_alike(people, faces, decisions)
    shown, sure = _shown_places(observer, faces, decisions, fps)
    for number, (face, decision) in enumerate(zip(faces, decisions, strict=True)):
        if decision.nearness == "not compared" and (repeated := repeated_places(face.places, sure)):
            decisions[number] = replace(decision, result="shown", why="it is part of a face that is shown")
            shown |= {(frame, id(region)) for frame, region in repeated}
    for place in () if fps is None else _single_places(observer, annotations):
        shown |= {(frame, id(region)) for frame, region in repeated_places([place], sure)}
    frames = {
        frame: tuple(replace(region, ignored=True) if (frame, id(region)) in shown else region for region in regions)
        for frame, regions in annotations.frames.items()
    }
    entries = [_entry(face, decision) for face, decision in zip(faces, decisions, strict=True)]
    warnings = (*alike, *_warnings(people, annotations, decisions))
    report = {**people.facts(), "decisions": entries}
    return PeopleOutcome(replace(annotations, frames=frames), report, warnings)


def _shown_places(
    observer: FaceObserver, faces: Sequence[_Face], decisions: Sequence[FaceDecision], fps: float | None
) -> tuple[set[tuple[int, int]], dict[int, list[Region]]]:
    """Return the frame and id of each region that is shown, and by frame those of them that are sure by themselves."""
    shown: set[tuple[int, int]] = set()
    sure: dict[int, list[Region]] = defaultdict(list)
    for face, decision in zip(faces, decisions, strict=True):
        places = _sure_places(observer.known, face, decision, fps) if decision.result == "shown" else ()
        for frame, region in places:
            shown.add((frame, id(region)))
            sight = observer.sight_of(frame, region)
            if sight is not None and _is_sure(observer.known, sight, decision.person):
                sure[frame].append(region)
    return shown, sure


def decide_face(people: KnownPeople, sights: Sequence[FaceSight], least: int) -> FaceDecision:
    """Decide about one face by its comparisons: it is shown only where it is surely the person to keep, or another."""
    compared = [sight.distances for sight in sights if sight.fault is None]
    count = len(compared)
    if not count:
        return FaceDecision("hidden", "not compared", say_faults(sight.fault for sight in sights), 0)
    means = {name: float(np.mean([distance_of[name] for distance_of in compared])) for name in people.vectors}
    name = min(means, key=lambda person: means[person])
    farthest = max(distance_of[name] for distance_of in compared)
    least_of_all = min(min(distance_of.values()) for distance_of in compared)
    near = means[name] <= people.embedder.same and farthest <= people.middle
    far = means[name] >= people.embedder.different and least_of_all >= people.middle
    if not near and not far:
        return FaceDecision("hidden", "in doubt", f"it may be {name}, and may be another", count)
    if near and people.people.mode == "only":
        return FaceDecision("hidden", "near", f"it is {name}", count, name)
    if far and people.people.mode == "keep":
        return FaceDecision("hidden", "far", "it is somebody else", count)
    if count < least:
        return FaceDecision("hidden", "in doubt", f"only {count} of its faces could be compared", count)
    if near:
        return FaceDecision("shown", "near", f"it is {name}", count, name)
    return FaceDecision("shown", "far", "it is nobody whom the plan names", count)


def _faces_of(observer: FaceObserver, annotations: Annotations, *, tracked: bool) -> list[_Face]:
    """Return the faces: the regions of each track, or each region of an image; others are never shown."""
    faces: dict[object, _Face] = {}
    for frame, regions in sorted(annotations.frames.items()):
        for region in regions:
            if region.origin == "manual" or not covers("face", region.label) or (tracked and region.track is None):
                continue
            face = faces.setdefault(region.track if tracked else (frame, id(region)), _Face(region.track))
            face.places.append((frame, region))
            if (sight := observer.sight_of(frame, region)) is not None:
                face.sights.append((frame, sight))
    return list(faces.values())


def _single_places(observer: FaceObserver, annotations: Annotations) -> Iterator[tuple[int, Region]]:
    """Yield the finds of a video that are in no track and could not be compared."""
    for frame, regions in annotations.frames.items():
        for region in regions:
            sight = observer.sight_of(frame, region)
            if region.track is None and _is_comparable(region) and sight is not None and sight.fault is not None:
                yield frame, region


def _hide_alike(
    people: KnownPeople, faces: Sequence[_Face], decisions: Sequence[FaceDecision]
) -> tuple[list[FaceDecision], list[str]]:
    """Hide all who look like one person to keep where two of them are seen at the same time; return warnings."""
    if people.people.mode != "keep":
        return list(decisions), []
    shown_at: dict[tuple[str, int], list[tuple[int, Region]]] = defaultdict(list)
    for number, (face, decision) in enumerate(zip(faces, decisions, strict=True)):
        if decision.result == "shown" and decision.person is not None:
            for frame, region in face.places:
                if region.origin == "detected":
                    shown_at[decision.person, frame].append((number, region))
    twice = {
        name
        for (name, _), frames in shown_at.items()
        for (number, region), (other, other_region) in combinations(frames, 2)
        if number != other and not is_same_place(region, other_region)
    }
    hidden = [
        replace(decision, result="hidden", nearness="in doubt", why=f"two look like {decision.person} at the same time")
        if decision.result == "shown" and decision.person in twice
        else decision
        for decision in decisions
    ]
    return hidden, [
        f"two faces at the same time look like {name}, so both are hidden; keep the right one by hand, in an "
        "annotation file of velum locate"
        for name in sorted(twice)
    ]


def _sure_places(
    people: KnownPeople, face: _Face, decision: FaceDecision, fps: float | None
) -> Iterator[tuple[int, Region]]:
    """Yield the places of a face that is shown where this frame alone is sure, and those in short gaps between such."""
    longest_gap, fade = (0.0, 0.0) if fps is None else (GAP_SECONDS * fps, FADE_SECONDS * fps)
    sure = np.array([frame for frame, sight in face.sights if _is_sure(people, sight, decision.person)])
    doubtful = [
        frame
        for frame, sight in face.sights
        if sight.fault is None
        and not _is_sure(people, sight, decision.person)
        and not _is_between(frame, sure, longest_gap)
    ]
    sure = _far_from(sure, np.array(doubtful), fade)
    for frame, region in face.places:
        if _is_between(frame, sure, longest_gap):
            yield frame, region


def _is_between(frame: int, sure: npt.NDArray[np.int_], longest_gap: float) -> bool:
    """Tell whether a frame is one of `sure`, in ascending order, or lies between two of them that are near."""
    before, after = np.searchsorted(sure, frame, "right") - 1, np.searchsorted(sure, frame)
    return bool(before >= 0 and after < sure.size and sure[after] - sure[before] <= longest_gap)


def _far_from(frames: npt.NDArray[np.int_], others: npt.NDArray[np.int_], least: float) -> npt.NDArray[np.int_]:
    """Return the frames that are more than `least` frames from all others; both are in ascending order."""
    if not others.size:
        return frames
    after = np.searchsorted(others, frames)
    distances = [np.abs(others[np.clip(after + step, 0, others.size - 1)] - frames) for step in (-1, 0)]
    far: npt.NDArray[np.int_] = frames[np.minimum(*distances) > least]
    return far


def _is_sure(people: KnownPeople, sight: FaceSight, person: str | None) -> bool:
    """Tell whether the face in one frame is surely that person; for None, surely nobody whom the plan names."""
    if sight.fault is not None:
        return False
    if person is not None:
        return sight.distances[person] <= people.embedder.same
    return min(sight.distances.values()) >= people.embedder.different


def _entry(face: _Face, decision: FaceDecision) -> dict[str, Any]:
    """Return what the report says of a face."""
    (first, region), (last, _) = face.places[0], face.places[-1]
    where = {"frame": first, "xyxy": list(region.box.xyxy)} if face.track is None else {"track": face.track}
    span = {} if face.track is None else {"first_frame": first, "last_frame": last}
    return {**where, **span, **decision.to_json()}


def _warnings(people: KnownPeople, annotations: Annotations, decisions: Sequence[FaceDecision]) -> Iterator[str]:
    faces = [region for regions in annotations.frames.values() for region in regions if covers("face", region.label)]
    if faces and not any(region.points for region in faces):
        yield (
            "the localizer gives no landmarks of faces, so nobody could be recognised and all are hidden; name "
            "centerface or yunet in the rule for faces"
        )
    missing = sorted(people.vectors.keys() - {decision.person for decision in decisions})
    if missing and people.people.mode == "keep":
        yield f"{', '.join(missing)} was not recognised for sure, and is hidden where the plan hides faces"
    if missing and people.people.mode == "only":
        yield f"{', '.join(missing)} was not recognised for sure; look at the result before you pass it on"
