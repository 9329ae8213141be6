"""Lists what a video holds beside its frames: audio, subtitles, covers, data streams and metadata."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.stream import Disposition

from velum.limits import Limits
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
                yield "audio", f"stream {stream.index} is sound"
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
