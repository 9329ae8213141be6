"""Jobs: submitted, listed, watched and rendered again; and short questions about images and what the service offers."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from velum.annotations import Annotations
from velum.client._sansio import (
    Emit,
    HttpRequest,
    Next,
    Pause,
    Progress,
    Retry,
    Steps,
    body_of,
    open_response,
    request_json,
    send_request,
)
from velum.client.errors import Busy, Conflict, NotFound
from velum.client.models import Job, JsonReader, State, Upload, odd, path_of
from velum.client.transfers import begin_upload, discard, form, send_rest
from velum.errors import BadInput, Unavailable, VelumError
from velum.plan import Plan

CHECK_FIRST_BYTES = 16 << 20
"""From this size on, the job is validated by the service before its file is sent."""

EVENT_BYTES = 1 << 20
"""Longest server-sent event that is accepted."""

POLL_SECONDS = 2.0
"""Seconds between two requests for a job that cannot be watched because too many jobs are."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to submit: `source` is a file, an upload, or a URL (http...) that the service downloads."""

    source: str | Path | Upload
    plan: Plan | str | None = None
    name: str | None = None
    priority: int = 0
    webhook: str | None = None
    regions: Annotations | None = None
    progress: Progress | None = None

    @property
    def file(self) -> Path | None:
        """The local file to send, None when the source is an upload or an address."""
        if isinstance(self.source, Upload) or self.url is not None:
            return None
        return Path(self.source)

    @property
    def url(self) -> str | None:
        """The address of the source, None when it has none."""
        text = self.source if isinstance(self.source, str) else ""
        return text if text.lower().startswith(("http://", "https://")) else None

    def json(self) -> dict[str, Any]:
        """Return the JSON values of the request, without the ids of uploads still to be made."""
        plan = self.plan.to_json() if isinstance(self.plan, Plan) else self.plan
        name = self.name or (self.file.name if self.file else None)
        upload = self.source.id if isinstance(self.source, Upload) else None
        values = {"plan": plan, "name": name, "webhook": self.webhook, "url": self.url, "upload": upload}
        return {key: value for key, value in values.items() if value is not None} | {"priority": self.priority}


def submit(wanted: NewJob, seconds: float) -> Steps[Job]:
    """Upload the files and submit the job. Uploads for a job that the service refuses are deleted."""
    values, uploads = wanted.json(), list[Upload]()
    try:
        if wanted.file is not None:
            upload = yield from begin_upload(wanted.file)
            uploads.append(upload)
            values["upload"] = upload.id
            if (upload.size or 0) >= CHECK_FIRST_BYTES:
                yield from _check_first(values)
            yield from send_rest(upload, wanted.file, seconds, wanted.progress)
        if wanted.regions is not None:
            text = json.dumps(wanted.regions.to_json()).encode()
            upload = yield from begin_upload(text)
            uploads.append(upload)
            yield from send_rest(upload, text, seconds, None)
            values["regions"] = upload.id
        # What has been sent is worth another try, and whatever comes of it there is one job.
        request = HttpRequest("POST", "/v1/jobs", headers=idempotency_header(), body=body_of(values))
        return Job.read((yield from request_until_answered(request, Retry(seconds, started=wanted.url is None))))
    except VelumError:
        for upload in uploads:
            yield from _discard_quietly(upload)
        raise


def _check_first(values: Mapping[str, Any]) -> Steps[None]:
    """Let the service validate a job before its file is sent; the missing file must be all that is wrong."""
    try:
        job = Job.read((yield from request_json(HttpRequest("POST", "/v1/jobs", body=body_of(values)))))
    except Conflict:
        return
    raise Unavailable(f"the service took job {job.id} before its file was there; it does not speak this interface")


def _discard_quietly(upload: Upload) -> Steps[None]:
    try:
        yield from discard(upload)
    except VelumError:
        return  # taken by a job, or to be swept by the service


def idempotency_header() -> Mapping[str, str]:
    """Return the header by which the service recognizes a repeated request."""
    return {"idempotency-key": secrets.token_hex(16)}


def request_until_answered(request: HttpRequest, patience: Retry) -> Steps[JsonReader]:
    """Return the JSON response, repeating the request while the service cannot be reached."""
    while True:
        try:
            return (yield from request_json(request))
        except Unavailable as error:
            yield from patience.wait(error)


def fetch_job(job: Job | str, how: str = "") -> Steps[Job]:
    """Return a job; with `how`, such as `cancel`, after that action."""
    request = HttpRequest("POST", f"{path_of(job)}/{how}") if how else HttpRequest("GET", path_of(job))
    return Job.read((yield from request_json(request)))


def delete(job: Job | str) -> Steps[None]:
    """Delete a job and all its files."""
    yield from send_request(HttpRequest("DELETE", path_of(job)))


