"""The tables of jobs, in SQLite or PostgreSQL, and the conversion between rows and values."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sql

from velum.jobs.values import JobKind, JobRecord, State, Submission
from velum.plan import Plan

SCHEMA = 11
"""Version of the tables. Increase it with every change of them; an older velum then refuses the database."""

METADATA = sql.MetaData()

JOBS = sql.Table(
    "velum_jobs",
    METADATA,
    sql.Column("id", sql.String(32), primary_key=True),
    sql.Column("state", sql.String(16), nullable=False),
    sql.Column("source", sql.String(64), nullable=False, index=True),
    sql.Column("source_kept", sql.Boolean, nullable=False, default=True),
    sql.Column("regions", sql.String(64), index=True),
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("plan", sql.Text, nullable=False),
    sql.Column("owner", sql.String(255), nullable=False),
    sql.Column("priority", sql.Integer, nullable=False),
    sql.Column("webhook", sql.Text),
    sql.Column("submitted", sql.Double, nullable=False),
    sql.Column("started", sql.Double),
    sql.Column("ended", sql.Double),
    sql.Column("not_before", sql.Double, nullable=False, default=0.0),
    sql.Column("attempts", sql.Integer, nullable=False, default=0),
    sql.Column("failures", sql.Integer, nullable=False, default=0),
    sql.Column("losses", sql.Integer, nullable=False, default=0),
    sql.Column("worker", sql.String(64), index=True),
    # Known to the worker that claimed the job. Every write needs it, so that a worker that lost its lease changes
    # nothing.
    sql.Column("token", sql.String(32)),
    sql.Column("cancel", sql.Boolean, nullable=False, default=False),
    sql.Column("pieces_done", sql.Integer, nullable=False, default=0),
    sql.Column("pieces_total", sql.Integer),
    sql.Column("frames_done", sql.BigInteger, nullable=False, default=0),
    sql.Column("frames_total", sql.BigInteger),
    sql.Column("fps", sql.Double),
    sql.Column("seconds_left", sql.Double),
    sql.Column("error", sql.String(64)),
    sql.Column("message", sql.Text),
    sql.Column("result", sql.String(64), index=True),
    sql.Column("result_name", sql.Text),
    sql.Column("report", sql.Text),
    # Keys of annotation files: the regions hidden in the result, and those to hide when it is rendered again.
    sql.Column("found", sql.String(64), index=True),
    sql.Column("draft", sql.String(64), index=True),
    # `RegionsOrigin` of the regions hidden in the pieces, as long as these are of an earlier rendering.
    sql.Column("former", sql.String(8)),
    # Until when the source is kept, in epoch seconds, where a person or an approval has said so.
    sql.Column("keep_until", sql.Double),
    # When a draft with corrections was saved that is not applied yet; None where there is none.
    sql.Column("drafted", sql.Double),
    # A `JobKind`; None, in rows of earlier versions, is one that hides.
    sql.Column("kind", sql.String(8)),
    sql.Index("velum_jobs_ready", "state", "not_before", "priority", "owner", "id"),
    sql.Index("velum_jobs_state", "state", "id"),
    sql.Index("velum_jobs_owner", "owner", "id"),
    sql.Index("velum_jobs_ended", "ended"),
)
# Ended jobs whose files are still kept: retention reads only these, however many jobs have ended.
sql.Index(
    "velum_jobs_sources_kept", JOBS.c.ended, sqlite_where=sql.text("source_kept = 1"),
    postgresql_where=sql.text("source_kept"),
)  # fmt: skip
sql.Index(
    "velum_jobs_results_kept", JOBS.c.ended, sqlite_where=JOBS.c.result.is_not(None),
    postgresql_where=JOBS.c.result.is_not(None),
)  # fmt: skip
sql.Index(
    "velum_jobs_keep_until", JOBS.c.keep_until, sqlite_where=sql.text("source_kept = 1 AND keep_until IS NOT NULL"),
    postgresql_where=sql.text("source_kept AND keep_until IS NOT NULL"),
)  # fmt: skip
PIECES = sql.Table(
    "velum_pieces",
    METADATA,
    sql.Column("job", sql.String(32), sql.ForeignKey(JOBS.c.id, ondelete="CASCADE"), primary_key=True),
    sql.Column("index", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("label", sql.Text, nullable=False),
    sql.Column("frames", sql.BigInteger),
    sql.Column("key", sql.String(64), index=True),
    sql.Column("sha256", sql.String(64)),
    sql.Column("note", sql.Text),
    sql.Column("told", sql.String(64), index=True),
)
sql.Index(
    "velum_pieces_kept", PIECES.c.job, sqlite_where=PIECES.c.key.is_not(None),
    postgresql_where=PIECES.c.key.is_not(None),
)  # fmt: skip
WORKERS = sql.Table(
    "velum_workers",
    METADATA,
    sql.Column("id", sql.String(64), primary_key=True),
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("beat", sql.Double, nullable=False),
)
TURNS = sql.Table(
    "velum_turns",
    METADATA,
    sql.Column("owner", sql.String(255), primary_key=True),
    sql.Column("priority", sql.Integer, primary_key=True, autoincrement=False),
    # When a job of the owner was claimed last.
    sql.Column("served", sql.Double, nullable=False),
    # No ready job is older than this one; None where no job is ready.
    sql.Column("oldest", sql.String(32)),
)
"""The oldest ready job by owner and priority; triggers write each job that becomes ready. See `scheduling`."""
sql.Index(
    "velum_turns_next", TURNS.c.priority, TURNS.c.served, TURNS.c.oldest,
    sqlite_where=TURNS.c.oldest.is_not(None), postgresql_where=TURNS.c.oldest.is_not(None),
)  # fmt: skip
TURNS.add_is_dependent_on(JOBS)

APPROVALS = sql.Table(
    "velum_approvals",
    METADATA,
    sql.Column("job", sql.String(32), sql.ForeignKey(JOBS.c.id, ondelete="CASCADE"), primary_key=True),
    # An approval is for one result: nobody has looked at a new rendering yet.
    sql.Column("result", sql.String(64), primary_key=True),
    sql.Column("who", sql.String(255), primary_key=True),
    sql.Column("at", sql.Double, nullable=False),
)
DRAFTS = sql.Table(
    "velum_drafts",
    METADATA,
    sql.Column("job", sql.String(32), sql.ForeignKey(JOBS.c.id, ondelete="CASCADE"), primary_key=True),
    sql.Column("version", sql.BigInteger, nullable=False),
    sql.Column("who", sql.String(255), nullable=False),
    sql.Column("at", sql.Double, nullable=False),
    sql.Column("body", sql.Text, nullable=False),
)
"""What reviewers do before they apply it: one draft for each job, which goes with it."""

ASSIGNMENTS = sql.Table(
    "velum_assignments",
    METADATA,
    sql.Column("job", sql.String(32), sql.ForeignKey(JOBS.c.id, ondelete="CASCADE"), primary_key=True),
    sql.Column("assignee", sql.String(255)),
    # Why the present result was sent back; None where it was not.
    sql.Column("sent_back", sql.Text),
)
"""Who reviews a job, and whether its result was sent back."""

COMMENTS = sql.Table(
    "velum_comments",
    METADATA,
    sql.Column("id", sql.String(32), primary_key=True),
    sql.Column("job", sql.String(32), sql.ForeignKey(JOBS.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sql.Column("who", sql.String(255), nullable=False),
    sql.Column("at", sql.Double, nullable=False),
    sql.Column("text", sql.Text, nullable=False),
    # Frame or page, from 0, that it is about; None for the whole file.
    sql.Column("frame", sql.Integer),
    sql.Column("kind", sql.String(16), nullable=False),
)
"""What reviewers say about a job; kinds are `comment`, `sent back`, `assigned`, `approved` and `corrected`."""

VIEWS = sql.Table(
    "velum_views",
    METADATA,
    sql.Column("job", sql.String(32), sql.ForeignKey(JOBS.c.id, ondelete="CASCADE"), primary_key=True),
    sql.Column("result", sql.String(64), primary_key=True),
    sql.Column("who", sql.String(255), primary_key=True),
    sql.Column("at", sql.Double, nullable=False),
    # How many decisions the viewer had still to make.
    sql.Column("undecided", sql.Integer, nullable=False),
)
"""Who has looked at which result."""

PHOTOS = sql.Table(
    "velum_photos",
    METADATA,
    sql.Column("job", sql.String(32), sql.ForeignKey(JOBS.c.id, ondelete="CASCADE"), primary_key=True),
    sql.Column("key", sql.String(64), primary_key=True, index=True),
)
"""Keys of the photos of people that a job's plan names, and that are in the store."""

