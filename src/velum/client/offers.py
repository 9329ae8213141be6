"""Questions with short answers: what would be hidden, what can be asked for, what was done."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from velum.client.asking import Patience, asked, body_of
from velum.client.jobs import insisted, once, place
from velum.client.sending import form
from velum.client.steps import Ask, Steps
from velum.client.told import Told, odd
from velum.client.values import Job
from velum.errors import BadInput
from velum.findings import Findings
from velum.plan import Plan

T = TypeVar("T")


def located(source: Path, plan: Plan | str | None) -> Steps[Findings]:
    """Return what a plan would hide in a picture."""
    return _findings((yield from asked(Ask("POST", "/v1/locate", body=form(source, plan)))))


def regions(job: Job | str) -> Steps[Findings]:
    """Return the regions of a job."""
    return _findings((yield from asked(Ask("GET", f"{place(job)}/regions"))))


def rendered(job: Job | str, corrected: Findings | None, seconds: float) -> Steps[Job]:
    """Have a job done again, with its regions or with corrected ones; once these are there, that is insisted on."""
    if corrected is not None:
        body = body_of(corrected.to_json())
        yield from asked(Ask("PUT", f"{place(job)}/regions", body=body))
    ask = Ask("POST", f"{place(job)}/render", headers=once())
    return Job.read((yield from insisted(ask, Patience(seconds, begun=corrected is not None))))


def report(job: Job | str) -> Steps[Mapping[str, Any]]:
    """Return the report of a job."""
    return (yield from asked(Ask("GET", f"{place(job)}/report"))).json()


def _findings(told: Told) -> Findings:
    try:
        return Findings.from_json(told.json())
    except BadInput as error:
        raise odd(str(error)) from error


def offered(what: str, read: Callable[[Told], T]) -> Steps[tuple[T, ...]]:
    """Return a list of what the service offers, such as models."""
    told = yield from asked(Ask("GET", f"/v1/{what}"))
    return tuple(map(read, told.all(what)))
