"""`/v1/jobs/{job}/draft`: what a reviewer does before applying it; `/v1/jobs/{job}/keep`: a source for longer."""

from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field, StrictInt
from starlette.responses import JSONResponse, Response

from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.late_router import LateRouter
from velum.service.problem_details import problems
from velum.service.v1.job_service import JobService
from velum.service.v1.jobs import JobId
from velum.service.v1.values import DraftRequest, DraftState, JobState

_JSON: dict[str, Any] = {"response_class": JSONResponse}


class KeepRequest(BaseModel):
    """How long a source is to be kept."""

    model_config = ConfigDict(extra="forbid")

    seconds: Annotated[StrictInt, Field(ge=1, le=1 << 31, examples=[86400])]


def routes(job_service: JobService, access: Authenticator) -> LateRouter:
    """Return the endpoints for drafts of a review, below `/jobs`."""
    router = LateRouter(prefix="/jobs", tags=["Review"])
    Reviewing = Annotated[Principal, Depends(access.require("review"))]  # noqa: N806 - a type
    state: dict[str, Any] = {"response_model": JobState, **_JSON}

    @router.post("/{job}/keep", responses=problems(404, 409), **state)
    def keep(job: JobId, wanted: KeepRequest, caller: Reviewing) -> Response:
        """Keep the source for so many seconds from now, as far as the operator allows. Takes the scope review."""
        return JSONResponse(job_service.json_of(job_service.keep_source(job, caller, wanted.seconds), caller))

    @router.get(
        "/{job}/draft", response_model=DraftState, responses={204: {"description": "There is none."}, **problems(404)},
        **_JSON,
    )  # fmt: skip
    def read_draft(job: JobId, caller: Reviewing) -> Response:
        """Fetch the draft of a job's corrections. Takes the scope review."""
        draft = job_service.read_draft(job, caller)
        headers = {"cache-control": "no-store"}
        return Response(status_code=204, headers=headers) if draft is None else JSONResponse(draft, headers=headers)

    @router.put("/{job}/draft", response_model=DraftState, responses=problems(404, 409, 412), **_JSON)
    def save_draft(job: JobId, wanted: DraftRequest, caller: Reviewing) -> Response:
        """Save corrections and decisions that are not applied yet; they go with the job. Takes the scope review.

        412 with `who` and `at` where somebody else has saved a draft, or applied corrections, since that version.
        """
        return JSONResponse(job_service.save_draft(job, caller, wanted))

    @router.delete("/{job}/draft", status_code=204, responses=problems(404), response_class=Response)
    def delete_draft(job: JobId, caller: Reviewing) -> Response:
        """Delete the draft. Takes the scope review."""
        job_service.delete_draft(job, caller)
        return Response(status_code=204)

    return router
