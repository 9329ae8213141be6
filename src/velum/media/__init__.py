"""Images in and out: read once, each sample kept as it was, written like the source, published whole or not at all."""

from velum.media.image import Reader, read
from velum.media.info import Info
from velum.media.sink import publish
from velum.media.sniff import SUFFIXES, is_image
from velum.media.writer import Writer, write

__all__ = ["SUFFIXES", "Info", "Reader", "Writer", "is_image", "publish", "read", "write"]