NOTICES = sql.Table(
    "velum_notices",
    METADATA,
    sql.Column("id", sql.String(32), primary_key=True),
    # Not a foreign key: the notice of a deletion outlives the job.
    sql.Column("job", sql.String(32), nullable=False, index=True),
    sql.Column("owner", sql.String(255), nullable=False),
    sql.Column("url", sql.Text, nullable=False),
    sql.Column("body", sql.Text),
    sql.Column("due", sql.Double, nullable=False),
    sql.Column("tries", sql.Integer, nullable=False),
    sql.Index("velum_notices_due", "due", "owner"),
)
REQUESTS = sql.Table(
    "velum_requests",
    METADATA,
    sql.Column("owner", sql.String(255), primary_key=True),
    sql.Column("key", sql.String(255), primary_key=True),
    # Hash of the request: the same key with a different request is a mistake of the client.
    sql.Column("digest", sql.String(64), nullable=False),
    sql.Column("job", sql.String(32), nullable=False),
    sql.Column("at", sql.Double, nullable=False, index=True),
)
STORES = sql.Table("velum_store", METADATA, sql.Column("identity", sql.String(64), primary_key=True))
"""The identity of the store with the files: no row before the first start, then one."""

_TAKE_TURN = """
INSERT INTO velum_turns (owner, priority, served, oldest)
SELECT new.owner, new.priority, coalesce(max(served), 0.0), new.id FROM velum_turns WHERE owner = new.owner
ON CONFLICT (owner, priority) DO UPDATE SET oldest = excluded.oldest
WHERE velum_turns.oldest IS NULL OR excluded.oldest < velum_turns.oldest;
"""
"""PostgreSQL locks the row even where nothing changes, so that no claim empties the row before it sees the job."""

