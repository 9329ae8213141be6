"""Approvals of results by reviewers, and the risk by which results are queued for review."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sql

from velum.errors import BadPlan
from velum.jobs.database import Database
from velum.jobs.schema import APPROVALS, JOBS
from velum.jobs.values import JobRecord, State

LOW_SCORE = 0.5
"""A track whose best score is below this was never detected well."""

SHORT_FRAMES = 5
"""A track with fewer frames than this is short: the tracker hardly followed it."""

FILLED_SHARE = 0.3
"""With this share of interpolated frames or more, a result is doubtful."""

WEIGHTS: Mapping[str, float] = {"nothing": 0.4, "low": 0.25, "filled": 0.15, "short": 0.1, "warnings": 0.1}
"""Weight of each reason for doubt; their sum is the risk, from 0 to 1."""


def approve_results(database: Database, results: Mapping[str, str], who: str) -> None:
    """Record the approval of results, given as job id -> key of the result: all of them or none.

    Approving twice changes nothing. Raises `BadPlan` when one of them is no longer the result of its job, `Unavailable`
    when the database does not answer.
    """
    with database.writing() as connection:
        at = database.now(connection)
        for job, result in sorted(results.items()):
            present = sql.select(JOBS.c.id).where(JOBS.c.id == job, JOBS.c.state == State.DONE, JOBS.c.result == result)
            if connection.scalar(present.with_for_update()) is None:
                raise BadPlan(f"job {job} no longer has this result; nothing was approved; review its present result")
            same = (APPROVALS.c.job == job, APPROVALS.c.result == result, APPROVALS.c.who == who)
            if connection.scalar(sql.select(APPROVALS.c.at).where(*same)) is None:
                connection.execute(APPROVALS.insert().values(job=job, result=result, who=who, at=at))


def list_approvals(database: Database, jobs: Sequence[JobRecord]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return the approvals of the results that jobs have now, by job id, the first approval first.

    Each approval has JSON values: the reviewer (`who`) and the epoch seconds (`at`). Jobs without approvals are left
    out.
    Raises `Unavailable` when the database does not answer.
    """
    results = {job.id: job.result for job in jobs}
    query = sql.select(APPROVALS).where(APPROVALS.c.job.in_(results)).order_by(APPROVALS.c.at, APPROVALS.c.who)
    with database.reading() as connection:
        rows = connection.execute(query).all()
    approvals: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.result == results[row.job]:
            approvals.setdefault(row.job, []).append({"who": row.who, "at": row.at})
    return approvals


def doubts(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reasons to review a result, from its report: keys of `WEIGHTS`."""
    hidden, tracks = report["hidden"], report["tracks"]
    scores = [float(region["score"]) for region in hidden] + [float(track["best_score"]) for track in tracks]
    frames = sum(int(track["frames"]) for track in tracks)
    filled = sum(
        count for track in tracks for origin, count in track["found"].items() if origin not in {"detected", "manual"}
    )
    reasons = {
        "nothing": not scores,
        "low": any(score < LOW_SCORE for score in scores),
        "filled": frames > 0 and filled / frames >= FILLED_SHARE,
        "short": any(track["track"] is not None and track["frames"] < SHORT_FRAMES for track in tracks),
        "warnings": bool(report["warnings"]),
    }
    return tuple(name for name in WEIGHTS if reasons[name])


def risk(reasons: Sequence[str]) -> float:
    """Return the risk of a result with these reasons, from 0 to 1."""
    return round(sum(WEIGHTS[name] for name in reasons), 4)
