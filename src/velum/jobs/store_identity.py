"""The identity that a database and its store share, so that no other store is mistaken for it."""

import secrets

import sqlalchemy as sql

from velum.errors import Unavailable
from velum.jobs.schema import JOBS, STORES, Database
from velum.storage.folder import MARK, Store

SOURCES_TRIED = 20
"""Sources that are looked for where a store has no identity yet."""


def join(database: Database, store: Store) -> None:
    """Hold a store to the identity that the database knows; where it knows none yet, that of this store.

    Raises `Unavailable` when the database does not answer, and when this cannot be the store that its files are in;
    `OutputFailed` when a new store cannot be written to. That a known one is away is told to those who use it.
    """
    with database.reading() as connection:
        identity = connection.scalar(sql.select(STORES.c.identity))
    if identity is None:
        with database.writing(alone=True) as connection:  # of those who begin at the same time, one
            identity = connection.scalar(sql.select(STORES.c.identity))
            if identity is None:
                identity = _establish(connection, store)
                connection.execute(STORES.insert().values(identity=identity))
    store.hold(str(identity))


def _establish(connection: sql.Connection, store: Store) -> str:
    if (found := store.identity()) is not None:
        return found
    kept = sql.select(JOBS.c.source).where(JOBS.c.source_kept).order_by(JOBS.c.id.desc()).limit(SOURCES_TRIED)
    sources = list(connection.scalars(kept))
    identity = secrets.token_hex(16)
    if sources and all(store.size(source) is None for source in sources):
        raise Unavailable(
            "the store has none of the files that the database knows: it is another one, or is not mounted "
            f"(where they are lost for good, make a file {MARK} there that holds {identity})"
        )
    store.establish(identity)
    return identity
