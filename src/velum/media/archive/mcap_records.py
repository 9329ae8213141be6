"""Records of MCAP files (https://mcap.dev/spec), read one by one: no more than one chunk is in memory."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.exceptions import McapError

from velum.errors import BadInput
from velum.media.archive.contents import MCAP_MAGIC

MOST_RECORD = 256 << 20
"""Largest chunk, packed or unpacked, and largest message or other record, in bytes. Attachments may be larger."""

COMPRESSIONS = ("", "lz4", "zstd")
HEAD_BYTES = 9
"""Bytes before the content of a record: its kind and its length."""

_CHUNK_HEAD_BYTES = 32
_MESSAGE_HEAD_BYTES = 22


class CutOff(Exception):
    """The file ends, or is damaged, at `offset`, where the record that is no longer whole begins."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset


class Record(NamedTuple):
    """Where a record lies: the offset of its kind, and the length of its content."""

    opcode: int
    offset: int
    size: int

    @property
    def start(self) -> int:
        """Offset of its content."""
        return self.offset + HEAD_BYTES

    @property
    def end(self) -> int:
        """Offset behind it."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class UnpackedChunk:
    """A chunk: its records unpacked, and packed as they are in the file."""

    compression: str
    start_time: int
    end_time: int
    crc: int
    data: bytes = field(repr=False)
    packed: bytes = field(repr=False)
    has_rest: bool
    """Whether the file has bytes in it that belong to no record."""


class MessageHead(NamedTuple):
    """The fields of a message before its data."""

    channel: int
    sequence: int
    log_time: int
    publish_time: int


def records(file: BinaryIO, size: int, start: int = len(MCAP_MAGIC)) -> Iterator[Record]:
    """Yield the records of a file of `size` bytes from `start` on. Raises `CutOff` where one is not whole."""
    offset = start
    while offset < size:
        file.seek(offset)
        head = file.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES:
            raise CutOff(offset, "it ends in the middle of a record")
        record = Record(head[0], offset, int.from_bytes(head[1:], "little"))
        if record.opcode == 0:
            raise CutOff(offset, "it has a record of no kind")
        if record.end > size:
            raise CutOff(offset, "it ends in the middle of a record")
        yield record
        offset = record.end


def content(file: BinaryIO, record: Record) -> bytes:
    """Return the content of a record. Raises `BadInput` for one of more than `MOST_RECORD` bytes."""
    if record.size > MOST_RECORD:
        raise BadInput(f"a record of it has {record.size} bytes; velum reads up to {MOST_RECORD}")
    file.seek(record.start)
    return file.read(record.size)


def decode(kind: Any, data: bytes) -> Any:
    """Return a record of the library `mcap` from its content. Raises `BadInput` for a damaged one."""
    try:
        return kind.read(ReadDataStream(BytesIO(data)))
    except (McapError, ValueError, OverflowError, struct.error) as error:
        raise BadInput(f"a {kind.__name__} record of it is damaged: {str(error) or type(error).__name__}") from error


def encode(record: Any) -> bytes:
    """Return the bytes of a record of the library `mcap`, with its kind and its length."""
    builder: Any = RecordBuilder()
    record.write(builder)
    data: bytes = builder.end()
    return data


def unpack_chunk(data: bytes) -> UnpackedChunk:
    """Return the chunk of a record's content. Raises `BadInput` for a damaged one, and for one that is too large."""
    if len(data) < _CHUNK_HEAD_BYTES:
        raise BadInput("a chunk of it is damaged: it has no head")
    start_time, end_time, size, crc, name_size = struct.unpack_from("<QQQII", data)
    name_end = _CHUNK_HEAD_BYTES + name_size
    compression = data[_CHUNK_HEAD_BYTES:name_end].decode("utf-8", "replace")
    packed_size = int.from_bytes(data[name_end : name_end + 8], "little")
    packed = data[name_end + 8 : name_end + 8 + packed_size]
    if compression not in COMPRESSIONS:
        raise BadInput(f"a chunk of it is packed by {compression!r}; allowed are lz4, zstd and none")
    if size > MOST_RECORD:
        raise BadInput(f"a chunk of it has {size} bytes unpacked; velum reads up to {MOST_RECORD}")
    if len(packed) < packed_size:
        raise BadInput("a chunk of it is damaged: it is shorter than it says")
    unpacked, has_rest = _unpack(packed, compression, size)
    if len(unpacked) != size or (crc and zlib.crc32(unpacked) != crc):
        raise BadInput("a chunk of it is damaged: its bytes do not have the length or the checksum that it states")
    has_rest = has_rest or name_end + 8 + packed_size < len(data)
    return UnpackedChunk(compression, start_time, end_time, crc, unpacked, packed, has_rest)


def _unpack(packed: bytes, compression: str, size: int) -> tuple[bytes, bool]:
    """Return unpacked bytes, of which there are no more than `size` and one, and whether others follow them."""
    try:
        if compression == "zstd":
            stated = zstandard.get_frame_parameters(packed).content_size
            if stated not in {size, zstandard.CONTENTSIZE_UNKNOWN}:
                raise BadInput("a chunk of it is damaged: it states two lengths")
            decompressor = zstandard.ZstdDecompressor()
            try:
                return decompressor.decompress(packed, max_output_size=size, allow_extra_data=False), False
            except zstandard.ZstdError:
                return decompressor.decompress(packed, max_output_size=size), True
        if compression == "lz4":
            frame = lz4.frame.LZ4FrameDecompressor()
            unpacked: bytes = frame.decompress(packed, max_length=size + 1)
            return unpacked, bool(frame.unused_data)
    except (zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise BadInput(f"a chunk of it is damaged: {str(error)[:200]}") from error
    return packed, False


def pack(data: bytes, compression: str) -> bytes:
    """Return the bytes of a chunk, packed."""
    if compression == "zstd":
        return zstandard.compress(data)
    if compression == "lz4":
        packed: bytes = lz4.frame.compress(data)
        return packed
    return data


def parts_of(data: bytes) -> Iterator[Record]:
    """Yield the records of an unpacked chunk, with offsets in it. Raises `BadInput` for a damaged one."""
    offset = 0
    while offset < len(data):
        size = int.from_bytes(data[offset + 1 : offset + HEAD_BYTES], "little")
        record = Record(data[offset], offset, size)
        if record.end > len(data):
            raise BadInput("a chunk of it is damaged: it ends in the middle of a record")
        yield record
        offset = record.end


def message_head(data: bytes, start: int, end: int) -> tuple[MessageHead, int]:
    """Return the head of a message whose content lies from `start` to `end`, and where its data begins."""
    if end - start < _MESSAGE_HEAD_BYTES:
        raise BadInput("a message of it is damaged: it has no head")
    return MessageHead(*struct.unpack_from("<HIQQ", data, start)), start + _MESSAGE_HEAD_BYTES
