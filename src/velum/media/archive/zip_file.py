"""ZIP archives: members are read by Python's zipfile; the result is written anew, with the packed bytes of the source.

Layout of headers: APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 (ZIP64).
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from velum.errors import BadInput, OutputFailed
from velum.media.archive.member import Budget, Member, why_unsafe

METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflate"}
"""Compression methods that are read and written."""

CHUNK = 1 << 20
_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
_LOCAL_SIZE, _MOST32, _MOST16 = 30, 0xFFFFFFFF, 0xFFFF
_ENCRYPTED, _DESCRIPTOR, _STRONG, _UTF8, _MASKED = 1, 8, 64, 1 << 11, 1 << 13
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date that a ZIP can hold: the one of members whose own is not kept."""

_UNICODE_NAME = 0x7075
_DATES = frozenset({0x000A, 0x5455})
"""Extra fields with times: of NTFS, and the extended ones of Unix."""


@dataclass(frozen=True, slots=True)
class _Packed:
    """Where the packed bytes of a member lie, the raw bytes of its name, and its place in the directory."""

    info: zipfile.ZipInfo
    name: bytes
    start: int
    order: int


class ZipContainer:
    """A ZIP archive that is read, for a `with` block. Raises `BadInput` for damaged and ambiguous ones."""

    has_text = True

    def __init__(self, path: Path, budget: Budget, name: str) -> None:
        """Open `path`; messages call it `name`. The unpacked bytes count against `budget`."""
        self._path, self._budget, self._name = path, budget, name
        self._stack = ExitStack()
        self.leftovers: tuple[str, ...] = ()
        """What the archive holds that belongs to no member, in words; a result has none of it."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                self._file = stack.enter_context(self._path.open("rb"))
                self._zip = stack.enter_context(zipfile.ZipFile(self._file))
            except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
                raise BadInput(f"cannot read {self._name}: it is no whole ZIP archive: {error}") from error
            self._packed = self._locate()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all members, in their order."""
        return tuple(packed.info.filename for packed in self._packed)

    def members(self) -> Iterator[Member]:
        """Yield all members, in the order in which they lie in the archive."""
        for number, packed in enumerate(self._packed):
            info = packed.info
            yield Member(info.filename, info.file_size, number, info.is_dir(), _why_refused(info))

    def unpack(self, member: Member, target: Path) -> None:
        """Write the bytes of a member to `target`. Raises `BadInput` when they are damaged, and `LimitExceeded`."""
        info = self._packed[member.number].info
        reader = self._budget.reader(f"{self._name}: {info.filename}", info.compress_size)
        try:
            with self._zip.open(info) as source, target.open("wb") as file:
                while chunk := source.read(CHUNK):
                    reader.count(len(chunk))
                    file.write(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise BadInput(f"it is damaged in its archive: {error}") from error

    def read(self, name: str) -> bytes:
        """Return the bytes of the first member of that name, at most 64 MiB. Raises as `unpack`."""
        info = next(packed.info for packed in self._packed if packed.info.filename == name)
        reader = self._budget.reader(f"{self._name}: {name}", info.compress_size)
        try:
            with self._zip.open(info) as source:
                data = source.read((64 << 20) + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise BadInput(f"cannot read {self._name}: {name} is damaged: {error}") from error
        reader.count(len(data))
        if len(data) > 64 << 20:
            raise BadInput(f"cannot read {self._name}: {name} has more than 64 MiB")
        return data

    def writer(self, target: Path, metadata: frozenset[str]) -> "ZipWriter":
        """Return a writer of an archive like this one to `target`."""
        return ZipWriter(self, target, metadata)

    def packed_bytes(self, member: Member) -> tuple[_Packed, Iterator[bytes]]:
        """Return where a member lies, and its packed bytes."""
        packed = self._packed[member.number]
        return packed, self._chunks(packed.start, packed.info.compress_size)

    def _chunks(self, start: int, size: int) -> Iterator[bytes]:
        self._file.seek(start)
        while size:
            chunk = self._file.read(min(CHUNK, size))
            if not chunk:
                raise BadInput(f"cannot read {self._name}: it is cut off")
            size -= len(chunk)
            yield chunk

    def _locate(self) -> tuple[_Packed, ...]:
        """Return all members in the order of their bytes. Raises `BadInput` where two of them share bytes."""
        infos = self._zip.infolist()
        self._budget.count_members(len(infos), self._name)
        packed, end, stray = [], 0, 0
        for order, info in sorted(enumerate(infos), key=lambda item: item[1].header_offset):
            if info.header_offset < end:
                raise BadInput(f"cannot read {self._name}: {info.filename!r} shares its bytes with another member")
            entry = self._local(info, order)
            stray += info.header_offset - end
            end = entry.start + info.compress_size + _descriptor_size(self._file, entry)
            packed.append(entry)
        stray += max(0, self._zip.start_dir - end)
        notes = [f"{stray} bytes that belong to no member"] if stray else []
        notes += ["a comment on the archive"] if self._zip.comment else []
        notes += ["comments on members"] if any(info.comment for info in infos) else []
        self.leftovers = tuple(notes)
        return tuple(packed)

    def _local(self, info: zipfile.ZipInfo, order: int) -> _Packed:
        """Return where a member lies. Raises `BadInput` where its own header does not say what the directory says."""
        self._file.seek(info.header_offset)
        head = self._file.read(_LOCAL_SIZE)
        if len(head) < _LOCAL_SIZE or not head.startswith(_LOCAL):
            raise BadInput(f"cannot read {self._name}: {info.filename!r} is not where the directory says")
        flags, method = struct.unpack_from("<HH", head, 6)
        name_size, extra_size = struct.unpack_from("<HH", head, 26)
        name = self._file.read(name_size)
        stated = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437", "replace")
        if name != stated or method != info.compress_type or (flags ^ info.flag_bits) & (_ENCRYPTED | _UTF8):
            raise BadInput(f"cannot read {self._name}: {info.filename!r} has two headers that contradict each other")
        return _Packed(info, name, info.header_offset + _LOCAL_SIZE + name_size + extra_size, order)


class ZipWriter:
    """Writes a ZIP archive, member by member, in a `with` block; leaving it writes the directory."""

    def __init__(self, source: ZipContainer, target: Path, metadata: frozenset[str]) -> None:
        self._source, self._target, self._dates = source, target, "datetime" in metadata
        self._directory: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        self._file: BinaryIO = self._target.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._finish()

    def copy(self, member: Member, file: Path) -> None:  # noqa: ARG002 - other archives need it
        """Write a member with the packed bytes of the source; `file` is where it was unpacked."""
        packed, chunks = self._source.packed_bytes(member)
        info = packed.info
        self._begin(packed, info.CRC, info.compress_size, info.file_size)
        for chunk in chunks:
            self._file.write(chunk)

    def replace(self, member: Member, file: Path, *, hidden: bool) -> None:  # noqa: ARG002 - pages of a PDF need it
        """Write a member with the bytes of `file`, compressed as the source's member is."""
        packed, _ = self._source.packed_bytes(member)
        start, crc, size = self._file.tell(), 0, 0
        # Sizes are known afterwards: the header is written twice, with the same length.
        large = file.stat().st_size >= _MOST32 - (64 << 20)
        header = self._begin(packed, 0, 0, 0, large=large)
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15) if packed.info.compress_type == zipfile.ZIP_DEFLATED else None
        data_start = self._file.tell()
        with file.open("rb") as data:
            while chunk := data.read(CHUNK):
                crc, size = zlib.crc32(chunk, crc), size + len(chunk)
                self._file.write(deflate.compress(chunk) if deflate else chunk)
        self._file.write(deflate.flush() if deflate else b"")
        end = self._file.tell()
        self._file.seek(start)
        if self._begin(packed, crc, end - data_start, size, large=large) != header:
            raise OutputFailed(f"cannot write {member.name}: its size changed while it was written")
        self._file.seek(end)

    def _begin(self, packed: _Packed, crc: int, packed_size: int, size: int, *, large: bool = False) -> int:
        """Write the header of a member, note its entry of the directory, and return the header's length."""
        info, offset = packed.info, self._file.tell()
        large = large or max(packed_size, size) >= _MOST32
        flags = info.flag_bits & ~_DESCRIPTOR
        fields = _kept_fields(info.extra, dates=self._dates)
        date = struct.pack("<HH", *_dos_date(info.date_time if self._dates else _EPOCH))
        sizes = (crc, *((_MOST32, _MOST32) if large else (packed_size, size)))
        middle = struct.pack("<HHH", 45 if large else 20, flags, info.compress_type) + date + struct.pack("<3I", *sizes)
        extra = (struct.pack("<HHQQ", 1, 16, size, packed_size) if large else b"") + fields
        header = _LOCAL + middle + struct.pack("<HH", len(packed.name), len(extra)) + packed.name + extra
        self._file.write(header)
        far = [value for value, is_far in ((size, large), (packed_size, large), (offset, offset >= _MOST32)) if is_far]
        extra = (struct.pack(f"<HH{len(far)}Q", 1, 8 * len(far), *far) if far else b"") + fields
        made_by = struct.pack("<BB", 45 if far else 20, info.create_system)
        tail = struct.pack(
            "<HHHHHII", len(packed.name), len(extra), 0, 0, info.internal_attr, info.external_attr, min(offset, _MOST32)
        )
        self._directory[packed.order] = _CENTRAL + made_by + middle + tail + packed.name + extra
        return len(header)

    def _finish(self) -> None:
        start, count = self._file.tell(), len(self._directory)
        for _, entry in sorted(self._directory.items()):
            self._file.write(entry)
        size = self._file.tell() - start
        if count >= _MOST16 or start >= _MOST32 or size >= _MOST32:
            at = self._file.tell()
            self._file.write(_END64 + struct.pack("<QBBBBIIQQQQ", 44, 45, 0, 45, 0, 0, 0, count, count, size, start))
            self._file.write(_LOCATOR64 + struct.pack("<IQI", 0, at, 1))
        number = min(count, _MOST16)
        self._file.write(
            _END + struct.pack("<HHHHIIH", 0, 0, number, number, min(size, _MOST32), min(start, _MOST32), 0)
        )


def _why_refused(info: zipfile.ZipInfo) -> str:
    """Return the reason why a member cannot be copied, whatever its content; empty where it can."""
    if info.flag_bits & (_ENCRYPTED | _STRONG | _MASKED):
        return "it is encrypted; decrypt it first"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "it is a link to another file"
    if info.compress_type not in METHODS:
        return (
            f"its compression method {info.compress_type} is not supported; allowed are {', '.join(METHODS.values())}"
        )
    name = _fields(info.extra).get(_UNICODE_NAME, b"")[5:].decode("utf-8", "replace")
    return why_unsafe(info.orig_filename) or (name and why_unsafe(name)) or ""


def _fields(extra: bytes) -> Mapping[int, bytes]:
    """Return the extra fields of a header by number; what follows a damaged one does not count."""
    fields, at = {}, 0
    while at + 4 <= len(extra):
        number, size = struct.unpack_from("<HH", extra, at)
        if at + 4 + size > len(extra):
            break
        fields[number] = extra[at + 4 : at + 4 + size]
        at += 4 + size
    return fields


def _kept_fields(extra: bytes, *, dates: bool) -> bytes:
    """Return the extra fields that a result keeps: a name in Unicode, and times where dates are kept."""
    kept_kinds = {_UNICODE_NAME, *(_DATES if dates else ())}
    return b"".join(
        struct.pack("<HH", number, len(value)) + value
        for number, value in _fields(extra).items()
        if number in kept_kinds
    )


def _dos_date(date: tuple[int, ...]) -> tuple[int, int]:
    year, month, day, hour, minute, second = date
    return hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day


def _descriptor_size(file: BinaryIO, packed: _Packed) -> int:
    """Return the length of the data descriptor after a member's bytes (4.3.9); 0 where there is none."""
    info = packed.info
    if not info.flag_bits & _DESCRIPTOR:
        return 0
    file.seek(packed.start + info.compress_size)
    data = file.read(24)
    marked = 4 if data.startswith(b"PK\x07\x08") else 0
    long = struct.pack("<IQQ", info.CRC, info.compress_size, info.file_size)
    return marked + (20 if data[marked:].startswith(long) else 12)
