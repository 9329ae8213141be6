"""Lists what a video holds beside the frames that players show: other streams, metadata, and unused coded data."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.stream import Disposition

from velum.limits import Limits
from velum.media.inventory.coded import CodedStream
from velum.media.inventory.surplus import Surplus
from velum.media.video.file_input import FileInput, translate_read_errors
from velum.media.video.text_tracks import iter_texts

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
    """Yield (kind, description) of everything beside the frames. Raises `BadInput` if the file cannot be opened."""
    yield from _tracks_with_coordinates(path, limits)
    with closing(FileInput(path, limits)) as file, file.open(limits) as container, translate_read_errors(path):
        yield from _metadata_entries(container.metadata, "the file")
        if container.chapters():
            yield "metadata", "chapters, and their names"
        still = Disposition.attached_pic | Disposition.timed_thumbnails
        pictures = 0
        for stream in container.streams:
            kind = stream.type
            yield from _metadata_entries(stream.metadata, f"stream {stream.index}")
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
    found: set[int | None] = set()
    for text in iter_texts(path, limits):
        if text.stream not in found and text.place is not None:
            found.add(text.stream)
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


def _metadata_entries(words: dict[str, str], where: str) -> Iterator[tuple[Kind, str]]:
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
