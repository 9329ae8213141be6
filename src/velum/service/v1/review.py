"""For reviewers: `/v1/jobs/{job}` to fetch the source, correct regions and render again; `/v1/reviews` to approve."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StrictInt
from starlette.responses import JSONResponse, Response

from velum.annotations import FORMAT
from velum.errors import BadPlan
from velum.jobs import JobRecord, State
from velum.jobs.approvals import (
    WEIGHTS,
    approve_results,
    doubts,
    list_activity,
    list_approvals,
    list_assignments,
    list_views,
    record_view,
    risk,
)
from velum.region import Box, Region
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.late_router import LateRouter
from velum.service.middleware import note
from velum.service.problem_details import Problem, problems
from velum.service.v1.http_bodies import body_chunks, regions_of, source_of, tag_of
from velum.service.v1.images import ImageService
from velum.service.v1.job_service import REGIONS_BYTES, JobService
from velum.service.v1.jobs import RANGES, JobId, Key
from velum.service.v1.values import JobState

_REGIONS: Mapping[str, Any] = {
    "description": "An annotation file.",
    "content": {"application/json": {"schema": {"type": "object"}}},
    "headers": {"ETag": {"description": "For If-Match.", "schema": {"type": "string"}}},
}
_FOLLOWED: Mapping[str, Any] = {
    "description": "The track of the object, as an annotation file.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}
Edge = Annotated[StrictInt, Field(ge=-(1 << 31), le=1 << 31)]
_PUT_REGIONS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "format": FORMAT, "width": 1920, "height": 1080,
                    "frames": [{"index": 0, "regions": [{"label": "face", "xyxy": [812, 240, 934, 402]}]}],
                },
            }
        },
    }
}  # fmt: skip


class FollowRequest(BaseModel):
    """An object to track, by its box in one frame of a video."""

    model_config = ConfigDict(extra="forbid")

    frame: Annotated[StrictInt, Field(ge=0, le=1 << 31, examples=[120])]
    """Counted from 0."""
    xyxy: Annotated[list[Edge], Field(min_length=4, max_length=4, examples=[[812, 240, 934, 402]])]
    """Box of the object, in pixels of the upright frame."""
    label: Annotated[str, Field(min_length=1, max_length=100, examples=["face"])]


Audio = Annotated[
    Literal["copy", "drop", "silence", "speech-mute", "voice", "mute"] | None,
    Query(description="As `video.audio` of a plan; `mute` is an earlier name of `silence`."),
]

MOST_REVIEWS = 500
"""Most jobs that one request lists or approves."""


class Approved(BaseModel):
    """Who approved a result, and when, in epoch seconds."""

    who: str = Field(examples=["alice"])
    at: float


class Review(BaseModel):
    """A result with its risk and approvals."""

    job: JobState
    result: str = Field(examples=['"9f9f"'])
    """Entity tag of the result, to be sent with an approval."""
    risk: float = Field(examples=[0.4])
    """From 0 to 1."""
    why: list[str] = Field(examples=[["nothing"]], description=f"Some of {', '.join(WEIGHTS)}.")
    approved: list[Approved]
    assignee: str | None = Field(examples=["alice"])
    """Who is to review it; null for nobody."""
    sent_back: str | None = Field(examples=[None])
    """Why the result was sent back; null where it was not."""
    undecided: int | None = Field(examples=[0])
    """How many decisions the caller has left to make; null where the caller has not looked at the result yet."""


class Step(BaseModel):
    """Something that was done with a job."""

    job: str = Field(examples=["018f3c" + "ab" * 13])
    name: str = Field(examples=["street.mp4"])
    who: str = Field(examples=["alice"])
    """Empty where nobody did it: a job that ended."""
    at: float
    kind: str = Field(examples=["approved"])
    """`submitted`, `done`, `failed`, `cancelled`, `dead`, or as in the comments of a job."""
    text: str
    frame: int | None


class Activity(BaseModel):
    """What was done with jobs, newest first."""

    steps: list[Step]
    before: float | None
    """Send it as `before` for the next page; null where nothing is older."""


class ReviewPage(BaseModel):
    """Results, highest risk first."""

    reviews: list[Review]
    eyes: int = Field(examples=[2])
    """How many people must approve a result."""
    caller: str = Field(examples=["alice"])
    """Name of the caller, whose own approvals do not count twice."""
    after: str | None
    """Send it as `after` for the next page; null on the last one."""


class View(BaseModel):
    """That the caller has seen the whole of a result, and how many decisions were left."""

    model_config = ConfigDict(extra="forbid")

    job: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["018f3c" + "ab" * 13])]
    undecided: Annotated[StrictInt, Field(ge=0, le=(1 << 31) - 1)] = 0


class Approval(BaseModel):
    """A result to approve."""

    model_config = ConfigDict(extra="forbid")

    job: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["018f3c" + "ab" * 13])]
    result: Annotated[str, Field(max_length=64, examples=['"9f9f"'])]
    """Entity tag from the review, so that a result rendered since is not approved by mistake."""


class Approvals(BaseModel):
    """Results to approve together: all of them, or none."""

    model_config = ConfigDict(extra="forbid")

    approve: Annotated[list[Approval], Field(min_length=1, max_length=MOST_REVIEWS)]


def routes(job_service: JobService, image_service: ImageService, access: Authenticator) -> LateRouter:
    """Return the endpoints for reviewers below `/jobs`."""
    router = LateRouter(prefix="/jobs", tags=["Review"])
    Asking = Annotated[Principal, Depends(access.require("anonymize", "review"))]  # noqa: N806 - a type
    Reviewing = Annotated[Principal, Depends(access.require("review"))]  # noqa: N806 - a type
    state: dict[str, Any] = {"response_model": JobState, "response_class": JSONResponse}

    def owned_job(job: str, caller: Principal, request: Request) -> JobRecord:
        record = job_service.get(job, caller)
        note(request, job=record.id, plan=record.submission.plan.digest)
        return record

    @router.get("/{job}/source", responses={**RANGES, **problems(404, 410, 416)}, response_class=Response)
    def source(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Fetch the source, or a range of it, to compare. Takes the scope review."""
        return source_of(owned_job(job, caller, request), job_service.backend.open().store, request)

    @router.head("/{job}/source", responses={**RANGES, **problems(404, 410, 416)}, response_class=Response)
    def source_head(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Return the headers of the source. Takes the scope review."""
        return source_of(owned_job(job, caller, request), job_service.backend.open().store, request)

    @router.get("/{job}/regions", responses={200: dict(_REGIONS), **problems(404, 409, 410)}, response_class=Response)
    def regions(job: JobId, caller: Asking, request: Request) -> Response:
        """Fetch the regions of a job: the corrected ones, else those that the result hides."""
        return regions_of(owned_job(job, caller, request), job_service.backend.open().store, request)

    @router.put("/{job}/regions", openapi_extra=_PUT_REGIONS, responses=problems(404, 409, 412), **state)
    async def correct(
        job: JobId,
        request: Request,
        caller: Reviewing,
        if_match: Annotated[str | None, Header(description="ETag of the regions that these correct.")] = None,
    ) -> Response:
        """Replace the regions by corrected ones, which the next render hides. Takes the scope review.

        With `If-Match`, only if nobody else has corrected them since.
        """
        sent = b"".join([chunk async for chunk in body_chunks(request, REGIONS_BYTES, "the annotation file")])
        record = await anyio.to_thread.run_sync(partial(job_service.correct, job, sent, caller, match=if_match))
        note(request, job=record.id, plan=record.submission.plan.digest)
        tag = {} if record.regions is None else {"etag": tag_of(record.regions)}
        return JSONResponse(job_service.json_of(record, caller), headers=tag)

    @router.post("/{job}/follow", responses={200: dict(_FOLLOWED), **problems(404, 410)}, response_class=JSONResponse)
    def follow(job: JobId, wanted: FollowRequest, caller: Reviewing, request: Request) -> Response:
        """Track an object by its appearance, from one frame of the source up to 10 s before and after it.

        Returns an annotation file; nothing is stored. Takes the scope review.
        """
        record = owned_job(job, caller, request)
        store = job_service.source_store(record)
        region = Region(Box(*wanted.xyxy), wanted.label, origin="manual")
        annotations = image_service.follow(
            partial(store.fetch, record.submission.source), record.submission.name, wanted.frame, region
        )
        return JSONResponse(annotations.to_json(), headers={"cache-control": "no-store"})

    @router.post("/{job}/render", status_code=202, responses=problems(404, 409), **state)
    def render(
        job: JobId, caller: Reviewing, request: Request, idempotency_key: Key = None,
        audio: Audio = None,
    ) -> Response:  # fmt: skip
        """Render the job again with its current regions; nothing is located again. Takes the scope review.

        `audio` changes what is done with the audio. The previous result is withdrawn at once. Of a long video, only
        segments with changed regions are rendered, unless the audio changes.
        """
        record = job_service.render(job, caller, idempotency_key, audio)
        note(request, job=record.id, plan=record.submission.plan.digest)
        return JSONResponse(job_service.json_of(record, caller), 202)

    return router


def queue_routes(job_service: JobService, access: Authenticator, *, required_approvals: int = 1) -> LateRouter:
    """Return the endpoints below `/reviews`; `required_approvals` is how many people must approve a result."""
    router = LateRouter(prefix="/reviews", tags=["Review"])
    Reviewing = Annotated[Principal, Depends(access.require("review"))]  # noqa: N806 - a type

    @router.get("", response_model=ReviewPage, response_class=JSONResponse, responses=problems())
    def queue(
        caller: Reviewing,
        after: Annotated[
            str | None, Query(pattern=r"^[0-9a-f]{32}$", description="`after` of the previous page.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_REVIEWS)] = 100,
    ) -> Response:
        """List results of the newest jobs by risk: the caller's own, with the scope operate all. Takes review."""
        page = job_service.list(caller, state=State.DONE, owner=None, after=after, limit=limit)
        approvals = list_approvals(job_service.backend.open().database, page.jobs)
        assignments = list_assignments(job_service.backend.open().database, page.jobs)
        views = list_views(job_service.backend.open().database, page.jobs, caller.name)
        reviews = [review for job in page.jobs if (review := _review(job_service, job, caller)) is not None]
        for review in reviews:
            review["approved"] = approvals.get(review["job"]["id"], [])
            review["undecided"] = views.get(review["job"]["id"])
            review.update(assignments.get(review["job"]["id"], {"assignee": None, "sent_back": None}))
        reviews.sort(key=lambda review: -review["risk"])
        page_json = {"reviews": reviews, "eyes": required_approvals, "caller": caller.name, "after": page.after}
        return JSONResponse(page_json, headers={"cache-control": "no-store"})

    @router.get("/activity", response_model=Activity, response_class=JSONResponse, responses=problems())
    def activity(
        caller: Reviewing,
        before: Annotated[float | None, Query(ge=0, le=1e11, description="`before` of the previous page.")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_REVIEWS)] = 100,
    ) -> Response:
        """List who did what with the caller's own jobs, with the scope operate with all. Takes the scope review."""
        owner = None if "operate" in caller.scopes else caller.name
        database = job_service.backend.open().database
        steps, next_before = list_activity(database, owner, before=before, limit=limit)
        return JSONResponse({"steps": list(steps), "before": next_before}, headers={"cache-control": "no-store"})

    @router.post("", status_code=204, responses=problems(404, 409), response_class=Response)
    def approve(wanted: Approvals, caller: Reviewing) -> Response:
        """Approve results, all of them or none. Their reports show who approved and when. Takes the scope review."""
        results = {}
        for approval in wanted.approve:
            job = job_service.get(approval.job, caller)
            if job.result is None or tag_of(job.result) != approval.result:
                raise Problem(
                    409,
                    f"job {job.id} has a newer result or none; nothing was approved, list the reviews again",
                    state=job.state.value,
                )
            results[job.id] = job.result
        try:
            approve_results(job_service.backend.open().database, results, caller.name, required=required_approvals)
        except BadPlan as error:
            raise Problem(409, str(error)) from error
        return Response(status_code=204)

    @router.post("/views", status_code=204, responses=problems(404, 409), response_class=Response)
    def view(wanted: View, caller: Reviewing) -> Response:
        """Record that the caller has seen the whole of a job's present result. Takes the scope review."""
        job = job_service.get(wanted.job, caller)
        if job.result is None:
            raise Problem(409, f"job {job.id} has no result", state=job.state.value)
        record_view(job_service.backend.open().database, job, caller.name, wanted.undecided)
        return Response(status_code=204)

    return router


def _review(job_service: JobService, job: JobRecord, caller: Principal) -> dict[str, Any] | None:
    """Return the review of a job as JSON values; None where it has no result any more."""
    report = job_service.queue.report(job.id)
    if report is None or job.result is None:
        return None
    why = doubts(report)
    return {"job": job_service.json_of(job, caller), "result": tag_of(job.result), "risk": risk(why), "why": list(why)}
