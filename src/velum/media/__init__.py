"""Reading and writing of images and videos. Results are like the source, and published whole or not at all."""

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from velum.atomic import publish
from velum.errors import BadPlan, Unavailable
from velum.frame import Frame
from velum.limits import Limits
from velum.media import archive
from velum.media.formats import (
    SOUND_FORMAT_SUFFIXES,
    VIDEO_HEAD_BYTES,
    VIDEO_SUFFIXES,
    head_of,
    is_image,
    is_picture,
    is_suffix_of,
    kind_of,
    sound_format_of_head,
    suffix_of,
    video_format_of,
)
from velum.media.formats import SUFFIXES as IMAGE_SUFFIXES
from velum.media.image import reader, writer
from velum.media.image.info import ImageInfo
from velum.media.image.rgb8 import PlainFormat, Rgb8Image, plain_of, read_plain, write_plain
from velum.media.image.subprocess_reader import DecoderPool, IsolatedReader
from velum.media.image_sequence import SEQUENCE, SequenceInfo, SequenceReader, SequenceWriter
from velum.media.segment import SEGMENT_SECONDS, Segment
from velum.media.sequence_file import is_sequence
from velum.media.sources import STREAMED, BytesSource, LiveSource, StreamSink, source_of
from velum.plan import Plan

if TYPE_CHECKING:
    from velum.media.sound.transcript import WordSpans
    from velum.media.video.info import VideoInfo, VideoSource

SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
"""Format of an image or video by the suffix of its file, in lower case."""

__all__ = [
    "IMAGE_SUFFIXES",
    "SEGMENT_SECONDS",
    "SEQUENCE",
    "SOUND_FORMAT_SUFFIXES",
    "STREAMED",
    "SUFFIXES",
    "VIDEO_SUFFIXES",
    "BytesSource",
    "DecoderPool",
    "ImageInfo",
    "IsolatedReader",
    "LiveSource",
    "PlainFormat",
    "Reader",
    "Rgb8Image",
    "Segment",
    "SequenceInfo",
    "StreamSink",
    "Writer",
    "is_image",
    "is_picture",
    "is_suffix_of",
    "join_segments",
    "kind_of",
    "open_segment",
    "open_segment_sink",
    "open_sink",
    "open_source",
    "plain_of",
    "publish",
    "read_plain",
    "sound_format_of",
    "source_of",
    "split_video",
    "suffix_of",
    "video_of",
    "write_plain",
]  # fmt: skip


