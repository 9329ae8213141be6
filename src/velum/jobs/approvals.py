"""Reviews of results: drafts of corrections, who looked and approved, and the risk by which results are queued."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sql

from velum.errors import BadPlan
from velum.jobs.database import Database
from velum.jobs.schema import APPROVALS, ASSIGNMENTS, COMMENTS, DRAFTS, JOBS, VIEWS, new_id
from velum.jobs.values import JobKind, JobRecord, State
from velum.jobs.webhooks import announce_review

LOW_SCORE = 0.5
"""A track whose best score is below this was never detected well."""

SHORT_FRAMES = 5
"""A track with fewer frames than this is short: the tracker hardly followed it."""

FILLED_SHARE = 0.3
"""With this share of interpolated frames or more, a result is doubtful."""

WEIGHTS: Mapping[str, float] = {"nothing": 0.4, "low": 0.25, "filled": 0.15, "short": 0.1, "warnings": 0.1}
"""Weight of each reason for doubt; their sum is the risk, from 0 to 1."""


def approve_results(database: Database, results: Mapping[str, str], who: str, *, required: int = 1) -> None:
    """Record the approval of results, given as job id -> key of the result: all of them or none.

    Approving twice changes nothing. With `required` approvals, the source is not needed any more, and the next sweep
    deletes it, unless somebody has had it kept longer. Raises `BadPlan` when one of them is no longer the result of
    its job, `Unavailable` when the database does not answer.
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
                _say(connection, job, who, "", "approved", at=at)
                announce_review(connection, job, {"kind": "approved", "who": who, "at": at, "text": ""}, at)
            connection.execute(ASSIGNMENTS.update().where(ASSIGNMENTS.c.job == job).values(sent_back=None))
            count = sql.select(sql.func.count()).where(APPROVALS.c.job == job, APPROVALS.c.result == result)
            if (connection.scalar(count) or 0) >= required:
                done = JOBS.update().where(JOBS.c.id == job, JOBS.c.keep_until.is_(None))
                connection.execute(done.values(keep_until=at))


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


def record_view(database: Database, job: JobRecord, who: str, undecided: int) -> None:
    """Record that somebody has seen the whole result of a job, with that many decisions left to make."""
    with database.writing() as connection:
        same = (VIEWS.c.job == job.id, VIEWS.c.result == job.result, VIEWS.c.who == who)
        values = {"at": database.now(connection), "undecided": undecided}
        if not connection.execute(VIEWS.update().where(*same).values(**values)).rowcount:
            connection.execute(VIEWS.insert().values(job=job.id, result=job.result, who=who, **values))


def list_views(database: Database, jobs: Sequence[JobRecord], who: str) -> Mapping[str, int]:
    """Return, of the jobs whose present result somebody has seen, the number of decisions left, by job id."""
    results = {job.id: job.result for job in jobs}
    query = sql.select(VIEWS).where(VIEWS.c.job.in_(results), VIEWS.c.who == who)
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return {row.job: row.undecided for row in rows if row.result == results[row.job]}


def add_comment(database: Database, job: str, who: str, text: str, *, frame: int | None = None) -> None:
    """Record what a reviewer says about a job, or about one of its frames or pages."""
    with database.writing() as connection:
        _say(connection, job, who, text, "comment", at=database.now(connection), frame=frame)


def list_comments(database: Database, job: str) -> Sequence[Mapping[str, Any]]:
    """Return what was said and done about a job, the first first, as JSON values."""
    query = sql.select(COMMENTS).where(COMMENTS.c.job == job).order_by(COMMENTS.c.at, COMMENTS.c.id)
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return [{name: getattr(row, name) for name in ("who", "at", "text", "frame", "kind")} for row in rows]


def assign_job(database: Database, job: str, who: str, *, assignee: str | None) -> None:
    """Make somebody the reviewer of a job, or nobody."""
    with database.writing() as connection:
        _set_assignment(connection, job, assignee=assignee)
        _say(connection, job, who, assignee or "", "assigned", at=database.now(connection))


