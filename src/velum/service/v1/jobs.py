"""`/v1/jobs`: hand in, watch, call off, fetch."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi import Path as InPath
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import JSONResponse, Response

from velum.bmw.routes import note
from velum.errors import Unavailable
from velum.jobs import JobRecord, State
from velum.jobs.approvals import ApprovalStore
from velum.jobs.queue import MOST
from velum.service.admission import Overloaded
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import SCOPES, Principal
from velum.service.problem_details import ConflictProblem, documented
from velum.service.v1.job_service import JobService
from velum.service.v1.range_response import result_of
from velum.service.v1.values import JobPage, JobRequest, JobState

LOOK_SECONDS = 0.5
"""How often is looked whether a job that is watched has changed."""

JobId = Annotated[str, InPath(description="Id of the job.", examples=["018f3c" + "ab" * 13])]

Key = Annotated[
    str | None,
    Header(
        min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$", examples=["5f2b" * 8],
        description="Made by the client for one request: with the same key, that is served once within a day.",
    ),
]  # fmt: skip
_TEXT = r"^[^\x00-\x1f\x7f]*$"
_AFTER = Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$", description="`after` of the page before.")]
_OWNER = Annotated[str | None, Query(max_length=255, pattern=_TEXT, description="Whose; takes the scope operate.")]
_BINARY: Mapping[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FILE: Mapping[str, Any] = {"content": {"application/octet-stream": _BINARY, "image/*": _BINARY, "video/*": _BINARY}}
RANGES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", **_FILE},
    206: {"description": "The range that was asked for.", **_FILE},
    304: {"description": "It is still what the client has."},
}
_EVENT: Mapping[str, Any] = {
    "description": "`progress` whenever something has changed, then `end` or `deleted`; the data is the job.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
_REPORT: Mapping[str, Any] = {
    "description": "What was hidden, how, by which models, and what to doubt.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}


def routes(
    counter: JobService, access: Authenticator, *, watchers: int, ending: Callable[[], bool] = lambda: False
) -> APIRouter:
    """Return the endpoints; `watchers` is how many may follow jobs at a time: each of them holds a connection.

    When `ending` says that the service ends, they are let go.
    """
    router = APIRouter(prefix="/jobs", tags=["Jobs"])
    Asking = Annotated[Principal, Depends(access.require("anonymize", "review"))]  # noqa: N806 - a type
    Looking = Annotated[Principal, Depends(access.require(*SCOPES))]  # noqa: N806 - a type

    def found(job: JobId, caller: Looking, request: Request) -> JobRecord:
        one = counter.get(job, caller)
        note(request, job=one.id, plan=one.submission.plan.digest)
        return one

    Theirs = Annotated[JobRecord, Depends(found)]  # noqa: N806 - a type
    watching = 0

    async def watched(job: Theirs) -> AsyncIterator[JobRecord]:
        nonlocal watching
        if watching >= watchers:
            raise Overloaded(
                f"{watchers} jobs are being watched, which is as many as may be; ask for the job now and then"
            )
        watching += 1
        try:
            yield job
        finally:
            watching -= 1

    state: dict[str, Any] = {"response_model": JobState, "response_class": JSONResponse}

    @router.post("", status_code=201, responses=documented(404, 409), **state)
    def submit(wanted: JobRequest, caller: Asking, request: Request, idempotency_key: Key = None) -> Response:
        """Hand in a job: an image or a video to be hidden in as the plan says. What fails leaves the upload here."""
        job = counter.submit(wanted, caller, idempotency_key)
        note(request, job=job.id, plan=job.submission.plan.digest)
        return JSONResponse(shown(job, caller), 201, {"location": f"/v1/jobs/{job.id}"})

    @router.get("", response_model=JobPage, response_class=JSONResponse, responses=documented())
    def listed(
        caller: Looking,
        state: State | None = None,
        after: _AFTER = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
        owner: _OWNER = None,
    ) -> Response:
        """List jobs, newest first: one's own, or with the scope operate everyone's."""
        page = counter.list(caller, state=state, owner=owner, after=after, limit=limit)
        return JSONResponse({"jobs": [shown(job, caller) for job in page.jobs], "after": page.after})

    @router.get("/{job}", responses=documented(404), **state)
    def look(job: Theirs, caller: Looking) -> Response:
        """Tell how far a job is."""
        return JSONResponse(shown(job, caller), headers={"cache-control": "no-store"})

    @router.get("/{job}/events", response_class=EventSourceResponse, responses={**documented(404), 200: dict(_EVENT)})
    async def events(job: Annotated[JobRecord, Depends(watched)], caller: Looking) -> AsyncIterator[ServerSentEvent]:
        """Follow a job: frames done, frames a second, time left. Ends with it."""
        async for event in _watched(counter, job, caller, ending):
            yield event

    @router.post("/{job}/cancel", responses=documented(404), **state)
    def cancel(job: JobId, caller: Asking) -> Response:
        """Call a job off: at once while it waits, soon while it runs. What has ended stays as it is."""
        return JSONResponse(shown(counter.cancel(job, caller), caller))

    @router.post("/{job}/retry", responses=documented(404, 409), **state)
    def retry(job: JobId, caller: Asking, idempotency_key: Key = None) -> Response:
        """Have a job done again that failed, is dead or was cancelled; what was finished is kept."""
        return JSONResponse(shown(counter.retry(job, caller, idempotency_key), caller))

    @router.get("/{job}/result", responses={**RANGES, **documented(404, 409, 410, 416)}, response_class=Response)
    def result(_: Asking, job: Theirs, request: Request) -> Response:
        """Fetch the result, or a range of it."""
        return result_of(job, counter.office.open().store, request)

    @router.head("/{job}/result", responses={**RANGES, **documented(404, 409, 410, 416)}, response_class=Response)
    def result_head(_: Asking, job: Theirs, request: Request) -> Response:
        """Tell of the result what a fetch would."""
        return result_of(job, counter.office.open().store, request)

    @router.get("/{job}/report", responses={200: dict(_REPORT), **documented(404, 409)}, response_class=JSONResponse)
    def report(job: Theirs) -> Response:
        """Fetch the report of a job that is done."""
        told = counter.desk.report(job.id)
        if told is None:
            raise ConflictProblem(
                f"job {job.id} is {job.state}; it has a report when it is done", state=job.state.value
            )
        seen = ApprovalStore(counter.office.open().database).of([job]).get(job.id, ())
        return JSONResponse({**told, "reviewers": [one.to_json() for one in seen]} if seen else told)

    @router.delete("/{job}", status_code=204, responses=documented(404), response_class=Response)
    def delete(job: JobId, caller: Asking) -> Response:
        """Delete a job with its source, its result and its report, whatever it is doing."""
        counter.delete(job, caller)
        return Response(status_code=204)

    return router


def shown(job: JobRecord, caller: Principal) -> dict[str, Any]:
    """Return the job as its caller may see it: what went wrong inside the service is its operator's concern."""
    return job.to_json(inner="operate" in caller.scopes)


async def _watched(
    counter: JobService, job: JobRecord, caller: Principal, ending: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    """Yield the job, and again each time that it has changed, up to its end or that of the service."""
    last: JobRecord | None = None
    while not ending():
        try:
            now = await anyio.to_thread.run_sync(counter.desk.get, job.id)
        except Unavailable:
            return  # who watches comes back, and is told then
        if now is None:
            yield ServerSentEvent(event="deleted", raw_data=json.dumps({"id": job.id}))
            return
        if now != last:
            yield ServerSentEvent(
                event="end" if now.state.ended else "progress", raw_data=json.dumps(shown(now, caller))
            )
        if now.state.ended:
            return
        last = now
        await asyncio.sleep(LOOK_SECONDS)
