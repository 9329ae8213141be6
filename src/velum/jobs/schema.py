"""The tables, in SQLite or PostgreSQL, and the one way in.

Errors of SQLAlchemy and of the drivers are translated here.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from velum.errors import BadPlan, Unavailable
from velum.jobs.values import JobRecord, State, Submission
from velum.plan import Plan

SCHEMA = 8
"""Raised by whoever changes the tables; an older velum then refuses them."""

WAIT_SECONDS = 30
"""How long to wait for someone else who writes, for a connection, and for one statement."""

STALL_SECONDS = 10
"""How long someone who has begun to write may say nothing before the others go on."""

LOCK_ID = 0x76656C756D
"""Number of the advisory lock that a PostgreSQL server knows us by."""

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
    # Whoever took the job up knows it. Nothing about a job is written without: who lost it cannot disturb the next.
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
    # Keys of regions: those that the result hides, and those that are to be hidden when it is rendered anew.
    sql.Column("found", sql.String(64), index=True),
    sql.Column("draft", sql.String(64), index=True),
    # Where the regions came from with which its pieces were made, as long as these are of an earlier rendering.
    sql.Column("former", sql.String(8)),
    sql.Index("velum_jobs_ready", "state", "not_before", "priority", "owner", "id"),
    sql.Index("velum_jobs_state", "state", "id"),
    sql.Index("velum_jobs_owner", "owner", "id"),
    sql.Index("velum_jobs_ended", "ended"),
)
# What of ended jobs is still kept: retention reads no more than that, however many have ended.
sql.Index(
    "velum_jobs_sources_kept", JOBS.c.ended, sqlite_where=sql.text("source_kept = 1"),
    postgresql_where=sql.text("source_kept"),
)  # fmt: skip
sql.Index(
    "velum_jobs_results_kept", JOBS.c.ended, sqlite_where=JOBS.c.result.is_not(None),
    postgresql_where=JOBS.c.result.is_not(None),
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
    # When a job of the owner was taken up last.
    sql.Column("served", sql.Double, nullable=False),
    # No ready job is older; None where there is no ready job.
    sql.Column("oldest", sql.String(32)),
)
"""The owners by priority, and whether they have ready jobs: triggers note each job that becomes ready."""
sql.Index(
    "velum_turns_next", TURNS.c.priority, TURNS.c.served, TURNS.c.oldest,
    sqlite_where=TURNS.c.oldest.is_not(None), postgresql_where=TURNS.c.oldest.is_not(None),
)  # fmt: skip
TURNS.add_is_dependent_on(JOBS)

APPROVALS = sql.Table(
    "velum_approvals",
    METADATA,
    sql.Column("job", sql.String(32), sql.ForeignKey(JOBS.c.id, ondelete="CASCADE"), primary_key=True),
    # Of which result: what is rendered anew was not looked at.
    sql.Column("result", sql.String(64), primary_key=True),
    sql.Column("who", sql.String(255), primary_key=True),
    sql.Column("at", sql.Double, nullable=False),
)
NOTICES = sql.Table(
    "velum_notices",
    METADATA,
    sql.Column("id", sql.String(32), primary_key=True),
    # Not a foreign key: that a job was deleted is told when it is no more.
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
    # Of what was asked for: the same key with something else is a mistake of who asks.
    sql.Column("digest", sql.String(64), nullable=False),
    sql.Column("job", sql.String(32), nullable=False),
    sql.Column("at", sql.Double, nullable=False, index=True),
)
STORES = sql.Table("velum_store", METADATA, sql.Column("identity", sql.String(64), primary_key=True))
"""The identity of the store that the files are in: one row, once it is known."""

_TAKE_TURN = """
INSERT INTO velum_turns (owner, priority, served, oldest)
SELECT new.owner, new.priority, coalesce(max(served), 0.0), new.id FROM velum_turns WHERE owner = new.owner
ON CONFLICT (owner, priority) DO UPDATE SET oldest = excluded.oldest
WHERE velum_turns.oldest IS NULL OR excluded.oldest < velum_turns.oldest;
"""
"""PostgreSQL locks the row even where nothing changes: no claim can take it for empty before it can see the job."""

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

_ADDED: Mapping[int, Sequence[sql.Column[Any]]] = {
    2: (JOBS.c.found, JOBS.c.draft, PIECES.c.told), 3: (JOBS.c.former,),
}  # fmt: skip
"""Columns that a version of the tables has and the one before had not; tables that are missing are made anyway."""

_SCHEMAS = sql.Table(
    "velum_schema", METADATA, sql.Column("version", sql.Integer, primary_key=True, autoincrement=False)
)

CLOCKS: Mapping[str, sql.ColumnElement[float]] = {
    "sqlite": sql.bindparam("clock", callable_=time.time, type_=sql.Double),
    # Of the statement: an index is not used for what may change while it is read.
    "postgresql": sql.cast(sql.func.extract("epoch", sql.func.statement_timestamp()), sql.Double),
}
"""By dialect: the time in epoch seconds by one clock for all machines, the database's."""

