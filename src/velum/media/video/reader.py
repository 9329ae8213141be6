"""Reads videos: every frame that the file announces, in order, or an error that says where the file is damaged."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from velum.limits import Limits
from velum.media.video.decode_pass import DecodePass
from velum.media.video.file_input import FileInput
from velum.media.video.info import VideoInfo, VideoSource
from velum.media.video.pixel_formats import VideoFrame
from velum.media.video.probe import probe

if TYPE_CHECKING:
    from velum.media.video.live_input import LiveInput


def open_video(file: "FileInput | LiveInput", limits: Limits, *, cover_damage: bool) -> VideoSource:
    """Return the video that a file or a stream holds, or close that. Raises as `probe` does."""
    try:
        return VideoSource(probe(file, limits, cover_damage=cover_damage), file, limits, cover_damage)
    except BaseException:
        file.close()
        raise


class VideoReader:
    """Reads one video. Use it in a `with` block; each call of `frames()` starts at the first frame."""

    def __init__(self, source: Path, limits: Limits, *, cover_damage: bool = False) -> None:
        self._file = FileInput(source, limits)
        self.source = open_video(self._file, limits, cover_damage=cover_damage)

    @property
    def info(self) -> VideoInfo:
        """Size, frame rate and format of the video."""
        return self.source.info

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                _ = self._file.sha256  # reports need it, when the file may be gone
        finally:
            self._file.close()

    @property
    def sha256(self) -> str:
        """SHA-256 of the file that is decoded, in hexadecimal."""
        return self._file.sha256

    def frames(self) -> Iterator[VideoFrame]:
        """Yield every frame in display order, with its time in seconds since the first frame.

        A frame owns its buffers: callers may change it, and keep it. Raises `BadInput`, with frame number and time,
        where the video is damaged (when damage is covered, the frame is black instead), and `LimitExceeded` when the
        video is too long.
        """
        yield from DecodePass(self.source).frames()
