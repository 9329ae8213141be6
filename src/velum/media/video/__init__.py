"""Videos in and out: each picture in its own planes, with its own time stamp; whole files or none."""

from velum.media.video.decode import VideoReader
from velum.media.video.encode import VideoWriter
from velum.media.video.info import VideoInfo
from velum.media.video.pixels import VideoFrame

__all__ = ["VideoFrame", "VideoInfo", "VideoReader", "VideoWriter"]
