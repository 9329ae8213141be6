"""Uploaded images, and regions in pixels of the image as it is stored.

Models get the upright image. Their regions are rotated back, since clients count rows and columns as in the file.
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
"""Array (rows, columns) with the label number of each pixel, 0 for none."""


@dataclass(frozen=True, slots=True, eq=False)
class UploadedImage:
    """The first image of an upload."""

    frame: Frame

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.frame.orientation.stored_size(self.frame.width, self.frame.height)

    @property
    def rgb(self) -> Rgb:
        """The image as stored, in 8-bit RGB (rows, columns, 3)."""
        width, height = self.size_wh
        stored = replace(self.frame, width=width, height=height, orientation=Orientation())
        return stored.rgb(width, height)

    def locate(self, localizer: Localizer, limits: Limits) -> list[Region]:
        """Return the regions that a localizer finds, in pixels of the stored image. Raises any `VelumError`."""
        (regions,) = localizer.locate([self.frame])
        limits.check("regions", len(regions), "the picture")
        return [stored for region in regions for stored in self._turn_back(region)]

    def _turn_back(self, region: Region) -> list[Region]:
        frame, box = self.frame, region.box.clip(self.frame.width, self.frame.height)
        if box is None:
            return []
        mask = None if region.mask is None else region.mask[box.move(-region.box.x0, -region.box.y0).slices]
        turned: Mask | None = None if mask is None else frame.orientation.stored_mask(mask)
        return [replace(region, box=frame.orientation.stored_box(box, frame.width, frame.height), mask=turned)]

    def label_plane(self, regions: Sequence[Region], numbers: Sequence[int]) -> Numbers:
        """Return the label number of each pixel; where regions overlap, that of the highest score."""
        width, height = self.size_wh
        plane: Numbers = np.zeros((height, width), np.uint8)
        for region, number in sorted(zip(regions, numbers, strict=True), key=lambda pair: pair[0].score):
            part = plane[region.box.slices]
            part[... if region.mask is None else region.mask] = number
        return plane


def read(data: bytes, limits: Limits, decoders: DecoderPool) -> UploadedImage:
    """Decode the first image of an upload.

    It is decoded in a process of `decoders` unless it is cheap to decode. Raises `BadInput` for anything but an intact
    image, `LimitExceeded` for one that is too large or expensive, `Unavailable` when that process is killed.
    """
    upload = BytesSource("the upload", data)
    opened = decoders.read(upload, limits) if decoders.takes(upload) else ImageReader(Path(upload.name), data, limits)
    with opened as reader, closing(reader.frames()) as frames:
        return UploadedImage(next(frames))
