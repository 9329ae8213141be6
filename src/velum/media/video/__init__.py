"""Videos in and out: each picture in its own planes, with its own time stamp; whole files or none."""

from velum.media.video.info import VideoInfo
from velum.media.video.pixel_formats import VideoFrame
from velum.media.video.reader import VideoReader
from velum.media.video.writer import VideoWriter

__all__ = ["VideoFrame", "VideoInfo", "VideoReader", "VideoWriter"]
