"""Reading and writing of images and videos. Results are like the source, and published whole or not at all."""

from velum.atomic import publish
from velum.media.doors import Reader, Writer, cut, join, read, read_span, write, write_span
from velum.media.formats import SUFFIXES as IMAGE_SUFFIXES
from velum.media.formats import VIDEO_SUFFIXES, is_image, is_picture, is_suffix_of, kind_of, suffix_of
from velum.media.image.info import ImageInfo
from velum.media.image.rgb8 import PlainFormat, Rgb8Image, plain_of, read_plain, write_plain
from velum.media.image.subprocess_reader import DecoderPool, IsolatedReader
from velum.media.segment import SPAN_SECONDS, Segment
from velum.media.sources import STREAMED, BytesSource, LiveSource, StreamSink, source_of

SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
"""Format of an image or video by the suffix of its file, in lower case."""

__all__ = [
    "IMAGE_SUFFIXES",
    "SPAN_SECONDS",
    "STREAMED",
    "SUFFIXES",
    "VIDEO_SUFFIXES",
    "BytesSource",
    "DecoderPool",
    "ImageInfo",
    "IsolatedReader",
    "LiveSource",
    "PlainFormat",
    "Reader",
    "Rgb8Image",
    "Segment",
    "StreamSink",
    "Writer",
    "cut",
    "is_image",
    "is_picture",
    "is_suffix_of",
    "join",
    "kind_of",
    "plain_of",
    "publish",
    "read",
    "read_plain",
    "read_span",
    "source_of",
    "suffix_of",
    "write",
    "write_plain",
    "write_span",
]  # fmt: skip
