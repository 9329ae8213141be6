"""Uncompressed images as cameras publish them, in the encodings of ROS (sensor_msgs/image_encodings.hpp).

Samples that no region touches come out as they went in. Bytes beside the rows, up to the step, come out as zeros.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from velum.errors import BadInput
from velum.frame import Plane, Role, Samples

_CHANNELS: dict[str, tuple[Role, tuple[int, ...], int]] = {
    "mono8": (Role.GREY, (0,), 1), "8UC1": (Role.GREY, (0,), 1), "mono16": (Role.GREY, (0,), 2),
    "rgb8": (Role.RGB, (0, 1, 2), 1), "bgr8": (Role.RGB, (2, 1, 0), 1), "8UC3": (Role.RGB, (2, 1, 0), 1),
    "rgba8": (Role.RGBA, (0, 1, 2, 3), 1), "bgra8": (Role.RGBA, (2, 1, 0, 3), 1),
    "8UC4": (Role.RGBA, (2, 1, 0, 3), 1), "rgb16": (Role.RGB, (0, 1, 2), 2), "bgr16": (Role.RGB, (2, 1, 0), 2),
    "rgba16": (Role.RGBA, (0, 1, 2, 3), 2), "bgra16": (Role.RGBA, (2, 1, 0, 3), 2),
}  # fmt: skip
"""By encoding: what a pixel is, where red, green, blue and alpha lie in it, and the bytes of a sample."""

_UYVY, _YUYV = (1, 0, 2), (0, 1, 3)
_PAIRS = {"yuv422": _UYVY, "uyvy": _UYVY, "yuv422_yuy2": _YUYV, "yuyv": _YUYV}
"""By encoding: where luma and the two chroma samples begin in the four bytes of two pixels."""

RAW_ENCODINGS = (*_CHANNELS, *_PAIRS)
"""Encodings in which velum hides."""


@dataclass(frozen=True, slots=True)
class RawLayout:
    """How the bytes of an uncompressed image are to be read. `step` is the length of a row, in bytes."""

    encoding: str
    width: int
    height: int
    step: int
    big_endian: bool = False

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel."""
        if self.encoding in _PAIRS:
            return 2
        _, order, size = _CHANNELS[self.encoding]
        return len(order) * size

    @property
    def size(self) -> int:
        """Bytes of the whole image."""
        return self.step * self.height

    def check(self, size: int) -> None:
        """Raise `BadInput` where an image of `size` bytes cannot have this layout."""
        if self.encoding not in RAW_ENCODINGS:
            raise BadInput(f"its encoding is {self.encoding!r}; velum hides in {', '.join(RAW_ENCODINGS)}")
        if not self.width or not self.height or self.step < self.width * self.pixel_bytes:
            raise BadInput(f"it states {self.width} x {self.height} pixels in rows of {self.step} bytes")
        if self.encoding in _PAIRS and self.width % 2:
            raise BadInput(f"it has {self.width} columns, and {self.encoding} needs an even number")
        if size != self.size:
            raise BadInput(f"it has {size} bytes, where {self.height} rows of {self.step} bytes are stated")

    def planes(self, data: bytes) -> tuple[Plane, ...]:
        """Return the samples of an image. Raises `BadInput` where its bytes do not fit."""
        self.check(len(data))
        rows = np.frombuffer(data, np.uint8).reshape(self.height, self.step)[:, : self.width * self.pixel_bytes]
        if self.encoding in _PAIRS:
            luma, first, second = _PAIRS[self.encoding]
            return (
                Plane(rows[:, luma::2].copy(), Role.LUMA, limited=True),
                Plane(rows[:, first::4].copy(), Role.CHROMA, 2, limited=True),
                Plane(rows[:, second::4].copy(), Role.CHROMA, 2, limited=True),
            )
        role, order, size = _CHANNELS[self.encoding]
        samples = np.ascontiguousarray(rows).view(self._sample_type)
        pixels = samples.reshape(self.height, self.width, len(order))[:, :, order]
        native: Samples = pixels.astype(np.uint8) if size == 1 else pixels.astype(np.uint16)
        return (Plane(native[:, :, 0] if len(order) == 1 else native, role, bits=8 * size),)

    def padding(self, data: bytes) -> bytes:
        """Return the bytes of an image beside its rows. Raises `BadInput` as `planes` does."""
        self.check(len(data))
        rows = np.frombuffer(data, np.uint8).reshape(self.height, self.step)
        return rows[:, self.width * self.pixel_bytes :].tobytes()

    def bytes_of(self, planes: Sequence[Plane]) -> bytes:
        """Return an image of this layout with these samples."""
        rows = np.zeros((self.height, self.step), np.uint8)
        used = rows[:, : self.width * self.pixel_bytes]
        if self.encoding in _PAIRS:
            starts = zip(_PAIRS[self.encoding], (2, 4, 4), planes, strict=True)
            for start, distance, plane in starts:
                used[:, start::distance] = plane.pixels
            return rows.tobytes()
        _, order, _ = _CHANNELS[self.encoding]
        samples = planes[0].pixels.reshape(self.height, self.width, len(order))
        pixels: npt.NDArray[np.uint8 | np.uint16] = np.empty(samples.shape, self._sample_type)
        pixels[:, :, order] = samples
        used[:] = pixels.reshape(self.height, -1).view(np.uint8)
        return rows.tobytes()

    @property
    def _sample_type(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        size = _CHANNELS[self.encoding][2]
        return np.dtype(np.uint8) if size == 1 else np.dtype(">u2" if self.big_endian else "<u2")
