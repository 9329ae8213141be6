"""Sequences of images, such as those of one camera in a sensor log: they are read, tracked and hidden as a video is."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from PIL import Image

from velum.atomic import AtomicWriter, keep_original, publish
from velum.errors import BadInput, OutputFailed
from velum.frame import Frame, Plane, Role
from velum.limits import Limits
from velum.media.formats import format_of, suffix_of
from velum.media.image.info import ImageInfo, ImagePage
from velum.media.image.reader import read_bytes
from velum.media.image.strip_metadata import strip_metadata
from velum.media.image.writer import ImageWriter
from velum.media.sequence_file import SequenceBuilder, SequenceEntry, SequenceFile
from velum.media.sources import BytesSource
from velum.plan import Plan

SEQUENCE = "IMAGES"
"""Format of a sequence, for reports."""

FILE_FORMATS = ("JPEG", "PNG", "WEBP")
"""Formats of the image files in a sequence."""

_HEAD_BYTES = 32
_NANOSECONDS = 1_000_000_000
_USUAL_RATE, _RATES = Fraction(10), (Fraction(1, 10), Fraction(1000))


@dataclass(frozen=True, slots=True, eq=False)
class SequenceInfo:
    """Properties of a sequence. `width` and `height` are those of each upright image, in pixels."""

    format: str
    width: int
    height: int
    frames: int
    fps: Fraction
    """How many images come in a second; it decides how far tracking looks ahead."""
    source: Path
    coding: Literal["exact", "blocks", "lossy"]
    """How samples are coded: without loss, in independent blocks (JPEG), or otherwise."""
    frame_bytes: int
    """Bytes of the planes of one image."""


@dataclass(frozen=True, slots=True, eq=False)
class SequencePage:
    """What the writer of a sequence must know of an image besides its samples: its `Frame.page`."""

    entry: SequenceEntry
    data: bytes = field(repr=False)
    """The bytes of the image in the source."""
    info: ImageInfo | None = None
    """Description of an image file."""
    page: ImagePage | None = None
    covered: bool = False
    """True where the image cannot be read, and a black one stands for it."""


class SequenceReader:
    """Reads a sequence, for a `with` block. With `cover_damage`, images that cannot be read come as black ones."""

    sha256: str | None = None

    def __init__(self, source: Path, limits: Limits, *, cover_damage: bool = False) -> None:
        self._source, self._limits, self._cover = source, limits, cover_damage
        with SequenceFile(source) as file:
            entries = file.entries
            limits.check("video_frames", len(entries), str(source))
            limits.check("seconds", (entries[-1].time - entries[0].time) // _NANOSECONDS, str(source))
            heads = (None if entry.layout else file.image(i, _HEAD_BYTES) for i, entry in enumerate(entries))
            codings = set(map(_coding_of, heads))
            first = self._first(file)
        self.info = SequenceInfo(
            SEQUENCE, first.width, first.height, len(entries), rate_of_times([entry.time for entry in entries]), source,
            codings.pop() if len(codings) == 1 else "lossy", sum(plane.pixels.nbytes for plane in first.planes),
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: each pass opens the file."""

    def frames(self) -> Iterator[Frame]:
        """Yield all images in the order of their times. Raises `BadInput` for one that cannot be read."""
        with SequenceFile(self._source) as file:
            start = file.entries[0].time
            for number, entry in enumerate(file.entries):
                frame = self._frame(file, number)
                yield replace(frame, index=number, time=Fraction(entry.time - start, _NANOSECONDS))
                del frame

    def _frame(self, file: SequenceFile, number: int) -> Frame:
        info = self.info
        try:
            frame = self._decode(file, number)
            self._check_size(frame, number)
        except BadInput:
            if not self._cover:
                raise
            black = Plane(np.zeros((info.height, info.width, 3), np.uint8), Role.RGB)
            return Frame.of(black, page=SequencePage(file.entries[number], file.image(number), covered=True))
        return frame

    def _check_size(self, frame: Frame, number: int) -> None:
        info = self.info
        if (frame.width, frame.height) != (info.width, info.height):
            raise BadInput(
                f"cannot read {self._name(number)}: it has {frame.width} x {frame.height} pixels, where those before "
                f"have {info.width} x {info.height}"
            )

    def _first(self, file: SequenceFile) -> Frame:
        """Return the first image that can be read."""
        for number in range(len(file.entries)):
            try:
                return self._decode(file, number)
            except BadInput:
                if not self._cover:
                    raise
        raise BadInput(f"cannot read {self._source}: none of its images can be read")

    def _decode(self, file: SequenceFile, number: int) -> Frame:
        entry, data, name = file.entries[number], file.image(number), self._name(number)
        if entry.layout is not None:
            layout = entry.layout
            self._limits.check("pixels", layout.width * layout.height, name)
            try:
                planes = layout.planes(data)
            except BadInput as error:
                raise BadInput(f"cannot read {name}: {error}") from error
            return Frame(planes, layout.width, layout.height, page=SequencePage(entry, data))
        if data and format_of(data, name) not in FILE_FORMATS:
            raise BadInput(
                f"cannot read {name}: it is a {format_of(data, name)}; allowed are {', '.join(FILE_FORMATS)}"
            )
        with read_bytes(BytesSource(name, data), self._limits) as reader:
            if reader.info.frames > 1:
                raise BadInput(f"cannot read {name}: it is an animation of {reader.info.frames} frames")
            frame = next(reader.frames())
        page = frame.page if isinstance(frame.page, ImagePage) else None
        return replace(frame, page=SequencePage(entry, data, reader.info, page))

    def _name(self, number: int) -> str:
        return f"{self._source}, message {number + 1}"


