"""Splits a video into segments at closed GOPs, and reads one segment."""

from collections.abc import Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from velum.errors import BadInput
from velum.limits import Limits
from velum.media.segment import Segment
from velum.media.video.decode_pass import DecodePass
from velum.media.video.file_input import Demuxer, translate_read_errors
from velum.media.video.gops import ClosedGops, find_closed_gops
from velum.media.video.info import VideoInfo, VideoSource
from velum.media.video.pixel_formats import VideoFrame
from velum.media.video.reader import VideoReader

if TYPE_CHECKING:
    from av.packet import Packet

SOURCES = ("MP4", "MOV", "MKV", "WEBM")
"""Formats with an index of key frames, so that a segment can be read without reading what is before it."""


def split_video(video: VideoSource, format: str, *, seconds: float, overlap_frames: int) -> tuple[Segment, ...] | str:
    """Split a video at closed GOPs into segments of about `seconds` each; or return why it stays whole.

    A segment is read from at least `overlap_frames` before its first frame to as many after its last one, as far as
    the video has them. `format` is the container of the result. Raises `LimitExceeded` when the video has too many
    frames.
    """
    info = video.info
    sha256 = video.file.sha256
    if info.format not in SOURCES or sha256 is None:
        return f"velum cannot split {info.format}; it can split {', '.join(SOURCES)}"
    groups = find_closed_gops(video)
    if isinstance(groups, str):
        return groups
    video.limits.check("video_frames", groups.frames, str(info.source))
    starts = _starts(groups, round(seconds / info.coding.time_base))
    if len(starts) < 2:
        return "it is too short, or its closed groups of pictures are too long"
    bounds = list(pairwise([*(groups.starts[start] for start in starts), groups.frames]))
    return tuple(
        Segment(
            index, len(bounds), groups.start_before(max(first - overlap_frames, 0)), groups.start_before(first),
            groups.start_after(end), groups.start_after(end + overlap_frames), groups.pts[0], groups.frames, format,
            sha256,
        )
        for index, (first, end) in enumerate(bounds)
    )  # fmt: skip


def _starts(groups: ClosedGops, length: int) -> list[int]:
    """Return the groups at which segments of about `length` time units start; the last one is at least half as long."""
    starts = [0]
    for group in range(1, len(groups.starts)):
        if groups.pts[group] - groups.pts[starts[-1]] >= length:
            starts.append(group)
    if len(starts) > 1:
        before, last = groups.starts[starts[-2]], groups.starts[starts[-1]]
        if groups.frames - last < (last - before) / 2:
            starts.pop()
    return starts


class SegmentReader(VideoReader):
    """Reads one segment of a video. Raises `BadInput` when the file has changed since it was split."""

    def __init__(self, source: Path, limits: Limits, segment: Segment) -> None:
        super().__init__(source, limits)
        self._segment = segment
        try:
            same = self.sha256 == segment.sha256
        except BaseException:
            self._file.close()
            raise
        if not same:
            self._file.close()
            raise source_changed_error(self.info)

    def frames(self) -> Iterator[VideoFrame]:
        """Yield the frames from the segment's `read` up to its `stop`, with their numbers in the whole video.

        Raises as `VideoReader.frames` does.
        """
        yield from _SegmentPass(self.source, self._segment, seek=self._can_seek()).frames()

    def _can_seek(self) -> bool:
        """Tell whether the container can seek to the segment; indexes of some files are wrong or missing."""
        pts = self._segment.read.pts
        with self._file.open(self.source.limits) as container, translate_read_errors(self.info.source):
            return _first_pts(container, self.info, pts) <= pts if pts is not None else False


def _first_pts(container: Demuxer, info: VideoInfo, pts: int) -> float:
    _seek(container, info, pts)
    stream = next(candidate for candidate in container.streams.video if candidate.index == info.coding.stream)
    stamps = (packet.pts for packet in container.demux(stream) if packet.size)
    try:
        return next((stamp for stamp in stamps if stamp is not None), float("inf"))
    except av.FFmpegError:
        return float("inf")


def _seek(container: Any, info: VideoInfo, pts: int) -> None:
    stream = next(candidate for candidate in container.streams.video if candidate.index == info.coding.stream)
    container.seek(pts, stream=stream)


class _SegmentPass(DecodePass):
    """A pass over one segment of a source, from one closed GOP up to another."""

    def __init__(self, source: VideoSource, segment: Segment, *, seek: bool) -> None:
        super().__init__(source)
        self._segment, self._seek = segment, seek
        self._count = self._packets = segment.read.frame
        self._first_pts = source.state.origin = segment.origin
        self._reached = segment.stop.pts is None

    def frames(self) -> "Generator[VideoFrame]":
        """Yield every frame of the segment. Raises `BadInput` where its groups start at other times than recorded."""
        base, segment = self._info.coding.time_base, self._segment
        pts_by_frame = {
            mark.frame: mark.pts for mark in (segment.read, segment.first, segment.end) if mark.pts is not None
        }
        for frame in super().frames():
            if (pts := pts_by_frame.get(frame.index)) is not None and frame.time != (pts - segment.origin) * base:
                raise source_changed_error(self._info)
            yield frame
            del frame  # or its buffers would be held while the next one is decoded
        if self._count != segment.stop.frame:
            raise source_changed_error(self._info)

    def _demux(self, container: Demuxer) -> "Iterator[Packet[Any]]":
        segment, coding = self._segment, self._info.coding
        if self._seek and segment.read.pts is not None:
            with translate_read_errors(self._info.source):
                _seek(container, self._info, segment.read.pts)
        has_begun = False
        for packet in super()._demux(container):
            if packet.stream.index == coding.stream and packet.size:
                if not has_begun and packet.pts != segment.read.pts:
                    continue
                has_begun = True
                if packet.pts == segment.stop.pts:
                    self._reached = True
                    return
            yield packet

    def _check_end(self, container: Demuxer, stream: Any) -> None:
        if not self._reached:
            raise source_changed_error(self._info)
        if self._segment.stop.pts is None:
            super()._check_end(container, stream)


def source_changed_error(info: VideoInfo) -> BadInput:
    """Return the error for a source that has changed since it was split."""
    return BadInput(
        f"cannot read {info.source}: it has changed since it was split into segments; split it again, and do not "
        "change it before its last segment is done"
    )
