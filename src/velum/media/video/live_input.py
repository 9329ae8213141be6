"""Holds a live stream open like a file, with a single pass over it: a camera, an address or a pipe."""

import errno
import hashlib
import os
import select
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av

from velum.errors import BadInput, Unavailable, VelumError
from velum.limits import Limits
from velum.media.formats import VIDEO_HEAD_BYTES, video_format_of
from velum.media.sources import LiveSource
from velum.media.video.file_input import DEMUXER_NAMES, DEMUXERS, decode_strictly, translate_read_errors
from velum.media.video.truncation import TS_PACKETS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

_MAX_SIDE_PACKETS = 20_000
"""Packets of audio and subtitles that may wait for the next frame: some minutes of them."""

_CHUNK = 1 << 16
_MICROSECONDS = 1_000_000
_ANALYSED_SECONDS = 1

# By kind: FFmpeg's demuxer, the protocols it may use, and its options. A stream cannot make FFmpeg open anything else.
_KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "rtsp": ("rtsp", "tcp", {"rtsp_transport": "tcp"}),
    "rtsps": ("rtsp", "tls,tcp", {"rtsp_transport": "tcp"}),
    "tcp": ("mpegts", "tcp", {}),
    "udp": ("mpegts", "udp", {}),
    "device": ("video4linux2", "none", {}),
}


