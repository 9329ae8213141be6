"""Topics of a log that are a video, one frame a message: as a file for the path of videos, and back.

The file is an AVI, which holds frames in the order of the messages and no times, so that the result has as many.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

from velum.errors import BadInput, OutputFailed
from velum.limits import Limits

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

VIDEO = "AVI"
"""Format of the file."""

CODECS = {"h264": "h264", "vp9": "vp9"}
"""Formats of messages in which velum hides, and FFmpeg's name of each codec."""

_SIZE_PACKETS = 50
"""Most frames from which the size of a video is learnt."""


@contextmanager
def _translate() -> Iterator[None]:
    """Raise `BadInput` for what FFmpeg raises for damaged frames."""
    import av  # noqa: PLC0415  # logs without videos do without PyAV

    try:
        yield
    except (av.FFmpegError, ValueError, ArithmeticError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BadInput(f"its video cannot be read: {reason}") from error


def write_video(path: Path, format: str, rate: Fraction, frames: Iterable[bytes], limits: Limits) -> None:
    """Write the frames of a topic to a video file. Raises `BadInput` where they are none of this format."""
    import av  # noqa: PLC0415  # see above

    codec, held = CODECS[format], list[bytes]()
    coming = iter(frames)
    with _translate():
        first = next(coming, b"")
        if not is_key_frame(format, first):
            raise BadInput("its video does not begin with a key frame, so nobody can see its first frames")
        size = _size_of(codec, itertools.chain([first], coming), held, limits)
        with av.open(str(path), "w", format="avi", container_options={"fflags": "+bitexact"}) as file:
            stream = file.add_mux_stream(codec, rate=rate, width=size[0], height=size[1])
            for number, data in enumerate(_chain(held, coming)):
                packet = av.Packet(data)
                packet.pts = packet.dts = number
                packet.duration, packet.time_base, packet.stream = 1, 1 / rate, stream
                packet.is_keyframe = is_key_frame(format, data)
                file.mux_one(packet)


def _chain(held: list[bytes], coming: Iterator[bytes]) -> Iterator[bytes]:
    yield from held
    held.clear()
    yield from coming


def _size_of(codec: str, frames: Iterator[bytes], held: list[bytes], limits: Limits) -> tuple[int, int]:
    """Return the width and height of a video; frames that were read for that are added to `held`."""
    import av  # noqa: PLC0415  # see above

    decoder = cast("VideoCodecContext", av.CodecContext.create(codec, "r"))
    decoder.options = {"max_pixels": str(limits.pixels)}
    decoder.thread_count = 1
    for data in frames:
        held.append(data)
        if len(held) > _SIZE_PACKETS:
            break
        if data:
            for frame in decoder.decode(av.Packet(data)):
                return frame.width, frame.height
    for frame in decoder.decode(None):
        return frame.width, frame.height
    raise BadInput("its first frames cannot be decoded")


def read_frames(path: Path) -> Iterator[bytes]:
    """Yield the frames of a video file that was hidden, as they are put into messages."""
    import av  # noqa: PLC0415  # see above

    try:
        with av.open(str(path)) as file:
            for packet in file.demux(file.streams.video[0]):
                if packet.size:
                    yield bytes(packet)
    except av.FFmpegError as error:
        raise OutputFailed(f"the hidden video of a topic cannot be read: {error}; nothing was published") from error


def codec_of(path: Path) -> str:
    """Return FFmpeg's name of the codec of a video file that was hidden."""
    import av  # noqa: PLC0415  # see above

    with av.open(str(path)) as file:
        return str(file.streams.video[0].codec_context.codec.canonical_name)


def is_key_frame(format: str, data: bytes) -> bool:
    """Tell whether a frame can be decoded without those before it."""
    if format == "h264":  # ITU-T H.264, 7.4.1: a unit of kind 5 is a slice of such a picture
        starts = (at + 3 for at in _find_all(data, b"\0\0\1"))
        return any(at < len(data) and data[at] & 31 == 5 for at in starts)
    # VP9 bitstream specification, 6.2: marker, profile, show_existing_frame, frame_type
    return len(data) > 0 and data[0] & 0b1100 == 0


def _find_all(data: bytes, pattern: bytes) -> Iterator[int]:
    at = data.find(pattern)
    while at >= 0:
        yield at
        at = data.find(pattern, at + 1)