_NOW = sql.select(CLOCKS["postgresql"])

COLUMNS = tuple(column for column in JOBS.c if column.name != "report")
"""What a `JobRecord` is made of: reports of videos are long, and seldom asked for."""

ENDED = tuple(state.value for state in State if state.is_final)


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


class Database:
    """A database by its URL: `sqlite:///folder/jobs.sqlite` or `postgresql://user@host/name`. Safe to share.

    Tables are made when there are none. Raises `BadPlan` for a URL that is none of these, `Unavailable` when the
    database cannot be reached or is that of a later velum; so does everything that is done with it.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._lite = self._engine.dialect.name == "sqlite"
        try:
            self._set_up()
        except Unavailable:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """Give a connection to read with."""
        with _translate_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[sql.Connection]:
        """Give a connection whose changes are kept together when the block ends well, and none of them when not.

        With `alone`, nobody else is in such a block at the same time, on no machine.
        """
        with self.reading() as connection, self.changing(connection, alone=alone):
            yield connection

    @contextmanager
    def changing(self, connection: sql.Connection, *, alone: bool = False) -> Iterator[None]:
        """Go on with a connection that was given to read with, as `writing` does."""
        if self._lite:
            # From the start: a transaction that only later wants to write could find that it is too late.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif alone:
            connection.execute(sql.select(sql.func.pg_advisory_xact_lock(LOCK_ID)))
        yield
        connection.commit()

    def now(self, connection: sql.Connection) -> float:
        """Return the time in epoch seconds, by one clock for all machines: the database's."""
        return time.time() if self._lite else float(connection.scalar(_NOW) or 0.0)

    def close(self) -> None:
        """End all connections."""
        self._engine.dispose()

    def _set_up(self) -> None:
        if self._lite:
            with self.reading() as connection:
                # Readers and the one who writes do not wait for each other; the file remembers it.
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        with self.writing(alone=True) as connection:
            METADATA.create_all(connection)
            version = connection.scalar(sql.select(sql.func.max(_SCHEMAS.c.version)))
            if version is None:
                connection.execute(_SCHEMAS.insert().values(version=SCHEMA))
            elif version > SCHEMA:
                raise Unavailable(
                    f"the database has tables of version {version}, this velum knows {SCHEMA}; update velum"
                )
            else:
                _update(connection, version)


