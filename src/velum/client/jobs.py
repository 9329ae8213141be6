"""Jobs: handed in, listed and watched."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from velum.annotations import Annotations
from velum.client._sansio import Emit, HttpRequest, Next, Pause, Progress, Steps
from velum.client.asking import Retry, asked, body_of, done, opened
from velum.client.errors import Busy, Conflict, NotFound
from velum.client.models import Job, State, Upload
from velum.client.parsing import JsonReader
from velum.client.uploads import begun, discarded, sent
from velum.errors import BadInput, Unavailable, VelumError
from velum.plan import Plan

CHECK_FIRST_BYTES = 16 << 20
"""From this size on, what is wrong with a job is found out before its file is sent."""

EVENT_BYTES = 1 << 20
"""Longest event that is taken."""

POLL_SECONDS = 2.0
"""How often a job is asked for that cannot be watched, because too many others are."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is to be done: `source` is a file, an upload, or an address (http...) that the service fetches it from."""

    source: str | Path | Upload
    plan: Plan | str | None = None
    name: str | None = None
    priority: int = 0
    webhook: str | None = None
    regions: Annotations | None = None
    progress: Progress | None = None

    @property
    def file(self) -> Path | None:
        """The file that is to be sent, if there is one."""
        if isinstance(self.source, Upload) or self.url is not None:
            return None
        return Path(self.source)

    @property
    def url(self) -> str | None:
        """The address, if it is one."""
        text = self.source if isinstance(self.source, str) else ""
        return text if text.lower().startswith(("http://", "https://")) else None

    def json(self) -> dict[str, Any]:
        """Return it as the service reads it, without the uploads."""
        plan = self.plan.to_json() if isinstance(self.plan, Plan) else self.plan
        name = self.name or (self.file.name if self.file else None)
        upload = self.source.id if isinstance(self.source, Upload) else None
        values = {"plan": plan, "name": name, "webhook": self.webhook, "url": self.url, "upload": upload}
        return {key: value for key, value in values.items() if value is not None} | {"priority": self.priority}


def submitted(wanted: NewJob, seconds: float) -> Steps[Job]:
    """Send the file and hand in the job. What was sent for a job that is refused is deleted."""
    values, uploads = wanted.json(), list[Upload]()
    try:
        if wanted.file is not None:
            at = yield from begun(wanted.file)
            uploads.append(at)
            values["upload"] = at.id
            if (at.size or 0) >= CHECK_FIRST_BYTES:
                yield from _checked(values)
            yield from sent(at, wanted.file, seconds, wanted.progress)
        if wanted.regions is not None:
            text = json.dumps(wanted.regions.to_json()).encode()
            at = yield from begun(text)
            uploads.append(at)
            yield from sent(at, text, seconds, None)
            values["regions"] = at.id
        # What has been sent is worth another try, and whatever comes of it there is one job.
        ask = HttpRequest("POST", "/v1/jobs", headers=once(), body=body_of(values))
        return Job.read((yield from insisted(ask, Retry(seconds, begun=wanted.url is None))))
    except VelumError:
        for at in uploads:
            yield from _cleared(at)
        raise


def _checked(values: Mapping[str, Any]) -> Steps[None]:
    """Find out what is wrong with a job whose file is still to be sent: that it is missing must be all."""
    try:
        job = Job.read((yield from asked(HttpRequest("POST", "/v1/jobs", body=body_of(values)))))
    except Conflict:
        return
    raise Unavailable(f"the service took job {job.id} before its file was there; it does not speak this interface")


def _cleared(at: Upload) -> Steps[None]:
    try:
        yield from discarded(at)
    except VelumError:
        return  # taken by a job, or to be swept by the service


def once() -> Mapping[str, str]:
    """Return the header by which the service knows a request that comes again."""
    return {"idempotency-key": secrets.token_hex(16)}


def insisted(ask: HttpRequest, patience: Retry) -> Steps[JsonReader]:
    """Return what the service answers, asked again while it cannot be reached."""
    while True:
        try:
            return (yield from asked(ask))
        except Unavailable as error:
            yield from patience.wait(error)


