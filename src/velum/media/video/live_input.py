"""A stream held open in place of a file, with one way through it."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av

from velum.errors import BadInput, Unavailable
from velum.limits import Limits
from velum.media.sources import LiveSource
from velum.media.video.file_input import DEMUXER_NAMES, DEMUXERS, decode_strictly, translate_read_errors
from velum.media.video.pipe_input import Pipe, no_data_error, translate_timeouts

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

_MAX_SIDE_PACKETS = 20_000
"""Packets of sound and subtitles that may wait for pictures: some minutes of them."""

_CHUNK = 1 << 16
_MICROSECONDS = 1_000_000
_ANALYSED_SECONDS = 1

# By kind: FFmpeg's demuxer, the protocols it may use, and its options. What a stream says can open nothing else.
_KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "rtsp": ("rtsp", "tcp", {"rtsp_transport": "tcp"}),
    "rtsps": ("rtsp", "tls,tcp", {"rtsp_transport": "tcp"}),
    "tcp": ("mpegts", "tcp", {}),
    "udp": ("mpegts", "udp", {}),
    "device": ("video4linux2", "none", {}),
}


class LiveInput:
    """A stream held open, in place of a file: what was looked at to know what it is comes again in its one pass."""

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
        """SHA-256 of what was read so far, in hexadecimal; None where there are no bytes of ours."""
        return self._pipe.sha256 if self._pipe else None

    @property
    def is_stopped(self) -> bool:
        """True when somebody asked for the end."""
        return self.path.stopped.is_set()

    def find_truncation(self) -> str | None:
        """Return None: how long a stream is shows at its end."""
        return None

    def count_packets(self, stream: int, limits: Limits) -> int:  # noqa: ARG002 - likewise
        """Return 0: what has come is gone."""
        return 0

    def has_join(self, pid: int, start: int, end: int) -> bool:  # noqa: ARG002 - nothing can be read again
        """Return False: what has come is gone."""
        return False

    def has_alpha_track(self) -> bool:
        """Return False: what a stream sends of its index is gone once it was read."""
        return False

    def open(self, limits: Limits) -> "_StreamPass":  # noqa: ARG002 - they are checked in `LiveSource`'s own open
        """Return the stream: first for a look at its beginning, then, from there again, for the one pass."""
        self._passes += 1
        if self._passes > 2:
            raise BadInput(f"cannot read {self.path} again: a stream comes once; save it to a file first")
        return _StreamPass(self, self._container)

    def open_side_streams(self, limits: Limits) -> "_SideStreamBuffer":  # noqa: ARG002 - likewise
        """Return the streams other than pictures, whose packets the pass puts aside."""
        return _SideStreamBuffer(self, self._container, self._side_packets)

    def divert(self, indices: frozenset[int]) -> None:
        """Put the packets of these streams aside for whoever writes them."""
        self._diverted = indices

    def packets(self) -> "Iterator[Packet[Any]]":
        """Yield what comes; in the first turn it is remembered, in the second what was remembered comes before."""
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
        """Let the decoders begin anew."""
        for stream in self._container.streams.video:
            if stream.codec_context is not None and stream.codec_context.is_open:
                stream.codec_context.flush_buffers()

    def close(self) -> None:
        """Let go of the stream."""
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
            raise TimeoutError(0, f"nothing came for {self.path.timeout_seconds:g} s") from error
        return packet

    def _divert_side_packets(self, packet: "Packet[Any]") -> "Iterator[Packet[Any]]":
        yield packet
        # Afterwards, since the writer makes it a packet of another stream.
        if packet.size and packet.stream.index in self._diverted:
            if len(self._side_packets) >= _MAX_SIDE_PACKETS:
                raise BadInput(
                    f"cannot read {self.path}: {_MAX_SIDE_PACKETS:,} packets of sound or subtitles came without a "
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
            # An RTSP session that is cut short by the time-out calls that invalid data.
            if isinstance(error, av.ExitError | TimeoutError) or time.monotonic() - start > live.timeout_seconds:
                raise no_data_error(live) from None
            # Not the error's own text: it holds the address, which may hold a password.
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Unavailable(f"cannot reach {live}: {reason}; check the address, and that it is sending") from None


class _StreamPass:
    """One way through the stream, as a demuxer's container is for a file."""

    def __init__(self, file: LiveInput, container: "InputContainer") -> None:
        self._file = file
        self.streams = container.streams
        self.start_time, self.duration = container.start_time, container.duration

    def demux(self, *streams: "Stream") -> "Iterator[Packet[Any]]":
        """Yield the packets of these streams, of all when none is named."""
        wanted = {stream.index for stream in streams}
        return (packet for packet in self._file.packets() if not wanted or packet.stream.index in wanted)

    def close(self) -> None:
        """Begin anew: the stream itself stays open, packets that wait to be written belong to it."""
        self._file.rewind()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _SideStreamBuffer:
    """Sound and subtitles of a stream: as far as the pass over its pictures has come, and never further."""

    def __init__(self, file: LiveInput, container: "InputContainer", packets: "deque[Packet[Any]]") -> None:
        self._file, self._packets = file, packets
        self.streams: Iterable[Stream] = [
            stream for stream in container.streams if stream.type in {"audio", "subtitle"}
        ]

    def demux(self, *streams: "Stream") -> "Iterator[Packet[Any]]":
        """Have the packets of these streams put aside; the iterator ends where none waits, and goes on later."""
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
        """Ask for no more."""
        self._file.divert(frozenset())
