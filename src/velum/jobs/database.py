"""The database of jobs: connections, transactions, tables of earlier versions, its store and the files in use.

Errors of SQLAlchemy and of the drivers are translated here.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from velum.errors import BadPlan, Unavailable
from velum.jobs.schema import CLOCKS, JOBS, METADATA, PHOTOS, PIECES, SCHEMA, SCHEMAS, STORES
from velum.storage import MARK, Store

WAIT_SECONDS = 30
"""How long to wait for another writer, for a connection, and for one statement."""

STALL_SECONDS = 10
"""How long a transaction may stay idle before PostgreSQL ends it, so that others can write."""

SOURCES_TRIED = 20
"""Number of sources that are looked up in a store without an identity, to find out whether it is the right one."""

LOCK_ID = 0x76656C756D
"""Number of velum's advisory lock in PostgreSQL."""

KEYS_OF_JOBS = (JOBS.c.source, JOBS.c.regions, JOBS.c.result, JOBS.c.found, JOBS.c.draft)
KEYS_OF_PIECES = (PIECES.c.key, PIECES.c.told)
"""Columns with keys of files in the store."""

_ADDED: Mapping[int, Sequence[sql.Column[Any]]] = {
    2: (JOBS.c.found, JOBS.c.draft, PIECES.c.told), 3: (JOBS.c.former,),
    9: (JOBS.c.keep_until, JOBS.c.drafted), 10: (JOBS.c.kind,),
}  # fmt: skip
"""Columns that each version of the tables added; missing tables are created without being listed here."""

# With a write-ahead log, NORMAL keeps commits when the process crashes, FULL also when the power fails.
_DURABLE, _NOT_DURABLE = "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"

_LOCK, _NO_WAIT = sql.func.pg_advisory_xact_lock(LOCK_ID), sql.func.set_config("synchronous_commit", "off", sql.true())
_START = {
    (False, True): None, (False, False): sql.select(_NO_WAIT),
    (True, True): sql.select(_LOCK), (True, False): sql.select(_NO_WAIT, _LOCK),
}  # fmt: skip
"""First statement of a PostgreSQL transaction, by `alone` and `durable`; to build one costs more than to run it."""

_NOW = sql.select(CLOCKS["postgresql"])


class Database:
    """A database by its URL: `sqlite:///folder/jobs.sqlite` or `postgresql://user@host/name`. Safe to share.

    Missing tables are created. Raises `BadPlan` for any other URL, `Unavailable` when the database cannot be reached or
    belongs to a later version of velum; so does every method.
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
        """Give a connection for reading."""
        with _translate_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[sql.Connection]:
        """Give a connection in a transaction: committed when the block ends, rolled back when it raises.

        With `alone`, only one such block runs at a time, on all machines.
        """
        with self.reading() as connection, self.changing(connection, alone=alone):
            yield connection

    @contextmanager
    def changing(self, connection: sql.Connection, *, alone: bool = False, durable: bool = True) -> Iterator[None]:
        """Begin a transaction as `writing` does, on a connection from `reading`.

        The end of a transaction that is not `durable` does not wait for the disk: after a loss of power it may be
        missing, with all that were committed after it. A later durable transaction makes it durable, too.
        """
        if self._lite:
            # To the driver itself: this is a setting of the connection, which reads and writes nothing.
            connection.connection.cursor().execute(_DURABLE if durable else _NOT_DURABLE)
            # Lock for writing at once: SQLite refuses a transaction that begins to write after another one has written.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif (start := _START[alone, durable]) is not None:
            connection.execute(start)
        yield
        connection.commit()

    def now(self, connection: sql.Connection) -> float:
        """Return the time in epoch seconds by the database's clock, which is the same for all machines."""
        return time.time() if self._lite else float(connection.scalar(_NOW) or 0.0)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _set_up(self) -> None:
        if self._lite:
            with self.reading() as connection:
                # In this mode, readers and the writer do not wait for each other; SQLite stores the mode in the file.
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        with self.writing(alone=True) as connection:
            METADATA.create_all(connection)
            version = connection.scalar(sql.select(sql.func.max(SCHEMAS.c.version)))
            if version is None:
                connection.execute(SCHEMAS.insert().values(version=SCHEMA))
            elif version > SCHEMA:
                raise Unavailable(
                    f"the database has tables of version {version}, but this velum supports up to {SCHEMA}; update "
                    "velum"
                )
            else:
                _update(connection, version)


