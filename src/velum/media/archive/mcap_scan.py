"""One pass over an MCAP file: its topics, attachments and metadata records, and what is damaged in it."""

from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

from mcap.opcode import Opcode
from mcap.records import AttachmentIndex, Channel, Header, Metadata, Schema

from velum.errors import BadInput
from velum.media.archive.contents import HEAD_BYTES, MCAP_MAGIC, Content, why_drawn
from velum.media.archive.log_messages import holds_picture
from velum.media.archive.log_topics import Topic
from velum.media.archive.mcap_records import (
    CutOff,
    Record,
    content,
    decode,
    encode,
    message_head,
    parts_of,
    records,
    unpack_chunk,
)
from velum.media.archive.member import Budget

_IN_SUMMARY = frozenset({
    Opcode.SCHEMA, Opcode.CHANNEL, Opcode.STATISTICS, Opcode.CHUNK_INDEX, Opcode.ATTACHMENT_INDEX,
    Opcode.METADATA_INDEX, Opcode.SUMMARY_OFFSET,
})  # fmt: skip
_REBUILT = frozenset({Opcode.MESSAGE_INDEX, Opcode.STATISTICS, Opcode.CHUNK_INDEX})


class AttachmentPart(NamedTuple):
    """An attachment: its record, where its data lies, and the index entry for it (without its place)."""

    record: Record
    start: int
    entry: AttachmentIndex