class Reader(Protocol):
    """One source, to be used in a `with` block. Each call of `frames()` starts at the first frame."""

    @property
    def info(self) -> "ImageInfo | SequenceInfo | VideoInfo":
        """Format, size and other properties of the source."""
        ...

    @property
    def sha256(self) -> str | None:
        """SHA-256 of exactly the bytes that are decoded, in hexadecimal; None where it is not known (yet)."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Yield every frame in order. Raises `BadInput` for a damaged source, `LimitExceeded` for a too large one."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Writer(Protocol):
    """One target. Leaving the `with` block without an error publishes the file, leaving it with an error does not."""

    sha256: str | None
    sound: tuple[Mapping[str, Any], ...]
    """What was done to each audio track that was not copied, for the report."""

    @property
    def encoding(self) -> str:
        """How the samples were encoded, for the report."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings for the report."""
        ...

    def write(self, frame: Frame) -> None:
        """Take the next frame. Raises `BadPlan` or `OutputFailed` when it cannot be written."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_source(source: Path | LiveSource | BytesSource, limits: Limits, *, cover_damage: bool = False) -> Reader:
    """Open an image, a video or a stream; the content of a file decides which, not its name. In memory, only images.

    With `cover_damage`, frames of a video that cannot be read come as black ones. Raises `BadInput` when the source
    is missing, empty, damaged, encrypted or of an unknown kind, `LimitExceeded` when it is too large, and
    `Unavailable` for HEIF without the extra, and for a camera that does not answer.
    """
    if isinstance(source, LiveSource):
        from velum.media.video.live_reader import LiveReader  # noqa: PLC0415  # images do without PyAV

        return LiveReader(source, limits, cover_damage=cover_damage)
    if isinstance(source, BytesSource):
        return reader.read_bytes(source, limits)
    if kind_of(source) == "DICOM":
        try:
            from velum.media.dicom.reader import DicomReader  # noqa: PLC0415  # an extra
        except ModuleNotFoundError as error:
            raise Unavailable(
                f"cannot read {source}: DICOM needs the extra 'dicom'; pip install 'velum-anonymizer[dicom]'"
            ) from error
        return DicomReader(source, limits)
    if container := archive.container_of(source):
        raise archive.refuse_alone(source, container)
    if is_sequence(source):
        return SequenceReader(source, limits, cover_damage=cover_damage)
    if is_video(source):
        from velum.media.video.reader import VideoReader  # noqa: PLC0415  # images do without PyAV

        return VideoReader(source, limits, cover_damage=cover_damage)
    return reader.read(source, limits)


def open_sink(
    target: Path | StreamSink, source: Reader, plan: Plan, *, overwrite: bool = False,
    touched: Container[int] | None = None, uid_key: Path | None = None, searched: bool = False,
    words: "WordSpans | None" = None,
) -> Writer:  # fmt: skip
    """Return a writer of a file like the opened `source`, in the format of the target's suffix; or of a stream.

    With `touched`, the numbers of all frames in which something is hidden, a video's groups of pictures without any
    may be copied as they are. `uid_key` is the file with the secret for UIDs of DICOM, and `searched` says that
    localizers ran. `words` are muted in the audio tracks of a video.

    Raises `BadPlan` for an unknown suffix, and for a format or codec that cannot hold what the source has or the
    plan asks for; `OutputFailed` when the target exists (and not `overwrite`), when it is the source itself, and
    when its folder cannot be written to.
    """
    if isinstance(source.info, SequenceInfo) and isinstance(target, Path):
        return SequenceWriter(target, source.info, plan, overwrite=overwrite)
    if isinstance(source, IsolatedReader) and isinstance(target, Path):
        return source.writer(target, plan, overwrite=overwrite, touched=touched)
    if isinstance(source.info, ImageInfo):
        if isinstance(target, StreamSink):
            raise BadPlan(f"cannot write {source.info.source} to {target}: only videos are streamed; name a file")
        if source.info.format == "DICOM":
            from velum.media.dicom.writer import write_like  # noqa: PLC0415  # an extra

            return write_like(source.info, target, plan, overwrite=overwrite, uid_key=uid_key, searched=searched)
        return writer.write(target, source.info, plan, overwrite=overwrite)
    from velum.media.video.writer import VideoWriter  # noqa: PLC0415  # images do without PyAV

    return VideoWriter(target, video_of(source), plan, overwrite=overwrite, touched=touched, words=words)


def split_video(source: Reader, format: str, *, seconds: float, overlap_frames: int) -> tuple[Segment, ...] | str:
    """Split an opened video into segments of about `seconds` each, or return why it can only be hidden as a whole.

    `format` is that of the result. Raises as `Reader.frames` does.
    """
    if isinstance(source.info, ImageInfo):
        return "it is an image"
    from velum.media.video.segments import split_video as cut_video  # noqa: PLC0415  # images do without PyAV

    return cut_video(video_of(source), format, seconds=seconds, overlap_frames=overlap_frames)


def open_segment(source: Path, limits: Limits, segment: Segment) -> Reader:
    """Open one segment of a video. Raises as `open_source` does, and `BadInput` when it is another file's segment."""
    from velum.media.video.segments import SegmentReader  # noqa: PLC0415  # images do without PyAV

    return SegmentReader(source, limits, segment)


def open_segment_sink(target: Path, source: Reader, plan: Plan, segment: Segment) -> Writer:
    """Return a writer of one segment of the opened `source`, for `join_segments`. Raises as `open_sink` does."""
    from velum.media.video.segment_file import SegmentWriter  # noqa: PLC0415  # images do without PyAV

    return SegmentWriter(target, video_of(source), plan, segment)


def join_segments(
    target: Path, source: Reader, plan: Plan, parts: Sequence[Path], *, overwrite: bool = False
) -> Writer:
    """Join the files of all segments to one video; return its writer, which has published the video.

    Raises `BadInput` when parts are missing or are not of one result, or of another source, and as `open_sink` does.
    """
    from velum.media.video.segment_file import ConcatWriter  # noqa: PLC0415  # images do without PyAV

    with ConcatWriter(target, video_of(source), plan, parts, overwrite=overwrite) as writer:
        writer.join()
    return writer


def video_of(source: Reader) -> "VideoSource":
    """Return the video that a reader has opened in this process. Raises `BadPlan` for an image."""
    from velum.media.video.live_reader import LiveReader  # noqa: PLC0415  # images do without PyAV
    from velum.media.video.reader import VideoReader  # noqa: PLC0415  # images do without PyAV

    if not isinstance(source, VideoReader | LiveReader):
        raise BadPlan(f"cannot hide {source.info.source} in segments: only videos have them; hide it as a whole")
    return source.source


def sound_format_of(source: Path) -> str | None:
    """Return the format of a sound file by its content; None for any other file."""
    if not _may_be_sound(source):
        return None
    from velum.media.sound import sound_file  # noqa: PLC0415  # images do without PyAV

    return sound_file.sound_format_of(source)


def _may_be_sound(source: Path) -> bool:
    head = head_of(source)
    return sound_format_of_head(head) is not None or video_format_of(head) is not None


def is_video(source: Path) -> bool:
    """Tell whether a file begins as a video does; what cannot be read is left to the reader of images to refuse."""
    try:
        # Not blocking: a pipe without a writer would otherwise hang here.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return video_format_of(os.pread(descriptor, VIDEO_HEAD_BYTES, 0)) is not None
        finally:
            os.close(descriptor)
    except OSError:
        return False
