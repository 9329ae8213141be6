"""Questions with short answers: what would be hidden, what can be asked for, what was done."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from velum.annotations import Annotations
from velum.client._sansio import HttpRequest, Steps
from velum.client.asking import Retry, asked, body_of
from velum.client.jobs import insisted, once, place
from velum.client.models import Job
from velum.client.parsing import JsonReader, odd
from velum.client.uploads import form
from velum.errors import BadInput
from velum.plan import Plan

T = TypeVar("T")


def located(source: Path, plan: Plan | str | None) -> Steps[Annotations]:
    """Return what a plan would hide in a picture."""
    return _findings((yield from asked(HttpRequest("POST", "/v1/locate", body=form(source, plan)))))


def regions(job: Job | str) -> Steps[Annotations]:
    """Return the regions of a job."""
    return _findings((yield from asked(HttpRequest("GET", f"{place(job)}/regions"))))


def rendered(job: Job | str, corrected: Annotations | None, seconds: float) -> Steps[Job]:
    """Have a job done again, with its regions or with corrected ones; once these are there, that is insisted on."""
    if corrected is not None:
        body = body_of(corrected.to_json())
        yield from asked(HttpRequest("PUT", f"{place(job)}/regions", body=body))
    ask = HttpRequest("POST", f"{place(job)}/render", headers=once())
    return Job.read((yield from insisted(ask, Retry(seconds, begun=corrected is not None))))


def report(job: Job | str) -> Steps[Mapping[str, Any]]:
    """Return the report of a job."""
    return (yield from asked(HttpRequest("GET", f"{place(job)}/report"))).json()


def _findings(told: JsonReader) -> Annotations:
    try:
        return Annotations.from_json(told.json())
    except BadInput as error:
        raise odd(str(error)) from error


def offered(what: str, read: Callable[[JsonReader], T]) -> Steps[tuple[T, ...]]:
    """Return a list of what the service offers, such as models."""
    told = yield from asked(HttpRequest("GET", f"/v1/{what}"))
    return tuple(map(read, told.all(what)))
