"""Segment files: the encoded packets of one segment in a format of velum's own, and the writer that joins them.

Containers would serve, except for time stamps: each has its own way of starting at another time than 0.
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

from velum.atomic import AtomicWriter, publish
from velum.errors import BadInput, OutputFailed, VelumError
from velum.frame import Frame
from velum.media.segment import Segment
from velum.media.video.bitstream import NalFilter
from velum.media.video.containers import CONTAINERS
from velum.media.video.encoder_input import EncoderInput, add_encoded_stream
from velum.media.video.encoder_settings import choose_encoder
from velum.media.video.info import VideoSource
from velum.media.video.size_bound import source_size
from velum.media.video.stream_selection import choose_tracks
from velum.media.video.writer import VideoWriter
from velum.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from av.packet import Packet

_MAGIC = b"velum part 1\n"
_RECORD = struct.Struct("<qqqBI")
"""Header of each packet: PTS, DTS, duration, 1 for a key frame, and the number of bytes that follow."""


@dataclass(frozen=True, slots=True)
class SegmentEncoding:
    """How the frames of a segment were encoded; all segments of one result have the same."""

    encoder: str
    options: dict[str, str]
    header: str
    """The encoder's codec header, such as parameter sets, in hexadecimal."""
    plan: str
    """Digest of the plan."""


class SegmentWriter(AtomicWriter):
    """Encodes the frames of one segment into a segment file, which appears when the `with` block ends without error."""

    def __init__(self, target: Path, source: VideoSource, plan: Plan, segment: Segment) -> None:
        self._target, self._source, self._like, self._plan, self._segment = target, source, source.info, plan, segment
        self._settings = choose_encoder(source.info, plan.video, segment.format, source_size(source, plan.video))
        choose_tracks(source, plan.video, segment.format)  # fails early where the result could not be joined
        self._input = EncoderInput(source, self._settings, target)
        super().__init__()
        self._next = segment.first.frame
        self._packets = 0
        self.sha256: str | None = None

    @property
    def encoding(self) -> str:
        """How the frames were encoded, for the report."""
        return self._settings.encoding

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the frames, for the report."""
        bound, first, end = self._settings.size_bound, self._segment.first.frame, self._segment.end.frame
        coarse = [] if bound is None else bound.quality_warnings(f"frames from {first} to {end - 1}")
        return (*self._like.notes, *self._source.state.warnings, *self._settings.warnings, *coarse)

    def _begin(self, stack: ExitStack) -> None:
        temporary = stack.enter_context(publish(self._target, overwrite=True))
        try:
            self._file: IO[bytes] = stack.enter_context(temporary.open("wb"))
            # Nothing is written to this container: it only tells the encoder which container the result will have.
            muxer = CONTAINERS[self._segment.format].muxer
            scratch = stack.enter_context(av.open(io.BytesIO(), "w", format=muxer))
            self._stream = add_encoded_stream(scratch, self._settings, self._like.coding)
            self._stream.codec_context.open(strict=False)
            header = asdict(self._segment), asdict(_encoding_of(self._settings, self._stream.codec_context, self._plan))
            self._file.write(_MAGIC + json.dumps(header).encode() + b"\n")
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            raise self._write_error(error) from error

    def write(self, frame: Frame) -> None:
        """Encode the next frame of the segment, which the caller must not use any more.

        Raises `OutputFailed` when it is not the next frame, or cannot be written.
        """
        if frame.index != self._next or frame.time is None or frame.index >= self._segment.end.frame:
            raise self._write_error(f"frame {frame.index} came, but frame {self._next} was expected")
        self._put(lambda: self._stream.encode(self._input.to_native(frame)))
        self._next += 1

    def _finish(self) -> None:
        if not self._source.state.finished or self._next != self._segment.end.frame:
            raise self._write_error(f"its frames ended at {self._next} of {self._segment.end.frame}")
        self._put(lambda: self._stream.encode(None))
        if self._packets != self._segment.frames or self._input.pending_frames:
            raise self._write_error(f"{self._packets} packets were made of {self._segment.frames} frames")
        try:
            self._file.flush()
        except OSError as error:
            raise self._write_error(error) from error

    def _put(self, encode: "Callable[[], Iterable[Packet[Any]]]") -> None:
        try:
            for packet in self._input.with_source_times(encode()):
                if not self._packets and not packet.is_keyframe:
                    raise self._write_error("the encoder did not begin with a key frame")
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
        where = f"segment {self._segment.index}, {self._target}"
        return OutputFailed(f"cannot write {where}: {reason}; nothing was published")


class SegmentFile:
    """A segment file, whose packet headers were read. Raises `BadInput` when it is damaged or incomplete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pts, self.dts = array("q"), array("q")
        try:
            with path.open("rb") as file:
                self.segment, self.encoding = _read_header(file)
                size = path.stat().st_size
                for pts, dts, _, _, length in _records(file):
                    file.seek(length, io.SEEK_CUR)
                    self.pts.append(pts)
                    self.dts.append(dts)
                whole = file.tell() == size and len(self.pts) == self.segment.frames
        except (OSError, ValueError, TypeError, struct.error) as error:
            if isinstance(error, VelumError):
                raise
            raise BadInput(f"cannot read segment file {path}: {error}; hide the segment again") from error
        if not whole or min(self.pts, default=None) != self.segment.first.pts:
            raise BadInput(f"cannot read segment file {path}: it is incomplete; hide the segment again")

    @property
    def delay(self) -> int:
        """Number of packets that are decoded before the first frame is shown."""
        first = min(self.pts)
        return sum(dts < first for dts in self.dts)

    def packets(self) -> "Iterator[tuple[Packet[Any], bool]]":
        """Yield each packet in decoding order, without its DTS, and whether it is a key frame."""
        with self.path.open("rb") as file:
            _read_header(file)
            for pts, _, duration, key, length in _records(file):
                packet: Packet[Any] = av.Packet(file.read(length))
                packet.pts, packet.duration, packet.is_keyframe = pts, duration, bool(key)
                yield packet, bool(key)