class SequenceWriter(AtomicWriter):
    """Writes a sequence like the one that is read: each image in its format, or its layout. For a `with` block."""

    def __init__(self, target: Path, info: SequenceInfo, plan: Plan, *, overwrite: bool) -> None:
        super().__init__()
        keep_original(target, info.source)
        self._target, self._info, self._plan, self._overwrite = target, info, plan, overwrite
        self._encodings: dict[str, None] = {}
        self._warnings: dict[str, None] = {}
        self._covered: list[int] = []
        self._count = 0
        self.sha256: str | None = None
        """None: nobody but velum sees the file."""

    @property
    def encoding(self) -> str:
        """How the samples were encoded, for the report."""
        return "; ".join(self._encodings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for the report."""
        if not self._covered:
            return tuple(self._warnings)
        named = ", ".join(str(number + 1) for number in self._covered[:10])
        more = f" and {len(self._covered) - 10} more" if len(self._covered) > 10 else ""
        text = "message {} cannot be read, and is covered by a black image"
        if len(self._covered) > 1:
            text = "messages {} cannot be read, and are covered by black images"
        return (*self._warnings, text.format(f"{named}{more}"))

    def _begin(self, stack: ExitStack) -> None:
        part = stack.enter_context(publish(self._target, overwrite=self._overwrite))
        self._file = stack.enter_context(SequenceBuilder(part))

    def write(self, frame: Frame) -> None:
        """Write the next image. Raises `BadPlan` or `OutputFailed` when it cannot be written."""
        page = frame.page
        if not isinstance(page, SequencePage) or frame.index != self._count:
            raise OutputFailed(f"cannot write {self._target}: frame {frame.index} is not image {self._count} of it")
        self._count += 1
        entry = page.entry
        if page.covered:
            self._covered.append(frame.index)
            black = bytes(entry.size) if entry.layout else _black_file(page.data, self._info)
            self._file.add(entry.time, black, entry.layout)
        elif entry.layout is not None:
            self._file.add(entry.time, entry.layout.bytes_of(frame.planes), entry.layout)
            self._encodings[f"exact: {entry.layout.encoding}"] = None
        else:
            self._file.add(entry.time, self._image_file(frame, page), None)

    def _image_file(self, frame: Frame, page: SequencePage) -> bytes:
        """Return an image file like that of the source, with the samples of a frame."""
        info, plan = page.info, self._plan
        assert info is not None  # noqa: S101 - the reader states it for image files
        if frame.touched == () and plan.quality is None and not plan.metadata and info.coding.orientation == 1:
            stripped = None if info.coding.projection else strip_metadata(page.data, info.format)
            if stripped is not None:
                self._encodings["exact: images without a region are taken over"] = None
                return stripped
        name = self._target.with_name(f"{self._target.name}{suffix_of(info.format)}")
        writer = _BytesWriter(name, info, plan, overwrite=True)
        with writer:
            writer.write(replace(frame, index=0, page=page.page))
        self._encodings[writer.encoding] = None
        self._warnings |= dict.fromkeys(writer.warnings)
        return writer.data

    def _finish(self) -> None:
        if self._count != self._info.frames:
            raise OutputFailed(f"cannot write {self._target}: got {self._count} of {self._info.frames} images")
        self._file.finish()


class _BytesWriter(ImageWriter):
    """Writes an image file to memory; `data` has its bytes after the `with` block."""

    def _begin(self, stack: ExitStack) -> None:
        self._memory = _Memory()
        self._file = self._memory
        stack.callback(self._memory.close)

    @property
    def data(self) -> bytes:
        """The bytes of the image file."""
        return self._memory.content


class _Memory(io.BytesIO):
    """A file in memory whose bytes stay after it was closed."""

    content = b""

    def close(self) -> None:
        if not self.closed:
            self.content = self.getvalue()
        super().close()


def rate_of_times(times: Sequence[int]) -> Fraction:
    """Return how many images come in a second, of their times in order, in nanoseconds.

    It is by the median distance, as recorders pause.
    """
    distances = sorted(after - before for before, after in pairwise(times))
    median = distances[len(distances) // 2] if distances else 0
    if median <= 0:
        return _USUAL_RATE
    return min(max(Fraction(_NANOSECONDS, median), _RATES[0]), _RATES[1]).limit_denominator(1000)


def _coding_of(head: bytes | None) -> Literal["exact", "blocks", "lossy"]:
    """Return how samples are coded in an image file that begins so; None stands for an uncompressed image."""
    if head is None or head.startswith(b"\x89PNG") or head[12:16] == b"VP8L":
        return "exact"
    return "blocks" if head.startswith(b"\xff\xd8") else "lossy"


_STARTS: Mapping[bytes, str] = {b"\xff\xd8": "JPEG", b"RIFF": "WEBP"}


def _black_file(data: bytes, info: SequenceInfo) -> bytes:
    """Return a black image of the sequence's size, in the format of an image file that cannot be read."""
    kind = next((kind for start, kind in _STARTS.items() if data.startswith(start)), "PNG")
    file = io.BytesIO()
    Image.new("RGB", (info.width, info.height)).save(file, kind)
    return file.getvalue()
