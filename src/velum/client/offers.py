"""Questions with short answers: what would be hidden, what can be asked for, what was done."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from velum.client.asking import asked
from velum.client.jobs import place
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
    told = yield from asked(Ask("POST", "/v1/locate", body=form(source, plan)))
    try:
        return Findings.from_json(told.json())
    except BadInput as error:
        raise odd(str(error)) from error


def report(job: Job | str) -> Steps[Mapping[str, Any]]:
    """Return the report of a job."""
    return (yield from asked(Ask("GET", f"{place(job)}/report"))).json()


def offered(what: str, read: Callable[[Told], T]) -> Steps[tuple[T, ...]]:
    """Return a list of what the service offers, such as models."""
    told = yield from asked(Ask("GET", f"/v1/{what}"))
    return tuple(map(read, told.all(what)))