def _update(connection: sql.Connection, version: int) -> None:
    """Migrate the tables of an earlier version to this one."""
    for column in (column for later in range(version + 1, SCHEMA + 1) for column in _ADDED.get(later, ())):
        table = column.table
        assert isinstance(table, sql.Table)  # noqa: S101 - of those above
        kind = column.type.compile(connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")
        for index in (index for index in table.indexes if set(index.columns) == {column}):
            index.create(connection)
    if version < 5:
        _move_notices(connection)
    if connection.dialect.name == "postgresql":  # with many jobs, a migration takes longer than a statement may
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    if version < 7:
        _index_turns_anew(connection)
    if version < 8:
        _fill_turns(connection)
        for index in (*JOBS.indexes, *PIECES.indexes):
            if index.name in {"velum_jobs_sources_kept", "velum_jobs_results_kept", "velum_pieces_kept"}:
                index.create(connection, checkfirst=True)
    connection.execute(SCHEMAS.update().values(version=SCHEMA))


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
    # The first versions had no such table.
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
        # SQLAlchemy's own text also shows the statement and its values; those are left out.
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
    # A worker that stops in the middle of a transaction must not block the others.
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
    connection.isolation_level = None  # velum begins transactions itself
    connection.execute("PRAGMA foreign_keys=ON")


def _unknown_url(url: str) -> BadPlan:
    return BadPlan(
        f"{url[:200]!r} is not a supported database URL; write sqlite:///folder/jobs.sqlite or postgresql://host/name"
    )


def join(database: Database, store: Store) -> None:
    """Hold a store to the identity in the database; where the database has none yet, record that of this store.

    Raises `Unavailable` when the database does not answer and when the store cannot be the one with its files,
    `OutputFailed` when a new store cannot be written to. A known store that is away raises an error when it is used.
    """
    with database.reading() as connection:
        identity = connection.scalar(sql.select(STORES.c.identity))
    if identity is None:
        with database.writing(alone=True) as connection:  # processes that start at the same time agree on one identity
            identity = connection.scalar(sql.select(STORES.c.identity))
            if identity is None:
                identity = _establish(connection, store)
                connection.execute(STORES.insert().values(identity=identity))
    store.hold(str(identity))


def _establish(connection: sql.Connection, store: Store) -> str:
    if (present := store.identity()) is not None:
        return present
    newest = sql.select(JOBS.c.source).where(JOBS.c.source_kept).order_by(JOBS.c.id.desc()).limit(SOURCES_TRIED)
    sources = list(connection.scalars(newest))
    identity = secrets.token_hex(16)
    if sources and all(store.size(source) is None for source in sources):
        raise Unavailable(
            "the store has none of the files that the database lists: it is a different store, or is not mounted "
            f"(if the files are lost for good, make a file {MARK} there with the content {identity})"
        )
    store.establish(identity)
    return identity


def find_unreferenced(connection: sql.Connection, keys: set[str | None]) -> set[str]:
    """Return those of the keys that no job refers to."""
    query = {key for key in keys if key is not None}
    return query - referenced_keys(connection, query)


def referenced_keys(connection: sql.Connection, keys: set[str]) -> set[str]:
    """Return those of the keys that any job still refers to. A source whose time is over is none of them."""
    columns = (*KEYS_OF_JOBS, *KEYS_OF_PIECES, PHOTOS.c.key)
    queries = {column: sql.select(column).where(column.in_(keys)) for column in columns}
    queries[JOBS.c.source] = queries[JOBS.c.source].where(JOBS.c.source_kept)
    return {key for query in queries.values() for key in connection.scalars(query)}
