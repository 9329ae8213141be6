"""Jobs as rows of the database, and back."""

import json
import secrets
import time
from functools import lru_cache
from typing import Any

import sqlalchemy as sql

from velum.jobs.schema import JOBS
from velum.jobs.values import JobRecord, State, Submission
from velum.plan import Plan

COLUMNS = tuple(column for column in JOBS.c if column.name != "report")
"""What a `JobRecord` is made of: reports of videos are long, and seldom asked for."""

ENDED = tuple(state.value for state in State if state.ended)


def new_id() -> str:
    """Return an id that nobody can guess, later ones sorting behind earlier ones: 48 bits of time, 80 of chance."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(10)}"


def row_of(submission: Submission) -> dict[str, Any]:
    """Return the columns that a submission decides."""
    return {
        "source": submission.source, "regions": submission.regions, "name": submission.name,
        "plan": json.dumps(submission.plan.to_json()), "owner": submission.owner, "priority": submission.priority,
        "webhook": submission.webhook,
    }  # fmt: skip


def job_of(row: sql.Row[Any]) -> JobRecord:
    """Return the job of a row of `COLUMNS`."""
    values = row._mapping
    plan = _plan(values["plan"])
    given = {name: values[name] for name in ("source", "name", "owner", "priority", "webhook", "regions")}
    return JobRecord(
        id=values["id"], state=State(values["state"]), submission=Submission(plan=plan, **given),
        regions=values["draft"] or values["found"] or values["regions"],
        corrections_pending=values["draft"] is not None, **{name: values[name] for name in _SAME},
    )  # fmt: skip


_SAME = (
    "submitted", "started", "ended", "attempts", "pieces_done", "pieces_total", "frames_done", "frames_total", "fps",
    "seconds_left", "error", "message", "result", "result_name", "source_kept",
)  # fmt: skip


@lru_cache(256)
def _plan(text: str) -> Plan:
    return Plan.from_json(json.loads(text))