def looked_at(job: Job | str, how: str = "") -> Steps[Job]:
    """Return a job; `how` is what is done with it, such as cancel."""
    ask = HttpRequest("POST", f"{place(job)}/{how}") if how else HttpRequest("GET", place(job))
    return Job.read((yield from asked(ask)))


def deleted(job: Job | str) -> Steps[None]:
    """Delete a job with all that belongs to it."""
    yield from done(HttpRequest("DELETE", place(job)))


def listed(state: State | None, owner: str | None, page_size: int = 100) -> Steps[None]:
    """Give the jobs, newest first, fetched page by page."""
    query = {key: value for key, value in {"state": state, "owner": owner}.items() if value is not None}
    query["limit"] = str(page_size)
    after: str | None = None
    while True:
        page = yield from asked(HttpRequest("GET", "/v1/jobs", query=query | ({"after": after} if after else {})))
        for one in page.all("jobs"):
            yield Emit(Job.read(one))
        after = page.text_or_none("after")
        if after is None:
            return


def watched(job: Job | str, seconds: float) -> Steps[Job]:
    """Give a job, and again each time that it has changed, up to its end; return it then.

    Where the connection breaks, it is followed anew, up to `seconds` without hearing anything. Raises `NotFound` when
    it is deleted meanwhile.
    """
    patience, last, crowded = Retry(seconds), list[Job](), False
    while not (last and last[-1].finished):
        try:
            yield from (_polled(job, patience, last) if crowded else _followed(job, patience, last))
            crowded = False
        except Busy as error:
            # As many jobs are watched as may be. That leaves asking, unless there is too much even for that.
            if crowded:
                yield from patience.wait(error)
            crowded = True
        except Unavailable as error:
            crowded = False
            yield from patience.wait(error)
    return last[-1]


def _followed(job: Job | str, patience: Retry, last: list[Job]) -> Steps[None]:
    ask = HttpRequest("GET", f"{place(job)}/events", headers={"accept": "text/event-stream"})
    answer, events = (yield from opened(ask, "text/event-stream")), Events()
    while chunk := (yield Next()):
        patience.progress()
        for kind, data in events.fed(chunk):
            if kind == "deleted":
                raise NotFound(f"{answer.where}: the job was deleted")
            yield from _given(Job.read(JsonReader.of_text(data)), last)
    if not (last and last[-1].finished):
        raise Unavailable(f"{answer.where} ended before the job did")


def _polled(job: Job | str, patience: Retry, last: list[Job]) -> Steps[None]:
    now = yield from looked_at(job)
    patience.progress()
    yield from _given(now, last)
    if not now.finished:
        yield Pause(POLL_SECONDS)


def _given(now: Job, last: list[Job]) -> Steps[None]:
    """Give the job if it has changed since `last`."""
    if last[-1:] != [now]:
        last[:] = [now]
        yield Emit(now)


@dataclass(slots=True)
class Events:
    """Reads server-sent events from a stream, in whatever pieces it comes (HTML Living Standard, section 9.2.6)."""

    _rest: bytearray = field(default_factory=bytearray)
    _kind: str = ""
    _data: list[str] = field(default_factory=list)

    def fed(self, chunk: bytes) -> list[tuple[str, str]]:
        """Return the events that are complete now: their kind and their data. Raises `Unavailable` for a long one."""
        self._rest += chunk
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        found = [event for line in lines for event in self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))]
        if len(self._rest) + sum(map(len, self._data)) > EVENT_BYTES:
            raise Unavailable(f"the service sent an event of more than {EVENT_BYTES:,} bytes, which is not taken")
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


def place(job: Job | str) -> str:
    """Return the path of a job. Raises `BadInput` for what cannot be an id."""
    job = job.id if isinstance(job, Job) else job
    if not job or job.startswith("."):
        raise BadInput(f"job {job!r} is none; give an id, as velum jobs list shows them")
    return f"/v1/jobs/{quote(job, safe='')}"
