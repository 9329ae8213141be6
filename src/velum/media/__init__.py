"""Images and videos in and out: each sample kept as it was, written like the source, published whole or not at all."""

from velum.media.doors import Reader, Writer, read, write
from velum.media.info import Info
from velum.media.live import STREAMED, Held, Live, Outlet, source_of
from velum.media.plain import Plain, PlainFormat, read_plain, write_plain
from velum.media.sink import publish
from velum.media.sniff import SUFFIXES as IMAGE_SUFFIXES
from velum.media.sniff import VIDEO_SUFFIXES, is_image

SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
"""Format of a file's suffix, in lower case: what is taken from a folder."""

__all__ = [
    "IMAGE_SUFFIXES", "STREAMED", "SUFFIXES", "VIDEO_SUFFIXES", "Held", "Info", "Live", "Outlet", "Plain",
    "PlainFormat", "Reader", "Writer", "is_image", "publish", "read", "read_plain", "source_of", "write", "write_plain",
]  # fmt: skip
