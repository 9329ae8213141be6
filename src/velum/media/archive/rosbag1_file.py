"""ROS 1 bags, format 2.0 (https://wiki.ros.org/Bags/Format/2.0): chunks are gone through one by one."""

import bz2
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import lz4.frame

from velum.errors import BadInput
from velum.media.archive.contents import HEAD_BYTES, ROSBAG1_MAGIC, why_drawn
from velum.media.archive.log_container import LogContainer, LogWriter
from velum.media.archive.log_topics import Topic
from velum.media.archive.mcap_records import MOST_RECORD, CutOff
from velum.media.archive.member import Budget

MESSAGE, BAG_HEADER, INDEX, CHUNK, CHUNK_INFO, CONNECTION = 2, 3, 4, 5, 6, 7
"""Kinds of records."""

MOST_HEADER = 1 << 20
"""Largest header of a record, in bytes."""

_NUMBER = struct.Struct("<I")
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BagRecord:
    """One record: its kind, the fields of its header, and where its header, its data and its end lie."""

    kind: int
    fields: Mapping[str, bytes] = field(repr=False)
    offset: int
    start: int
    """Offset of its data."""
    end: int

    def number(self, name: str, size: int = 4) -> int:
        """Return a field as a whole number. Raises `BadInput` where there is none."""
        value = self.fields.get(name, b"")
        if len(value) != size:
            raise BadInput(f"a record of it is damaged: it has no field {name} of {size} bytes")
        return int.from_bytes(value, "little")

    @property
    def time(self) -> int:
        """The time of a message, in nanoseconds."""
        value = self.number("time", 8)
        return (value & 0xFFFFFFFF) * _NANOSECONDS + (value >> 32)


@dataclass(frozen=True, slots=True)
class BagChunk:
    """A chunk: its records unpacked, and packed as they are in the file."""

    compression: str
    data: bytes = field(repr=False)
    packed: bytes = field(repr=False)
    has_rest: bool
    """Whether the file has bytes in it that belong to no record."""


def fields_of(data: bytes) -> dict[str, bytes]:
    """Return the fields of a header. Raises `BadInput` for a damaged one."""
    fields, at = {}, 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        name, mark, value = data[at + 4 : at + 4 + size].partition(b"=")
        if not mark or at + 4 + size > len(data):
            raise BadInput("a record of it is damaged: its header has a field without a name")
        fields[name.decode("utf-8", "replace")] = value
        at += 4 + size
    return fields


def records_of(read: Callable[[int, int], bytes], size: int, start: int) -> Iterator[BagRecord]:
    """Yield the records from `start` on, by a function that reads (offset, length). Raises `CutOff`, and `BadInput`."""
    offset = start
    while offset < size:
        head_size = int.from_bytes(read(offset, 4), "little")
        if head_size > MOST_HEADER:
            raise CutOff(offset, "it has a record of no kind")
        data_start = offset + 4 + head_size + 4
        if data_start > size:
            raise CutOff(offset, "it ends in the middle of a record")
        fields = fields_of(read(offset + 4, head_size))
        end = data_start + int.from_bytes(read(data_start - 4, 4), "little")
        if end > size:
            raise CutOff(offset, "it ends in the middle of a record")
        yield BagRecord(int.from_bytes(fields.get("op", b"\0"), "little"), fields, offset, data_start, end)
        offset = end


def parts_of_chunk(data: bytes) -> Iterator[BagRecord]:
    """Yield the records of an unpacked chunk, with offsets in it. Raises `BadInput` for a damaged one."""
    try:
        yield from records_of(lambda at, size: data[at : at + size], len(data), 0)
    except CutOff as error:
        raise BadInput(f"a chunk of it is damaged: {error}") from error


