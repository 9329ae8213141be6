"""Where one thing is around a frame of a video in which a person has pointed at it."""

import math
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from velum import media
from velum.annotations import Annotations
from velum.engine.tracking import PAD_SECONDS, thumb_of
from velum.errors import BadInput, BadPlan
from velum.frame import Frame
from velum.limits import Limits
from velum.region import Region
from velum.track import Observation
from velum.track.single_object import trail

MOST_SECONDS = 10.0
MOST_FRAMES = 600
"""How far a thing is followed each way at most: somebody waits for it, and small pictures of all frames are held."""

_SPAN_SECONDS = 1.0


def trailed(source: Path, limits: Limits, at: int, region: Region, seconds: float = MOST_SECONDS) -> Annotations:
    """Return where the thing in `region` of frame `at` is, in that frame and up to `seconds` before and after it.

    Of long videos only the stretch around it is decoded, where the container tells where that is. Raises `BadInput`
    for what is no video, for a frame that it has not, and for a region outside of the picture, `BadPlan` for too many
    seconds.
    """
    if not 0 <= seconds <= MOST_SECONDS:
        raise BadPlan(f"seconds are {seconds!r}; they must be from 0 to {MOST_SECONDS:g}")
    with media.read(source, limits) as reader:
        info, sha256 = reader.info, reader.sha256
        fps = info.fps
        if fps is None:
            raise BadInput("things are followed in videos; this is a picture")
        box = region.box.clip(info.width, info.height)
        if box is None:
            raise BadInput(f"the region {region.box.xyxy} lies outside of the picture of {info.width} x {info.height}")
        reach = min(MOST_FRAMES, math.ceil(seconds * float(fps)))
        spans = media.cut(reader, info.format, seconds=_SPAN_SECONDS, overlap_frames=reach)
        looks = [] if not isinstance(spans, str) else list(_looks(reader.frames(), at, reach))
    if not isinstance(spans, str):
        for span in (one for one in spans if one.first.frame <= at < one.end.frame):
            with media.read_span(source, limits, span) as stretch:
                looks = list(_looks(stretch.frames(), at, reach))
    start = next((i for i, look in enumerate(looks) if look.index == at), None)
    if start is None:
        raise BadInput(f"the video has no frame {at}")
    found = trail(looks, start, Region(box, region.label, found="manual"), math.ceil(PAD_SECONDS * float(fps)))
    return Annotations(info.width, info.height, {index: (one,) for index, one in sorted(found.items())}, sha256)


def _looks(frames: Iterator[Frame], at: int, reach: int) -> Iterator[Observation]:
    for frame in takewhile(lambda one: one.index <= at + reach, frames):
        if frame.index >= at - reach:
            yield Observation(frame.index, frame.width, frame.height, None, thumb_of(frame))
