"""Writer of ROS 1 bags: the records of the source with other images, and indexes anew."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

from velum.media.archive.contents import ROSBAG1_MAGIC
from velum.media.archive.log_container import LogWriter
from velum.media.archive.rosbag1_file import (
    BAG_HEADER,
    CHUNK,
    CHUNK_INFO,
    CONNECTION,
    INDEX,
    MESSAGE,
    BagChunk,
    BagRecord,
    Rosbag1Container,
    pack,
    parts_of_chunk,
)

_HEADER_BYTES = 4096
"""Bytes of the first record, which is written again when the number of chunks is known."""


@dataclass(slots=True)
class _ChunkIndex:
    """Where a chunk lies, and the time (as it is stored) and offset of each message, by connection."""

    position: int
    entries: dict[int, list[tuple[int, bytes, int]]] = field(default_factory=dict)

    def add(self, record: BagRecord, offset: int) -> None:
        """Note a message, which lies at `offset` of the chunk."""
        self.entries.setdefault(record.number("conn"), []).append((record.time, record.fields["time"], offset))

    def records(self) -> bytes:
        """Return the records of the index, one for each connection."""
        parts = []
        for connection, entries in self.entries.items():
            data = b"".join(time + struct.pack("<I", offset) for _, time, offset in entries)
            head = {"ver": _number(1), "conn": _number(connection), "count": _number(len(entries))}
            parts.append(_record(INDEX, head, data))
        return b"".join(parts)

    def info(self) -> bytes:
        """Return the record of the chunk at the end of the bag."""
        times = [entry[:2] for entries in self.entries.values() for entry in entries]
        empty = (0, bytes(8))
        head = {
            "ver": _number(1), "chunk_pos": struct.pack("<Q", self.position),
            "start_time": min(times, default=empty)[1], "end_time": max(times, default=empty)[1],
            "count": _number(len(self.entries)),
        }  # fmt: skip
        counts = (struct.pack("<II", connection, len(entries)) for connection, entries in self.entries.items())
        return _record(CHUNK_INFO, head, b"".join(counts))


class Rosbag1Writer(LogWriter):
    """Writes a ROS 1 bag like the one that is read, in a `with` block; leaving it writes all."""

    def __init__(self, source: Rosbag1Container, target: Path) -> None:
        super().__init__(source, target)
        self._source = source
        self._chunks: list[_ChunkIndex] = []

    def _write(self) -> None:
        self._file = self._stack.enter_context(self._target.open("wb"))
        self._file.write(ROSBAG1_MAGIC + _bag_header(0, 0, 0))
        for chunk in self._source.chunks():
            self._write_chunk(chunk)
        position = self._file.tell()
        connections = [whole for number, whole in self._source.connections.items() if number in self._topics]
        self._file.write(b"".join((*connections, *(chunk.info() for chunk in self._chunks))))
        self._file.seek(len(ROSBAG1_MAGIC))
        self._file.write(_bag_header(position, len(connections), len(self._chunks)))

    def _write_chunk(self, chunk: BagChunk) -> None:
        """Write a chunk, with its packed bytes where nothing in it has changed, and its index."""
        index = _ChunkIndex(self._file.tell())
        parts, size, changed = [], 0, chunk.has_rest
        for part in parts_of_chunk(chunk.data):
            old = chunk.data[part.offset : part.end]
            new = self._part(part, old)
            changed = changed or new != old
            if part.kind == MESSAGE and new:
                index.add(part, size)
            parts.append(new)
            size += len(new)
        if not size:
            return
        data = b"".join(parts) if changed else chunk.data
        parts.clear()
        packed = pack(data, chunk.compression) if changed else chunk.packed
        head = {"compression": chunk.compression.encode(), "size": _number(len(data))}
        self._file.write(_record(CHUNK, head, packed) + index.records())
        self._chunks.append(index)

    def _part(self, part: BagRecord, old: bytes) -> bytes:
        """Return a record of a chunk as the result has it; empty where it does not."""
        if part.kind not in {MESSAGE, CONNECTION} or part.number("conn") not in self._topics:
            return b""
        if part.kind == CONNECTION:
            return old
        at = part.start - part.offset
        data = self._message(part.number("conn"), old[at:])
        return b"".join((old[: at - 4], _number(len(data)), data))


def _number(value: int) -> bytes:
    return struct.pack("<I", value)


def _record(kind: int, fields: dict[str, bytes], data: bytes) -> bytes:
    parts = [b"op=" + bytes([kind]), *(name.encode() + b"=" + value for name, value in fields.items())]
    head = b"".join(_number(len(part)) + part for part in parts)
    return b"".join((_number(len(head)), head, _number(len(data)), data))


def _bag_header(index_position: int, connections: int, chunks: int) -> bytes:
    """Return the first record, filled up with spaces."""
    fields = {
        "index_pos": struct.pack("<Q", index_position), "conn_count": _number(connections),
        "chunk_count": _number(chunks),
    }  # fmt: skip
    return _record(BAG_HEADER, fields, b" " * (_HEADER_BYTES - len(_record(BAG_HEADER, fields, b""))))