_TURN_FUNCTION = (
    "CREATE OR REPLACE FUNCTION velum_take_turn() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN {_TAKE_TURN} RETURN NULL; END $$"
)
_IF_READY = "WHEN (new.state = 'waiting' AND new.not_before = 0.0)"
_LITE = f"ON velum_jobs {_IF_READY} BEGIN {_TAKE_TURN} END"
_ON_CHANGE = "CREATE TRIGGER velum_turn AFTER INSERT OR UPDATE OF state, not_before ON velum_jobs"
_TRIGGERS: Mapping[str, Sequence[str]] = {
    "sqlite": (
        f"CREATE TRIGGER velum_turn_on_insert AFTER INSERT {_LITE}",
        f"CREATE TRIGGER velum_turn_on_update AFTER UPDATE OF state, not_before {_LITE}",
    ),
    "postgresql": (
        _TURN_FUNCTION,
        f"{_ON_CHANGE} FOR EACH ROW {_IF_READY} EXECUTE FUNCTION velum_take_turn()",
    ),
}


def _add_triggers(_table: sql.Table, connection: sql.Connection, **_options: object) -> None:
    for statement in _TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)


sql.event.listen(TURNS, "after_create", _add_triggers)

SCHEMAS = sql.Table("velum_schema", METADATA, sql.Column("version", sql.Integer, primary_key=True, autoincrement=False))

CLOCKS: Mapping[str, sql.ColumnElement[float]] = {
    "sqlite": sql.bindparam("clock", callable_=time.time, type_=sql.Double),
    # The time of the statement: the index is not used for a value that may change during the query.
    "postgresql": sql.cast(sql.func.extract("epoch", sql.func.statement_timestamp()), sql.Double),
}
"""By dialect: the time in epoch seconds by the database's clock, which is the same for all machines."""

COLUMNS = tuple(column for column in JOBS.c if column.name != "report")
"""Columns of a `JobRecord`. Without the report: that of a video is long, and seldom needed."""

ENDED = tuple(state.value for state in State if state.is_final)


def new_id() -> str:
    """Return an id that nobody can guess and that sorts by time: 48 bits of time, 80 random bits."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(10)}"


def row_of(submission: Submission) -> dict[str, Any]:
    """Return the column values of a submission."""
    return {
        "source": submission.source, "regions": submission.regions, "name": submission.name,
        "plan": json.dumps(submission.plan.to_json()), "owner": submission.owner, "priority": submission.priority,
        "webhook": submission.webhook, "kind": submission.kind.value,
    }  # fmt: skip


def job_of(row: sql.Row[Any]) -> JobRecord:
    """Return the record of a row of `COLUMNS`."""
    values = row._mapping
    plan = _plan(values["plan"])
    given = {name: values[name] for name in ("source", "name", "owner", "priority", "webhook", "regions")}
    return JobRecord(
        id=values["id"], state=State(values["state"]),
        submission=Submission(plan=plan, kind=JobKind(values["kind"] or JobKind.HIDE), **given),
        regions=values["draft"] or values["found"] or values["regions"],
        corrections_pending=values["draft"] is not None, **{name: values[name] for name in _SAME},
    )  # fmt: skip


_SAME = (
    "submitted", "started", "ended", "attempts", "pieces_done", "pieces_total", "frames_done", "frames_total", "fps",
    "seconds_left", "error", "message", "result", "result_name", "source_kept", "keep_until", "drafted",
)  # fmt: skip


@lru_cache(256)
def _plan(text: str) -> Plan:
    return Plan.from_json(json.loads(text))
