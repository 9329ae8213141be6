"""Writer of MCAP files: the records of the source with other images, and indexes, statistics and a summary anew."""

import struct
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Header,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
)

from velum.atomic import folder_next_to
from velum.media.archive.contents import MCAP_MAGIC
from velum.media.archive.log_messages import splice
from velum.media.archive.log_topics import Topic
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
from velum.media.archive.mcap_summary import McapSummary
from velum.media.archive.member import Member
from velum.media.sequence_file import SequenceFile

if TYPE_CHECKING:
    from velum.media.archive.mcap_file import McapContainer
    from velum.media.archive.mcap_scan import AttachmentPart


@dataclass(slots=True)
class _NewImages:
    """The images of a topic that take the place of those of the source, and the number of messages so far."""

    topic: Topic
    images: SequenceFile
    places: list[int]
    messages: int = 0

    def message(self, data: bytes) -> bytes:
        """Return the next message of the topic, with its new image."""
        part = self.topic.find(data)
        image = self.images.image(self.places[self.messages])
        self.messages += 1
        return splice(data, part, image)


class McapWriter:
    """Writes an MCAP file like the one that is read, in a `with` block; leaving it writes all.

    Members that it was not given are left out, and with them channels and schemas that nothing uses.
    """

    def __init__(self, source: "McapContainer", target: Path) -> None:
        self._source, self._target = source, target
        self._stack = ExitStack()
        self._kept: set[int] = set()
        """Numbers of the members that the result has."""
        self._files: dict[int, Path] = {}
        """Files with the new bytes of members, by their numbers."""
        self._new_images: dict[int, _NewImages] = {}
        self._summary = McapSummary()
        self._data_crc = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = stack.enter_context(folder_next_to(self._target))
            self._file = stack.enter_context(self._target.open("wb"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is None:
                self._write()

    def copy(self, member: Member, file: Path) -> None:  # noqa: ARG002 - other containers need it
        """Write a member as it is."""
        self._kept.add(member.number)

    def replace(self, member: Member, file: Path, *, hidden: bool) -> None:  # noqa: ARG002 - PDFs need it
        """Write a member with the images of a sequence, or with the bytes of `file`, which is moved."""
        self._kept.add(member.number)
        self._files[member.number] = file.rename(self._folder / str(member.number))

    def _write(self) -> None:
        source = self._source
        channels, attachments, metadata = self._kept_records()
        self._channels = channels
        self._schemas = {source.scan.channels[channel].schema_id for channel in channels}
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

    def _kept_records(self) -> tuple[set[int], dict[int, tuple["AttachmentPart", Path | None]], set[int]]:
        """Return the channels, attachments and metadata records of the result; open the new images of channels."""
        source, channels, metadata = self._source, set[int](), set[int]()
        attachments: dict[int, tuple[AttachmentPart, Path | None]] = {}
        for member in source.members():
            if member.number not in self._kept:
                continue
            item, file = source.item(member), self._files.get(member.number)
            if item.channel is not None:
                channels.add(item.channel)
                if file is not None:
                    topic = source.scan.topics[item.channel]
                    images = self._stack.enter_context(SequenceFile(file))
                    self._new_images[item.channel] = _NewImages(topic, images, topic.order())
            elif item.attachment is not None:
                attachments[item.attachment.record.offset] = item.attachment, file
            elif item.metadata is not None:
                metadata.add(item.metadata.offset)
        return channels, attachments, metadata

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
            if channel.id not in self._channels:
                return b"", None
            summary.channels[channel.id] = channel
            return encode(channel), None
        if opcode != Opcode.MESSAGE:
            return b"", None
        head, at = message_head(data, 0, len(data))
        if head.channel not in self._channels:
            return b"", None
        new, body = self._new_images.get(head.channel), data[at:]
        body = body if new is None else new.message(body)
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
