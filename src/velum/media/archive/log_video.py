"""Topics of a log that are a video, one frame a message: as a file for the path of videos, and back.

The file is an AVI, which holds frames in the order of the messages and no times, so that the result has as many. H.265,
which AVI does not hold, is in Matroska.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from velum.errors import BadInput, OutputFailed
from velum.limits import Limits

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext

CODECS = {"h264": "h264", "h265": "hevc", "vp9": "vp9", "av1": "av1"}
"""Formats of messages in which velum hides, and FFmpeg's name of each codec."""

_SIZE_PACKETS = 50
"""Most frames from which the size of a video is learnt."""


def container_of(format: str) -> str:
    """Return the format of the file for messages of this format."""
    return "MKV" if format == "h265" else "AVI"


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
        muxer = "matroska" if container_of(format) == "MKV" else "avi"
        with av.open(str(path), "w", format=muxer, container_options={"fflags": "+bitexact"}) as file:
            stream = file.add_mux_stream(codec, rate=rate, width=size[0], height=size[1])
            stream.time_base = 1 / rate  # else the file counts in 1/600 s, and states 600 frames a second
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

    # The decoder named av1 of FFmpeg needs hardware.
    name = "libdav1d" if codec == "av1" else codec
    decoder = cast("VideoCodecContext", av.CodecContext.create(name, "r"))
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
            last_pts = -1
            for packet in _packets(file):
                if packet.pts is not None and packet.pts <= last_pts:
                    raise OutputFailed("the frames of a topic would be in another order; nothing was published")
                last_pts = last_pts if packet.pts is None else packet.pts
                yield bytes(packet)
    except av.FFmpegError as error:
        raise OutputFailed(f"the hidden video of a topic cannot be read: {error}; nothing was published") from error


def _packets(file: "InputContainer") -> "Iterator[Packet[Any]]":
    """Yield the packets of a video; those of H.265 as messages have them, with start codes and parameter sets."""
    from av.bitstream import BitStreamFilterContext  # noqa: PLC0415  # see above

    stream = file.streams.video[0]
    packets = (packet for packet in file.demux(stream) if packet.size)
    if stream.codec_context.codec.canonical_name != "hevc":
        yield from packets
        return
    convert = BitStreamFilterContext("hevc_mp4toannexb", stream)
    for packet in packets:
        yield from convert.filter(packet)


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
    if format == "h265":  # ITU-T H.265, table 7-1: kinds 16 to 21 are slices of such pictures
        starts = (at + 3 for at in _find_all(data, b"\0\0\1"))
        return any(at < len(data) and 16 <= data[at] >> 1 & 63 <= 21 for at in starts)
    if format == "av1":  # AV1 bitstream specification, 7.5: a sequence header stands before each of them
        return _has_sequence_header(data)
    # VP9 bitstream specification, 6.2: marker, profile, show_existing_frame, frame_type
    return len(data) > 0 and data[0] & 0b1100 == 0


def _has_sequence_header(data: bytes) -> bool:
    """Tell whether one of the units of an AV1 frame is a sequence header (AV1 bitstream specification, 5.3)."""
    at = 0
    while at < len(data):
        kind, has_extension, has_size = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        if kind == 1:
            return True
        at += 1 + has_extension
        size = shift = 0
        while has_size and at < len(data):  # leb128
            size |= (data[at] & 127) << shift
            shift += 7
            at += 1
            if data[at - 1] < 128:
                break
        if not has_size:
            return False
        at += size
    return False


def _find_all(data: bytes, pattern: bytes) -> Iterator[int]:
    at = data.find(pattern)
    while at >= 0:
        yield at
        at = data.find(pattern, at + 1)
