"""Approvals of results by reviewers, and the risk by which results are queued for review."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql

from velum.errors import BadPlan
from velum.jobs.schema import APPROVALS, JOBS, Database
from velum.jobs.values import JobRecord, State

LOW_SCORE = 0.5
"""A track whose best score is lower was never detected well."""

SHORT_FRAMES = 5
"""A track with fewer frames was hardly followed."""

FILLED_SHARE = 0.3
"""From this share of interpolated frames on, a result is doubtful."""

WEIGHTS: Mapping[str, float] = {"nothing": 0.4, "low": 0.25, "filled": 0.15, "short": 0.1, "warnings": 0.1}
"""Weight of each reason for doubt; their sum is the risk, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class ApprovalRecord:
    """One approval of a result: by whom, and when in epoch seconds."""

    who: str
    at: float

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"who": self.who, "at": self.at}


@dataclass(frozen=True, slots=True)
class ApprovalStore:
    """The approvals in a database. Safe to share. Everything raises `Unavailable` when it does not answer."""

    database: Database

    def approve(self, results: Mapping[str, str], who: str) -> None:
        """Record the approval of results, given as job id -> key of the result: all of them or none.

        Raises `BadPlan` when one of them is not the result of its job any more. To approve again changes nothing.
        """
        with self.database.writing() as connection:
            at = self.database.now(connection)
            for job, result in sorted(results.items()):
                there = sql.select(JOBS.c.id).where(
                    JOBS.c.id == job, JOBS.c.state == State.DONE, JOBS.c.result == result
                )  # fmt: skip
                if connection.scalar(there.with_for_update()) is None:
                    raise BadPlan(
                        f"job {job} no longer has this result; nothing was approved; review its present result"
                    )
                theirs = (APPROVALS.c.job == job, APPROVALS.c.result == result, APPROVALS.c.who == who)
                if connection.scalar(sql.select(APPROVALS.c.at).where(*theirs)) is None:
                    connection.execute(APPROVALS.insert().values(job=job, result=result, who=who, at=at))

    def of(self, jobs: Sequence[JobRecord]) -> Mapping[str, tuple[ApprovalRecord, ...]]:
        """Return the approvals of the results that jobs have now, first ones first; jobs without any are left out."""
        now = {job.id: job.result for job in jobs}
        asked = sql.select(APPROVALS).where(APPROVALS.c.job.in_(now)).order_by(APPROVALS.c.at, APPROVALS.c.who)
        with self.database.reading() as connection:
            rows = connection.execute(asked).all()
        found: dict[str, tuple[ApprovalRecord, ...]] = {}
        for row in rows:
            if row.result == now[row.job]:
                found[row.job] = (*found.get(row.job, ()), ApprovalRecord(row.who, row.at))
        return found


def doubts(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reasons to review a result, from its report: keys of `WEIGHTS`."""
    hidden, tracks = report["hidden"], report["tracks"]
    scores = [float(one["score"]) for one in hidden] + [float(one["best_score"]) for one in tracks]
    frames = sum(int(track["frames"]) for track in tracks)
    filled = sum(
        count for track in tracks for found, count in track["found"].items() if found not in {"detected", "manual"}
    )
    why = {
        "nothing": not scores,
        "low": any(score < LOW_SCORE for score in scores),
        "filled": frames > 0 and filled / frames >= FILLED_SHARE,
        "short": any(track["track"] is not None and track["frames"] < SHORT_FRAMES for track in tracks),
        "warnings": bool(report["warnings"]),
    }
    return tuple(name for name in WEIGHTS if why[name])


def risk(why: Sequence[str]) -> float:
    """Return the risk of a result with those reasons, from 0 to 1."""
    return round(sum(WEIGHTS[name] for name in why), 4)
