"""Lists the content of a video besides the frames that players show: other streams, metadata, and unused coded data."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import av
import numpy as np
from av.stream import Discard, Disposition

from velum.limits import Limits
from velum.media.coordinates import place_in
from velum.media.inventory.coded import CodedStream
from velum.media.inventory.surplus import Surplus
from velum.media.video.file_input import Demuxer, FileInput, VideoInput, translate_read_errors
from velum.media.video.probe import to_fraction

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream


Kind = Literal["picture", "metadata", "place", "audio", "subtitles", "stream"]

_TECHNICAL = {
    "major_brand", "minor_version", "compatible_brands", "encoder", "duration", "language", "vendor_id", "handler_name",
    "number_of_frames", "bps", "number_of_bytes", "loop", "variant_bitrate", "max_bitrate", "stereo_mode",
    "alpha_mode",
}  # fmt: skip
"""Metadata keys about how a file is made, in lower case."""

SILENCE_LEVEL = 1e-4
"""Share of full scale (-80 dBFS) up to which samples are coded silence; even whispers are louder."""

_PLACES = ("location", "gps", "xyz", "geo")


def list_side_content(path: Path, limits: Limits) -> Iterator[tuple[Kind, str]]:
    """Yield (kind, description) of all content besides the frames. Raises `BadInput` if the file cannot be opened."""
    yield from _tracks_with_coordinates(path, limits)
    with closing(FileInput(path, limits)) as file, file.open(limits) as container, translate_read_errors(path):
        yield from metadata_entries(container.metadata, "the file")
        if container.chapters():
            yield "metadata", "chapters, and their names"
        still = Disposition.attached_pic | Disposition.timed_thumbnails
        pictures = 0
        for stream in container.streams:
            kind = stream.type
            yield from metadata_entries(stream.metadata, f"stream {stream.index}")
            if kind == "video" and stream.disposition & still:
                yield "picture", f"stream {stream.index} is a cover"
            elif kind == "video":
                pictures += 1
                if pictures > 1:
                    yield "picture", f"stream {stream.index} is another video track"
            elif kind == "audio":
                yield "audio", f"stream {stream.index} is audio"
            elif kind == "subtitle":
                yield "subtitles", f"stream {stream.index} is subtitles"
            else:
                yield "stream", f"stream {stream.index} is {kind}"


def _tracks_with_coordinates(path: Path, limits: Limits) -> Iterator[tuple[Kind, str]]:
    """Yield the text tracks, and the chapters, whose text holds coordinates."""
    tracks: set[int | None] = set()
    for text in iter_texts(path, limits):
        if text.stream not in tracks and text.place is not None:
            tracks.add(text.stream)
            where = "chapters" if text.stream is None else f"stream {text.stream}, at {text.seconds:g} s"
            yield "place", f"coordinates in the text of {where}"  # without the coordinates themselves


def audible_streams(path: Path, limits: Limits) -> list[int]:
    """Return the indices of the audio streams with a sample above silence; each is decoded to its end if need be.

    Raises `BadInput` for audio that cannot be decoded, because it may not be silent.
    """
    heard = []
    with closing(FileInput(path, limits)) as file, file.open(limits) as container, translate_read_errors(path):
        for stream in container.streams.audio:
            container.seek(0)
            if any(_loudest(frame) > SILENCE_LEVEL for frame in container.decode(stream)):
                heard.append(stream.index)
    return heard


def _loudest(frame: av.AudioFrame) -> float:
    """Return the largest absolute sample, as a share of full scale."""
    samples = frame.to_ndarray()
    if samples.dtype.kind == "f":
        return float(np.abs(samples).max(initial=0.0))
    whole = float(1 << (8 * samples.itemsize - 1))
    middle = whole if samples.dtype.kind == "u" else 0.0
    return float(np.abs(samples.astype(np.float64) - middle).max(initial=0.0)) / whole


def metadata_entries(words: dict[str, str], where: str) -> Iterator[tuple[Kind, str]]:
    """Yield (kind, description) of the tags of a file or a stream, but for those about how it is made."""
    for name, value in words.items():
        plain = name.lower().partition("-")[0]
        if plain in _TECHNICAL or plain.startswith("_statistics") or not value:
            continue
        if plain == "software" and value.startswith("Lavf"):  # how an AVI names its encoder
            continue
        yield ("place" if any(part in plain for part in _PLACES) else "metadata"), f"{name!r} of {where}"


def coded_surplus(path: Path, limits: Limits) -> Iterator[Surplus]:
    """Yield the unused bytes and hidden frames of each video track. Raises `BadInput` if the file cannot be opened."""
    with closing(FileInput(path, limits)) as file:
        sizes = dict[int, list[int]]()
        with file.open_without_edit_list(limits) as container, translate_read_errors(path):
            tracks = {
                track.index: CodedStream(track.codec_context.codec.canonical_name, track.codec_context.extradata or b"")
                for track in container.streams.video
            }
            for packet in container.demux(*container.streams.video) if tracks else ():
                if packet.size:
                    tracks[packet.stream.index].take(bytes(packet))
                    sizes.setdefault(packet.stream.index, []).append(packet.size)
        for track in tracks.values():
            yield from track.surplus()
        yield from _never_shown(file, limits, sizes)


def _never_shown(file: FileInput, limits: Limits, sizes: dict[int, list[int]]) -> Iterator[Surplus]:
    """Yield the frames that an MP4 or MOV holds but its edit list leaves out: anybody can bring them back."""
    shown = {track: [0, 0] for track in sizes}
    with file.open(limits) as container, translate_read_errors(file.path):
        for packet in container.demux(*container.streams.video) if sizes else ():
            if packet.size and not packet.is_discard:
                count, size = shown[packet.stream.index]
                shown[packet.stream.index] = [count + 1, size + packet.size]
    for track, sizes_of_track in sizes.items():
        count, size = shown[track]
        if len(sizes_of_track) > count:
            description = f"{len(sizes_of_track) - count} coded frames of stream {track} that its edit list leaves out"
            yield Surplus(description, 0, sum(sizes_of_track) - size, kind="picture", scattered=True)


BITMAP_SUBTITLES = frozenset({"dvd_subtitle", "dvb_subtitle", "hdmv_pgs_subtitle", "xsub"})
"""Subtitle codecs that hold images, so there is no text to read."""

MAX_TRACK_BYTES = 64 << 20
"""Characters of one text track that are searched for coordinates: some hours of a drone's track."""

