"""`/v1/jobs/{job}`, for those who review: the source, the regions, and the result rendered anew."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Header, Request
from pydantic import BaseModel, ConfigDict, Field, StrictInt
from starlette.responses import FileResponse, JSONResponse, Response

from velum.annotations import FORMAT
from velum.bmw.routes import note
from velum.jobs import JobRecord, Store
from velum.region import Box, Region
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.problem_details import ConflictProblem, ExpiredProblem, documented
from velum.service.v1.image_service import ImageService
from velum.service.v1.job_service import REGIONS_BYTES, JobService
from velum.service.v1.jobs import RANGES, JobId, Key, shown
from velum.service.v1.previews import Previews
from velum.service.v1.range_response import regions_of, source_of, tag_of
from velum.service.v1.request_body import bounded
from velum.service.v1.values import JobState

_REGIONS: Mapping[str, Any] = {
    "description": "A file of regions.",
    "content": {"application/json": {"schema": {"type": "object"}}},
    "headers": {"ETag": {"description": "For If-Match.", "schema": {"type": "string"}}},
}
_FOLLOWED: Mapping[str, Any] = {
    "description": "Where it is, as a file of regions.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}
Edge = Annotated[StrictInt, Field(ge=-(1 << 31), le=1 << 31)]
_JSON: dict[str, Any] = {"response_class": JSONResponse}
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
    """A thing in one frame of a video, which is to be followed."""

    model_config = ConfigDict(extra="forbid")

    frame: Annotated[StrictInt, Field(ge=0, le=1 << 31, examples=[120])]
    """Counted from 0."""
    xyxy: Annotated[list[Edge], Field(min_length=4, max_length=4, examples=[[812, 240, 934, 402]])]
    """Its box, in pixels of the upright picture."""
    label: Annotated[str, Field(min_length=1, max_length=100, examples=["face"])]


class PreviewState(BaseModel):
    """How far a preview is: `making`, `ready` or `failed`. `share` is from 0 to 1, null where it is not known."""

    state: Literal["making", "ready", "failed"]
    share: float | None = Field(examples=[0.4])
    error: str | None


def routes(counter: JobService, studio: ImageService, previews: Previews, access: Authenticator) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(prefix="/jobs", tags=["Review"])
    Asking = Annotated[Principal, Depends(access.require("anonymize", "review"))]  # noqa: N806 - a type
    Reviewing = Annotated[Principal, Depends(access.require("review"))]  # noqa: N806 - a type
    state: dict[str, Any] = {"response_model": JobState, "response_class": JSONResponse}

    def found(job: str, caller: Principal, request: Request) -> JobRecord:
        one = counter.get(job, caller)
        note(request, job=one.id, plan=one.submission.plan.digest)
        return one

    def kept(job: JobRecord) -> Store:
        if not job.source_kept:
            raise ExpiredProblem(f"the source of job {job.id} has been deleted after its time")
        return counter.office.open().store

    @router.get("/{job}/source", responses={**RANGES, **documented(404, 410, 416)}, response_class=Response)
    def source(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Fetch what was handed in, or a range of it, to compare. Takes the scope review."""
        return source_of(found(job, caller, request), counter.office.open().store, request)

    @router.head("/{job}/source", responses={**RANGES, **documented(404, 410, 416)}, response_class=Response)
    def source_head(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Tell of the source what a fetch would."""
        return source_of(found(job, caller, request), counter.office.open().store, request)

    @router.get("/{job}/regions", responses={200: dict(_REGIONS), **documented(404, 409, 410)}, response_class=Response)
    def regions(job: JobId, caller: Asking, request: Request) -> Response:
        """Fetch the regions: those that the result hides, or the ones that were put last."""
        return regions_of(found(job, caller, request), counter.office.open().store, request)

    @router.put("/{job}/regions", openapi_extra=_PUT_REGIONS, responses=documented(404, 409, 412), **state)
    async def correct(
        job: JobId,
        request: Request,
        caller: Reviewing,
        if_match: Annotated[str | None, Header(description="The ETag of the regions that these correct.")] = None,
    ) -> Response:
        """Put corrected regions in their place; render then hides these. Takes the scope review.

        With `If-Match`, only if nobody else has put any since.
        """
        sent = b"".join([chunk async for chunk in bounded(request, REGIONS_BYTES, "the file of regions")])
        made = await anyio.to_thread.run_sync(partial(counter.correct, job, sent, caller, match=if_match))
        note(request, job=made.id, plan=made.submission.plan.digest)
        tag = {} if made.regions is None else {"etag": tag_of(made.regions)}
        return JSONResponse(shown(made, caller), headers=tag)

    @router.post("/{job}/follow", responses={200: dict(_FOLLOWED), **documented(404, 410)}, response_class=JSONResponse)
    def follow(job: JobId, wanted: FollowRequest, caller: Reviewing, request: Request) -> Response:
        """Follow a thing from one frame of the source, by what it looks like, up to 10 s before and after.

        The answer has the form of a file of regions; nothing is kept. Takes the scope review.
        """
        one = found(job, caller, request)
        store = kept(one)
        region = Region(Box(*wanted.xyxy), wanted.label, origin="manual")
        seen = studio.follow(partial(store.fetch, one.submission.source), one.submission.name, wanted.frame, region)
        return JSONResponse(seen.to_json(), headers={"cache-control": "no-store"})

    @router.post("/{job}/preview", response_model=PreviewState, responses=documented(404, 410), **_JSON)
    def previewed(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Have the source made into a video that any browser plays, and tell how far that is. Takes the scope review.

        Ask again until it is ready. It is kept for a quarter of an hour after somebody last looked, and no longer than
        the source.
        """
        one = found(job, caller, request)
        fetch = partial(kept(one).fetch, one.submission.source)
        return JSONResponse(previews.ask(one.id, one.submission.name, fetch), headers={"cache-control": "no-store"})

    def film(job: str, caller: Principal, request: Request) -> Response:
        one = found(job, caller, request)
        kept(one)
        file = previews.file(one.id)
        if file is None:
            raise ConflictProblem("there is no preview yet; POST to this address has one made", state=one.state.value)
        return FileResponse(file, media_type="video/mp4", headers={"cache-control": "private, no-store"})

    filmed: dict[str, Any] = {"responses": {**RANGES, **documented(404, 409, 410, 416)}, "response_class": Response}

    @router.get("/{job}/preview", **filmed)
    def preview(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Fetch the preview, or a range of it. Takes the scope review."""
        return film(job, caller, request)

    @router.head("/{job}/preview", **filmed)
    def preview_head(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Tell of the preview what a fetch would."""
        return film(job, caller, request)

    @router.post("/{job}/render", status_code=202, responses=documented(404, 409), **state)
    def render(job: JobId, caller: Reviewing, request: Request, idempotency_key: Key = None) -> Response:
        """Have it done again with the regions as they are now; nothing is looked for. Takes the scope review.

        The result that there was is withdrawn at once. Of a long video, only those parts are made in which regions
        have changed.
        """
        made = counter.render(job, caller, idempotency_key)
        note(request, job=made.id, plan=made.submission.plan.digest)
        return JSONResponse(shown(made, caller), 202)

    return router