class LiveInput:
    """A live stream held open. Packets that were read to probe it are kept, and come again in its one pass."""

    def __init__(self, live: LiveSource, limits: Limits) -> None:
        self.path = live
        self._pipe = Pipe(live, limits) if live.kind == "pipe" else None
        self.format = self._pipe.format() if self._pipe else "TS" if live.kind in {"tcp", "udp"} else live.kind.upper()
        self._container = self._open_demuxer(limits)
        self._packets: Iterator[Packet[Any]] = self._container.demux()
        self._seen: deque[Packet[Any]] | None = deque()
        self._diverted: frozenset[int] = frozenset()
        self._side_packets: deque[Packet[Any]] = deque()
        self._passes = 0
        for stream in self._container.streams.video:
            decode_strictly(stream, limits)

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the bytes that came through a pipe so far, in hexadecimal; None for cameras and addresses."""
        return self._pipe.sha256 if self._pipe else None

    @property
    def is_stopped(self) -> bool:
        """True when a caller asked to stop the stream."""
        return self.path.stopped.is_set()

    def find_truncation(self) -> str | None:
        """Return None: a live stream states no length."""
        return None

    def count_packets(self, stream: int, limits: Limits) -> int:  # noqa: ARG002 - likewise
        """Return 0: packets of a live stream cannot be read twice."""
        return 0

    def has_join(self, pid: int, start: int, end: int) -> bool:  # noqa: ARG002 - nothing can be read again
        """Return False: bytes of a live stream cannot be read twice."""
        return False

    def has_alpha_track(self) -> bool:
        """Return False: the index of a live stream cannot be read twice."""
        return False

    def open(self, limits: Limits) -> "_StreamPass":  # noqa: ARG002 - they are checked in `LiveSource`'s own open
        """Return a demuxer: the first call is for probing, the second for the one pass, again from the start.

        Raises `BadInput` on a third call.
        """
        self._passes += 1
        if self._passes > 2:
            raise BadInput(f"cannot read {self.path} again: a live stream can be read once; save it to a file first")
        return _StreamPass(self, self._container)

    def open_side_streams(self, limits: Limits) -> "_SideStreamBuffer":  # noqa: ARG002 - likewise
        """Return the audio and subtitle packets that the pass over the video diverts."""
        return _SideStreamBuffer(self, self._container, self._side_packets)

    def divert(self, indices: frozenset[int]) -> None:
        """Divert the packets of these streams into the side buffer."""
        self._diverted = indices

    def packets(self) -> "Iterator[Packet[Any]]":
        """Yield packets as they arrive. The probing pass remembers them, the second pass yields those first."""
        first = self._passes == 1
        seen, self._seen = (self._seen, self._seen) if first else (self._seen, None)
        while not first and seen:
            yield from self._divert_side_packets(seen.popleft())
        while not self.is_stopped:
            packet = self._next()
            if packet is None:
                return
            if first and seen is not None:
                seen.append(packet)
                yield packet
            else:
                yield from self._divert_side_packets(packet)

    def rewind(self) -> None:
        """Reset the decoders for the second pass."""
        for stream in self._container.streams.video:
            if stream.codec_context is not None and stream.codec_context.is_open:
                stream.codec_context.flush_buffers()

    def close(self) -> None:
        """Close the stream."""
        self._side_packets.clear()
        self._seen = None
        self._container.close()

    def _next(self) -> "Packet[Any] | None":
        try:
            packet = next(self._packets, None)
            if packet is None and self._pipe:
                self._pipe.check_end(self.format, whole=self._passes == 2)
        except (av.FFmpegError, OSError) as error:
            if self.is_stopped:
                return None
            if not isinstance(error, av.ExitError | TimeoutError):
                raise
            if self._passes == 1:
                raise no_data_error(self.path) from None
            raise TimeoutError(0, f"no data came for {self.path.timeout_seconds:g} s") from error
        return packet

    def _divert_side_packets(self, packet: "Packet[Any]") -> "Iterator[Packet[Any]]":
        yield packet
        # Only after the yield, because the writer reassigns the packet to another stream.
        if packet.size and packet.stream.index in self._diverted:
            if len(self._side_packets) >= _MAX_SIDE_PACKETS:
                raise BadInput(
                    f"cannot read {self.path}: {_MAX_SIDE_PACKETS:,} packets of audio or subtitles came without a "
                    f"frame between them; drop them (video.audio = drop, video.subtitles = drop)"
                )
            self._side_packets.append(packet)

    def _open_demuxer(self, limits: Limits) -> "InputContainer":
        live, pixels = self.path, {"max_pixels": str(limits.pixels)}
        quick = {"analyzeduration": str(_ANALYSED_SECONDS * _MICROSECONDS)}
        if self._pipe:
            options = {"format_whitelist": DEMUXER_NAMES, "protocol_whitelist": "none"} | pixels | quick
            with translate_read_errors(live), translate_timeouts(live):
                return av.open(
                    self._pipe, "r", format=DEMUXERS[self.format], options=options, metadata_errors="replace",
                    buffer_size=_CHUNK,
                )  # fmt: skip
        demuxer, protocols, extra_options = _KINDS[live.kind]
        start = time.monotonic()
        names = "video4linux2,v4l2" if live.kind == "device" else demuxer
        options = {"format_whitelist": names, "protocol_whitelist": protocols} | extra_options | pixels | quick
        try:
            return av.open(
                live.address, "r", format=demuxer, options=options, metadata_errors="replace",
                timeout=live.timeout_seconds,
            )  # fmt: skip
        except (av.FFmpegError, OSError, ValueError) as error:
            # FFmpeg reports an RTSP session that the time-out cut short as invalid data.
            if isinstance(error, av.ExitError | TimeoutError) or time.monotonic() - start > live.timeout_seconds:
                raise no_data_error(live) from None
            # Not the error's own text: it holds the address, and that may hold a password.
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Unavailable(
                f"cannot reach {live}: {reason}; check the address, and that the stream is sending"
            ) from None


class _StreamPass:
    """One pass over a live stream, in the place of PyAV's container."""

    def __init__(self, file: LiveInput, container: "InputContainer") -> None:
        self._file = file
        self.streams = container.streams
        self.start_time, self.duration = container.start_time, container.duration

    def demux(self, *streams: "Stream") -> "Iterator[Packet[Any]]":
        """Yield the packets of these streams; of all streams when none is named."""
        indices = {stream.index for stream in streams}
        return (packet for packet in self._file.packets() if not indices or packet.stream.index in indices)

    def close(self) -> None:
        """Rewind. The stream stays open, because packets that wait to be written belong to it."""
        self._file.rewind()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _SideStreamBuffer:
    """Audio and subtitle packets of a live stream, as far as the pass over its video has come."""

    def __init__(self, file: LiveInput, container: "InputContainer", packets: "deque[Packet[Any]]") -> None:
        self._file, self._packets = file, packets
        self.streams: Iterable[Stream] = [
            stream for stream in container.streams if stream.type in {"audio", "subtitle"}
        ]

    def demux(self, *streams: "Stream") -> "Iterator[Packet[Any]]":
        """Divert the packets of these streams; the iterator ends while none waits, and can be continued later."""
        self._file.divert(frozenset(stream.index for stream in streams))
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> "Packet[Any]":
        try:
            return self._packets.popleft()
        except IndexError:
            raise StopIteration from None

    def close(self) -> None:
        """Divert no more packets."""
        self._file.divert(frozenset())


