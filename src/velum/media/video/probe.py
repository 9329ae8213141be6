"""Probes a video: finds its properties from its header and its first frame."""

import io
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
from av.audio.stream import AudioStream
from av.sidedata.sidedata import Type
from av.stream import Disposition
from PIL import ExifTags, Image

from velum.errors import BadInput, VelumError
from velum.frame import Orientation
from velum.limits import Limits
from velum.media.projection import Spherical, of_xml
from velum.media.video import alpha
from velum.media.video.bitstream import has_partial_slices
from velum.media.video.embed_projection import PROJECTION_DROPPED
from velum.media.video.file_input import RESETTABLE_CLOCKS, Demuxer, FileInput, VideoInput, translate_read_errors
from velum.media.video.info import Colour, SideStream, VideoFormat, VideoInfo
from velum.media.video.pixel_formats import PixelLayout, kept_layout
from velum.report import say_count

if TYPE_CHECKING:
    from av.packet import Packet
    from av.sidedata.sidedata import SideData
    from av.stream import Stream
    from av.video.stream import VideoStream

_TAG = "spherical-video"
_JPEG_RANGE = 2
_LIMITED_UNLESS_STATED = frozenset({"h264", "hevc", "av1"})
_FIRST_FRAMES_BYTES = 64 << 20
_LENIENT_CODECS = frozenset({"tiff"})
"""Codecs whose decoder, when it is to report errors, refuses whole frames as well."""
_MATRIX_BYTES = 36
_ONE = 1 << 16
_USUAL_RATE = Fraction(25)

_UNKNOWN = "bin_data"
"""FFmpeg's name of what a track of a TS holds that has no identifier there: FFmpeg itself writes FLAC and PCM so."""


def probe(file: VideoInput, limits: Limits, *, cover_damage: bool) -> VideoInfo:
    """Return the properties of the video in `file`.

    Raises `BadInput` when it is truncated (unless damage is covered), encrypted, or has no frame that can be decoded,
    and `LimitExceeded` when it is too large or too long.
    """
    short = file.find_truncation()
    if short and not cover_damage:
        more = ", or process its readable frames (on_damage = cover)" if _is_begun(file, limits) else ""
        raise BadInput(f"cannot read {file.path}: it is truncated: {short}; copy the file again{more}")
    with file.open(limits) as container, translate_read_errors(file.path):
        stream = _choose_stream(container, file)
        limits.check("pixels", stream.codec_context.width * stream.codec_context.height, str(file.path))
        first, packet = _decode_first_frame(container, stream, file, limits)
        duration = _duration_seconds(container, stream, file, seconds_of(first.pts or 0, stream.time_base))
        # In these formats it is guessed from the first and last time stamp, which may be of different clocks.
        if duration is not None and file.format not in RESETTABLE_CLOCKS:
            limits.check("seconds", int(duration), str(file.path))
        projected, spherical = _find_projection(stream, file)
        coding = replace(_coding(stream, first, packet), spherical=spherical)
        notes = [] if short is None else [f"the file is truncated: {short}"]
        notes += _notes(container, file.format, first)
        notes += [PROJECTION_DROPPED] if projected and spherical is None else []
        width, height = coding.orientation.stored_size(first.width, first.height)
        return VideoInfo(
            format=file.format, width=width, height=height, frames=_frames(stream, file), fps=coding.rate,
            duration_seconds=duration, source=file.path, coding=coding, tracks=tuple(_tracks(container)),
            notes=tuple(notes),
        )  # fmt: skip


def _is_begun(file: VideoInput, limits: Limits) -> bool:
    """Tell whether a truncated file can be opened, and has a frame that can be decoded."""
    try:
        with file.open(limits) as container, translate_read_errors(file.path):
            _decode_first_frame(container, _choose_stream(container, file), file, limits)
    except VelumError:
        return False
    return True


