"""An uploaded picture, and what a model finds in it: in pixels of the picture as it is stored.

Models see the picture upright. Their finds are turned back: clients count rows and columns as they lie in the file.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from velum.frame import Frame, Orientation, Rgb
from velum.limits import Limits
from velum.media import BytesSource, DecoderPool
from velum.media.image.reader import ImageReader
from velum.plugins import Localizer
from velum.region import Mask, Region

Numbers = npt.NDArray[np.uint8]
"""Array (rows, columns) that says of each pixel the number of its label, 0 where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class UploadedImage:
    """The first picture of an upload."""

    frame: Frame

    @property
    def size_wh(self) -> tuple[int, int]:
        """Columns and rows, as stored."""
        return self.frame.orientation.stored_size(self.frame.width, self.frame.height)

    @property
    def rgb(self) -> Rgb:
        """The picture as stored, in 8-bit RGB (rows, columns, 3)."""
        width, height = self.size_wh
        stored = replace(self.frame, width=width, height=height, orientation=Orientation())
        return stored.rgb(width, height)

    def found(self, localizer: Localizer, limits: Limits) -> list[Region]:
        """Return what is found, as it lies in the stored picture. Raises any `VelumError`."""
        (regions,) = localizer.locate([self.frame])
        limits.check("regions", len(regions), "the picture")
        return [stored for region in regions for stored in self._stored(region)]

    def _stored(self, region: Region) -> list[Region]:
        frame, box = self.frame, region.box.clip(self.frame.width, self.frame.height)
        if box is None:
            return []
        mask = None if region.mask is None else region.mask[box.move(-region.box.x0, -region.box.y0).slices]
        turned: Mask | None = None if mask is None else frame.orientation.stored_mask(mask)
        return [replace(region, box=frame.orientation.stored_box(box, frame.width, frame.height), mask=turned)]

    def numbered(self, regions: Sequence[Region], numbers: Sequence[int]) -> Numbers:
        """Return which label each pixel has; where regions overlap, that of the surest."""
        width, height = self.size_wh
        plane: Numbers = np.zeros((height, width), np.uint8)
        for region, number in sorted(zip(regions, numbers, strict=True), key=lambda one: one[0].score):
            part = plane[region.box.slices]
            part[... if region.mask is None else region.mask] = number
        return plane


def read(data: bytes, limits: Limits, decoders: DecoderPool) -> UploadedImage:
    """Return the picture that an upload holds, the first where there are several.

    It is decoded in a process of `decoders` unless it is light. Raises `BadInput` when it is none or damaged,
    `LimitExceeded` when it is too large or too much work, `Unavailable` when that process is ended from outside.
    """
    upload = BytesSource("the upload", data)
    opened = decoders.read(upload, limits) if decoders.takes(upload) else ImageReader(Path(upload.name), data, limits)
    with opened as reader, closing(reader.frames()) as frames:
        return UploadedImage(next(frames))