def send_back(database: Database, job: JobRecord, who: str, reason: str) -> None:
    """Send the present result of a job back with a reason, which withdraws its approvals.

    It stays so until the job is rendered again, or somebody approves the result after all.
    """
    with database.writing() as connection:
        _set_assignment(connection, job.id, sent_back=reason)
        connection.execute(APPROVALS.delete().where(APPROVALS.c.job == job.id, APPROVALS.c.result == job.result))
        # An approval had set the time of the original to that of the approval.
        early = JOBS.c.keep_until <= database.now(connection)
        connection.execute(JOBS.update().where(JOBS.c.id == job.id, early).values(keep_until=None))
        at = database.now(connection)
        _say(connection, job.id, who, reason, "sent back", at=at)
        announce_review(connection, job.id, {"kind": "sent back", "who": who, "at": at, "text": reason}, at)


def record_correction(database: Database, job: str, who: str) -> None:
    """Record that somebody had a job rendered again with corrections; several in a row count once, the last time."""
    newest = sql.select(COMMENTS.c.id, COMMENTS.c.who, COMMENTS.c.kind).where(COMMENTS.c.job == job)
    with database.writing() as connection:
        at = database.now(connection)
        last = connection.execute(newest.order_by(COMMENTS.c.at.desc(), COMMENTS.c.id.desc()).limit(1)).one_or_none()
        if last is not None and (last.who, last.kind) == (who, "corrected"):
            connection.execute(COMMENTS.update().where(COMMENTS.c.id == last.id).values(at=at))
        else:
            _say(connection, job, who, "", "corrected", at=at)


def list_activity(
    database: Database, owner: str | None, *, before: float | None = None, limit: int = 100
) -> tuple[Sequence[Mapping[str, Any]], float | None]:
    """Return what was done with jobs, the newest first, as JSON values: of one owner's jobs, or of all.

    Each has `job`, `name`, `who`, `at`, `kind`, `text` and `frame`. Kinds are those of comments, `submitted`, and the
    states in which jobs end. `before` is a time: only what was done before it is returned, about `limit` steps, all
    those of the same time together. Returned with it is `before` of the next ones, None where there are none.
    """
    nothing = sql.null().label("frame")
    named = (JOBS.c.id.label("job"), JOBS.c.name)
    comments = sql.select(*named, *(COMMENTS.c[name] for name in ("who", "at", "kind", "text", "frame")))
    sources: list[tuple[sql.Select[Any], sql.ColumnElement[Any]]] = [
        (comments.join(JOBS, JOBS.c.id == COMMENTS.c.job), COMMENTS.c.at),
        (_job_steps(named, JOBS.c.owner, JOBS.c.submitted, sql.literal("submitted"), nothing), JOBS.c.submitted),
        (_job_steps(named, sql.literal(""), JOBS.c.ended, JOBS.c.state, nothing), JOBS.c.ended),
    ]
    of_owner = [(JOBS.c.kind == JobKind.HIDE) | JOBS.c.kind.is_(None)] + (
        [] if owner is None else [JOBS.c.owner == owner]
    )
    wanted = [
        (query.where(at.is_not(None), *of_owner, *([] if before is None else [at < before])), at)
        for query, at in sources
    ]
    steps: list[Mapping[str, Any]] = []
    with database.reading() as connection:
        newest = (connection.scalars(q.with_only_columns(at).order_by(at.desc()).limit(limit + 1)) for q, at in wanted)
        times = sorted((time for some in newest for time in some), reverse=True)
        least = times[limit - 1] if len(times) > limit else None
        for query, at in wanted:
            rows = connection.execute(query if least is None else query.where(at >= least))
            steps += [dict(row._mapping) for row in rows]
    return sorted(steps, key=lambda step: (-step["at"], step["job"], step["kind"])), least


def _job_steps(
    named: tuple[sql.ColumnElement[Any], ...], who: sql.ColumnElement[Any], at: sql.ColumnElement[Any],
    kind: sql.ColumnElement[Any], frame: sql.ColumnElement[Any],
) -> sql.Select[Any]:  # fmt: skip
    return sql.select(
        *named, who.label("who"), at.label("at"), kind.label("kind"), sql.literal("").label("text"), frame
    )


def list_assignments(database: Database, jobs: Sequence[JobRecord]) -> Mapping[str, Mapping[str, str | None]]:
    """Return, by job id, who reviews it (`assignee`), and why its result was sent back (`sent_back`)."""
    query = sql.select(ASSIGNMENTS).where(ASSIGNMENTS.c.job.in_([job.id for job in jobs]))
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return {row.job: {"assignee": row.assignee, "sent_back": row.sent_back} for row in rows}


