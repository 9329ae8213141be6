"""Jobs (submit, list, watch, render again), and requests about images and about what the service offers."""

import json
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

from velum.annotations import Annotations
from velum.client.errors import Busy, Conflict, NotFound
from velum.client.models import (
    HiddenFile,
    Job,
    State,
    Upload,
    parse_object,
    path_of,
    read,
    read_job,
    unexpected_response,
)
from velum.client.photos import discard_quietly, sent_photos, without_people
from velum.client.transfers import Progress, begin_upload, form, hide_image, send_rest
from velum.client.transport import Connection, Retry, open_response, request_json
from velum.errors import BadInput, BadPlan, Unavailable, VelumError
from velum.people import People
from velum.plan import Plan

T = TypeVar("T")

CHECK_FIRST_BYTES = 16 << 20
"""From this size on, the job is validated by the service before its file is sent."""

EVENT_BYTES = 1 << 20
"""Longest server-sent event that is accepted."""

POLL_SECONDS = 2.0
"""Seconds between two requests for a job that cannot be watched because too many clients watch jobs already."""


async def submit(  # noqa: PLR0913 - as the clients' methods
    connection: Connection, source: str | Path | Upload, plan: Plan | str | None, *, name: str | None, priority: int,
    webhook: str | None, regions: Annotations | None, people: People | None, progress: Progress | None,
    patience_seconds: float,
) -> Job:  # fmt: skip
    """Upload the files and submit the job. Uploads for a job that the service refuses are deleted, photos always."""
    plan, people = without_people(plan, people)
    if people is not None and regions is not None:
        raise BadPlan("regions say already who is hidden; leave out regions, or the people")
    url = source if isinstance(source, str) and source.lower().startswith(("http://", "https://")) else None
    file = None if isinstance(source, Upload) or url is not None else Path(source)
    values: dict[str, Any] = {
        "plan": plan.to_json() if isinstance(plan, Plan) else plan, "name": name or (file.name if file else None),
        "webhook": webhook, "url": url, "upload": source.id if isinstance(source, Upload) else None,
    }  # fmt: skip
    values = {key: value for key, value in values.items() if value is not None} | {"priority": priority}
    uploads = list[Upload]()
    try:
        if file is not None:
            uploads.append(upload := await begin_upload(connection, file))
            values["upload"] = upload.id
            if (upload.size or 0) >= CHECK_FIRST_BYTES:
                await _check_first(connection, values)
            await send_rest(connection, upload, file, patience_seconds, progress)
        if regions is not None:
            text = json.dumps(regions.to_json()).encode()
            uploads.append(upload := await begin_upload(connection, text))
            await send_rest(connection, upload, text, patience_seconds, None)
            values["regions"] = upload.id
        async with sent_photos(connection, people, patience_seconds) as photos:
            # After files have been sent, the request is repeated; its key makes sure that there is one job.
            patience = Retry(patience_seconds, started=url is None or people is not None)
            return read_job(await _request_until_answered(connection, patience, "/v1/jobs", {**values, **photos}))
    except VelumError:
        await discard_quietly(connection, uploads)
        raise


async def _check_first(connection: Connection, values: Mapping[str, Any]) -> None:
    """Let the service validate a job before its file is sent; the only error must be that the file is missing."""
    try:
        job = read_job(await request_json(connection, "POST", "/v1/jobs", json=values))
    except Conflict:
        return
    raise Unavailable(f"the service accepted job {job.id} before its file was there; check the address")


