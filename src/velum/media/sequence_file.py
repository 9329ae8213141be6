"""Files of images with their times, such as those of one camera in a sensor log.

They are velum's own and lie in scratch folders only: the images one behind another, and an index in order of time.
"""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from velum.errors import BadInput
from velum.media.raw_image import RawLayout

_MAGIC, _END = b"velum images 1\n\0", b"\nimages\n"
_ENTRY = struct.Struct("<qqqIII16s?")
_TAIL = struct.Struct("<qq8s")


class SequenceEntry(NamedTuple):
    """One image of a sequence: when it was taken, in nanoseconds, where its bytes lie, and its layout if it has none.

    `layout` is None for an image file.
    """

    time: int
    offset: int
    size: int
    layout: RawLayout | None


class SequenceBuilder:
    """Writes a sequence, image by image, in a `with` block; leaving it writes the index, in the order of the times."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[SequenceEntry] = []
        self._is_finished = False

    def __enter__(self) -> Self:
        self._file: BinaryIO = self._path.open("wb")
        self._file.write(_MAGIC)
        return self

    def add(self, time: int, data: bytes | memoryview, layout: RawLayout | None) -> None:
        """Add an image."""
        self._entries.append(SequenceEntry(time, self._file.tell(), len(data), layout))
        self._file.write(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self.finish()

    def finish(self) -> None:
        """Write the index, once; nothing is added after it."""
        if self._is_finished:
            return
        self._is_finished = True
        start = self._file.tell()
        for entry in sorted(self._entries, key=lambda entry: entry.time):
            raw = entry.layout or RawLayout("", 0, 0, 0)
            values = (*entry[:3], raw.width, raw.height, raw.step, raw.encoding.encode(), raw.big_endian)
            self._file.write(_ENTRY.pack(*values))
        self._file.write(_TAIL.pack(start, len(self._entries), _END))
        self._file.flush()


class SequenceFile:
    """A sequence that is read, for a `with` block. Raises `BadInput` for a damaged one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: list[SequenceEntry] = []

    def __enter__(self) -> Self:
        self._file = self._path.open("rb")
        try:
            self.entries = list(self._index())
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def image(self, number: int, most: int | None = None) -> bytes:
        """Return the bytes of an image, or the first `most` of them."""
        entry = self.entries[number]
        self._file.seek(entry.offset)
        return self._file.read(entry.size if most is None else min(most, entry.size))

    def _index(self) -> Iterator[SequenceEntry]:
        end = self._file.seek(0, io.SEEK_END) - _TAIL.size
        if end < len(_MAGIC):
            raise self._damage()
        self._file.seek(end)
        start, count, mark = _TAIL.unpack(self._file.read(_TAIL.size))
        if mark != _END or count < 1 or start < len(_MAGIC) or start + count * _ENTRY.size != end:
            raise self._damage()
        self._file.seek(start)
        for values in _ENTRY.iter_unpack(self._file.read(count * _ENTRY.size)):
            time, offset, size, width, height, step, encoding, big_endian = values
            if offset < len(_MAGIC) or size < 0 or offset + size > start:
                raise self._damage()
            name = encoding.rstrip(b"\0").decode("ascii", "replace")
            yield SequenceEntry(
                time, offset, size, RawLayout(name, width, height, step, big_endian) if name else None
            )  # fmt: skip

    def _damage(self) -> BadInput:
        return BadInput(f"cannot read {self._path}: it is no whole sequence of images")


def is_sequence(path: Path) -> bool:
    """Tell whether a file is a sequence of images."""
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            return False
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False
