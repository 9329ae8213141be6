"""`/v1/reviews`: what to look at first, and who found it good."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from velum.errors import BadPlan
from velum.jobs import JobRecord, State
from velum.jobs.approvals import WEIGHTS, ApprovalStore, doubts, risk
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.problem_details import ConflictProblem, documented
from velum.service.v1.job_service import JobService
from velum.service.v1.jobs import shown
from velum.service.v1.range_response import tag_of
from velum.service.v1.values import JobState

MOST = 500
"""Jobs that are looked through, and approved, at a time."""


class Approved(BaseModel):
    """Who approved a result, and when, in seconds of the epoch."""

    who: str = Field(examples=["alice"])
    at: float


class Review(BaseModel):
    """A result, and how much there is to doubt about it."""

    job: JobState
    result: str = Field(examples=['"9f9f"'])
    """Tag of the result that this is about: give it with an approval."""
    risk: float = Field(examples=[0.4])
    """From 0 to 1."""
    why: list[str] = Field(examples=[["nothing"]], description=f"Some of {', '.join(WEIGHTS)}.")
    approved: list[Approved]


class ReviewPage(BaseModel):
    """Results, those with the highest risk first."""

    reviews: list[Review]
    eyes: int = Field(examples=[2])
    """How many people must approve a result."""
    caller: str = Field(examples=["alice"])
    """Who asks: what they have approved is for others to look at."""
    after: str | None
    """Give it as `after` for earlier jobs; null at the end."""


class Approval(BaseModel):
    """A result that is approved."""

    model_config = ConfigDict(extra="forbid")

    job: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["018f3c" + "ab" * 13])]
    result: Annotated[str, Field(max_length=64, examples=['"9f9f"'])]
    """The tag that the review had: what was rendered since is not approved with it."""


class Approvals(BaseModel):
    """Results that are approved together: all of them, or none."""

    model_config = ConfigDict(extra="forbid")

    approve: Annotated[list[Approval], Field(min_length=1, max_length=MOST)]


def routes(counter: JobService, access: Authenticator, *, eyes: int = 1) -> APIRouter:
    """Return the endpoints; `eyes` is how many people must approve a result."""
    router = APIRouter(prefix="/reviews", tags=["Review"])
    Reviewing = Annotated[Principal, Depends(access.require("review"))]  # noqa: N806 - a type

    @router.get("", response_model=ReviewPage, response_class=JSONResponse, responses=documented())
    def queue(
        caller: Reviewing,
        after: Annotated[
            str | None, Query(pattern=r"^[0-9a-f]{32}$", description="`after` of the page before.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    ) -> Response:
        """List results by risk: one's own, or with the scope operate everyone's; of the newest jobs. Takes review."""
        page = counter.list(caller, state=State.DONE, owner=None, after=after, limit=limit)
        seen = ApprovalStore(counter.office.open().database).of(page.jobs)
        made = [one for job in page.jobs if (one := _review(counter, job, caller)) is not None]
        for one in made:
            one["approved"] = [approval.to_json() for approval in seen.get(one["job"]["id"], ())]
        made.sort(key=lambda one: -one["risk"])
        told = {"reviews": made, "eyes": eyes, "caller": caller.name, "after": page.after}
        return JSONResponse(told, headers={"cache-control": "no-store"})

    @router.post("", status_code=204, responses=documented(404, 409), response_class=Response)
    def approve(wanted: Approvals, caller: Reviewing) -> Response:
        """Approve results, all of them or none; who and when is kept, and shown in their reports. Takes review."""
        results = {}
        for one in wanted.approve:
            job = counter.get(one.job, caller)
            if job.result is None or tag_of(job.result) != one.result:
                raise ConflictProblem(
                    f"job {job.id} has another result by now, or none; nothing was approved: look again",
                    state=job.state.value,
                )
            results[job.id] = job.result
        try:
            ApprovalStore(counter.office.open().database).approve(results, caller.name)
        except BadPlan as error:
            raise ConflictProblem(str(error)) from error
        return Response(status_code=204)

    return router


def _review(counter: JobService, job: JobRecord, caller: Principal) -> dict[str, Any] | None:
    """Return what there is to doubt about a job; None for one that has no result any more."""
    report = counter.desk.report(job.id)
    if report is None or job.result is None:
        return None
    why = doubts(report)
    return {"job": shown(job, caller), "result": tag_of(job.result), "risk": risk(why), "why": list(why)}
