"""Data in the coded stream of a video that no player shows: unused bytes, and frames that an edit list leaves out."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from velum.limits import Limits
from velum.media.inventory.coded import CodedStream
from velum.media.inventory.surplus import Surplus
from velum.media.video.file_input import FileInput, translate_read_errors


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
