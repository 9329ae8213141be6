"""Writer of MCAP files: the records of the source with other images, and indexes, statistics and a summary anew."""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mcap.opcode import Opcode
from mcap.records import (
    AttachmentIndex,
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from velum.media.archive.contents import MCAP_MAGIC
from velum.media.archive.log_container import LogWriter
from velum.media.archive.mcap_records import (
    HEAD_BYTES,
    UnpackedChunk,
    decode,
    encode,
    message_head,
    pack,
    parts_of,
    unpack_chunk,
)

if TYPE_CHECKING:
    from velum.media.archive.mcap_file import McapContainer
    from velum.media.archive.mcap_scan import AttachmentPart


@dataclass(slots=True)
class McapSummary:
    """What the summary of the result says, as it grows."""

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[ChunkIndex] = field(default_factory=list)
    attachments: list[AttachmentIndex] = field(default_factory=list)
    metadata: list[MetadataIndex] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    first_time: int | None = None
    last_time: int = 0

    def count(self, channel: int, time: int) -> None:
        """Count a message."""
        self.counts[channel] = self.counts.get(channel, 0) + 1
        self.first_time = time if self.first_time is None else min(self.first_time, time)
        self.last_time = max(self.last_time, time)

    @property
    def statistics(self) -> Statistics:
        """The record of statistics."""
        return Statistics(
            attachment_count=len(self.attachments), channel_count=len(self.channels),
            channel_message_counts=self.counts, chunk_count=len(self.chunks), message_count=sum(self.counts.values()),
            message_end_time=self.last_time, message_start_time=self.first_time or 0,
            metadata_count=len(self.metadata), schema_count=len(self.schemas),
        )  # fmt: skip

    def write(self, file: BinaryIO) -> None:
        """Write the summary, the offsets of its groups, and the footer with a checksum of both."""
        start = file.tell()
        groups: list[tuple[Opcode, Iterable[Any]]] = [
            (Opcode.SCHEMA, self.schemas.values()), (Opcode.CHANNEL, self.channels.values()),
            (Opcode.STATISTICS, [self.statistics]), (Opcode.CHUNK_INDEX, self.chunks),
            (Opcode.ATTACHMENT_INDEX, self.attachments), (Opcode.METADATA_INDEX, self.metadata),
        ]  # fmt: skip
        crc, offsets = 0, []
        for opcode, values in groups:
            group_start = file.tell()
            for value in values:
                data = encode(value)
                crc = zlib.crc32(data, crc)
                file.write(data)
            if length := file.tell() - group_start:
                offsets.append(encode(SummaryOffset(opcode, group_start, length)))
        offset_start = file.tell()
        data = b"".join(offsets)
        file.write(data)
        head = struct.pack("<BQQQ", Opcode.FOOTER, 20, start, offset_start)
        file.write(encode(Footer(start, offset_start, zlib.crc32(head, zlib.crc32(data, crc)))))
        file.write(MCAP_MAGIC)


class McapWriter(LogWriter):
    """Writes an MCAP file like the one that is read, in a `with` block; leaving it writes all.

    Members that it was not given are left out, and with them channels and schemas that nothing uses.
    """

    def __init__(self, source: "McapContainer", target: Path) -> None:
        super().__init__(source, target)
        self._source = source
        self._summary = McapSummary()
        self._data_crc = 0

    def _write(self) -> None:
        source = self._source
        self._schemas = {source.scan.channels[channel].schema_id for channel in self._topics}
        attachments = {
            part.record.offset: (part, self._files.get(number))
            for number, part in source.attachments.items()
            if number in self._kept
        }
        metadata = {record.offset for number, record in source.metadata.items() if number in self._kept}
        self._file = self._stack.enter_context(self._target.open("wb"))
        self._put(MCAP_MAGIC)
        for record in source.data_records():
            match record.opcode:
                case Opcode.HEADER:
                    self._put(encode(decode(Header, source.content(record))))
                case Opcode.CHUNK:
                    self._write_chunk(unpack_chunk(source.content(record)))
                case Opcode.SCHEMA | Opcode.CHANNEL | Opcode.MESSAGE:
                    data, heads = self._part(record.opcode, source.content(record))
                    self._count(heads)
                    self._put(data)
                case Opcode.ATTACHMENT if record.offset in attachments:
                    self._write_attachment(*attachments[record.offset])
                case Opcode.METADATA if record.offset in metadata:
                    known = decode(Metadata, source.content(record))
                    data, offset = encode(known), self._file.tell()
                    self._put(data)
                    self._summary.metadata.append(MetadataIndex(offset, len(data), known.name))
        self._file.write(encode(DataEnd(self._data_crc)))
        self._summary.write(self._file)

    def _write_chunk(self, chunk: UnpackedChunk) -> None:
        """Write a chunk, with its packed bytes where nothing in it has changed, and its index."""
        indexes: dict[int, MessageIndex] = {}
        parts: list[bytes] = []
        size, changed, times = 0, chunk.has_rest, []
        for part in parts_of(chunk.data):
            data, head = self._part(part.opcode, chunk.data[part.start : part.end])
            changed = changed or data != chunk.data[part.offset : part.end]
            if head is not None and data:
                index = indexes.setdefault(head[0], MessageIndex(head[0], []))
                index.records.append((head[1], size))
                times.append(head[1])
                self._count(head)
            parts.append(data)
            size += len(data)
        if not size:
            return
        data = chunk.data if not changed else b"".join(parts)
        parts.clear()
        packed = chunk.packed if not changed else pack(data, chunk.compression)
        record = Chunk(
            chunk.compression, packed, max(times, default=0), min(times, default=0),
            zlib.crc32(data) if chunk.crc or changed else 0, len(data),
        )  # fmt: skip
        self._write_indexed(record, indexes)

    def _write_indexed(self, chunk: Chunk, indexes: dict[int, MessageIndex]) -> None:
        start = self._file.tell()
        self._put(encode(chunk))
        end = self._file.tell()
        offsets = {}
        for channel, index in indexes.items():
            offsets[channel] = self._file.tell()
            self._put(encode(index))
        self._summary.chunks.append(
            ChunkIndex(
                chunk_length=end - start, chunk_start_offset=start, compression=chunk.compression,
                compressed_size=len(chunk.data), message_end_time=chunk.message_end_time,
                message_index_length=self._file.tell() - end, message_index_offsets=offsets,
                message_start_time=chunk.message_start_time, uncompressed_size=chunk.uncompressed_size,
            )
        )  # fmt: skip

    def _part(self, opcode: int, data: bytes) -> tuple[bytes, tuple[int, int] | None]:
        """Return a schema, channel or message as the result has it, empty where it does not.

        Of a message, also return its channel and log time.
        """
        summary = self._summary
        if opcode == Opcode.SCHEMA:
            schema = decode(Schema, data)
            if schema.id not in self._schemas:
                return b"", None
            summary.schemas[schema.id] = schema
            return encode(schema), None
        if opcode == Opcode.CHANNEL:
            channel = decode(Channel, data)
            if channel.id not in self._topics:
                return b"", None
            summary.channels[channel.id] = channel
            return encode(channel), None
        if opcode != Opcode.MESSAGE:
            return b"", None
        head, at = message_head(data, 0, len(data))
        if head.channel not in self._topics:
            return b"", None
        body = self._message(head.channel, data[at:])
        start = struct.pack("<BQ", Opcode.MESSAGE, at + len(body))
        return b"".join((start, data[:at], body)), (head.channel, head.log_time)

    def _count(self, head: tuple[int, int] | None) -> None:
        if head is not None:
            self._summary.count(*head)

    def _write_attachment(self, part: "AttachmentPart", file: Path | None) -> None:
        """Write an attachment with the data of `file`, or of the source."""
        source, offset, old_size = self._source, self._file.tell(), part.entry.data_size
        size = old_size if file is None else file.stat().st_size
        head = b"".join(source.blocks(part.record.start, part.start - 8 - part.record.start))
        content_size = len(head) + 8 + size + 4
        head += struct.pack("<Q", size)
        crc = zlib.crc32(head)
        self._put(struct.pack("<BQ", Opcode.ATTACHMENT, content_size) + head)
        blocks: Iterable[bytes] = source.blocks(part.start, old_size) if file is None else _blocks_of(file)
        for block in blocks:
            crc = zlib.crc32(block, crc)
            self._put(block)
        self._put(struct.pack("<I", crc))
        index = replace(part.entry, offset=offset, length=HEAD_BYTES + content_size, data_size=size)
        self._summary.attachments.append(index)

    def _put(self, data: bytes) -> None:
        """Write bytes of the data section, and take them into its checksum."""
        self._data_crc = zlib.crc32(data, self._data_crc)
        self._file.write(data)


def _blocks_of(file: Path) -> Iterable[bytes]:
    with file.open("rb") as data:
        while block := data.read(1 << 20):
            yield block
