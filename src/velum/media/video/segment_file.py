"""Parts of a result: the packets of one span's pictures in a file of velum's own, and what joins them.

A container would do the same, but for time stamps: each has its own way of starting elsewhere than at 0.
"""

import io
import json
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import av

from velum.atomic import publish
from velum.errors import BadInput, OutputFailed, VelumError
from velum.frame import Frame
from velum.media.atomic_writer import AtomicWriter
from velum.media.segment import Segment
from velum.media.video.bitstream import NalFilter
from velum.media.video.containers import CONTAINERS
from velum.media.video.encoder_input import EncoderInput, add_encoded_stream
from velum.media.video.encoder_settings import choose_encoder
from velum.media.video.info import VideoSource
from velum.media.video.stream_selection import choose_tracks
from velum.media.video.writer import VideoWriter
from velum.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from av.packet import Packet

_MAGIC = b"velum part 1\n"
_RECORD = struct.Struct("<qqqBI")
"""Of each packet: time of display and of decoding, duration, 1 for a key frame, number of bytes that follow."""


@dataclass(frozen=True, slots=True)
class SegmentEncoding:
    """How the pictures of a part were encoded; parts of one result agree in it."""

    encoder: str
    options: dict[str, str]
    header: str
    """Parameter sets or the like, in hexadecimal."""
    plan: str
    """Digest of the plan."""


class SegmentWriter(AtomicWriter):
    """The pictures of one span, encoded; published when the `with` block is left well, whole or not at all."""

    def __init__(self, target: Path, source: VideoSource, plan: Plan, span: Segment) -> None:
        self._target, self._source, self._like, self._plan, self._span = target, source, source.info, plan, span
        self._settings = choose_encoder(source.info, plan.video, span.format)
        choose_tracks(source, plan.video, span.format)  # what cannot be joined is not begun
        self._input = EncoderInput(source, self._settings, target)
        super().__init__()
        self._next = span.first.frame
        self._packets = 0
        self.sha256: str | None = None

    @property
    def encoding(self) -> str:
        """How the pictures were encoded, for the report."""
        return self._settings.encoding

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to doubt of the pictures, for the report."""
        return (*self._like.notes, *self._source.state.warnings, *self._settings.warnings)

    def _begin(self, stack: ExitStack) -> None:
        part = stack.enter_context(publish(self._target, overwrite=True))
        try:
            self._file: IO[bytes] = stack.enter_context(part.open("wb"))
            # Nothing is written to it: it tells the encoder for which container it works.
            muxer = CONTAINERS[self._span.format].muxer
            scratch = stack.enter_context(av.open(io.BytesIO(), "w", format=muxer))
            self._stream = add_encoded_stream(scratch, self._settings, self._like.coding)
            self._stream.codec_context.open(strict=False)
            said = asdict(self._span), asdict(_encoding_of(self._settings, self._stream.codec_context, self._plan))
            self._file.write(_MAGIC + json.dumps(said).encode() + b"\n")
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            raise self._write_error(error) from error

    def write(self, frame: Frame) -> None:
        """Take the next frame of the span; its buffers are the writer's from now on."""
        if frame.index != self._next or frame.time is None or frame.index >= self._span.end.frame:
            raise self._write_error(f"frame {frame.index} came, number {self._next} was due")
        self._put(lambda: self._stream.encode(self._input.to_native(frame)))
        self._next += 1

    def _finish(self) -> None:
        if not self._source.state.finished or self._next != self._span.end.frame:
            raise self._write_error(f"its frames came only up to {self._next} of {self._span.end.frame}")
        self._put(lambda: self._stream.encode(None))
        if self._packets != self._span.frames or self._input.pending_frames:
            raise self._write_error(f"{self._packets} packets were made of {self._span.frames} frames")
        try:
            self._file.flush()
        except OSError as error:
            raise self._write_error(error) from error

    def _put(self, made: "Callable[[], Iterable[Packet[Any]]]") -> None:
        try:
            for packet in self._input.with_source_times(made()):
                if not self._packets and not packet.is_keyframe:
                    raise self._write_error("it does not begin with a key frame")
                self._packets += 1
                pts, dts = packet.pts or 0, packet.pts if packet.dts is None else packet.dts
                head = pts, dts or 0, packet.duration or 0, packet.is_keyframe, packet.size
                self._file.write(_RECORD.pack(*head))
                self._file.write(bytes(packet))
        except VelumError:
            raise
        except (av.FFmpegError, OSError, ValueError, MemoryError, OverflowError, struct.error) as error:
            raise self._write_error(error) from error

    def _write_error(self, why: object) -> OutputFailed:
        reason = getattr(why, "strerror", None) or str(why) or type(why).__name__
        return OutputFailed(f"cannot write part {self._span.index}, {self._target}: {reason}; nothing was published")