def list_jobs(state: State | None, owner: str | None, page_size: int = 100) -> Steps[None]:
    """Emit the jobs, newest first, fetched page by page."""
    query = {key: value for key, value in {"state": state, "owner": owner}.items() if value is not None}
    query["limit"] = str(page_size)
    after: str | None = None
    while True:
        page = yield from request_json(
            HttpRequest("GET", "/v1/jobs", query=query | ({"after": after} if after else {}))
        )
        for job in page.all("jobs"):
            yield Emit(Job.read(job))
        after = page.text_or_none("after")
        if after is None:
            return


def watch(job: Job | str, seconds: float) -> Steps[Job]:
    """Emit a job now and after each change, until it has ended; return the ended job.

    A broken connection is opened again, until nothing was received for `seconds`. Raises `NotFound` when the job is
    deleted meanwhile.
    """
    patience, last, crowded = Retry(seconds), list[Job](), False
    while not (last and last[-1].is_final):
        try:
            yield from (_poll(job, patience, last) if crowded else _follow_events(job, patience, last))
            crowded = False
        except Busy as error:
            # The limit of watched jobs is reached: poll instead, unless the service is too busy even for that.
            if crowded:
                yield from patience.wait(error)
            crowded = True
        except Unavailable as error:
            crowded = False
            yield from patience.wait(error)
    return last[-1]


def _follow_events(job: Job | str, patience: Retry, last: list[Job]) -> Steps[None]:
    request = HttpRequest("GET", f"{path_of(job)}/events", headers={"accept": "text/event-stream"})
    answer, events = (yield from open_response(request, "text/event-stream")), Events()
    while chunk := (yield Next()):
        patience.progress()
        for kind, data in events.feed(chunk):
            if kind == "deleted":
                raise NotFound(f"{answer.where}: the job was deleted")
            yield from _emit_if_changed(Job.read(JsonReader.of_text(data)), last)
    if not (last and last[-1].is_final):
        raise Unavailable(f"{answer.where} ended before the job did")


def _poll(job: Job | str, patience: Retry, last: list[Job]) -> Steps[None]:
    now = yield from fetch_job(job)
    patience.progress()
    yield from _emit_if_changed(now, last)
    if not now.is_final:
        yield Pause(POLL_SECONDS)


def _emit_if_changed(now: Job, last: list[Job]) -> Steps[None]:
    """Emit the job if it differs from `last`."""
    if last[-1:] != [now]:
        last[:] = [now]
        yield Emit(now)


@dataclass(slots=True)
class Events:
    """Reads server-sent events from a stream, in whatever pieces it comes (HTML Living Standard, section 9.2.6)."""

    _rest: bytearray = field(default_factory=bytearray)
    _kind: str = ""
    _data: list[str] = field(default_factory=list)

    def feed(self, chunk: bytes) -> list[tuple[str, str]]:
        """Return the events that are complete now: their kind and their data. Raises `Unavailable` for a long one."""
        self._rest += chunk
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        found = [event for line in lines for event in self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))]
        if len(self._rest) + sum(map(len, self._data)) > EVENT_BYTES:
            raise Unavailable(
                f"the service sent an event of more than {EVENT_BYTES:,} bytes, the most that is accepted"
            )
        return found

    def _line(self, line: str) -> list[tuple[str, str]]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif not line:
            event = (self._kind or "message", "\n".join(self._data))
            told, self._kind, self._data = bool(self._data), "", []
            return [event] if told else []
        return []


T = TypeVar("T")


def locate(source: Path, plan: Plan | str | None) -> Steps[Annotations]:
    """Return the regions that a plan would hide in an image."""
    return _annotations_of((yield from request_json(HttpRequest("POST", "/v1/locate", body=form(source, plan)))))


def regions(job: Job | str) -> Steps[Annotations]:
    """Return the regions of a job."""
    return _annotations_of((yield from request_json(HttpRequest("GET", f"{path_of(job)}/regions"))))


def render(job: Job | str, corrected: Annotations | None, seconds: float) -> Steps[Job]:
    """Render a job again, with its regions or corrected ones; after sending these, repeat until the service answers."""
    if corrected is not None:
        body = body_of(corrected.to_json())
        yield from request_json(HttpRequest("PUT", f"{path_of(job)}/regions", body=body))
    request = HttpRequest("POST", f"{path_of(job)}/render", headers=idempotency_header())
    return Job.read((yield from request_until_answered(request, Retry(seconds, started=corrected is not None))))


def report(job: Job | str) -> Steps[Mapping[str, Any]]:
    """Return the report of a job."""
    return (yield from request_json(HttpRequest("GET", f"{path_of(job)}/report"))).json()


def _annotations_of(data: JsonReader) -> Annotations:
    try:
        return Annotations.from_json(data.json())
    except BadInput as error:
        raise odd(str(error)) from error


def list_offers(what: str, read: Callable[[JsonReader], T]) -> Steps[tuple[T, ...]]:
    """Return a list that the service offers: `what` is techniques, models, labels or plans."""
    data = yield from request_json(HttpRequest("GET", f"/v1/{what}"))
    return tuple(map(read, data.all(what)))
