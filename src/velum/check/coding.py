"""How a finished file is coded, as far as it decides how exactly its samples can be judged."""

from velum.check.residue import Coded
from velum.media import Info
from velum.media.video.info import VideoInfo

_EXACT = frozenset({
    "ffv1", "ffvhuff", "huffyuv", "magicyuv", "png", "qtrle", "rawvideo", "utvideo", "v210", "v308", "v408", "v410",
    "r210",
})  # fmt: skip
"""Codecs of videos that lose nothing."""


def coding_of(info: Info | VideoInfo) -> Coded:
    """Return how the samples of a file were coded."""
    if isinstance(info, Info):
        return Coded(info.look.lossless and info.format not in {"AVIF", "HEIF"}, apart=info.format == "JPEG")
    return Coded(info.coding.codec in _EXACT)