def _set_assignment(connection: sql.Connection, job: str, **values: str | None) -> None:
    if not connection.execute(ASSIGNMENTS.update().where(ASSIGNMENTS.c.job == job).values(**values)).rowcount:
        connection.execute(ASSIGNMENTS.insert().values(job=job, **values))


def _say(
    connection: sql.Connection, job: str, who: str, text: str, kind: str, *, at: float, frame: int | None = None
) -> None:
    values = {"id": new_id(), "job": job, "who": who, "at": at, "text": text, "kind": kind, "frame": frame}
    connection.execute(COMMENTS.insert().values(**values))


DRAFT_BYTES = 16 << 20
"""Largest draft."""


def read_draft(database: Database, job: str) -> Mapping[str, Any] | None:
    """Return the draft of a job as JSON values: its version, who saved it (`who`), when (`at`), and its `body`."""
    with database.reading() as connection:
        row = connection.execute(sql.select(DRAFTS).where(DRAFTS.c.job == job)).one_or_none()
    return None if row is None else _draft_of(row)


def save_draft(
    database: Database, job: str, body: Mapping[str, Any], who: str, *, version: int, edited: bool
) -> Mapping[str, Any] | None:
    """Save a draft in the place of that version (0: of none); None, and nothing is saved, where that is not the last.

    `edited` says whether it has corrections that the result lacks. Raises `BadPlan` while the job has not ended.
    """
    with database.writing() as connection:
        state = connection.scalar(sql.select(JOBS.c.state).where(JOBS.c.id == job).with_for_update())
        if state is None:
            return None
        if state != State.DONE:
            raise BadPlan(f"job {job} is {state}; its corrections can be saved once it is done")
        row = connection.execute(sql.select(DRAFTS.c.version).where(DRAFTS.c.job == job)).one_or_none()
        if version != (0 if row is None else row.version):
            return None
        at = database.now(connection)
        # Never the version of a draft that was deleted: who still has that one must not take this for it.
        values = {"version": max(version + 1, int(at * 10)), "who": who, "at": at, "body": json.dumps(body)}
        if row is None:
            connection.execute(DRAFTS.insert().values(job=job, **values))
        else:
            connection.execute(DRAFTS.update().where(DRAFTS.c.job == job).values(**values))
        connection.execute(JOBS.update().where(JOBS.c.id == job).values(drafted=at if edited else None))
    return {"version": values["version"], "who": who, "at": at, "body": body}


def delete_draft(database: Database, job: str) -> None:
    """Delete the draft of a job, if there is one."""
    with database.writing() as connection:
        connection.execute(DRAFTS.delete().where(DRAFTS.c.job == job))
        connection.execute(JOBS.update().where(JOBS.c.id == job).values(drafted=None))


def _draft_of(row: sql.Row[Any]) -> Mapping[str, Any]:
    return {"version": row.version, "who": row.who, "at": row.at, "body": json.loads(row.body)}


def doubts(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the reasons to review a result, from its report: keys of `WEIGHTS`."""
    hidden, tracks = report["hidden"], report["tracks"]
    scores = [float(region["score"]) for region in hidden] + [float(track["best_score"]) for track in tracks]
    frames = sum(int(track["frames"]) for track in tracks)
    filled = sum(
        count for track in tracks for origin, count in track["found"].items() if origin not in {"detected", "manual"}
    )
    reasons = {
        "nothing": not scores and not _is_muted(report),
        "low": any(score < LOW_SCORE for score in scores),
        "filled": frames > 0 and filled / frames >= FILLED_SHARE,
        "short": any(track["track"] is not None and track["frames"] < SHORT_FRAMES for track in tracks),
        "warnings": bool(report["warnings"]),
    }
    return tuple(name for name in WEIGHTS if reasons[name])


def _is_muted(report: Mapping[str, Any]) -> bool:
    """Tell whether something was muted or changed in a sound file, which has no frames."""
    tracks = report.get("sound", ()) if not report.get("frames") else ()
    return any(track["action"] == "silence" or track.get("muted") or track.get("changed") for track in tracks)


def risk(reasons: Sequence[str]) -> float:
    """Return the risk of a result with these reasons, from 0 to 1."""
    return round(sum(WEIGHTS[name] for name in reasons), 4)
