"""MCAP files: topics with images, attachments and all else are members; chunks are gone through one by one.

Records come out as they went in, but for images. Chunks in which nothing has changed keep their packed bytes.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from mcap.opcode import Opcode

from velum.errors import BadInput
from velum.media.archive.log_container import LogContainer, LogWriter
from velum.media.archive.log_topics import Topic, shown_name
from velum.media.archive.mcap_records import Record, content, parts_of, records, unpack_chunk
from velum.media.archive.mcap_scan import AttachmentPart, McapScan, message_of
from velum.media.archive.member import Budget, Member

COPY_BYTES = 1 << 20


class McapContainer(LogContainer):
    """An MCAP file that is read, for a `with` block. Raises `BadInput` for a damaged one.

    With `recover`, everything before the first record that is not whole is taken.
    """

    def __init__(self, path: Path, budget: Budget, name: str, *, recover: bool = False) -> None:
        """Open `path`; messages call it `name`. The unpacked bytes count against `budget`."""
        super().__init__(path, budget, name, recover=recover)
        self.attachments: dict[int, AttachmentPart] = {}
        """By the number of the member."""
        self.metadata: dict[int, Record] = {}
        """By the number of the member."""

    def _open(self, stack: ExitStack) -> None:
        self.file = stack.enter_context(self._path.open("rb"))
        size = self._path.stat().st_size
        self.scan = McapScan(self.file, size, self._budget, self._name, recover=self._recover)

    @property
    def topics(self) -> Mapping[int, Topic]:
        """All topics, by the number of their channel."""
        return self.scan.topics

    @property
    def leftovers(self) -> tuple[str, ...]:
        """What the file holds that belongs to no record of a known kind, in words; a result has none of it."""
        return tuple(self.scan.leftovers)

    def writer(self, target: Path, metadata: frozenset[str]) -> LogWriter:  # noqa: ARG002 - times of logs always stay
        """Return a writer of a log like this one to `target`."""
        from velum.media.archive.mcap_writer import McapWriter  # noqa: PLC0415  # it needs this module

        return McapWriter(self, target)

    def _other_members(self, first: int) -> list[Member]:
        members = []
        for number, part in enumerate(self.scan.attachments, first):
            self.attachments[number] = part
            members.append(Member(f"attachments/{shown_name(part.entry.name)}", part.entry.data_size, number))
        for number, (record, name, kind) in enumerate(self.scan.metadata, first + len(members)):
            self.metadata[number] = record
            members.append(Member(f"metadata/{shown_name(name)}", record.size, number, content=kind))
        return members

    def _unpack_other(self, member: Member, target: Path) -> None:
        part = self.attachments[member.number]
        with target.open("wb") as file:
            for block in self.blocks(part.start, part.entry.data_size):
                file.write(block)

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