def _read_header(file: IO[bytes]) -> tuple[Segment, SegmentEncoding]:
    if file.readline(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is not a segment file of velum (wrong first bytes)")
    segment, encoding = json.loads(file.readline())
    return Segment.from_json(segment), SegmentEncoding(**encoding)


def _records(file: IO[bytes]) -> Iterator[tuple[int, int, int, int, int]]:
    while head := file.read(_RECORD.size):
        yield _RECORD.unpack(head)


def _encoding_of(settings: Any, context: Any, plan: Plan) -> SegmentEncoding:
    header = context.extradata or b""
    if settings.codec in {"h264", "hevc"}:  # besides parameter sets, it may identify the machine
        header = NalFilter(header, hevc=settings.codec == "hevc").header
    return SegmentEncoding(settings.encoder, dict(settings.options), header.hex(), plan.digest)


class ConcatWriter(VideoWriter):
    """Joins segment files into one result, as one run would write it. Raises `BadInput` if they do not fit together."""

    def __init__(
        self, target: Path, source: VideoSource, plan: Plan, paths: Sequence[Path], *, overwrite: bool
    ) -> None:
        super().__init__(target, source, plan, overwrite=overwrite)
        self._files = sorted(map(SegmentFile, paths), key=lambda file: file.segment.index)
        _check_segments(self._files, self._format, source)
        self._total = self._files[0].segment.frames_total
        source.state.origin = self._files[0].segment.origin

    def join(self) -> None:
        """Write all segments; call it once, in the `with` block."""
        base = self._like.coding.time_base
        with self._translate_errors():
            decoded = iter(_decoding_times(self._files))
            for file in self._files:
                for packet, key in file.packets():
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
        # This encoder gets no frame: it only provides the codec header for the container.
        context.open(strict=False)
        if any(file.encoding != _encoding_of(self._settings, context, self._plan) for file in self._files):
            raise BadInput(
                f"cannot write {self._target}: its segments were encoded with another plan, or by another version of "
                f"{self._settings.encoder}; hide them again"
            )
        return lambda _: ()


def _check_segments(files: Sequence[SegmentFile], format: str, source: VideoSource) -> None:
    like = source.info
    segments = [file.segment for file in files]
    whole = bool(segments) and [segment.index for segment in segments] == list(range(segments[0].count))
    whole = whole and segments[0].first.frame == 0 and segments[-1].end.frame == segments[-1].frames_total
    whole = whole and all(before.end == after.first for before, after in pairwise(segments))
    if not whole or len({(segment.count, segment.frames_total, segment.origin) for segment in segments}) != 1:
        raise BadInput(f"cannot join segments of {like.source}: some are missing, or of another split; hide them again")
    if {segment.format for segment in segments} != {format}:
        raise BadInput(f"cannot join segments of {like.source} as {format}: they were made for {segments[0].format}")
    if {segment.sha256 for segment in segments} != {source.file.sha256}:
        raise BadInput(f"cannot join segments of {like.source}: it has changed since then; hide them again")
    if like.frames is not None and segments[0].frames_total < like.frames:
        raise BadInput(f"cannot join segments of {like.source}: they do not cover its {like.frames} frames")
    if any(max(before.pts) >= min(after.pts) for before, after in pairwise(files)):
        raise BadInput(f"cannot join segments of {like.source}: their time stamps overlap; hide them again")


def _decoding_times(files: Sequence[SegmentFile]) -> "array[int]":
    """Return the DTS of each packet, as encoders count it: packet i has the PTS of the (i - delay)-th shown frame.

    The segments' own DTS could overlap where frame rates change.
    """
    shown = array("q", sorted(stamp for file in files for stamp in file.pts))
    delay = min(max(file.delay for file in files), len(shown) - 1)
    ahead = shown[delay] - shown[0]
    return array("q", [*(stamp - ahead for stamp in shown[:delay]), *shown[: len(shown) - delay]])