class Rosbag1Container(LogContainer):
    """A ROS 1 bag that is read, for a `with` block. Raises `BadInput` for a damaged one.

    With `recover`, everything before the first record that is not whole is taken.
    """

    def __init__(self, path: Path, budget: Budget, name: str, *, recover: bool = False) -> None:
        """Open `path`; messages call it `name`. The unpacked bytes count against `budget`."""
        super().__init__(path, budget, name, recover=recover)
        self._found: dict[int, Topic] = {}
        self._left: dict[str, None] = {}
        self.connections: dict[int, bytes] = {}
        """The whole record of each connection, by its number."""
        self.header: BagRecord | None = None

    @property
    def topics(self) -> Mapping[int, Topic]:
        """All topics, by the numbers of their connections."""
        return self._found

    @property
    def leftovers(self) -> tuple[str, ...]:
        """What the file holds that belongs to no record of a known kind, in words; a result has none of it."""
        return tuple(self._left)

    def writer(self, target: Path, metadata: frozenset[str]) -> LogWriter:  # noqa: ARG002 - times of logs always stay
        """Return a writer of a log like this one to `target`."""
        from velum.media.archive.rosbag1_writer import Rosbag1Writer  # noqa: PLC0415  # it needs this module

        return Rosbag1Writer(self, target)

    def chunks(self) -> Iterator[BagChunk]:
        """Yield all chunks, in the order of the file."""
        for record in records_of(self._read, self._end, len(ROSBAG1_MAGIC)):
            if record.kind == CHUNK:
                yield self._unpack_chunk(record)

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield the number of the connection, log time and data of each message, in the order of the file."""
        for chunk in self.chunks():
            for part in parts_of_chunk(chunk.data):
                if part.kind == MESSAGE:
                    yield part.number("conn"), part.time, chunk.data[part.start : part.end]

    def _open(self, stack: ExitStack) -> None:
        self._file: BinaryIO = stack.enter_context(self._path.open("rb"))
        self._size = self._end = self._path.stat().st_size
        self._at = len(ROSBAG1_MAGIC)
        try:
            self._scan_all()
        except CutOff as error:
            self._cut_off(error.offset, str(error))
        except BadInput as error:
            if not self._recover:
                raise
            self._cut_off(self._at, str(error))

    def _scan_all(self) -> None:
        """Read all records. Raises `CutOff` where the file does not have all that its header states, and `BadInput`."""
        chunks = 0
        for record in records_of(self._read, self._size, self._at):
            self._at = record.offset
            chunks += record.kind == CHUNK
            self._scan(record)
        if self.header is None or not self.header.number("index_pos", 8):
            raise CutOff(self._size, "it has no index")
        if self.header.number("chunk_count") != chunks:
            raise CutOff(self._size, f"it has {chunks} of {self.header.number('chunk_count')} chunks")

    def _cut_off(self, offset: int, reason: str) -> None:
        if not self._recover:
            raise BadInput(
                f"{reason}: the recorder was stopped, or the file was not copied to its end. "
                "Take over what is whole of it (on_damage = cover)"
            )
        self._end = offset
        lost = f"the last {self._size - offset} bytes, from offset {offset} on, and an index: {reason}"
        self._left[f"{lost}. The recording is longer than the result"] = None

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)

    def _scan(self, record: BagRecord) -> None:
        match record.kind:
            case kind if kind == BAG_HEADER:
                if record.fields.get("encryptor"):
                    raise BadInput("it is encrypted; decrypt it first")
                self.header = record
                if self._read(record.start, record.end - record.start).strip(b" \0"):
                    self._left["bytes behind its header"] = None
            case kind if kind == CHUNK:
                self._scan_chunk(record)
            case kind if kind == CONNECTION:
                self._connect(record, self._read(record.offset, min(record.end - record.offset, MOST_RECORD)))
            case kind if kind not in {INDEX, CHUNK_INFO}:
                self._left["records of unknown kinds"] = None

    def _scan_chunk(self, record: BagRecord) -> None:
        chunk = self._unpack_chunk(record)
        self._budget.reader(self._name, record.end - record.start).count(len(chunk.data))
        if chunk.has_rest:
            self._left["bytes behind chunks"] = None
        parts = list(parts_of_chunk(chunk.data))
        for part in parts:
            if part.kind == CONNECTION:
                self._connect(part, chunk.data[part.offset : part.end])
            elif part.kind != MESSAGE:
                self._left["records of unknown kinds"] = None
        messages = [(part, part.number("conn"), part.time) for part in parts if part.kind == MESSAGE]
        for part, connection, _ in messages:  # all of them before the first is counted: a damaged chunk does not count
            if connection not in self._found or part.fields.keys() != {"op", "conn", "time"}:
                raise BadInput(f"a message of it is of connection {connection}, which it does not have, or is damaged")
        for part, connection, time in messages:
            self._found[connection].count(chunk.data[part.start : part.end], time)

    def _unpack_chunk(self, record: BagRecord) -> BagChunk:
        compression = record.fields.get("compression", b"").decode("utf-8", "replace")
        size, packed_size = record.number("size"), record.end - record.start
        if max(size, packed_size) > MOST_RECORD:
            raise BadInput(f"a chunk of it has {size} bytes unpacked; velum reads up to {MOST_RECORD}")
        packed = self._read(record.start, packed_size)
        unpacked, has_rest = _unpack(packed, compression, size)
        if len(unpacked) != size:
            raise BadInput("a chunk of it is damaged: its bytes do not have the length that it states")
        return BagChunk(compression, unpacked, packed, has_rest)

    def _connect(self, record: BagRecord, whole: bytes) -> None:
        """Take note of a connection, which comes twice: in a chunk, and at the end."""
        number = record.number("conn")
        if self.connections.setdefault(number, whole) != whole:
            raise BadInput(f"it has two connections with the number {number}")
        if number in self._found:
            return
        self._budget.count_members(1, self._name)
        values = fields_of(whole[record.start - record.offset :])
        for value in (*values.values(), *record.fields.values()):
            if reason := why_drawn(value, value[:HEAD_BYTES]):
                raise BadInput(f"connection {number} holds {reason}")
        name = record.fields.get("topic", b"").decode("utf-8", "replace")
        kind = values.get("type", b"").decode("utf-8", "replace")
        self._found[number] = Topic(name, kind, "ros1", values.get("message_definition", b""), "ros1msg")


def _unpack(packed: bytes, compression: str, size: int) -> tuple[bytes, bool]:
    """Return unpacked bytes, of which there are no more than `size` and one, and whether others follow them."""
    try:
        if compression == "bz2":
            stream = bz2.BZ2Decompressor()
            return stream.decompress(packed, size + 1), bool(stream.unused_data)
        if compression == "lz4":
            frame = lz4.frame.LZ4FrameDecompressor()
            unpacked: bytes = frame.decompress(packed, max_length=size + 1)
            return unpacked, bool(frame.unused_data)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise BadInput(f"a chunk of it is damaged: {str(error)[:200]}") from error
    if compression != "none":
        raise BadInput(f"a chunk of it is packed by {compression!r}; allowed are bz2, lz4 and none")
    return packed, False


def pack(data: bytes, compression: str) -> bytes:
    """Return the bytes of a chunk, packed as ROS 1 reads them."""
    if compression == "bz2":
        return bz2.compress(data)
    if compression == "lz4":  # ROS 1 reads frames of independent blocks without a length
        packed: bytes = lz4.frame.compress(data, block_linked=False, content_checksum=True, store_size=False)
        return packed
    return data
