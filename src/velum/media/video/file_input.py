"""One video file, held open: hashed, probed, decoded and copied from are the very same bytes."""

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
from velum.media.formats import VIDEO_HEAD_BYTES, video_format_of
from velum.media.sources import LiveSource
from velum.media.spherical import Spherical
from velum.media.video.projection import is_projected, spherical
from velum.media.video.truncation import TS_PACKETS, find_truncation, has_alpha_track
from velum.media.video.ts_joins import is_join

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
"""FFmpeg's demuxer of each format. It is named, never guessed: a playlist dressed as a video is not followed."""

DEMUXER_NAMES = ",".join(sorted({*DEMUXERS.values(), "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}))
"""What may be opened at all, as FFmpeg lists it."""

RESETTABLE_CLOCKS = frozenset({"TS", "MPEG"})
"""Formats whose clock may be set anew on the way (ISO/IEC 13818-1, 2.4.3.5 and 2.7.6)."""

_CHUNK = 1 << 20
_MAX_JOIN_BYTES = 64 << 20
"""Bytes from a packet to the next but one, beyond which nobody looks for a join between them."""


class Demuxer(Protocol):
    """What is read of a source at a time: PyAV's container of a file, or one turn of a stream."""

    start_time: Any
    duration: Any

    @property
    def streams(self) -> "StreamContainer":
        """Its streams."""
        ...

    def demux(self, *streams: Any) -> "Iterator[Packet[Any]]":
        """Yield the packets of these streams, of all when none is named."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None: ...


class SideStreams(Protocol):
    """The tracks next to the pictures."""

    @property
    def streams(self) -> "Iterable[Stream]":
        """Their streams."""
        ...

    def demux(self, *streams: Any) -> "Iterator[Packet[Any]]":
        """Yield the packets of these streams."""
        ...

    def close(self) -> None:
        """Let go of them."""
        ...


class VideoInput(Protocol):
    """A source held open: a file, or a stream that comes once."""

    format: str

    @property
    def path(self) -> Path | LiveSource:
        """What it is."""
        ...

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the bytes, of a stream those that have come, in hexadecimal; None where there are none."""
        ...

    @property
    def is_stopped(self) -> bool:
        """True when somebody asked for an end before the end."""
        ...

    def find_truncation(self) -> str | None:
        """Return how it is shorter than it says, in words; None when nothing speaks for that."""
        ...

    def has_join(self, pid: int, start: int, end: int) -> bool:
        """Tell whether recordings were joined between two packets of a transport stream, by their places in bytes."""
        ...

    def has_alpha_track(self) -> bool:
        """Tell whether a track of its own holds the transparency of the pictures."""
        ...

    def count_packets(self, stream: int, limits: Limits) -> int:
        """Return how many packets of a stream there are, those too that an edit list leaves out."""
        ...

    def open(self, limits: Limits) -> Demuxer:
        """Return a demuxer over it, from its start."""
        ...

    def open_side_streams(self, limits: Limits) -> SideStreams:
        """Return a demuxer for what goes with the pictures."""
        ...


class FileInput:
    """A regular file by its descriptor. Readers made from it have positions of their own."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self._sha256 = path, ""
        with translate_read_errors(path):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                self.size = _check_size(self._descriptor, path, limits)
                self.format = video_format_of(os.pread(self._descriptor, VIDEO_HEAD_BYTES, 0)) or ""
            except BaseException:
                os.close(self._descriptor)
                raise

    def count_packets(self, stream: int, limits: Limits) -> int:
        """Return how many packets of a stream there are, those too that an edit list leaves out."""
        with self.open_without_edit_list(limits) as container, translate_read_errors(self.path):
            wanted = next(candidate for candidate in container.streams if candidate.index == stream)
            return sum(bool(packet.size) for packet in container.demux(wanted))

    def open_without_edit_list(self, limits: Limits) -> "InputContainer":
        """Return a demuxer that yields also the packets that an edit list leaves out."""
        return self._open_demuxer(limits, {"ignore_editlist": "1"})

    def open(self, limits: Limits) -> "InputContainer":
        """Return a demuxer over the file, from its start. It can open no other file or address."""
        return self._open_demuxer(limits, {})

    def _open_demuxer(self, limits: Limits, extra_options: dict[str, str]) -> "InputContainer":
        options = {"format_whitelist": DEMUXER_NAMES, "protocol_whitelist": "none", "max_pixels": str(limits.pixels)}
        with translate_read_errors(self.path):
            return av.open(
                io.BufferedReader(_DescriptorReader(self._descriptor), _CHUNK), "r", format=DEMUXERS[self.format],
                options=options | extra_options, metadata_errors="replace", buffer_size=_CHUNK,
            )  # fmt: skip

    def open_side_streams(self, limits: Limits) -> "InputContainer":
        """Return a demuxer for what goes with the pictures: one of its own."""
        return self.open(limits)

    def find_truncation(self) -> str | None:
        """Return how the file is shorter than it says, in words; None when nothing speaks for that."""
        return find_truncation(_DescriptorReader(self._descriptor), self.size, self.format)

    def has_join(self, pid: int, start: int, end: int) -> bool:
        """Tell whether recordings were joined between two packets of a transport stream, by their places in bytes."""
        length = end - start + max(TS_PACKETS)
        return 0 < length <= _MAX_JOIN_BYTES and is_join(os.pread(self._descriptor, length, start), pid, TS_PACKETS)

    def has_alpha_track(self) -> bool:
        """Tell whether a track of its own holds the transparency of the pictures."""
        return self.format in {"MP4", "MOV"} and has_alpha_track(_DescriptorReader(self._descriptor), self.size)

    def is_projected(self) -> bool:
        """Tell whether the file states a projection, as 360-degree cameras do."""
        with translate_read_errors(self.path):
            return is_projected(_DescriptorReader(self._descriptor), self.size, self.format)

    def spherical(self, track: int) -> Spherical | None:
        """Return how a track, by its number in MP4 and MOV, is projected; None where it is not, or in no known way."""
        with translate_read_errors(self.path):
            return spherical(_DescriptorReader(self._descriptor), self.size, self.format, track)

    @property
    def is_stopped(self) -> bool:
        """False: a file has an end of its own."""
        return False

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal; read through once, when first asked for."""
        if not self._sha256:
            digest = hashlib.sha256()
            with translate_read_errors(self.path):
                for start in range(0, self.size, _CHUNK):
                    digest.update(os.pread(self._descriptor, min(_CHUNK, self.size - start), start))
            self._sha256 = digest.hexdigest()
        return self._sha256

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _DescriptorReader(io.RawIOBase):
    """Reads a shared descriptor at a position of its own."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor, self._position = descriptor, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        count = os.preadv(self._descriptor, [view], self._position)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._position,
            io.SEEK_END: os.fstat(self._descriptor).st_size,
        }[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position


def _check_size(descriptor: int, path: Path, limits: Limits) -> int:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"cannot read {path}: it is not a file; give a video file")
    limits.check("bytes", status.st_size, str(path))
    return status.st_size


def decode_strictly(stream: "VideoStream", limits: Limits) -> None:
    """Set a decoder up, on all cores, to say errors and not conceal them."""
    stream.thread_type = "AUTO"
    # HEVC may hold a hash of each picture.
    detected = "crccheck+explode" if stream.codec_context.codec.canonical_name == "hevc" else "explode"
    stream.codec_context.options = {"err_detect": detected, "max_pixels": str(limits.pixels)}


@contextmanager
def translate_read_errors(path: Path | LiveSource, where: str = "") -> Iterator[None]:
    """Turn errors of PyAV and of the file system into `BadInput`; `where` says at which place in the video."""
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
