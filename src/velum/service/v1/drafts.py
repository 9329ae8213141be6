"""Review of a job, below `/v1/jobs/{job}`: drafts, comments, reviewers, jobs sent back, sources kept for longer."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field, StrictInt
from starlette.responses import JSONResponse, Response

from velum.errors import BadPlan
from velum.jobs import JobRecord, approvals
from velum.jobs.approvals import add_comment, assign_job, list_comments, send_back
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.late_router import LateRouter
from velum.service.problem_details import Problem, problems
from velum.service.v1.job_service import JobService
from velum.service.v1.jobs import JobId
from velum.service.v1.values import DraftRequest, DraftState, JobState

_JSON: dict[str, Any] = {"response_class": JSONResponse}


class KeepRequest(BaseModel):
    """How long a source is to be kept."""

    model_config = ConfigDict(extra="forbid")

    seconds: Annotated[StrictInt, Field(ge=1, le=1 << 31, examples=[86400])]


class CommentRequest(BaseModel):
    """What to say about a job, or about one of its frames or pages."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=2000, examples=["The reflection in the window shows a face."])]
    frame: Annotated[StrictInt, Field(ge=0, le=(1 << 31) - 1, examples=[120])] | None = None
    """Counted from 0."""
    send_back: bool = False
    """Whether the result is sent back for this reason, which withdraws its approvals."""


class Assignment(BaseModel):
    """Who reviews a job; null for nobody."""

    model_config = ConfigDict(extra="forbid")

    assignee: Annotated[str, Field(min_length=1, max_length=255, examples=["alice"])] | None = None


class Comment(BaseModel):
    """What somebody said or did; `kind` is `comment`, `sent back`, `assigned`, `approved` or `corrected`."""

    who: str = Field(examples=["alice"])
    at: float
    text: str
    frame: int | None
    kind: str = Field(examples=["comment"])


class Comments(BaseModel):
    """Comments and actions on a job, oldest first."""

    comments: list[Comment]


def routes(job_service: JobService, access: Authenticator) -> LateRouter:
    """Return the endpoints for drafts of a review, below `/jobs`."""
    router = LateRouter(prefix="/jobs", tags=["Review"])
    Reviewing = Annotated[Principal, Depends(access.require("review"))]  # noqa: N806 - a type
    state: dict[str, Any] = {"response_model": JobState, **_JSON}

    def comments_of(job: JobRecord) -> Response:
        comments = list_comments(job_service.backend.open().database, job.id)
        return JSONResponse({"comments": comments}, headers={"cache-control": "no-store"})

    @router.post("/{job}/keep", responses=problems(404, 409), **state)
    def keep(job: JobId, wanted: KeepRequest, caller: Reviewing) -> Response:
        """Keep the source for so many seconds from now, as far as the operator allows. Takes the scope review."""
        return JSONResponse(job_service.json_of(job_service.keep_source(job, caller, wanted.seconds), caller))

    @router.get("/{job}/comments", response_model=Comments, responses=problems(404), **_JSON)
    def comments(job: JobId, caller: Reviewing) -> Response:
        """List what reviewers said about a job, who was to review it, and why it was sent back. Takes review."""
        return comments_of(job_service.get(job, caller))

    @router.post("/{job}/comments", response_model=Comments, responses=problems(404, 409), **_JSON)
    def comment(job: JobId, wanted: CommentRequest, caller: Reviewing) -> Response:
        """Say something about a job, or send its result back for that reason. Takes the scope review."""
        record, database = job_service.get(job, caller), job_service.backend.open().database
        if not wanted.send_back:
            add_comment(database, record.id, caller.name, wanted.text, frame=wanted.frame)
        elif record.result is None:
            raise Problem(409, f"job {record.id} has no result to send back", state=record.state.value)
        else:
            send_back(database, record, caller.name, wanted.text)
        return comments_of(record)

    @router.put("/{job}/assignee", response_model=Comments, responses=problems(404), **_JSON)
    def assign(job: JobId, wanted: Assignment, caller: Reviewing) -> Response:
        """Say who is to review a job. Takes the scope review."""
        record = job_service.get(job, caller)
        assign_job(job_service.backend.open().database, record.id, caller.name, assignee=wanted.assignee)
        return comments_of(record)

    @router.get(
        "/{job}/draft", response_model=DraftState, responses={204: {"description": "There is none."}, **problems(404)},
        **_JSON,
    )  # fmt: skip
    def read_draft(job: JobId, caller: Reviewing) -> Response:
        """Fetch the draft of a job's corrections. Takes the scope review."""
        database, record = job_service.backend.open().database, job_service.get(job, caller)
        draft = approvals.read_draft(database, record.id)
        headers = {"cache-control": "no-store"}
        return Response(status_code=204, headers=headers) if draft is None else JSONResponse(draft, headers=headers)

    @router.put("/{job}/draft", response_model=DraftState, responses=problems(404, 409, 412), **_JSON)
    def save_draft(job: JobId, wanted: DraftRequest, caller: Reviewing) -> Response:
        """Save corrections and decisions that are not applied yet; they go with the job. Takes the scope review.

        412 with `who` and `at` where somebody else has saved a draft, or applied corrections, since that version.
        """
        return JSONResponse(_save_draft(job_service, job_service.get(job, caller), caller, wanted))

    @router.delete("/{job}/draft", status_code=204, responses=problems(404), response_class=Response)
    def delete_draft(job: JobId, caller: Reviewing) -> Response:
        """Delete the draft. Takes the scope review."""
        approvals.delete_draft(job_service.backend.open().database, job_service.get(job, caller).id)
        return Response(status_code=204)

    return router


def _save_draft(job_service: JobService, job: JobRecord, caller: Principal, draft: DraftRequest) -> Mapping[str, Any]:
    """Save a draft of a job's corrections. Raises `Problem`: 412 where somebody else has saved one since."""
    database = job_service.backend.open().database
    try:
        saved = approvals.save_draft(
            database, job.id, draft.body, caller.name, version=draft.version, edited=draft.edited
        )  # fmt: skip
    except BadPlan as error:
        raise Problem(409, str(error)) from error
    if saved is None:
        other = approvals.read_draft(database, job.id) or {"who": None, "at": None}
        raise Problem(
            412, "somebody else has saved or applied corrections since; fetch them first", who=other["who"],
            at=other["at"],
        )  # fmt: skip
    return saved
