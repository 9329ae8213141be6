"""`/v1/jobs`: submit, follow, cancel and delete jobs, fetch results and reports."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, Header, Query, Request
from fastapi import Path as InPath
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import JSONResponse, Response

from velum.errors import Unavailable
from velum.jobs import JobRecord, State
from velum.jobs.approvals import list_approvals, list_comments
from velum.jobs.queue import MAX_PAGE_SIZE
from velum.service.admission import Overloaded
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import SCOPES, Principal
from velum.service.late_router import LateRouter
from velum.service.middleware import note
from velum.service.problem_details import Problem, problems
from velum.service.v1.http_bodies import result_of
from velum.service.v1.job_service import JobService
from velum.service.v1.values import JobPage, JobRequest, JobState

LOOK_SECONDS = 0.5
"""Interval in which a followed job is checked for changes."""

JobId = Annotated[str, InPath(description="Id of the job.", examples=["018f3c" + "ab" * 13])]

Key = Annotated[
    str | None,
    Header(
        min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$", examples=["5f2b" * 8],
        description="Chosen by the client for one request; requests with the same key are served once within a day.",
    ),
]  # fmt: skip
_TEXT = r"^[^\x00-\x1f\x7f]*$"
_AFTER = Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$", description="`after` of the previous page.")]
_OWNER = Annotated[
    str | None, Query(max_length=255, pattern=_TEXT, description="Name of the owner; takes the scope operate.")
]
_BINARY: Mapping[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FILE: Mapping[str, Any] = {"content": {"application/octet-stream": _BINARY, "image/*": _BINARY, "video/*": _BINARY}}
RANGES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", **_FILE},
    206: {"description": "The requested range.", **_FILE},
    304: {"description": "The client has this version already."},
}
_EVENT: Mapping[str, Any] = {
    "description": "`progress` after each change, then `end` or `deleted`; the data is the job.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
_REPORT: Mapping[str, Any] = {
    "description": "What was hidden, how and by which models, with warnings.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}


def routes(
    job_service: JobService, access: Authenticator, *, watchers: int, ending: Callable[[], bool] = lambda: False
) -> LateRouter:
    """Return the endpoints below `/jobs`; `watchers` is how many clients may follow jobs at a time.

    Their streams end once `ending` tells that the service is shutting down.
    """
    router = LateRouter(prefix="/jobs", tags=["Jobs"])
    Asking = Annotated[Principal, Depends(access.require("anonymize", "review"))]  # noqa: N806 - a type
    Looking = Annotated[Principal, Depends(access.require(*SCOPES))]  # noqa: N806 - a type

    def owned_job(job: JobId, caller: Looking, request: Request) -> JobRecord:
        record = job_service.get(job, caller)
        note(request, job=record.id, plan=record.submission.plan.digest)
        return record

    Theirs = Annotated[JobRecord, Depends(owned_job)]  # noqa: N806 - a type
    watching = 0

    async def watched_job(job: Theirs) -> AsyncIterator[JobRecord]:
        nonlocal watching
        if watching >= watchers:
            raise Overloaded(f"{watchers} clients follow jobs, the most allowed; request the state of the job instead")
        watching += 1
        try:
            yield job
        finally:
            watching -= 1

    state: dict[str, Any] = {"response_model": JobState, "response_class": JSONResponse}

    @router.post("", status_code=201, responses=problems(404, 409), **state)
    def submit(wanted: JobRequest, caller: Asking, request: Request, idempotency_key: Key = None) -> Response:
        """Submit a job for an image or a video. A failed request leaves the upload as it is."""
        job = job_service.submit(wanted, caller, idempotency_key)
        note(request, job=job.id, plan=job.submission.plan.digest)
        return JSONResponse(job_service.json_of(job, caller), 201, {"location": f"/v1/jobs/{job.id}"})

    @router.get(
        "", response_model=JobPage, response_class=JSONResponse, responses=problems(),
        operation_id="listed_v1_jobs_get",  # generated clients name their calls after it
    )  # fmt: skip
    def list_jobs(
        caller: Looking,
        state: State | None = None,
        after: _AFTER = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = 100,
        owner: _OWNER = None,
    ) -> Response:
        """List jobs, newest first: the caller's own, with the scope operate all."""
        page = job_service.list(caller, state=state, owner=owner, after=after, limit=limit)
        return JSONResponse({"jobs": [job_service.json_of(job, caller) for job in page.jobs], "after": page.after})

    @router.get("/{job}", responses=problems(404), **state)
    def look(job: Theirs, caller: Looking) -> Response:
        """Return the state and progress of a job."""
        return JSONResponse(job_service.json_of(job, caller), headers={"cache-control": "no-store"})

    @router.get("/{job}/events", response_class=EventSourceResponse, responses={**problems(404), 200: dict(_EVENT)})
    async def events(
        job: Annotated[JobRecord, Depends(watched_job)], caller: Looking
    ) -> AsyncIterator[ServerSentEvent]:
        """Follow a job as server-sent events: processed frames, frames a second, time left. Ends with the job."""
        async for event in _job_events(job_service, job, caller, ending):
            yield event

    @router.post("/{job}/cancel", responses=problems(404), **state)
    def cancel(job: JobId, caller: Asking) -> Response:
        """Cancel a job: at once while it waits, soon while it runs. A job that has ended stays as it is."""
        return JSONResponse(job_service.json_of(job_service.cancel(job, caller), caller))

    @router.post("/{job}/retry", responses=problems(404, 409), **state)
    def retry(job: JobId, caller: Asking, idempotency_key: Key = None) -> Response:
        """Run a failed, given up or cancelled job again; finished segments are kept."""
        return JSONResponse(job_service.json_of(job_service.retry(job, caller, idempotency_key), caller))

    @router.get("/{job}/result", responses={**RANGES, **problems(404, 409, 410, 416)}, response_class=Response)
    def result(_: Asking, job: Theirs, request: Request) -> Response:
        """Fetch the result, or a range of it."""
        return result_of(job, job_service.backend.open().store, request)

    @router.head("/{job}/result", responses={**RANGES, **problems(404, 409, 410, 416)}, response_class=Response)
    def result_head(_: Asking, job: Theirs, request: Request) -> Response:
        """Return the headers of the result."""
        return result_of(job, job_service.backend.open().store, request)

    @router.get("/{job}/report", responses={200: dict(_REPORT), **problems(404, 409)}, response_class=JSONResponse)
    def report(job: Theirs) -> Response:
        """Fetch the report of a finished job."""
        report_json = job_service.queue.report(job.id)
        if report_json is None:
            raise Problem(409, f"job {job.id} is {job.state}; it has a report once it is done", state=job.state.value)
        return JSONResponse({**report_json, **_review_of(job_service, job)})

    @router.delete("/{job}", status_code=204, responses=problems(404), response_class=Response)
    def delete(job: JobId, caller: Asking) -> Response:
        """Delete a job with its source, result and report, in any state."""
        job_service.delete(job, caller)
        return Response(status_code=204)

    return router


def _review_of(job_service: JobService, job: JobRecord) -> Mapping[str, Any]:
    """Return who approved a job's result, and who did what in its review; a report without a review stays as it is."""
    database = job_service.backend.open().database
    approvals = list_approvals(database, [job]).get(job.id)
    steps = [{name: step[name] for name in ("who", "at", "kind")} for step in list_comments(database, job.id)]
    return {**({"reviewers": approvals} if approvals else {}), **({"review": steps} if steps else {})}


async def _job_events(
    job_service: JobService, job: JobRecord, caller: Principal, ending: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    """Yield the job, and again after each change, until the job ends or the service shuts down."""
    last: JobRecord | None = None
    while not ending():
        try:
            now = await anyio.to_thread.run_sync(job_service.queue.get, job.id)
        except Unavailable:
            return  # the client reconnects, and gets the error then
        if now is None:
            yield ServerSentEvent(event="deleted", raw_data=json.dumps({"id": job.id}))
            return
        if now != last:
            yield ServerSentEvent(
                event="end" if now.state.is_final else "progress", raw_data=json.dumps(job_service.json_of(now, caller))
            )
        if now.state.is_final:
            return
        last = now
        await asyncio.sleep(LOOK_SECONDS)
