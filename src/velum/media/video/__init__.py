"""Read and write videos: each frame with its planes and its time stamp; files appear whole or not at all."""

from velum.media.video.info import VideoInfo
from velum.media.video.pixel_formats import VideoFrame
from velum.media.video.reader import VideoReader

__all__ = ["VideoFrame", "VideoInfo", "VideoReader"]
