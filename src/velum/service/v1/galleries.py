"""The faces of jobs by person, grouped on request: biometric data, so only where the operator allows it."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from velum.annotations import Annotations
from velum.engine.engine import Engine
from velum.engine.gallery import GalleryTrack
from velum.errors import names_for_places
from velum.jobs import JobRecord, Store
from velum.people import DEFAULT_EMBEDDING
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import AccessDenied, Principal
from velum.service.late_router import LateRouter
from velum.service.middleware import note
from velum.service.problem_details import Problem, problems
from velum.service.v1.job_service import JobService
from velum.service.v1.jobs import JobId
from velum.service.v1.requested_results import RequestedResult, RequestedResults
from velum.storage.scratch import ScratchDirs

Tracks = tuple[GalleryTrack, ...]

EMBEDDING = DEFAULT_EMBEDDING
"""The part that compares faces."""

MOST_JOBS = 200
"""Jobs whose faces are grouped together, at most."""


class GalleryRequest(BaseModel):
    """Jobs whose faces are grouped together."""

    model_config = ConfigDict(extra="forbid")

    jobs: Annotated[
        list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["018f3c" + "ab" * 13])]],
        Field(min_length=1, max_length=MOST_JOBS),
    ]


class GalleryProgress(BaseModel):
    """Progress of grouping; `share` is from 0 to 1, null where it is not known."""

    state: Literal["making", "ready", "failed"]
    share: float | None = Field(examples=[0.4])
    error: str | None


class FaceTrack(BaseModel):
    """A track of faces, or a face that was not tracked."""

    job: str = Field(examples=["018f3c" + "ab" * 13])
    """The job that it is of."""
    first_frame: int
    last_frame: int
    xyxy: tuple[int, int, int, int] = Field(examples=[[812, 240, 934, 402]])
    """Its box in the first frame."""
    frames: int
    doubt: Literal["small", "turned", "blurred", "hidden", "no landmarks", "several", "may be another"] | None
    """Why it stays alone: what is wrong with all its faces, faces that differ among themselves, or a near group."""
    may_be: int | None
    """Index of the person that it may be."""
    picture: str
    """A JPEG file of the face, in base64."""
    seconds: float | None = Field(examples=[12.4])
    """Time of the picture in the video; null for images."""


class GalleryPerson(BaseModel):
    """The tracks of one person."""

    tracks: list[FaceTrack]


class Gallery(BaseModel):
    """The faces of a job by person; those that can be compared first, and of these who is in most frames."""

    persons: list[GalleryPerson]


class SharedGallery(GalleryProgress):
    """Progress of grouping the faces of several jobs, and once it is ready, these faces by person."""

    persons: list[GalleryPerson] | None


Chosen = Sequence[tuple[JobRecord, str]]
"""Jobs, each with the key of its annotation file in the store."""


@dataclass(slots=True, eq=False)
class Galleries:
    """Groups the faces of jobs, one request at a time; groups are in memory only. Safe to share between threads."""

    engine: Engine
    scratch: ScratchDirs
    keeps_source: Callable[[str], bool]
    """Tells by the id of a job whether its source still exists."""
    is_allowed: bool
    """Whether the operator allows that people are recognised."""
    _results: RequestedResults[Tracks] = field(init=False)

    def __post_init__(self) -> None:
        self._results = RequestedResults("velum-galleries", lambda ids: all(map(self.keeps_source, ids.split("+"))))

    def ask(self, chosen: Chosen, store: Store) -> dict[str, Any]:
        """Return the progress for the regions of jobs as JSON values, starting on the first request.

        Raises `AccessDenied` where it is not allowed.
        """
        self._require_allowed()
        return self._results.ask(_ids(chosen), lambda result: self._group(result, chosen, store), _regions(chosen))

    def tracks(self, chosen: Chosen) -> Tracks | None:
        """Return the tracks of faces by person, None before. Raises `AccessDenied` where it is not allowed."""
        self._require_allowed()
        return self._results.get(_ids(chosen), _regions(chosen))

    def close(self) -> None:
        """Stop, and forget all groups."""
        self._results.close()

    def _group(self, result: RequestedResult[Tracks], chosen: Chosen, store: Store) -> Tracks:
        sources = []
        for index, (job, regions) in enumerate(chosen):

            def report(done: int, total: int | None, index: int = index) -> None:
                result.report(int(1000 * (index + (done / total if total else 0))), 1000 * len(chosen))

            with self.scratch.folder() as folder:
                annotations = Annotations.from_json(json.loads(b"".join(store.open(regions))))
                source = store.fetch(job.submission.source, folder)
                with names_for_places(source, job.submission.name):
                    sources.append(self.engine.faces_of(source, annotations, embedding=EMBEDDING, progress=report))
        return self.engine.group_faces_of(sources, embedding=EMBEDDING)

    def _require_allowed(self) -> None:
        if not self.is_allowed:
            raise AccessDenied(
                "recognising people by their faces is off in this service; its operator may allow it with the setting "
                "service.people: these are biometric data (GDPR article 9)"
            )


def _ids(chosen: Chosen) -> str:
    return "+".join(job.id for job, _ in chosen)


def _regions(chosen: Chosen) -> str:
    return "+".join(regions for _, regions in chosen)


_NO_STORE = {"cache-control": "no-store"}


def routes(galleries: Galleries, job_service: JobService, access: Authenticator) -> LateRouter:
    """Return the endpoints `/jobs/{job}/people` and `/people`."""
    router = LateRouter(tags=["Review"], default_response_class=JSONResponse)
    Reviewing = Annotated[Principal, Depends(access.require("review"))]  # noqa: N806 - a type

    def job_and_regions(job: str, caller: Principal, request: Request) -> tuple[JobRecord, str]:
        record = job_service.get(job, caller)
        note(request, job=record.id, plan=record.submission.plan.digest)
        if not record.source_kept:
            raise Problem(410, f"the source of job {record.id} was deleted after its retention time")
        if record.regions is None:
            raise Problem(409, f"job {record.id} is {record.state}; it has faces once it is done", state=record.state)
        return record, record.regions

    @router.post("/jobs/{job}/people", response_model=GalleryProgress, responses=problems(404, 409, 410))
    def group_faces(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Group the faces of the current regions by person, and return the progress. Takes the scope review.

        Repeat the request until it is ready. This processes biometric data (GDPR article 9), so the operator must allow
        it. The vectors by which faces are compared are in memory until the groups are known. The groups are kept for a
        quarter of an hour after the last access, and no longer than the source.
        """
        chosen = [job_and_regions(job, caller, request)]
        return JSONResponse(galleries.ask(chosen, job_service.backend.open().store), headers=_NO_STORE)

    @router.get("/jobs/{job}/people", response_model=Gallery, responses=problems(404, 409, 410))
    def fetch_people(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Fetch the faces of the current regions by person. Takes the scope review."""
        chosen = [job_and_regions(job, caller, request)]
        tracks = galleries.tracks(chosen)
        if tracks is None:
            raise Problem(
                409, "faces are not grouped yet; send POST to this address to group them", state=chosen[0][0].state
            )
        return JSONResponse({"persons": persons_json(tracks, chosen)}, headers=_NO_STORE)

    @router.post("/people", response_model=SharedGallery, responses=problems(404, 409, 410))
    def group_faces_of_jobs(wanted: GalleryRequest, caller: Reviewing, request: Request) -> Response:
        """Group the faces of several jobs by person, and return the progress, and at the end the persons.

        Repeat the request until it is ready. The same holds as for one job: the operator must allow it, and groups go
        with the first of these sources that is deleted. Takes the scope review.
        """
        chosen = [job_and_regions(job, caller, request) for job in dict.fromkeys(wanted.jobs)]
        progress = galleries.ask(chosen, job_service.backend.open().store)
        tracks = galleries.tracks(chosen) if progress["state"] == "ready" else None
        persons = None if tracks is None else persons_json(tracks, chosen)
        return JSONResponse({**progress, "persons": persons}, headers=_NO_STORE)

    return router


def persons_json(tracks: Sequence[GalleryTrack], chosen: Chosen) -> list[dict[str, Any]]:
    """Return the tracks by person as JSON values."""
    persons = [list(members) for _, members in groupby(tracks, key=lambda track: track.person)]
    return [{"tracks": [_track_json(track, chosen[track.source][0].id) for track in members]} for members in persons]


def _track_json(track: GalleryTrack, job: str) -> dict[str, Any]:
    return {
        "job": job, "first_frame": track.first_frame, "last_frame": track.last_frame, "xyxy": list(track.box.xyxy),
        "frames": track.frames, "doubt": track.doubt,
        "may_be": None if track.may_be is None else track.may_be - 1,
        "picture": base64.b64encode(track.picture).decode("ascii"),
        "seconds": None if track.seconds is None else round(track.seconds, 3),
    }  # fmt: skip
