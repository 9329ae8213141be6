"""Files of rosbag2 with SQLite: messages with images get other images, and the file is written anew, row by row.

A copy of the file would keep the old images in pages that are no longer used.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from velum.errors import BadInput, OutputFailed
from velum.media.archive.contents import HEAD_BYTES, why_drawn
from velum.media.archive.log_container import LogContainer, LogWriter
from velum.media.archive.log_topics import Topic, shown_name
from velum.media.archive.member import Budget
from velum.media.archive.sqlite_pages import find_remains

MOST_MESSAGE = 256 << 20
"""Largest message, in bytes."""

_COLUMNS = {
    "schema": ("schema_version", "ros_distro"), "metadata": ("id", "metadata_version", "metadata"),
    "message_definitions": ("id", "topic_type", "encoding", "encoded_message_definition", "type_description_hash"),
    "topics": ("id", "name", "type", "serialization_format", "offered_qos_profiles", "type_description_hash"),
    "messages": ("id", "topic_id", "timestamp", "data"),
}  # fmt: skip
"""Tables that rosbag2 writes, and their columns; `messages` comes last, since it is the largest."""

_NEEDED = {"topics": ("id", "name", "type", "serialization_format"), "messages": _COLUMNS["messages"]}
_TYPES = {"INTEGER", "TEXT", "BLOB", "REAL", ""}


class Rosbag2Container(LogContainer):
    """A `.db3` file that is read, for a `with` block. Raises `BadInput` for a damaged one."""

    def __init__(self, path: Path, budget: Budget, name: str, *, recover: bool = False) -> None:
        """Open `path`; messages call it `name`. The unpacked bytes count against `budget`."""
        super().__init__(path, budget, name, recover=recover)
        self._found: dict[int, Topic] = {}
        self._left: dict[str, None] = {}
        self.columns: dict[str, dict[str, str]] = {}
        """Columns of each known table, each with its declaration."""
        self.has_time_index = False

    @property
    def topics(self) -> Mapping[int, Topic]:
        """All topics, by their numbers in the file."""
        return self._found

    @property
    def leftovers(self) -> tuple[str, ...]:
        """What the file holds in tables that rosbag2 does not write, in words; a result has none of it."""
        return tuple(self._left)

    def writer(self, target: Path, metadata: frozenset[str]) -> LogWriter:  # noqa: ARG002 - times of logs always stay
        """Return a writer of a log like this one to `target`."""
        return Rosbag2Writer(self, target)

    def rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table, in the order of their ids. Raises `BadInput`."""
        names = ", ".join(map(_quote_name, self.columns[table]))
        order = " ORDER BY id" if "id" in self.columns[table] else ""
        with _translate(), closing(self._database.execute(f"SELECT {names} FROM {table}{order}")) as cursor:  # noqa: S608 - a known table
            yield from cursor

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield the number of the topic, log time and data of each message, in the order of the file."""
        names = list(self.columns["messages"])
        places = [names.index(name) for name in _NEEDED["messages"]]
        for row in self.rows("messages"):
            number, topic, time, data = (row[place] for place in places)
            if not all(isinstance(value, int) for value in (number, topic, time)) or not isinstance(data, bytes):
                raise BadInput("a message of it is damaged: its number, topic, time or data is of another type")
            yield topic, time, data

    def _open(self, stack: ExitStack) -> None:
        for end in ("wal", "journal"):
            journal = self._path.with_name(f"{self._path.name}-{end}")
            if journal.is_file() and journal.stat().st_size:
                raise BadInput(
                    f"its last changes are in {journal.name}; open it once with 'sqlite3' and close it again"
                )
        with _translate():
            address = f"file:{quote(str(self._path.resolve()))}?mode=ro&immutable=1"
            self._database = stack.enter_context(closing(sqlite3.connect(address, uri=True)))
            self._database.execute("PRAGMA trusted_schema = OFF")
            self._database.execute("PRAGMA cell_size_check = ON")
            self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_MESSAGE)
            roots = self._list_tables()
        self._scan()
        self._left |= dict.fromkeys(find_remains(self._path, roots))

    def _list_tables(self) -> list[int]:
        """Take note of the tables, and return the first page of each that is known."""
        roots = []
        found = self._database.execute("SELECT type, name, sql, rootpage FROM sqlite_master").fetchall()
        for kind, name, text, root in found:
            if kind == "table" and name in _COLUMNS and str(text).upper().startswith("CREATE TABLE"):
                roots.append(root)
                self._list_columns(name)
            elif kind == "index" and name == "timestamp_idx":
                self.has_time_index = True
            elif not str(name).startswith("sqlite_autoindex_"):
                self._left["tables, views, triggers or indexes that rosbag2 does not write"] = None
        if self._database.execute("PRAGMA freelist_count").fetchone() != (0,):
            self._left["pages that are no longer used"] = None
        for table, needed in _NEEDED.items():
            if missing := [name for name in needed if name not in self.columns.get(table, ())]:
                raise BadInput(f"its table {table} has no column {', '.join(missing)}")
        return roots

    def _list_columns(self, table: str) -> None:
        columns = self.columns[table] = {}
        for _, name, *description, is_generated in self._database.execute(f"PRAGMA table_xinfo({table})").fetchall():
            if name in _COLUMNS[table] and not is_generated:
                columns[str(name)] = _declaration(*description)
            else:
                self._left[f"columns of the table {table} that rosbag2 does not write"] = None

    def _scan(self) -> None:
        definitions = self._definitions()
        self._budget.count_members(sum(1 for _ in self.rows("topics")), self._name)
        names = list(self.columns["topics"])
        for row in self.rows("topics"):
            values = dict(zip(names, row, strict=True))
            texts = [values[name] for name in _NEEDED["topics"][1:]]
            if not isinstance(values["id"], int) or not all(isinstance(text, str) for text in texts):
                raise BadInput("a topic of it is damaged: its number or its name is of another type")
            encoding, text = definitions.get(values["type"], ("", b""))
            self._found[values["id"]] = Topic(
                values["name"], values["type"], values["serialization_format"], text, encoding
            )
        for table in self.columns.keys() - {"messages"}:
            for row in self.rows(table):
                self._refuse_pictures(table, row)
        reader = self._budget.reader(self._name, self._path.stat().st_size)
        for topic, time, data in self.messages():
            if topic not in self._found:
                raise BadInput(f"a message of it is of topic {topic}, which it does not have")
            if time < 0:
                raise BadInput(f"a message of {self._found[topic].name} has the time {time}")
            reader.count(len(data))
            self._found[topic].count(data, time)

    def _definitions(self) -> dict[str, tuple[str, bytes]]:
        if not {"topic_type", "encoding", "encoded_message_definition"} <= set(
            names := list(self.columns.get("message_definitions", ()))
        ):
            return {}
        rows = (dict(zip(names, row, strict=True)) for row in self.rows("message_definitions"))
        return {
            str(row["topic_type"]): (str(row["encoding"]), str(row["encoded_message_definition"]).encode())
            for row in rows
        }

    def _refuse_pictures(self, table: str, row: tuple[Any, ...]) -> None:
        for value in row:
            text = value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else b""
            if isinstance(value, bytes) or (reason := why_drawn(text, text[:HEAD_BYTES])):
                raise BadInput(f"its table {table} holds {'bytes' if isinstance(value, bytes) else reason}")


class Rosbag2Writer(LogWriter):
    """Writes a `.db3` file like the one that is read, in a `with` block; leaving it writes all."""

    def __init__(self, source: Rosbag2Container, target: Path) -> None:
        super().__init__(source, target)
        self._source = source

    def _write(self) -> None:
        source = self._source
        self._target.unlink(missing_ok=True)  # SQLite makes files of its own
        with _translate_write(self._target), closing(sqlite3.connect(self._target, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA secure_delete = ON")  # no copies of rows in pages that SQLite uses again
            database.execute("BEGIN")
            for table in (name for name in _COLUMNS if name in source.columns):
                columns = source.columns[table]
                declared = ", ".join(f"{_quote_name(name)} {kind}" for name, kind in columns.items())
                database.execute(f"CREATE TABLE {table} ({declared})")
                places = ", ".join("?" * len(columns))
                database.executemany(f"INSERT INTO {table} VALUES ({places})", self._rows(table))  # noqa: S608 - a known table
            if source.has_time_index:
                database.execute("CREATE INDEX timestamp_idx ON messages (timestamp ASC)")
            database.execute("COMMIT")

    def _rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a table as the result has them."""
        source, names = self._source, list(self._source.columns[table])
        types = {source.topics[number].schema for number in self._topics}
        for row in source.rows(table):
            values = dict(zip(names, row, strict=True))
            if table == "messages":
                if values["topic_id"] not in self._topics:
                    continue
                values["data"] = self._message(values["topic_id"], values["data"])
            elif (table == "topics" and values["id"] not in self._topics) or (
                table == "message_definitions" and shown_name(str(values.get("topic_type"))) not in types
            ):
                continue
            yield tuple(values.values())


def _declaration(kind: str, is_needed: int, _default: object, key: int) -> str:
    """Return the declaration of a column without its name. Types that SQLite does not need are left out."""
    kind = kind.upper() if kind.upper() in _TYPES else ""
    return f"{kind}{' PRIMARY KEY' if key == 1 else ''}{' NOT NULL' if is_needed else ''}"


def _quote_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _translate() -> Iterator[None]:
    """Raise `BadInput` for what sqlite3 raises for a damaged file."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
        raise BadInput(f"it is damaged: {str(error)[:200]}") from error


@contextmanager
def _translate_write(target: Path) -> Iterator[None]:
    """Raise `OutputFailed` for what sqlite3 raises while it writes."""
    try:
        yield
    except (sqlite3.Error, OverflowError) as error:
        raise OutputFailed(f"cannot write {target}: {str(error)[:200]}; nothing was published") from error
