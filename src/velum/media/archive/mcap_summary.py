"""The end of an MCAP file: the summary, by which readers find chunks, attachments and metadata, and the footer."""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from mcap.opcode import Opcode
from mcap.records import (
    AttachmentIndex,
    Channel,
    ChunkIndex,
    Footer,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from velum.media.archive.contents import MCAP_MAGIC
from velum.media.archive.mcap_records import encode


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