def _find_projection(stream: "VideoStream", file: VideoInput) -> tuple[bool, Spherical | None]:
    """Return whether the file states a projection, and that projection; None where velum does not know it in full."""
    if not isinstance(file, FileInput):
        return False, None
    # Matroska stores the metadata of Spherical Video V1 as a tag.
    tagged = next((value for name, value in stream.metadata.items() if name.lower() == _TAG), "")
    spherical = file.spherical(stream.id) or of_xml(tagged.encode())
    return bool(spherical or tagged) or file.is_projected(), spherical


def _frames(stream: "VideoStream", file: VideoInput) -> int | None:
    # The header of an AVI counts units of time, not frames.
    return None if file.format == "AVI" else stream.frames or None


def _moving_streams(container: Demuxer) -> list["VideoStream"]:
    """Return the video streams, without covers and thumbnails."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & still]


def _choose_stream(container: Demuxer, file: VideoInput) -> "VideoStream":
    streams = _moving_streams(container)
    if not streams:
        raise BadInput(f"cannot read {file.path}: it holds no video, only {_kinds(container)}; give a video file")
    stream = streams[0]
    if stream.codec_context is None:
        raise BadInput(f"cannot read {file.path}: its video codec is unknown or encrypted; convert it first")
    return stream


def _kinds(container: Demuxer) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "an empty container"


def seconds_of(value: int, base: Fraction | None) -> float:
    """Return a time in seconds."""
    return float(value * to_fraction(base)) if base else 0.0


def to_fraction(value: Fraction | None) -> Fraction:
    """Return a ratio of PyAV as a Fraction (PyAV 19 has a type of its own); 0 for None."""
    return Fraction(value.numerator, value.denominator) if value and value.denominator else Fraction(0)


def _duration_seconds(container: Demuxer, stream: "VideoStream", file: VideoInput, start: float) -> float | None:
    # In Matroska that is a tag, which holds the end of the stream.
    if stream.duration and file.format not in {"MKV", "WEBM"}:
        return seconds_of(stream.duration, stream.time_base)
    return stated_seconds(container, start)


def stated_seconds(container: Demuxer, start: float) -> float | None:
    """Return the duration in the header, in seconds; None where it has none. The first frame is at `start` seconds.

    Some writers of Matroska count the duration from 0, whatever time the first frame has.
    """
    if not container.duration:
        return None
    stated = float(container.duration) / 1_000_000
    return stated - (start if stated > start > 0 else 0)


def refuse_encrypted(packet: "Packet[Any]", file: VideoInput) -> None:
    """Raise `BadInput` when the packet is encrypted (ISO/IEC 23001-7)."""
    if packet.has_sidedata("encryption_info"):
        raise BadInput(f"cannot read {file.path}: it is encrypted, and velum has no keys; decrypt it first")


def _decode_first_frame(
    container: Demuxer, stream: "VideoStream", file: VideoInput, limits: Limits
) -> tuple[av.VideoFrame, bytes]:
    """Return the first frame that can be decoded, and its packet; frames before it are reported when reading."""
    read_bytes, decode, layered, data = 0, stream.decode, False, b""
    for packet in container.demux(stream):
        refuse_encrypted(packet, file)
        if not read_bytes and packet.size:
            decode = (
                alpha.create_alpha_decoder(stream, limits).decode if alpha.declares_alpha(stream, packet) else decode
            )
            layered = alpha.has_alpha_layer(stream, packet)
            if _is_sliced(stream, bytes(packet)) and not stream.codec_context.is_open:
                stream.thread_type = "NONE"  # see `decode_strictly`; a live stream keeps this decoder
        read_bytes += packet.size
        data = bytes(packet) or data  # the last packet, which flushes the decoder, is empty
        frames = _try_decode(decode, packet)
        if frames and stream.codec_context.codec.canonical_name in _LENIENT_CODECS:
            raise _unsupported_error(stream, file, "FFmpeg decodes it only without a check for damage")
        if frames:
            _refuse_lost_alpha(container, frames[0], file, layered=layered)
            return frames[0], data
        if read_bytes > _FIRST_FRAMES_BYTES:
            break
    raise _undecodable_error(stream, file)


def _undecodable_error(stream: "VideoStream", file: VideoInput) -> BadInput:
    """Return why no frame could be decoded: a kind of video that is not supported, or damage."""
    if not stream.codec_context.is_open:
        return _unsupported_error(stream, file, "FFmpeg cannot decode a stream with these parameters")
    if stream.codec_context.codec.canonical_name == "rawvideo":
        # FFmpeg takes frames of an AVI without the name of a codec for uncompressed ones.
        return BadInput(
            f"cannot read {file.path}: its video codec is unknown: the file states uncompressed frames, but their "
            f"sizes are others; convert it first"
        )
    return BadInput(
        f"cannot read {file.path}: none of its first frames can be decoded; they are damaged, encrypted, or of a kind "
        f"that FFmpeg does not decode; copy the file again, or convert it first"
    )


def _unsupported_error(stream: "VideoStream", file: VideoInput, reason: str) -> BadInput:
    codec = stream.codec_context.codec.canonical_name
    return BadInput(f"cannot read {file.path}: this video of {codec} is not supported: {reason}; convert it first")


def _refuse_lost_alpha(container: Demuxer, first: av.VideoFrame, file: VideoInput, *, layered: bool) -> None:
    """Raise `BadInput` where the decoded frames lack transparency that the file has."""
    apart = len(_moving_streams(container)) > 1 and file.has_alpha_track()
    if apart or (layered and not kept_layout(first.format.name)[0].alpha):
        where = "a separate track" if apart else "a separate layer"
        raise BadInput(
            f"cannot read {file.path}: its transparency is in {where}, which is not supported, and what it hides "
            f"would become visible; convert it to ProRes 4444 in MOV, or to VP9 in WebM"
        )


def _try_decode(decode: "Callable[[Packet[Any]], list[av.VideoFrame]]", packet: "Packet[Any]") -> list[av.VideoFrame]:
    try:
        return decode(packet)
    except av.FFmpegError:
        return []


def _coding(stream: "VideoStream", first: av.VideoFrame, packet: bytes) -> VideoFormat:
    context = stream.codec_context
    codec = context.codec.canonical_name
    layout, _ = kept_layout(first.format.name)
    matrix = _matrix(first, packet)
    aspect = to_fraction(stream.sample_aspect_ratio)
    rate = to_fraction(stream.average_rate) or to_fraction(stream.guessed_rate) or _USUAL_RATE
    return VideoFormat(
        stream=stream.index, codec=codec,
        native=first.format.name.replace("yuvj", "yuv"), layout=layout, stored_width=first.width,
        stored_height=first.height, time_base=to_fraction(stream.time_base), rate=rate,
        colour=_colour(first, layout, codec),
        aspect=aspect if aspect > 0 else None, matrix=matrix, orientation=orientation_of(matrix),
        field_order=_field_order(context.field_order, first), sliced=_is_sliced(stream, packet),
        reordered=bool(context.has_b_frames),
    )  # fmt: skip


def _is_sliced(stream: "VideoStream", packet: bytes) -> bool:
    context = stream.codec_context
    return context.codec.canonical_name == "h264" and has_partial_slices(context.extradata or b"", packet)


def _field_order(order: int, first: av.VideoFrame) -> int:
    return max(order, 2) if first.interlaced_frame else 0


def _has_readable_side_data(frame: av.VideoFrame) -> bool:
    """Tell whether PyAV can list the side data of a frame; it fails on EXIF, which frames of MJPEG may have."""
    try:
        return frame.side_data is not None
    except ValueError:
        return False


def _side_data(frame: av.VideoFrame, kind: Type) -> bytes:
    if not _has_readable_side_data(frame):
        return b""
    # PyAV's container of side data is a mapping whose iteration gives values.
    stored = cast("Iterable[SideData]", frame.side_data)
    return next((bytes(memoryview(entry)) for entry in stored if entry.type == kind), b"")


def _matrix(first: av.VideoFrame, packet: bytes) -> tuple[int, ...]:
    data = _side_data(first, Type.DISPLAYMATRIX)
    if len(data) == _MATRIX_BYTES:
        return struct.unpack("=9i", data)
    if _has_readable_side_data(first):
        return ()
    # PyAV hides the matrix, which FFmpeg made of the image's EXIF, and its angle alone does not show mirroring.
    with Image.open(io.BytesIO(packet)) as image:
        turned = Orientation.from_exif(image.getexif().get(ExifTags.Base.Orientation, 1))
    if turned == Orientation():
        return ()
    across, down = (-_ONE if flip else _ONE for flip in (turned.flip_x, turned.flip_y))
    a, b, c, d = (0, down, across, 0) if turned.transposed else (across, 0, 0, down)
    return (a, b, 0, c, d, 0, 0, 0, 1 << 30)


def orientation_of(matrix: tuple[int, ...]) -> Orientation:
    """Return the orientation that is nearest to a display matrix.

    The matrix maps stored (x, y) to (a x + c y, b x + d y), with a, b at 0, 1 and c, d at 3, 4 (ISO/IEC 14496-12,
    6.2.2). For other angles than quarter turns, which players apply, objects are located in the nearest quarter turn.
    """
    if not matrix:
        return Orientation()
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transposed=True, flip_x=c < 0, flip_y=b < 0)
    return Orientation(transposed=False, flip_x=a < 0, flip_y=d < 0)


def _colour(first: av.VideoFrame, layout: PixelLayout, codec: str) -> Colour:
    stated = first.color_range != 0 or "yuvj" in first.format.name
    full = first.color_range == _JPEG_RANGE or "yuvj" in first.format.name
    if layout.grey and not stated:
        # Grey without a stated range is full range except in these codecs; black of full range is black in both.
        full, stated = True, codec not in _LIMITED_UNLESS_STATED
    return Colour(
        primaries=first.color_primaries, transfer=first.color_trc, matrix=first.colorspace, full_range=full,
        range_stated=stated, mastering=_side_data(first, Type.MASTERING_DISPLAY_METADATA),
        light=_side_data(first, Type.CONTENT_LIGHT_LEVEL),
    )  # fmt: skip


def _tracks(container: Demuxer) -> Iterator[SideStream]:
    for stream in container.streams:
        if stream.type in {"audio", "subtitle"}:
            yield SideStream(stream.index, stream.type, codec_of(stream))


def codec_of(stream: "Stream") -> str | None:
    """Return FFmpeg's name of a stream's codec; None where it is unknown, or the stream has no parameters."""
    context: object = stream.codec_context  # None where FFmpeg has no decoder, whatever its types say
    if context is None:
        return None
    # A stream without any packet, such as the core of a TrueHD track, has no parameters.
    silent = isinstance(stream, AudioStream) and not (
        stream.codec_context.sample_rate and stream.codec_context.channels
    )
    return None if silent else stream.codec_context.codec.canonical_name


def _notes(container: Demuxer, format: str, first: av.VideoFrame) -> Iterator[str]:
    _, lost = kept_layout(first.format.name)
    if lost:
        yield lost
    others = len(_moving_streams(container)) - 1
    if others:
        counted = say_count(others, "more video track was", "more video tracks were")
        yield f"{counted} left out: velum anonymizes only the first"
    if format == "TS" and any(getattr(stream, "name", "") == _UNKNOWN for stream in container.streams):
        yield "a track of a TS was left out: the file does not say what it holds, and it may be sound"
    kinds = {type_.name for type_ in (Type.DYNAMIC_HDR_PLUS, Type.DOVI_METADATA) if _side_data(first, type_)}
    if kinds:
        yield f"changing HDR metadata ({', '.join(sorted(kinds)).lower()}) was dropped; static HDR metadata is kept"
