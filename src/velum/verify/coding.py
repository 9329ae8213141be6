"""How a finished file is coded, which decides how exactly its samples can be judged."""

from velum.media import ImageInfo
from velum.media.video.info import VideoInfo
from velum.verify.solid_fill import SampleCoding

_EXACT = frozenset({
    "ffv1", "ffvhuff", "huffyuv", "magicyuv", "png", "qtrle", "rawvideo", "utvideo", "v210", "v308", "v408", "v410",
    "r210",
})  # fmt: skip
"""Lossless video codecs."""


def sample_coding_of(info: ImageInfo | VideoInfo) -> SampleCoding:
    """Return how the samples of an image or video are coded."""
    if isinstance(info, ImageInfo):
        return SampleCoding(info.coding.lossless and info.format not in {"AVIF", "HEIF"}, apart=info.format == "JPEG")
    return SampleCoding(info.coding.codec in _EXACT)
