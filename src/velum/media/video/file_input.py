"""One video file, held open, so that the very same bytes are hashed, probed, decoded and copied."""

import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import av

from velum.errors import BadInput, VelumError
from velum.limits import Limits
from velum.media.containers import DescriptorReader, FileBytes
from velum.media.formats import VIDEO_HEAD_BYTES, video_format_of
from velum.media.projection import Spherical
from velum.media.sound.stated_length import wave_patches
from velum.media.sources import LiveSource
from velum.media.video.projection import is_projected, spherical
from velum.media.video.truncation import TS_PACKETS, find_truncation, has_alpha_track, is_join

if TYPE_CHECKING:
    from types import TracebackType

    from av.container import InputContainer
    from av.container.streams import StreamContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

DEMUXERS = {
    "MP4": "mov", "MOV": "mov", "MKV": "matroska", "WEBM": "matroska", "AVI": "avi", "MPEG": "mpeg", "TS": "mpegts",
    "3GP": "mov", "ASF": "asf", "FLV": "flv", "MXF": "mxf", "OGG": "ogg",
}  # fmt: skip
"""FFmpeg's demuxer of each format. It is always named: FFmpeg must not follow a playlist in a video's disguise."""

SOUND_DEMUXERS = {
    "WAV": "wav", "FLAC": "flac", "MP3": "mp3", "OGA": "ogg", "M4A": "mov", "MKA": "matroska", "WEBA": "matroska",
    "AIFF": "aiff", "AU": "au", "CAF": "caf", "W64": "w64",
}  # fmt: skip
"""FFmpeg's demuxer of each format of sound files."""