class SegmentFile:
    """A part that was written, looked through once. Raises `BadInput` when it is not whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pts, self.dts = array("q"), array("q")
        try:
            with path.open("rb") as file:
                self.span, self.encoding = _read_header(file)
                size = path.stat().st_size
                for pts, dts, _, _, length in _records(file):
                    file.seek(length, io.SEEK_CUR)
                    self.pts.append(pts)
                    self.dts.append(dts)
                whole = file.tell() == size and len(self.pts) == self.span.frames
        except (OSError, ValueError, TypeError, struct.error) as error:
            if isinstance(error, VelumError):
                raise
            raise BadInput(f"cannot read part {path}: {error}; make it again") from error
        if not whole or min(self.pts, default=None) != self.span.first.pts:
            raise BadInput(f"cannot read part {path}: it is not whole; make it again")

    @property
    def delay(self) -> int:
        """By how many pictures decoding is ahead of display."""
        first = min(self.pts)
        return sum(dts < first for dts in self.dts)

    def packets(self) -> "Iterator[tuple[Packet[Any], bool]]":
        """Yield the packets in the order of decoding, without the time of it."""
        with self.path.open("rb") as file:
            _read_header(file)
            for pts, _, duration, key, length in _records(file):
                packet: Packet[Any] = av.Packet(file.read(length))
                packet.pts, packet.duration, packet.is_keyframe = pts, duration, bool(key)
                yield packet, bool(key)


def _read_header(file: IO[bytes]) -> tuple[Segment, SegmentEncoding]:
    if file.readline(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is none")
    span, coded = json.loads(file.readline())
    return Segment.from_json(span), SegmentEncoding(**coded)


def _records(file: IO[bytes]) -> Iterator[tuple[int, int, int, int, int]]:
    while head := file.read(_RECORD.size):
        yield _RECORD.unpack(head)


def _encoding_of(made: Any, context: Any, plan: Plan) -> SegmentEncoding:
    header = context.extradata or b""
    if made.codec in {"h264", "hevc"}:  # beside the parameter sets, it may say on which machine it was made
        header = NalFilter(header, hevc=made.codec == "hevc").header
    return SegmentEncoding(made.encoder, dict(made.options), header.hex(), plan.digest)


class ConcatWriter(VideoWriter):
    """A result made of parts, as one run writes it. Raises `BadInput` for parts that are not those of one result."""

    def __init__(
        self, target: Path, source: VideoSource, plan: Plan, parts: Sequence[Path], *, overwrite: bool
    ) -> None:
        super().__init__(target, source, plan, overwrite=overwrite)
        self._segments = sorted(map(SegmentFile, parts), key=lambda part: part.span.index)
        _check_segments(self._segments, self._format, source)
        self._total = self._segments[0].span.frames_total
        source.state.origin = self._segments[0].span.origin

    def join(self) -> None:
        """Write everything; to be called once, in the `with` block."""
        base = self._like.coding.time_base
        with self._translate_errors():
            decoded = iter(_decoding_times(self._segments))
            for part in self._segments:
                for packet, key in part.packets():
                    packet.stream, packet.time_base, packet.dts = self._pictures, base, next(decoded)
                    packet.is_keyframe = key
                    self._count_rounded_time((packet.pts or 0) * base)
                    self._mux([packet])
                    self._count += 1

    @property
    def _whole(self) -> bool:
        return self._count == self._total

    def _add_video_stream(self, stack: ExitStack) -> "Callable[[Frame | None], Iterable[Packet[Any]]]":
        super()._add_video_stream(stack)
        self._pictures = self._container.streams.video[0]
        context = self._pictures.codec_context
        # An encoder that gets no picture, for the header that it gives the container.
        context.open(strict=False)
        if any(part.encoding != _encoding_of(self._settings, context, self._plan) for part in self._segments):
            raise BadInput(
                f"cannot write {self._target}: its parts were not encoded as the plan says, or by another version of "
                f"{self._settings.encoder}; make them again"
            )
        return lambda _: ()


def _check_segments(parts: Sequence[SegmentFile], format: str, source: VideoSource) -> None:
    like = source.info
    spans = [part.span for part in parts]
    whole = bool(spans) and [span.index for span in spans] == list(range(spans[0].count))
    whole = whole and spans[0].first.frame == 0 and spans[-1].end.frame == spans[-1].frames_total
    whole = whole and all(before.end == after.first for before, after in pairwise(spans))
    if not whole or len({(span.count, span.frames_total, span.origin) for span in spans}) != 1:
        raise BadInput(f"cannot join parts of {like.source}: some are missing, or not of one cut; make them again")
    if {span.format for span in spans} != {format}:
        raise BadInput(f"cannot join parts of {like.source} as {format}: they were made for {spans[0].format}")
    if {span.sha256 for span in spans} != {source.file.sha256}:
        raise BadInput(f"cannot join parts of {like.source}: it has changed since they were made; make them again")
    if like.frames is not None and spans[0].frames_total < like.frames:
        raise BadInput(f"cannot join parts of {like.source}: they have not all of its {like.frames} frames")
    if any(max(before.pts) >= min(after.pts) for before, after in pairwise(parts)):
        raise BadInput(f"cannot join parts of {like.source}: their time stamps do not follow each other")


def _decoding_times(parts: Sequence[SegmentFile]) -> "array[int]":
    """Return when each packet is decoded: as encoders say it, the i-th when the (i - delay)-th picture is shown.

    Parts' own times could overlap at the seams where frame rates change.
    """
    shown = array("q", sorted(stamp for part in parts for stamp in part.pts))
    delay = min(max(part.delay for part in parts), len(shown) - 1)
    ahead = shown[delay] - shown[0]
    return array("q", [*(stamp - ahead for stamp in shown[:delay]), *shown[: len(shown) - delay]])
