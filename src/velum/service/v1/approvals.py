"""`/v1/reviews`: results by risk, and who approved them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from velum.errors import BadPlan
from velum.jobs import JobRecord, State
from velum.jobs.approvals import WEIGHTS, ApprovalStore, doubts, risk
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.problem_details import ConflictProblem, problems
from velum.service.v1.job_service import JobService
from velum.service.v1.jobs import job_json
from velum.service.v1.range_response import tag_of
from velum.service.v1.values import JobState

MOST = 500
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


class ReviewPage(BaseModel):
    """Results, highest risk first."""

    reviews: list[Review]
    eyes: int = Field(examples=[2])
    """How many people must approve a result."""
    caller: str = Field(examples=["alice"])
    """Name of the caller, whose own approvals do not count twice."""
    after: str | None
    """Send it as `after` for the next page; null on the last one."""


class Approval(BaseModel):
    """A result to approve."""

    model_config = ConfigDict(extra="forbid")

    job: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["018f3c" + "ab" * 13])]
    result: Annotated[str, Field(max_length=64, examples=['"9f9f"'])]
    """Entity tag from the review, so that a result rendered since is not approved by mistake."""


class Approvals(BaseModel):
    """Results to approve together: all of them, or none."""

    model_config = ConfigDict(extra="forbid")

    approve: Annotated[list[Approval], Field(min_length=1, max_length=MOST)]


def routes(job_service: JobService, access: Authenticator, *, eyes: int = 1) -> APIRouter:
    """Return the endpoints below `/reviews`; `eyes` is how many people must approve a result."""
    router = APIRouter(prefix="/reviews", tags=["Review"])
    Reviewing = Annotated[Principal, Depends(access.require("review"))]  # noqa: N806 - a type

    @router.get("", response_model=ReviewPage, response_class=JSONResponse, responses=problems())
    def queue(
        caller: Reviewing,
        after: Annotated[
            str | None, Query(pattern=r"^[0-9a-f]{32}$", description="`after` of the previous page.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    ) -> Response:
        """List results of the newest jobs by risk: the caller's own, with the scope operate all. Takes review."""
        page = job_service.list(caller, state=State.DONE, owner=None, after=after, limit=limit)
        approvals = ApprovalStore(job_service.backend.open().database).of(page.jobs)
        reviews = [review for job in page.jobs if (review := _review(job_service, job, caller)) is not None]
        for review in reviews:
            review["approved"] = [approval.to_json() for approval in approvals.get(review["job"]["id"], ())]
        reviews.sort(key=lambda review: -review["risk"])
        page_json = {"reviews": reviews, "eyes": eyes, "caller": caller.name, "after": page.after}
        return JSONResponse(page_json, headers={"cache-control": "no-store"})

    @router.post("", status_code=204, responses=problems(404, 409), response_class=Response)
    def approve(wanted: Approvals, caller: Reviewing) -> Response:
        """Approve results, all of them or none. Their reports show who approved and when. Takes the scope review."""
        results = {}
        for approval in wanted.approve:
            job = job_service.get(approval.job, caller)
            if job.result is None or tag_of(job.result) != approval.result:
                raise ConflictProblem(
                    f"job {job.id} has a newer result or none; nothing was approved, list the reviews again",
                    state=job.state.value,
                )
            results[job.id] = job.result
        try:
            ApprovalStore(job_service.backend.open().database).approve(results, caller.name)
        except BadPlan as error:
            raise ConflictProblem(str(error)) from error
        return Response(status_code=204)

    return router


def _review(job_service: JobService, job: JobRecord, caller: Principal) -> dict[str, Any] | None:
    """Return the review of a job as JSON values; None where it has no result any more."""
    report = job_service.queue.report(job.id)
    if report is None or job.result is None:
        return None
    why = doubts(report)
    return {"job": job_json(job, caller), "result": tag_of(job.result), "risk": risk(why), "why": list(why)}
