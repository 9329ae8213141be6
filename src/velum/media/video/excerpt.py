"""The beginning of a video as a file of its own, its packets copied, so that a plan can be tried on it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av.stream import Disposition

from velum.errors import BadInput
from velum.limits import Limits
from velum.media.video.containers import CONTAINERS, container_for_codecs, open_muxer, supported_codecs
from velum.media.video.file_input import FileInput, translate_read_errors

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

_LATE_SECONDS = 2
"""Packets of sound may lie this much behind those of the video that they belong to."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The first part of a video: its file, how long it is, and how long the whole is, None where that is unknown."""

    file: Path
    seconds: float
    whole_seconds: float | None


def write_excerpt(source: Path, folder: Path, seconds: float, limits: Limits) -> Excerpt:
    """Copy the first `seconds` of a video, with its sound and text tracks, into a new file in `folder`.

    The file has the source's format, or is MKV where velum does not write that. Nothing is hidden in it. Raises
    `BadInput` for a file that is no video or cannot be read, and `OutputFailed` where the folder has no room.
    """
    file = FileInput(source, limits)
    with translate_read_errors(source), file.open(limits) as container:
        streams = _streams(container, source)
        codecs = {stream.codec_context.name for stream in streams}
        kept = file.format in CONTAINERS and container_for_codecs(file.format, codecs) is not None
        name = file.format if kept else "MKV"
        target = folder / f"source.{name.lower()}"
        kind = container_for_codecs(name, codecs) or CONTAINERS[name]
        with open_muxer(str(target), kind, dict(kind.options)) as muxer:
            copied = _copy(container, streams, muxer, supported_codecs(name), seconds)
        return Excerpt(target, copied, _duration_of(container, streams[0]))


def _streams(container: "InputContainer", source: Path) -> "list[Stream]":
    """Return the first video stream, then the tracks of sound and text."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    videos = [stream for stream in container.streams.video if not stream.disposition & still]
    if not videos:
        raise BadInput(f"{source} has no video to preview; leave --preview out")
    sides = [s for s in (*container.streams.audio, *container.streams.subtitles) if s.codec_context is not None]
    return [videos[0], *sides]


def _copy(
    container: "InputContainer", streams: "list[Stream]", muxer: "OutputContainer", codecs: frozenset[str],
    seconds: float,
) -> float:  # fmt: skip
    """Mux the packets that begin within `seconds` of the first one of the video; return how many seconds these are."""
    copies = {}
    for number, stream in enumerate(streams):
        if number == 0 or stream.codec_context.name in codecs:
            with suppress(ValueError):  # a track that this format cannot hold is not in the preview
                copies[stream.index] = muxer.add_stream_from_template(stream)
    reached = 0.0
    for packet, at in _packets_with_seconds(container, streams):
        if packet.stream is streams[0]:
            if at > seconds + _LATE_SECONDS:
                break
            if at < seconds:
                reached = max(reached, at + float((packet.duration or 0) * packet.time_base))
        if at < seconds and packet.stream.index in copies:
            packet.stream = copies[packet.stream.index]
            muxer.mux(packet)
    return min(reached, seconds)


def _packets_with_seconds(
    container: "InputContainer", streams: "list[Stream]"
) -> "Iterator[tuple[Packet[Any], float]]":
    """Yield packets in the order of the file, each with its seconds after the first packet of the video."""
    start: Fraction | None = None
    for packet in container.demux(*streams):
        stamp = packet.dts if packet.dts is not None else packet.pts
        if not packet.size or packet.time_base is None:
            continue
        if start is None and stamp is not None and packet.stream is streams[0]:
            start = stamp * packet.time_base
        yield packet, 0.0 if stamp is None or start is None else float(stamp * packet.time_base - start)


def _duration_of(container: "InputContainer", video: "Stream") -> float | None:
    if video.duration and video.time_base:
        return float(video.duration * video.time_base)
    return container.duration / 1_000_000 if container.duration else None