DEMUXER_NAMES = ",".join(
    sorted({*DEMUXERS.values(), *SOUND_DEMUXERS.values(), "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
)
"""Demuxers that may be opened at all, for FFmpeg's whitelist."""

RESETTABLE_CLOCKS = frozenset({"TS", "MPEG"})
"""Formats whose clock may be reset midway (ISO/IEC 13818-1, 2.4.3.5 and 2.7.6)."""

_CHUNK = 1 << 20
_MAX_JOIN_BYTES = 64 << 20
"""Largest distance in bytes between two packets in which a join is searched."""


class Demuxer(Protocol):
    """One pass over a source: PyAV's container of a file, or a pass over a live stream."""

    start_time: Any
    duration: Any

    @property
    def streams(self) -> "StreamContainer":
        """All streams of the source."""
        ...

    def demux(self, *streams: Any) -> "Iterator[Packet[Any]]":
        """Yield the packets of these streams; of all streams when none is named."""
        ...

    def close(self) -> None:
        """End the pass."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None: ...


class SideStreams(Protocol):
    """A demuxer for the audio and subtitle tracks."""

    @property
    def streams(self) -> "Iterable[Stream]":
        """The streams that it can read."""
        ...

    def demux(self, *streams: Any) -> "Iterator[Packet[Any]]":
        """Yield the packets of these streams."""
        ...

    def close(self) -> None:
        """End the reading."""
        ...


class VideoInput(Protocol):
    """A video source held open: a file, or a live stream, which can be read once."""

    format: str

    @property
    def path(self) -> Path | LiveSource:
        """The file's path, or the live source."""
        ...

    @property
    def sha256(self) -> str | None:
        """SHA-256 in hexadecimal, of a live stream up to now; None for a camera, which has no bytes of its own."""
        ...

    @property
    def is_stopped(self) -> bool:
        """True when a caller asked to stop before the end."""
        ...

    def find_truncation(self) -> str | None:
        """Return how the file is shorter than its structure says, as text; None where it is whole."""
        ...

    def has_join(self, pid: int, start: int, end: int) -> bool:
        """Tell whether two recordings were joined between the byte positions of two packets of stream `pid`."""
        ...

    def has_alpha_track(self) -> bool:
        """Tell whether the transparency of the video is in a separate track."""
        ...

    def count_packets(self, stream: int, limits: Limits) -> int:
        """Count the packets of a stream, including those that an edit list leaves out."""
        ...

    def open(self, limits: Limits) -> Demuxer:
        """Return a demuxer from the start of the source. Raises `BadInput` where it cannot be opened."""
        ...

    def open_side_streams(self, limits: Limits) -> SideStreams:
        """Return a demuxer for audio and subtitles, which runs beside the one for the video."""
        ...


class FileInput:
    """A regular file by its descriptor. Each demuxer opened from it has a position of its own.

    Without `format`, it is a video, and its first bytes say of which format.
    """

    def __init__(self, path: Path, limits: Limits, *, format: str = "") -> None:
        self.path, self._sha256 = path, ""
        with translate_read_errors(path):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                self.size = _check_size(self._descriptor, path, limits)
                self.format = format or video_format_of(os.pread(self._descriptor, VIDEO_HEAD_BYTES, 0)) or ""
                self._patches = wave_patches(self.bytes, self.size, path) if format == "WAV" else {}
            except BaseException:
                os.close(self._descriptor)
                raise

    def count_packets(self, stream: int, limits: Limits) -> int:
        """Count the packets of a stream, including those that an edit list leaves out."""
        with self.open_without_edit_list(limits) as container, translate_read_errors(self.path):
            wanted_stream = next(candidate for candidate in container.streams if candidate.index == stream)
            return sum(bool(packet.size) for packet in container.demux(wanted_stream))

    def open_without_edit_list(self, limits: Limits) -> "InputContainer":
        """Return a demuxer that also yields the packets that an edit list leaves out."""
        return self._open_demuxer(limits, {"ignore_editlist": "1"})

    def open(self, limits: Limits) -> "InputContainer":
        """Return a demuxer from the start of the file. It can open no other file or address."""
        return self._open_demuxer(limits, {})

    def _open_demuxer(self, limits: Limits, extra_options: dict[str, str]) -> "InputContainer":
        options = {"format_whitelist": DEMUXER_NAMES, "protocol_whitelist": "none", "max_pixels": str(limits.pixels)}
        with translate_read_errors(self.path):
            demuxer = DEMUXERS.get(self.format) or SOUND_DEMUXERS[self.format]
            return av.open(
                io.BufferedReader(DescriptorReader(self._descriptor, self._patches), _CHUNK), "r", format=demuxer,
                options=options | extra_options, metadata_errors="replace", buffer_size=_CHUNK,
            )  # fmt: skip

    def open_side_streams(self, limits: Limits) -> "InputContainer":
        """Return a demuxer of its own for audio and subtitles."""
        return self.open(limits)

    def find_truncation(self) -> str | None:
        """Return how the file is shorter than its structure says, as text; None where it is whole."""
        return find_truncation(DescriptorReader(self._descriptor), self.size, self.format)

    def has_join(self, pid: int, start: int, end: int) -> bool:
        """Tell whether two recordings were joined between the byte positions of two packets of stream `pid`."""
        length = end - start + max(TS_PACKETS)
        return 0 < length <= _MAX_JOIN_BYTES and is_join(os.pread(self._descriptor, length, start), pid, TS_PACKETS)

    def has_alpha_track(self) -> bool:
        """Tell whether the transparency of the video is in a separate track."""
        return self.format in {"MP4", "MOV"} and has_alpha_track(DescriptorReader(self._descriptor), self.size)

    def is_projected(self) -> bool:
        """Tell whether the file states a projection, as files of 360-degree cameras do."""
        with translate_read_errors(self.path):
            return is_projected(DescriptorReader(self._descriptor), self.size, self.format)

    def spherical(self, track: int) -> Spherical | None:
        """Return the projection of a track, by its number in MP4 and MOV; None where it has none, or an unknown one."""
        with translate_read_errors(self.path):
            return spherical(DescriptorReader(self._descriptor), self.size, self.format, track)

    @property
    def bytes(self) -> FileBytes:
        """The bytes of the file, as they are."""
        return FileBytes(DescriptorReader(self._descriptor))

    @property
    def is_stopped(self) -> bool:
        """False: nobody stops the reading of a file."""
        return False

    @property
    def sha256(self) -> str:
        """SHA-256 of the file in hexadecimal; computed when first asked for."""
        if not self._sha256:
            digest = hashlib.sha256()
            with translate_read_errors(self.path):
                for start in range(0, self.size, _CHUNK):
                    digest.update(os.pread(self._descriptor, min(_CHUNK, self.size - start), start))
            self._sha256 = digest.hexdigest()
        return self._sha256

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _check_size(descriptor: int, path: Path, limits: Limits) -> int:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"cannot read {path}: it is not a regular file; give a video file")
    limits.check("bytes", status.st_size, str(path))
    return status.st_size


def decode_strictly(stream: "VideoStream", limits: Limits, *, sliced: bool = False) -> None:
    """Set up a decoder to use all cores, and to raise on errors in place of concealing them.

    Where one of several slices of an H.264 picture is lost, only a mark on the frame says so; a thread that decodes a
    later picture may return the frame before it has its mark. `sliced` pictures are therefore decoded one by one.
    """
    stream.thread_type = "NONE" if sliced else "AUTO"
    # HEVC may hold a hash of each frame.
    detected = "crccheck+explode" if stream.codec_context.codec.canonical_name == "hevc" else "explode"
    stream.codec_context.options = {"err_detect": detected, "max_pixels": str(limits.pixels)}


@contextmanager
def translate_read_errors(path: Path | LiveSource, where: str = "") -> Iterator[None]:
    """Turn errors of PyAV and of the file system into `BadInput`; `where` is the position in the video, as text."""
    try:
        yield
    except VelumError:
        raise
    except MemoryError as error:
        raise BadInput(f"cannot read {path}: not enough memory to decode it") from error
    except (av.FFmpegError, OSError, ValueError, ArithmeticError, LookupError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadInput(
            f"cannot read {path}: it is damaged or truncated{where} ({reason}); copy the file again"
        ) from error