class McapScan:
    """What one pass over a file finds. Making it reads the file; raises `BadInput` for a damaged one, `LimitExceeded`.

    With `recover`, everything before the first record that is not whole is taken.
    """

    def __init__(self, file: BinaryIO, size: int, budget: Budget, name: str, *, recover: bool) -> None:
        self._file, self._size, self._budget, self._name, self._recover = file, size, budget, name, recover
        self.schemas: dict[int, Schema] = {}
        self.channels: dict[int, Channel] = {}
        self.topics: dict[int, Topic] = {}
        self.attachments: list[AttachmentPart] = []
        self.metadata: list[tuple[Record, str, Content]] = []
        self.leftovers: dict[str, None] = {}
        """What belongs to no record of a known kind, in words."""
        self.end = size
        """Offset up to which the file is taken."""
        self._at = len(MCAP_MAGIC)
        self._scan()

    def _scan(self) -> None:
        """Read every record once: note what there is, and what is damaged. Raises `BadInput`."""
        self._file.seek(0)
        if self._file.read(len(MCAP_MAGIC)) != MCAP_MAGIC:
            raise BadInput("it is no MCAP file")
        try:
            self._scan_data()
        except CutOff as error:
            self._cut_off(error.offset, str(error))
        except BadInput as error:
            if not self._recover:
                raise
            self._cut_off(self._at, str(error))

    def _scan_data(self) -> None:
        """Read all records. Raises `CutOff` where the file does not end with a footer, and `BadInput`."""
        for record in records(self._file, self._size):
            self._at = record.offset
            if record.opcode == Opcode.DATA_END:
                self._scan_summary(record)
                return
            if record.opcode == Opcode.FOOTER:
                raise CutOff(record.offset, "it has a footer and no end of its data")
            self._scan_record(record)
        raise CutOff(self._size, "it has no footer")

    def _cut_off(self, offset: int, reason: str) -> None:
        if not self._recover:
            raise BadInput(
                f"{reason}: the recorder was stopped, or the file was not copied to its end. "
                "Take over what is whole of it (on_damage = cover)"
            )
        self.end = offset
        self.leftovers[
            f"the last {self._size - offset} bytes, from offset {offset} on, and a summary: {reason}. The recording is "
            "longer than the result"
        ] = None

    def _scan_record(self, record: Record) -> None:
        match record.opcode:
            case Opcode.CHUNK:
                self._scan_chunk(record)
            case Opcode.SCHEMA | Opcode.CHANNEL | Opcode.MESSAGE:
                self._scan_part(record.opcode, content(self._file, record))
            case Opcode.ATTACHMENT:
                self._scan_attachment(record)
            case Opcode.METADATA:
                data = content(self._file, record)
                metadata = self._decode_noting_rest(Metadata, data)
                self.metadata.append((record, metadata.name, _metadata_content(metadata)))
            case Opcode.HEADER:
                self._decode_noting_rest(Header, content(self._file, record))
            case opcode if opcode not in _REBUILT:
                self.leftovers["records of unknown kinds"] = None

    def _scan_chunk(self, record: Record) -> None:
        chunk = unpack_chunk(content(self._file, record))
        self._budget.reader(self._name, record.size).count(len(chunk.data))
        if chunk.has_rest:
            self.leftovers["bytes behind chunks"] = None
        parts = list(parts_of(chunk.data))
        for part in parts:
            if part.opcode != Opcode.MESSAGE:
                self._scan_part(part.opcode, chunk.data[part.start : part.end])
        messages = [part for part in parts if part.opcode == Opcode.MESSAGE]
        for part in messages:  # all of them before the first is counted: a damaged chunk does not count
            self._topic(message_head(chunk.data, part.start, part.end)[0].channel)
        for part in messages:
            self._count(*message_of(chunk.data, part))

    def _scan_part(self, opcode: int, data: bytes) -> None:
        if opcode == Opcode.SCHEMA:
            schema = self._decode_noting_rest(Schema, data)
            if self.schemas.setdefault(schema.id, schema) != schema or not schema.id:
                raise BadInput(f"it has two schemas with the number {schema.id}, or one with the number 0")
            if holds_picture(schema.data):
                raise BadInput(f"its schema {schema.name!r} holds a picture")
        elif opcode == Opcode.CHANNEL:
            self._add_channel(self._decode_noting_rest(Channel, data))
        elif opcode == Opcode.MESSAGE:
            self._count(*message_of(data))
        else:
            self.leftovers["records of unknown kinds"] = None

    def _decode_noting_rest(self, kind: Any, data: bytes) -> Any:
        """Return a record, and note where its content has more bytes than its fields."""
        record = decode(kind, data)
        if encode(record)[9:] != data:
            self.leftovers[f"bytes behind the fields of {kind.__name__} records"] = None
        return record

    def _add_channel(self, channel: Channel) -> None:
        if self.channels.setdefault(channel.id, channel) != channel:
            raise BadInput(f"it has two channels with the number {channel.id}")
        if channel.id in self.topics:
            return
        if reason := _why_drawn(channel.metadata):
            raise BadInput(f"the metadata of its channel {channel.topic!r} is {reason}")
        schema = self.schemas.get(channel.schema_id)
        if schema is None and channel.schema_id:
            raise BadInput(f"its channel {channel.topic!r} names schema {channel.schema_id}, which it does not have")
        self._budget.count_members(1, self._name)
        name, encoding, definition = (schema.name, schema.encoding, schema.data) if schema else ("", "", b"")
        self.topics[channel.id] = Topic(channel.topic, name, channel.message_encoding, definition, encoding)

    def _count(self, channel: int, time: int, data: bytes) -> None:
        self._topic(channel).count(data, time)

    def _topic(self, channel: int) -> Topic:
        if channel not in self.topics:
            raise BadInput(f"a message of it is of channel {channel}, which it does not have")
        return self.topics[channel]

    def _scan_attachment(self, record: Record) -> None:
        # Fields before the data: two times, then a name and a media type of 4 + n bytes each, then its length.
        self._file.seek(record.start)
        head = self._file.read(min(record.size, 1 << 16))
        at, texts = 16, []
        for _ in range(2):
            size = int.from_bytes(head[at : at + 4], "little")
            texts.append(head[at + 4 : at + 4 + size].decode("utf-8", "replace"))
            at += 4 + size
        size = int.from_bytes(head[at : at + 8], "little")
        if at + 8 > len(head) or at + 8 + size + 4 != record.size:
            raise BadInput("an attachment of it is damaged: it does not have the length that it states")
        log_time, create_time = (int.from_bytes(head[i : i + 8], "little") for i in (0, 8))
        self._budget.count_members(1, self._name)
        index = AttachmentIndex(0, 0, log_time, create_time, size, *texts)
        self.attachments.append(AttachmentPart(record, record.start + at + 8, index))

    def _scan_summary(self, end_of_data: Record) -> None:
        """Note what lies behind the data and is no summary. Raises `CutOff` where there is no footer."""
        for record in records(self._file, self._size - len(MCAP_MAGIC), end_of_data.end):
            if record.opcode == Opcode.FOOTER:
                self._file.seek(record.end)
                rest = self._file.read(len(MCAP_MAGIC) + 1)
                if rest[: len(MCAP_MAGIC)] != MCAP_MAGIC or self._size > record.end + len(MCAP_MAGIC):
                    self.leftovers["bytes behind its end"] = None
                return
            if record.opcode not in _IN_SUMMARY:
                self.leftovers["records of unknown kinds"] = None
        raise CutOff(end_of_data.end, "it has no footer")


def message_of(data: bytes, part: Record | None = None) -> tuple[int, int, bytes]:
    """Return channel, log time and data of a message; `part` says where it lies, None: from the first byte on."""
    start, end = (0, len(data)) if part is None else (part.start, part.end)
    head, at = message_head(data, start, end)
    return head.channel, head.log_time, data[at:end]


def _metadata_content(record: Metadata) -> Content:
    reason = _why_drawn(record.metadata)
    return Content("refused", reason) if reason else Content("inert")


def _why_drawn(metadata: Mapping[str, str]) -> str:
    """Say what picture the keys or the values of metadata hold; empty where there is none."""
    texts = (text.encode() for pair in metadata.items() for text in pair)
    return next((reason for text in texts if (reason := why_drawn(text, text[:HEAD_BYTES]))), "")
