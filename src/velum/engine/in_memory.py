"""Hide in images in memory, by the same stages in the caller's thread: arrays of pixels, and image files as bytes."""

from collections.abc import Callable

import numpy as np

from velum import media
from velum.annotations import Annotations
from velum.engine.prepare import PreparedPlan
from velum.engine.stages import RunStats, hide, locate, timed_decode, use_annotations
from velum.errors import BadInput
from velum.frame import Frame, Plane, Role, Samples
from velum.limits import Limits
from velum.report import Report


def frame_of(pixels: Samples) -> Frame:
    """Return a frame with a copy of `pixels`. Raises `BadInput` for an array that is not an image."""
    roles = {2: Role.GREY, (3, 3): Role.RGB, (3, 4): Role.RGBA}
    shape = pixels.shape
    role = roles.get(pixels.ndim if pixels.ndim == 2 else (pixels.ndim, shape[-1] if shape else 0))
    if role is None or pixels.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)} or not pixels.size:
        raise BadInput(
            f"array of {pixels.dtype} {shape} is not an image; "
            "it must be uint8 or uint16 of shape (h, w), (h, w, 3) or (h, w, 4)"
        )
    return Frame.of(Plane(pixels.copy(), role, bits=pixels.dtype.itemsize * 8))


def hide_frame(
    frame: Frame, work: PreparedPlan, limits: Limits, regions: Annotations | None
) -> tuple[Samples, Report]:  # fmt: skip
    """Hide in a frame of one plane, in place; return its samples and the report."""
    stats = RunStats(limits=limits)
    frames = timed_decode([frame], stats)
    if regions is None:
        located = locate(frames, work, limits, stats)
    else:
        regions.check(width=frame.width, height=frame.height, frames=1, sha256=None)
        located = use_annotations(frames, work, regions, limits)
    (hidden,) = hide(located, work, stats)
    return hidden.planes[0].pixels, Report(
        source=None, target=None, format="array", width=frame.width, height=frame.height, encoding="none",
        **stats.report_fields(work, (), regions),
    )  # fmt: skip


def hide_image_bytes(
    read: Callable[[], media.Rgb8Image], work: PreparedPlan, limits: Limits, format: media.PlainFormat,
    quality: int | None,
) -> tuple[bytes, Report]:  # fmt: skip
    """Hide in the image that `read` returns; return the image file of the result and the report."""
    stats = RunStats(limits=limits)
    with stats.stage("decode"):
        source = read()
    width, height, stats.frames = source.frame.width, source.frame.height, 1
    (hidden,) = hide(locate([source.frame], work, limits, stats), work, stats)
    with stats.stage("encode"):
        result, encoding = media.write_plain(hidden.rgb(width, height), format, quality, source.jpeg)
    return result, Report(
        source=None, target=None, format=source.format, width=width, height=height, encoding=encoding,
        **stats.report_fields(work, (), None),
    )  # fmt: skip
