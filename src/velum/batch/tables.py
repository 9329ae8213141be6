"""Items and outcomes as Parquet, one file a shard. Errors of pyarrow are translated here."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from velum.batch.item import ItemOutcome, SourceItem
from velum.errors import BadInput, OutputFailed, Unavailable, VelumError

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as missing:
    raise Unavailable(
        f"batches need a library that is not installed ({missing}); pip install 'velum-anonymizer[batch]'"
    ) from missing

_TEXT, _COUNT = pa.string(), pa.int64()

ITEMS = pa.schema([("key", _TEXT), ("etag", _TEXT), ("size", _COUNT), ("fault", _TEXT)])

OUTCOMES = pa.schema(
    [
        ("key", _TEXT), ("etag", _TEXT), ("size", _COUNT), ("status", _TEXT), ("reason", _TEXT), ("error", _TEXT),
        ("labels", pa.map_(_TEXT, _COUNT)), ("sizes", pa.map_(_TEXT, _COUNT)), ("frames", _COUNT),
        ("result_size", _COUNT), ("input_sha256", _TEXT), ("output_sha256", _TEXT), ("models", pa.map_(_TEXT, _TEXT)),
        ("seconds", pa.map_(_TEXT, pa.float64())), ("node", _TEXT), ("attempt", _COUNT), ("plan", _TEXT),
        ("version", _TEXT), ("arithmetic", _TEXT),
    ]
)  # fmt: skip

_MAPS = ("labels", "sizes", "models", "seconds")

WATCHED = pa.schema(
    [
        ("key", _TEXT), ("etag", _TEXT), ("size", _COUNT), ("fault", _TEXT), ("since", pa.float64()), ("status", _TEXT),
        ("finished", pa.float64()), ("result_sha256", _TEXT),
    ]
)  # fmt: skip

WATCHED_ROWS = 10_000
"""Rows of a long table that are in memory together."""

R = TypeVar("R", SourceItem, ItemOutcome)


def encode_items(items: Sequence[SourceItem]) -> bytes:
    """Return a Parquet file of items."""
    columns = {name: [getattr(item, name) for item in items] for name in ITEMS.names}
    return _encode(pa.table(columns, ITEMS))


def decode_items(data: bytes, name: str) -> list[SourceItem]:
    """Return the items in a Parquet file. Raises `BadInput`, with its `name`, for anything else."""
    return _decode(SourceItem, ITEMS, data, name)


def encode_outcomes(outcomes: Iterable[ItemOutcome], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return a Parquet file of outcomes, by key; `metadata` is kept in its schema."""
    rows = sorted(outcomes, key=lambda outcome: outcome.key)
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in OUTCOMES.names}
    for name in _MAPS:
        columns[name] = [list(value.items()) for value in columns[name]]
    return _encode(pa.table(columns, OUTCOMES.with_metadata(dict(metadata or {}))))


def decode_outcomes(data: bytes, name: str) -> list[ItemOutcome]:
    """Return the outcomes in a Parquet file, by key. Raises `BadInput` for anything else."""
    return _decode(ItemOutcome, OUTCOMES, data, name)


def write_rows(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write any number of rows of `WATCHED` to a Parquet file. Raises `OutputFailed`."""
    waiting = iter(rows)
    try:
        with pq.ParquetWriter(file, WATCHED, compression="zstd") as writer:
            while some := list(islice(waiting, WATCHED_ROWS)):
                writer.write_table(pa.Table.from_pylist(some, WATCHED))
    except OSError as error:
        if isinstance(error, VelumError):
            raise
        raise OutputFailed(f"cannot write {file}: {error}; make room there") from error


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows that `write_rows` wrote. Raises `BadInput` for another file."""
    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(WATCHED_ROWS, columns=WATCHED.names):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise BadInput(
            f"{file.name} is not the table of a watched place ({error}); remove it from the results"
        ) from error


def _encode(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _decode(kind: type[R], schema: pa.Schema, data: bytes, name: str) -> list[R]:
    try:
        # Without the threads of pyarrow: one that still had the bytes when Python ended would abort the process.
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        rows = table.select([name for name in schema.names if name in table.column_names]).to_pylist()
        for row in rows:
            for column in _MAPS:
                if column in row:
                    row[column] = dict(row[column])
        return [kind(**row) for row in rows]
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise BadInput(f"{name} is no table of a batch ({error}); remove it, and start the batch again") from error
