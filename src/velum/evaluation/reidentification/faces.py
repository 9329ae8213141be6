"""Collects faces for the trial from images."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from velum.errors import BadInput
from velum.evaluation.reidentification.samples import sample
from velum.frame import Rgb
from velum.limits import Limits
from velum.locate.labels import covers
from velum.media import open_source
from velum.plugins import Localizer


def faces(sources: Iterable[Path], localizer: Localizer, limits: Limits, min_height: int) -> Iterator[Rgb]:
    """Yield each face of at least `min_height` pixels in the first frame of each source, as a sample.

    One image at a time is in memory. Raises `BadInput` for what cannot be read, and for a localizer without the label
    face.
    """
    if not any(covers("face", label) for label in localizer.labels):
        known = ", ".join(sorted(localizer.labels))
        raise BadInput(f"the localizer detects {known}, not faces; name one that detects faces with --locate")
    for source in sources:
        with open_source(source, limits) as reader:
            frame = next(reader.frames())
        found = [region.box for region in localizer.locate([frame])[0] if covers("face", region.label)]
        inside = [box for box in (box.clip(frame.width, frame.height) for box in found) if box]
        rgb = frame.rgb(frame.width, frame.height)
        yield from (sample(rgb, box) for box in inside if box.height >= min_height)
