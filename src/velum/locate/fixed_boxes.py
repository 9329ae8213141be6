"""The localizer `fixed`: the same box in every frame between two times."""

from collections.abc import Sequence

from velum.errors import BadPlan
from velum.frame import Frame
from velum.region import Box, Region


class Fixed:
    """The same zone in every frame between two times: `fixed(box=[0, 0, 400, 90], from=2.5, to=10)`.

    `box` is in pixels of the upright image; without it the zone is the whole image. `from` and `to` are in seconds
    since the first frame shown, `to` not included; an image is at 0. A rule names the zone by its label:
    `zone: fixed(box=[0, 0, 400, 90]) -> blacken`.
    """

    per_frame = True

    def __init__(
        self, box: tuple[int, ...] | None = None, from_: float = 0.0, to: float | None = None, label: str = "zone"
    ) -> None:
        """Check the values.

        Raises `BadPlan` for a box that is empty or not of four numbers, and for times that are empty or below 0.
        """
        if box is not None and (len(box) != 4 or box[0] >= box[2] or box[1] >= box[3]):
            raise BadPlan(
                f"box of fixed is {list(box)}; it must be [x0, y0, x1, y1] in pixels with x0 < x1 and y0 < y1"
            )
        if not from_ >= 0:
            raise BadPlan(f"from of fixed is {from_}; it must be 0 or more: seconds count from the first picture")
        if to is not None and not to > from_:
            raise BadPlan(f"fixed ends at {to} s, which is not after its start at {from_} s")
        self.labels = frozenset({label})
        self._label, self._box, self._from, self._to = label, box, from_, to

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the zone for each frame between the times, and no region for other frames."""
        return [self._zone(frame) for frame in frames]

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _zone(self, frame: Frame) -> list[Region]:
        seconds = float(frame.time or 0)
        # A zone without `from` begins with the first frame of the video, whatever its time stamp.
        early = self._from > 0 and seconds < self._from
        if early or (self._to is not None and seconds >= self._to):
            return []
        box = frame.box if self._box is None else Box(*self._box).clip(frame.width, frame.height)
        return [] if box is None else [Region(box, self._label, origin="manual")]
