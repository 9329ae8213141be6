"""`/v1/jobs/{job}` for reviewers: fetch the source, correct regions, and render again."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Header, Request
from pydantic import BaseModel, ConfigDict, Field, StrictInt
from starlette.responses import FileResponse, JSONResponse, Response

from velum.annotations import FORMAT
from velum.jobs import JobRecord, Store
from velum.region import Box, Region
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.middleware import note
from velum.service.problem_details import ConflictProblem, ExpiredProblem, problems
from velum.service.v1.image_service import ImageService
from velum.service.v1.job_service import REGIONS_BYTES, JobService
from velum.service.v1.jobs import RANGES, JobId, Key, job_json
from velum.service.v1.previews import Previews
from velum.service.v1.range_response import regions_of, source_of, tag_of
from velum.service.v1.request_body import body_chunks
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
    """An object in one frame of a video, which is to be tracked."""

    model_config = ConfigDict(extra="forbid")

    frame: Annotated[StrictInt, Field(ge=0, le=1 << 31, examples=[120])]
    """Counted from 0."""
    xyxy: Annotated[list[Edge], Field(min_length=4, max_length=4, examples=[[812, 240, 934, 402]])]
    """Box of the object, in pixels of the upright frame."""
    label: Annotated[str, Field(min_length=1, max_length=100, examples=["face"])]


class PreviewState(BaseModel):
    """Progress of a preview; `share` is from 0 to 1, null where it is not known."""

    state: Literal["making", "ready", "failed"]
    share: float | None = Field(examples=[0.4])
    error: str | None


def routes(
    job_service: JobService, image_service: ImageService, previews: Previews, access: Authenticator
) -> APIRouter:
    """Return the endpoints for reviewers below `/jobs`."""
    router = APIRouter(prefix="/jobs", tags=["Review"])
    Asking = Annotated[Principal, Depends(access.require("anonymize", "review"))]  # noqa: N806 - a type
    Reviewing = Annotated[Principal, Depends(access.require("review"))]  # noqa: N806 - a type
    state: dict[str, Any] = {"response_model": JobState, "response_class": JSONResponse}

    def owned_job(job: str, caller: Principal, request: Request) -> JobRecord:
        record = job_service.get(job, caller)
        note(request, job=record.id, plan=record.submission.plan.digest)
        return record

    def store_of_source(job: JobRecord) -> Store:
        if not job.source_kept:
            raise ExpiredProblem(f"the source of job {job.id} was deleted after its retention time")
        return job_service.backend.open().store

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
        return JSONResponse(job_json(record, caller), headers=tag)

    @router.post("/{job}/follow", responses={200: dict(_FOLLOWED), **problems(404, 410)}, response_class=JSONResponse)
    def follow(job: JobId, wanted: FollowRequest, caller: Reviewing, request: Request) -> Response:
        """Track an object by its appearance, from one frame of the source up to 10 s before and after it.

        Returns an annotation file; nothing is stored. Takes the scope review.
        """
        record = owned_job(job, caller, request)
        store = store_of_source(record)
        region = Region(Box(*wanted.xyxy), wanted.label, origin="manual")
        annotations = image_service.follow(
            partial(store.fetch, record.submission.source), record.submission.name, wanted.frame, region
        )
        return JSONResponse(annotations.to_json(), headers={"cache-control": "no-store"})

    @router.post(
        "/{job}/preview", response_model=PreviewState, responses=problems(404, 410),
        operation_id="previewed_v1_jobs__job__preview_post",  # generated clients name their calls after it
        **_JSON,
    )  # fmt: skip
    def prepare_preview(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Render a preview of the source that any browser plays, and return its progress. Takes the scope review.

        Repeat the request until it is ready. It is kept for a quarter of an hour after the last access, and no longer
        than the source.
        """
        record = owned_job(job, caller, request)
        fetch = partial(store_of_source(record).fetch, record.submission.source)
        return JSONResponse(
            previews.ask(record.id, record.submission.name, fetch), headers={"cache-control": "no-store"}
        )

    def preview_response(job: str, caller: Principal, request: Request) -> Response:
        record = owned_job(job, caller, request)
        store_of_source(record)
        file = previews.file(record.id)
        if file is None:
            raise ConflictProblem(
                "there is no preview yet; send POST to this address to render one", state=record.state.value
            )
        return FileResponse(file, media_type="video/mp4", headers={"cache-control": "private, no-store"})

    filmed: dict[str, Any] = {"responses": {**RANGES, **problems(404, 409, 410, 416)}, "response_class": Response}

    @router.get("/{job}/preview", **filmed)
    def preview(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Fetch the preview, or a range of it. Takes the scope review."""
        return preview_response(job, caller, request)

    @router.head("/{job}/preview", **filmed)
    def preview_head(job: JobId, caller: Reviewing, request: Request) -> Response:
        """Tell of the preview what a fetch would."""
        return preview_response(job, caller, request)

    @router.post("/{job}/render", status_code=202, responses=problems(404, 409), **state)
    def render(job: JobId, caller: Reviewing, request: Request, idempotency_key: Key = None) -> Response:
        """Render the job again with its current regions; nothing is located again. Takes the scope review.

        The previous result is withdrawn at once. Of a long video, only segments with changed regions are rendered.
        """
        record = job_service.render(job, caller, idempotency_key)
        note(request, job=record.id, plan=record.submission.plan.digest)
        return JSONResponse(job_json(record, caller), 202)

    return router
