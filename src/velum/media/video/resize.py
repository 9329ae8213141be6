"""Scales frames whose size changes midway to the size of the first frame."""

from typing import cast

import av
import cv2

from velum.frame import Samples
from velum.media.video.pixel_formats import PixelLayout, blacken, views

_BAR_FRACTION = 50
"""A frame is stretched where bars would be thinner than this fraction of the side (1/50)."""


def refit(picture: av.VideoFrame, layout: PixelLayout, canvas: av.VideoFrame, *, limited: bool) -> av.VideoFrame:
    """Draw `picture` into the middle of a black `canvas`, as large as it fits, and return `canvas`.

    A region stays in place where only the resolution has changed, as in video calls. Both frames have the layout
    `layout`, with limited or full range.
    """
    x0, y0, width, height = _window(picture, canvas, layout)
    blacken(canvas, layout, limited=limited)
    planes = zip(views(picture, layout), views(canvas, layout), layout.scales, strict=True)
    for theirs, ours, (across, down) in planes:
        place = ours[y0 // down : -(-(y0 + height) // down), x0 // across : -(-(x0 + width) // across)]
        place[...] = _scale_plane(theirs, place.shape[1], place.shape[0])
    canvas.color_range, canvas.colorspace = picture.color_range, picture.colorspace
    canvas.color_primaries, canvas.color_trc = picture.color_primaries, picture.color_trc
    return canvas


def _window(picture: av.VideoFrame, canvas: av.VideoFrame, layout: PixelLayout) -> tuple[int, int, int, int]:
    """Return left, top, width and height in `canvas` in pixels, on whole samples of every plane."""
    across, down = (max(scale[side] for scale in layout.scales) for side in (0, 1))
    scale = min(canvas.width / picture.width, canvas.height / picture.height)
    width = _whole_samples(picture.width * scale, canvas.width, across)
    height = _whole_samples(picture.height * scale, canvas.height, down)
    return (canvas.width - width) // (2 * across) * across, (canvas.height - height) // (2 * down) * down, width, height


def _whole_samples(length: float, available: int, step: int) -> int:
    if available - length <= available / _BAR_FRACTION:
        return available
    return max(step, int(length) // step * step)


def _scale_plane(samples: Samples, width: int, height: int) -> Samples:
    shrinks = width < samples.shape[1] or height < samples.shape[0]
    return cast(
        "Samples", cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    )