def _update(connection: sql.Connection, version: int) -> None:
    """Bring tables of an earlier version to this one."""
    for column in (column for later in range(version + 1, SCHEMA + 1) for column in _ADDED.get(later, ())):
        table = column.table
        assert isinstance(table, sql.Table)  # noqa: S101 - of those above
        kind = column.type.compile(connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")
        for index in (index for index in table.indexes if set(index.columns) == {column}):
            index.create(connection)
    if version < 5:
        _move_notices(connection)
    if connection.dialect.name == "postgresql":  # many jobs take longer than one statement may
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    if version < 7:
        _index_turns_anew(connection)
    if version < 8:
        _fill_turns(connection)
        for index in (*JOBS.indexes, *PIECES.indexes):
            if index.name in {"velum_jobs_sources_kept", "velum_jobs_results_kept", "velum_pieces_kept"}:
                index.create(connection, checkfirst=True)
    connection.execute(_SCHEMAS.update().values(version=SCHEMA))


def _move_notices(connection: sql.Connection) -> None:
    connection.exec_driver_sql(
        "INSERT INTO velum_notices (id, job, owner, url, due, tries) "
        "SELECT id, id, owner, webhook, notify_at, notified FROM velum_jobs "
        "WHERE notify_at IS NOT NULL AND webhook IS NOT NULL"
    )
    connection.exec_driver_sql("DROP INDEX ix_velum_jobs_notify_at")
    for column in ("notify_at", "notified"):
        connection.exec_driver_sql(f"ALTER TABLE velum_jobs DROP COLUMN {column}")


def _fill_turns(connection: sql.Connection) -> None:
    # The first versions had none.
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS velum_owners (owner VARCHAR(255), served DOUBLE PRECISION)")
    connection.exec_driver_sql(
        "INSERT INTO velum_turns (owner, priority, served, oldest) SELECT owner, 0, served, NULL FROM velum_owners"
    )
    connection.exec_driver_sql(
        "INSERT INTO velum_turns (owner, priority, served, oldest) "
        "SELECT job.owner, job.priority, coalesce(max(owner.served), 0.0), min(job.id) "
        "FROM velum_jobs AS job LEFT JOIN velum_owners AS owner ON owner.owner = job.owner "
        "WHERE job.state = 'waiting' AND job.not_before = 0.0 GROUP BY job.owner, job.priority "
        "ON CONFLICT (owner, priority) DO UPDATE SET oldest = excluded.oldest"
    )
    connection.exec_driver_sql("DROP TABLE velum_owners")


def _index_turns_anew(connection: sql.Connection) -> None:
    connection.exec_driver_sql("DROP INDEX IF EXISTS velum_jobs_turn")
    for index in JOBS.indexes:
        if index.name in {"velum_jobs_ready", "velum_jobs_state"}:
            index.create(connection)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        # Not the statement and its values, which SQLAlchemy's own text shows.
        cause = str(getattr(error, "orig", None) or error).strip()
        raise Unavailable(f"the database of jobs does not answer as it should: {cause}; check that it runs") from error


def _engine(url: str) -> sql.Engine:
    try:
        parsed = sql.make_url(url)
    except ArgumentError as error:
        raise _unknown_url(url) from error
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        _make_folder(Path(str(parsed.database)).parent)
        engine = sql.create_engine(parsed.set(drivername="sqlite"), connect_args={"timeout": WAIT_SECONDS})
        sql.event.listen(engine, "connect", _set_up_sqlite)
        return engine
    if kind not in {"postgresql", "postgres"}:
        raise _unknown_url(parsed.render_as_string(hide_password=True))
    parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        engine = sql.create_engine(
            parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10, "application_name": "velum"}
        )
    except ImportError as error:
        raise Unavailable(
            f"PostgreSQL needs a library that is not installed ({error}); pip install 'velum-anonymizer[jobs]'"
        ) from (error)
    sql.event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_postgresql(connection: Any, _record: object) -> None:
    # A worker that was stopped in the middle must not keep the others from theirs.
    for name, seconds in (
        ("statement_timeout", WAIT_SECONDS),
        ("idle_in_transaction_session_timeout", STALL_SECONDS),
    ):
        connection.execute(f"SET {name} = '{seconds}s'")
    connection.commit()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot make {folder} for the database of jobs: {error.strerror or error}") from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    connection.execute("PRAGMA foreign_keys=ON")
    # In a write-ahead log the default keeps what was told to be done through a crash, this one through a power cut.
    connection.execute("PRAGMA synchronous=FULL")


def _unknown_url(url: str) -> BadPlan:
    return BadPlan(f"database {url[:200]!r} is not known; write sqlite:///folder/jobs.sqlite or postgresql://host/name")
