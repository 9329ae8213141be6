"""MCAP files: topics with images, attachments and all else are members; chunks are gone through one by one.

Records come out as they went in, but for images. Chunks in which nothing has changed keep their packed bytes.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mcap.opcode import Opcode

from velum.errors import BadInput
from velum.media.archive.log_topics import unique_names
from velum.media.archive.mcap_records import (
    Record,
    content,
    parts_of,
    records,
    unpack_chunk,
)
from velum.media.archive.mcap_scan import AttachmentPart, McapScan, message_of
from velum.media.archive.member import Budget, Member
from velum.media.sequence_file import SequenceBuilder

COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Item:
    """A member: a channel by its id, an attachment, or a metadata record; exactly one of them."""

    member: Member
    channel: int | None = None
    attachment: AttachmentPart | None = None
    metadata: Record | None = None


class McapContainer:
    """An MCAP file that is read, for a `with` block. Raises `BadInput` for a damaged one.

    With `recover`, everything before the first record that is not whole is taken.
    """

    has_text = False

    def __init__(self, path: Path, budget: Budget, name: str, *, recover: bool = False) -> None:
        """Open `path`; messages call it `name`. The unpacked bytes count against `budget`."""
        self._path, self._budget, self._name, self._recover = path, budget, name, recover
        self._stack = ExitStack()
        self._items: list[_Item] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.file = stack.enter_context(self._path.open("rb"))
            size = self._path.stat().st_size
            try:
                self.scan = McapScan(self.file, size, self._budget, self._name, recover=self._recover)
            except BadInput as error:
                raise BadInput(f"cannot read {self._name}: {error}") from error
            self._list_members()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all members, in their order."""
        return tuple(item.member.name for item in self._items)

    @property
    def leftovers(self) -> tuple[str, ...]:
        """What the file holds that belongs to no record of a known kind, in words; a result has none of it."""
        return tuple(self.scan.leftovers)

    def members(self) -> Iterator[Member]:
        """Yield all topics, then attachments and metadata records."""
        yield from (item.member for item in self._items)

    def item(self, member: Member) -> _Item:
        """Return where the records of a member are."""
        return self._items[member.number]

    def unpack(self, member: Member, target: Path) -> None:
        """Write the images of a topic as a sequence, or the data of an attachment. Raises `BadInput`."""
        item = self.item(member)
        if item.channel is not None:
            self._unpack_topic(item.channel, target)
        elif item.attachment is not None:
            with target.open("wb") as file:
                for block in self.blocks(item.attachment.start, item.attachment.entry.data_size):
                    file.write(block)
        else:
            raise BadInput("a metadata record is not unpacked")

    def writer(self, target: Path, metadata: frozenset[str]) -> Any:  # noqa: ARG002 - times of logs always stay
        """Return a writer of a log like this one to `target`."""
        from velum.media.archive.mcap_writer import McapWriter  # noqa: PLC0415  # it needs this module

        return McapWriter(self, target)

    def data_records(self) -> Iterator[Record]:
        """Yield the records up to the end of the data, each of a known kind. Raises `CutOff` and `BadInput`."""
        for record in records(self.file, self.scan.end):
            if record.opcode in {Opcode.DATA_END, Opcode.FOOTER}:
                return
            yield record

    def content(self, record: Record) -> bytes:
        """Return the content of a record of the file."""
        return content(self.file, record)

    def blocks(self, start: int, size: int) -> Iterator[bytes]:
        """Yield the bytes from `start` on, block by block."""
        while size:
            self.file.seek(start)
            block = self.file.read(min(COPY_BYTES, size))
            if not block:
                raise BadInput("it is cut off")
            yield block
            start, size = start + len(block), size - len(block)

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield channel, log time and data of each message, in the order of the file."""
        for record in self.data_records():
            if record.opcode == Opcode.MESSAGE:
                yield message_of(self.content(record))
            elif record.opcode == Opcode.CHUNK:
                data = unpack_chunk(self.content(record)).data
                for part in parts_of(data):
                    if part.opcode == Opcode.MESSAGE:
                        yield message_of(data, part)

    def _unpack_topic(self, channel: int, target: Path) -> None:
        topic, number = self.scan.topics[channel], 0
        with SequenceBuilder(target) as sequence:
            for message_channel, time, data in self.messages():
                if message_channel != channel:
                    continue
                number += 1
                try:
                    part = topic.find(data)
                except BadInput as error:
                    raise BadInput(f"message {number}, logged at {time} ns, cannot be read: {error}") from error
                sequence.add(time, data[part.start : part.end], part.layout)

    def _list_members(self) -> None:
        items = self._items
        for (channel, topic), name in zip(
            self.scan.topics.items(), unique_names(list(self.scan.topics.values())), strict=True
        ):
            member = Member(name, 0, len(items), content=topic.content, details=topic.details)
            items.append(_Item(member, channel=channel))
        for part in self.scan.attachments:
            name = f"attachments/{part.entry.name}"
            items.append(_Item(Member(name, part.entry.data_size, len(items)), attachment=part))
        for record, name, kind in self.scan.metadata:
            items.append(_Item(Member(f"metadata/{name}", record.size, len(items), content=kind), metadata=record))