_POLL_SECONDS = 0.2


class Pipe:
    """The read end of a pipe, as a file object for PyAV."""

    def __init__(self, live: LiveSource, limits: Limits) -> None:
        self._live, self._limits = live, limits
        self._digest, self._count, self._head = hashlib.sha256(), 0, b""
        self._fault: OSError | VelumError | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes read so far, in hexadecimal."""
        return self._digest.hexdigest()

    def format(self) -> str:
        """Return the video format by the first bytes. Raises `BadInput` when they belong to no known video format."""
        with translate_read_errors(self._live), translate_timeouts(self._live):
            while len(self._head) < VIDEO_HEAD_BYTES and (data := self._read(VIDEO_HEAD_BYTES - len(self._head))):
                self._head += data
        format_name = video_format_of(self._head)
        if format_name is None:
            reason = "it is empty" if not self._head else "its format is unknown"
            raise BadInput(f"cannot read {self._live}: {reason}; supported formats are {', '.join(sorted(DEMUXERS))}")
        return format_name

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes as soon as any arrive; empty at the end."""
        data, self._head = self._head[:count], self._head[count:]
        return data or self._read(count)

    def check_end(self, format: str, *, whole: bool) -> None:
        """Raise the error that ended the stream, which some demuxers swallow; or one for a partial last packet."""
        if self._fault is not None:
            raise self._fault
        if whole and format == "TS" and all(self._count % packet for packet in TS_PACKETS):
            raise OSError(errno.EIO, f"its {self._count:,} bytes are not a whole number of packets")

    def _read(self, count: int) -> bytes:
        if self._fault is not None:  # some demuxers try again after an error
            raise self._fault
        try:
            return self._receive(count)
        except (OSError, VelumError) as error:
            self._fault = error
            raise

    def _receive(self, count: int) -> bytes:
        deadline = time.monotonic() + self._live.timeout_seconds
        while not select.select([self._live.descriptor], [], [], _POLL_SECONDS)[0]:
            if self._live.stopped.is_set() or time.monotonic() > deadline:
                raise TimeoutError(0, f"no data came for {self._live.timeout_seconds:g} s")
        data = os.read(self._live.descriptor, count)
        self._count += len(data)
        self._digest.update(data)
        self._limits.check("bytes", self._count, str(self._live))
        return data


def no_data_error(live: LiveSource) -> Unavailable:
    """Return the error for a stream that never began."""
    reason = "it was stopped before its first frame" if live.stopped.is_set() else "no data came"
    return Unavailable(f"cannot read {live}: {reason} within {live.timeout_seconds:g} s; check that the sender runs")


@contextmanager
def translate_timeouts(live: LiveSource) -> Iterator[None]:
    """Turn a time-out into `Unavailable`: the stream never began, which is no damage."""
    try:
        yield
    except TimeoutError:
        raise no_data_error(live) from None
