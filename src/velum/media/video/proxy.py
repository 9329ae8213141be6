"""A video as any browser plays it: H.264 in an MP4, small, upright, without sound, frame for frame."""

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from velum.errors import BadInput
from velum.limits import Limits
from velum.media.doors import read
from velum.media.video.reader import VideoReader

LARGEST_SIDE = 1280
TIME_BASE = Fraction(1, 90_000)
"""Time base of the stream: every usual frame rate is told by it exactly, or nearly."""

_OPTIONS = {"preset": "veryfast", "crf": "27", "g": "15", "bf": "0", "tune": "fastdecode"}
"""Key frames are near each other, since who reviews steps to and fro."""


def write_preview(source: Path, target: Path, limits: Limits) -> Iterator[tuple[int, int | None]]:
    """Write it to `target`, and yield after each frame how many are done, and of how many where that is known.

    Frames have the order and, to a ninety-thousandth of a second, the times that they have in `source`. Raises
    `BadInput` and `LimitExceeded` as reading does. The file is whole at the end alone.
    """
    with read(source, limits) as reader:
        if not isinstance(reader, VideoReader):
            raise BadInput(f"{source} is no video; a picture needs no preview")
        yield from _encode_proxy(reader, target)


def _encode_proxy(reader: VideoReader, target: Path) -> Iterator[tuple[int, int | None]]:
    with av.open(str(target), "w", options={"movflags": "faststart"}) as made:
        info = reader.info
        scale = min(1.0, LARGEST_SIDE / max(info.width, info.height))
        width, height = (max(2, 2 * round(side * scale / 2)) for side in (info.width, info.height))
        stream = made.add_stream("libx264", options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = TIME_BASE
        last = -1
        for frame in reader.frames():
            picture = av.VideoFrame.from_ndarray(frame.rgb(width, height), "rgb24").reformat(format="yuv420p")
            # Two frames of one time would be one to a browser.
            last = max(last + 1, math.floor((frame.time or 0) / TIME_BASE))
            picture.pts, picture.time_base = last, TIME_BASE
            made.mux(stream.encode(picture))
            yield frame.index + 1, info.frames
        made.mux(stream.encode(None))