async def _request_until_answered(
    connection: Connection, patience: Retry, path: str, values: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """Post a request that the service recognizes when it is repeated, until the service can be reached."""
    key = {"idempotency-key": secrets.token_hex(16)}
    while True:
        try:
            return await request_json(connection, "POST", path, headers=key, json=values)
        except Unavailable as error:
            await patience.wait(connection, error)


async def fetch_job(connection: Connection, job: Job | str, action: str = "") -> Job:
    """Return a job; with `action`, such as `cancel`, after that action."""
    method, path = ("POST", f"{path_of(job)}/{action}") if action else ("GET", path_of(job))
    return read_job(await request_json(connection, method, path))


async def delete(connection: Connection, job: Job | str) -> None:
    """Delete a job and all its files."""
    await open_response(connection, "DELETE", path_of(job))


async def list_jobs(
    connection: Connection, state: State | None, owner: str | None, page_size: int = 100
) -> AsyncGenerator[Job]:
    """Yield the jobs, newest first, fetched page by page."""
    filters = {"state": state, "owner": owner, "limit": str(page_size)}
    query = {key: value for key, value in filters.items() if value is not None}
    while True:
        page = await request_json(connection, "GET", "/v1/jobs", query=query)
        for job in _list_of(page, "jobs"):
            yield read_job(job)
        if (after := page.get("after")) is None:
            return
        query["after"] = str(after)


async def watch(connection: Connection, job: Job | str, patience_seconds: float) -> AsyncGenerator[Job]:
    """Yield a job now and after each change, until it has ended.

    A broken connection is opened again, until nothing was received for `patience_seconds`. Raises `NotFound` when the
    job is deleted meanwhile.
    """
    patience, crowded = Retry(patience_seconds), False
    last: Job | None = None
    while last is None or not last.is_final:
        try:
            async with aclosing((_poll if crowded else _follow_events)(connection, job, patience)) as states:
                async for now in states:
                    if now != last:
                        last = now
                        yield now
            crowded = False
        except Busy as error:
            # The limit of watched jobs is reached: poll instead, unless the service is too busy even for that.
            if crowded:
                await patience.wait(connection, error)
            crowded = True
        except Unavailable as error:
            crowded = False
            await patience.wait(connection, error)


async def wait(connection: Connection, job: Job | str, patience_seconds: float) -> Job:
    """Return a job after it has ended."""
    return [now async for now in watch(connection, job, patience_seconds)][-1]


async def _follow_events(connection: Connection, job: Job | str, patience: Retry) -> AsyncGenerator[Job]:
    """Yield a job as the service's events say. Raises `Unavailable` when they end before the job does."""
    path, headers, kind = f"{path_of(job)}/events", {"accept": "text/event-stream"}, "text/event-stream"
    await open_response(connection, "GET", path, kind=kind, headers=headers)
    buffer, is_final = bytearray(), False
    while chunk := await connection.next():
        patience.progress()
        for event, data in take_events(buffer, chunk):
            if event == "deleted":
                raise NotFound(f"{connection.where}: the job was deleted")
            now = read_job(parse_object(data))
            is_final = now.is_final
            yield now
    if not is_final:
        raise Unavailable(f"{connection.where} ended before the job did")


async def _poll(connection: Connection, job: Job | str, patience: Retry) -> AsyncGenerator[Job]:
    """Yield a job's present state, then wait until the next request is due."""
    now = await fetch_job(connection, job)
    patience.progress()
    yield now
    if not now.is_final:
        await connection.pause(POLL_SECONDS)


def take_events(buffer: bytearray, chunk: bytes) -> list[tuple[str, str]]:
    """Add a chunk of a stream of server-sent events to `buffer`; take the complete events out, as kind and data.

    The format is that of the HTML Living Standard, section 9.2.6. Raises `Unavailable` for an event that is too long.
    """
    buffer += chunk
    events, kind, data, position, end = list[tuple[str, str]](), "", list[str](), 0, 0
    for line in buffer.split(b"\n")[:-1]:
        position += len(line) + 1
        text = line.removesuffix(b"\r").decode("utf-8", "replace")
        name, _, value = text.partition(":")
        if name == "event":
            kind = value.removeprefix(" ")
        elif name == "data":
            data.append(value.removeprefix(" "))
        elif not text:
            events += [(kind or "message", "\n".join(data))] if data else []
            kind, data, end = "", [], position
    del buffer[:end]
    if len(buffer) > EVENT_BYTES:
        raise Unavailable(f"the service sent an event of more than {EVENT_BYTES:,} bytes, the most that is accepted")
    return events


async def hide(
    connection: Connection, source: Path, target: Path, plan: Plan | str | None, people: People | None,
    patience_seconds: float, *, overwrite: bool,
) -> HiddenFile:  # fmt: skip
    """Hide in an image what a plan names, and write the result to `target`."""
    plan, people = without_people(plan, people)
    async with sent_photos(connection, people, patience_seconds) as photos:
        return await hide_image(connection, source, target, plan, photos, overwrite=overwrite)


async def locate(
    connection: Connection, source: Path, plan: Plan | str | None, people: People | None, patience_seconds: float
) -> Annotations:
    """Return the regions that a plan would hide in an image."""
    plan, people = without_people(plan, people)
    async with sent_photos(connection, people, patience_seconds) as photos:
        body = form(source, plan, photos)
        return _read_annotations(await request_json(connection, "POST", "/v1/locate", **body))


async def regions(connection: Connection, job: Job | str) -> Annotations:
    """Return the regions of a job."""
    return _read_annotations(await request_json(connection, "GET", f"{path_of(job)}/regions"))


async def render(
    connection: Connection, job: Job | str, corrected: Annotations | None, patience_seconds: float
) -> Job:  # fmt: skip
    """Render a job again, with its regions or corrected ones; after sending these, repeat until the service answers."""
    if corrected is not None:
        await request_json(connection, "PUT", f"{path_of(job)}/regions", json=corrected.to_json())
    patience = Retry(patience_seconds, started=corrected is not None)
    return read_job(await _request_until_answered(connection, patience, f"{path_of(job)}/render"))


async def report(connection: Connection, job: Job | str) -> Mapping[str, Any]:
    """Return the report of a job."""
    return await request_json(connection, "GET", f"{path_of(job)}/report")


async def list_offers(connection: Connection, name: str, kind: type[T]) -> tuple[T, ...]:
    """Return a list that the service offers: `name` is techniques, models, labels or plans."""
    return tuple(read(kind, value) for value in _list_of(await request_json(connection, "GET", f"/v1/{name}"), name))


def _list_of(data: Mapping[str, Any], name: str) -> list[Any]:
    if not isinstance(values := data.get(name), list):
        raise unexpected_response(f"{name} is {str(values)[:80]!r}")
    return values


def _read_annotations(data: Mapping[str, Any]) -> Annotations:
    try:
        return Annotations.from_json(data)
    except BadInput as error:
        raise unexpected_response(str(error)) from error
