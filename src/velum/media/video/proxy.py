"""Review proxies: a video as every browser plays it (H.264 in MP4), small, upright, without audio, frame by frame.

That of a sound file is sound (AAC in MP4).
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from velum.errors import BadInput
from velum.limits import Limits
from velum.media import Reader, open_source, sound_format_of
from velum.media.image.info import ImageInfo
from velum.media.sound.preview import write_sound_preview
from velum.media.still import unpack_shown

LARGEST_SIDE = 1280
TIME_BASE = Fraction(1, 90_000)
"""Time base of the proxy, which holds all usual frame rates exactly or nearly so."""

_OPTIONS = {"preset": "veryfast", "crf": "27", "g": "15", "bf": "0", "tune": "fastdecode"}
"""Key frames are frequent, because reviewers step back and forth."""


def write_preview(
    source: Path, target: Path, limits: Limits, member: str = "", folder: Path | None = None
) -> Iterator[tuple[int, int | None]]:
    """Write the proxy of a video or sound to `target`; yield (frames done, frames in all or None) after each frame.

    Frames keep their order and, to 1/90,000 of a second, their times; seconds count for frames of sound. Of an archive,
    a document or a log, it is that of a `member`, by its name in the report, which is unpacked into `folder`. Raises
    `BadInput` and `LimitExceeded` as reading does. The file is complete only when the iterator is exhausted.
    """
    source = unpack_shown(source, limits, member, folder)
    if sound_format_of(source):
        yield from write_sound_preview(source, target, limits)
        return
    with open_source(source, limits) as reader:
        if isinstance(reader.info, ImageInfo):
            raise BadInput(f"{source} is an image, which needs no preview; give a video or a sound file")
        yield from _encode_proxy(reader, target)


def _encode_proxy(reader: Reader, target: Path) -> Iterator[tuple[int, int | None]]:
    with av.open(str(target), "w", options={"movflags": "faststart"}) as container:
        info = reader.info
        scale = min(1.0, LARGEST_SIDE / max(info.width, info.height))
        width, height = (max(2, 2 * round(side * scale / 2)) for side in (info.width, info.height))
        stream = container.add_stream("libx264", options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = TIME_BASE
        last = -1
        for frame in reader.frames():
            small = av.VideoFrame.from_ndarray(frame.rgb(width, height), "rgb24").reformat(format="yuv420p")
            # A browser would show two frames at the same time as one.
            last = max(last + 1, math.floor((frame.time or 0) / TIME_BASE))
            small.pts, small.time_base = last, TIME_BASE
            container.mux(stream.encode(small))
            yield frame.index + 1, info.frames
        container.mux(stream.encode(None))