_CODED = frozenset({"eia_608"})
"""Codecs whose packets have to be decoded to text."""

_BLANKS = {code: " " for code in range(0x20) if chr(code) != "\n"}
"""Maps control characters to blanks."""

_MOSTLY = 0.8
"""Share of ASCII characters above which bytes are taken for UTF-16."""


@dataclass(frozen=True, slots=True)
class TrackText:
    """A text with its time in seconds. `stream` is the index of its track; None for a chapter."""

    stream: int | None
    seconds: float
    text: str

    @property
    def place(self) -> str | None:
        """The first coordinates in the text; None where it has none."""
        return place_in(self.text)


def iter_texts(path: Path, limits: Limits) -> Iterator[TrackText]:
    """Yield all texts of a video's chapters, subtitles and text tracks, in file order.

    Raises `BadInput` if the file cannot be opened.
    """
    with closing(FileInput(path, limits)) as file, file.open(limits) as container, translate_read_errors(path):
        yield from chapters_in(container)
        yield from texts_in(container)


def chapters_in(container: "InputContainer") -> Iterator[TrackText]:
    """Yield the metadata of chapters, such as their titles."""
    for chapter in container.chapters():
        base = to_fraction(chapter["time_base"])
        for text in chapter["metadata"].values():
            yield TrackText(None, float(chapter["start"] * base), text)


def texts_in(container: Demuxer, indices: frozenset[int] | None = None) -> Iterator[TrackText]:
    """Yield the texts of the text tracks in a newly opened container; with `indices`, only of these tracks."""
    text_streams = [
        stream for stream in container.streams if is_text(stream) and (indices is None or stream.index in indices)
    ]
    for stream in container.streams:
        if stream not in text_streams:
            stream.discard = Discard.all
    for stream in text_streams:
        header = None if stream.codec_context is None else stream.codec_context.extradata
        words = words_of(header, "") if header else ""
        if words and (
            stream.codec_context.codec.canonical_name != "mov_text" or place_in(words)
        ):  # other packets have styles
            yield TrackText(stream.index, 0.0, words)
    for packet in container.demux(*text_streams) if text_streams else ():
        if packet.size:
            yield text_in(packet)


def text_in(packet: "Packet[Any]") -> TrackText:
    """Return the text of one packet of a text track."""
    stream = packet.stream
    codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""
    words = _decode_text(packet) if codec in _CODED else words_of(bytes(packet), codec)
    stamp = packet.pts if packet.pts is not None else packet.dts or 0
    return TrackText(stream.index, float(stamp * to_fraction(packet.time_base)), words)


def is_text(stream: "Stream") -> bool:
    """Tell whether a stream holds text; subtitles of an unknown codec may."""
    if stream.type != "subtitle":
        return False
    return stream.codec_context is None or stream.codec_context.codec.canonical_name not in BITMAP_SUBTITLES


def tracks_with_places(file: VideoInput, limits: Limits, indices: frozenset[int]) -> dict[int, str]:
    """Return the first coordinates in each of these text tracks, by track index; tracks without any are left out.

    A track that is too long to search maps to an empty string. Raises `BadInput` where the file is damaged.
    """
    places: dict[int, str] = {}
    read = dict.fromkeys(indices, 0)
    with file.open(limits) as container, translate_read_errors(file.path):
        for text in texts_in(container, indices):
            if text.stream is None or text.stream in places:
                continue
            read[text.stream] += len(text.text)
            place = text.place
            if place is not None or read[text.stream] > MAX_TRACK_BYTES:
                places[text.stream] = place or ""
            if len(places) == len(indices):
                break
    return places


def words_of(data: bytes, codec: str) -> str:
    """Return the text in a packet's bytes; control characters become blanks."""
    if codec == "mov_text" and len(data) > 1:
        # 3GPP TS 26.245, 5.17: the length of the text, the text, boxes with its style. Those are no text, unless
        # somebody has hidden coordinates there.
        end = 2 + int.from_bytes(data[:2])
        text, rest = _as_text(data[2:end]), _as_text(data[end:])
        return f"{text}\n{rest}" if place_in(rest) else text
    return _as_text(data)


def _as_text(data: bytes) -> str:
    if data[:2] in {b"\xfe\xff", b"\xff\xfe"}:
        return _printable(data.decode("utf-16", "replace"))
    text = _printable(data.decode("utf-8", "replace"))
    if b"\0" not in data:
        return text
    wide = [_printable(data.decode(f"utf-16-{order}", "replace")) for order in ("be", "le")]
    return "\n".join([text, *(decoded for decoded in wide if sum(map(str.isascii, decoded)) > _MOSTLY * len(decoded))])


def _printable(text: str) -> str:
    return text.translate(_BLANKS).strip()


def _decode_text(packet: "Packet[Any]") -> str:
    try:
        decoded = packet.stream.codec_context.decode2(packet)
    except av.FFmpegError:
        return _as_text(bytes(packet))
    lines = [line.ass or line.text for line in decoded or () if hasattr(line, "ass")]
    return _as_text(b"\n".join(lines)) if lines else ""
