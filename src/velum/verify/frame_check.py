"""The check of one frame of a finished file: whether its regions are hidden, and what else it shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import numpy as np

from velum.annotations import Annotations
from velum.engine.apply import outline
from velum.engine.engine import Engine
from velum.engine.prepare import PreparedPlan
from velum.frame import Frame, Rgb
from velum.locate.labels import covers
from velum.plan import Plan
from velum.plugins import Drawing
from velum.region import Box, Mask, Region, ious
from velum.verify import residual_detail
from velum.verify.alignment import FramePair
from velum.verify.appearance import describe_change, opaque_mask, uncovered_share
from velum.verify.result import Leak
from velum.verify.solid_fill import SampleCoding, excluded_areas, find_residues, hidden_areas, mask_of
from velum.verify.visible_part import Look, VisibleParts

REPLACED = 0.5
"""Share of a detection that must differ from the source to be excused where it is unknown what was hidden."""

SHOWN_IOU = 0.25
"""IoU of a detection and a region that was decided to be shown, from which both are of one face."""

Regions = Mapping[int, tuple[Region, ...]]
"""Regions by frame."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pictures:
    """A frame of the file, and of the source as it is and as the plan hides it, where the source is at hand."""

    after: Rgb
    source: Rgb | None
    should: Rgb | None


@dataclass(slots=True, eq=False)
class FrameCheck:
    """Checks the frames of one file, in their order: hidden regions, detections, colours and transparency."""

    engine: Engine
    work: PreparedPlan
    regions: Regions | None
    found: Regions
    coded: SampleCoding
    all_known: bool
    """Whether all hidden regions are known."""
    look: Look | None
    """Locates objects in frames of the source."""
    verified: int = field(default=0)
    first: Fraction | None = field(default=None)
    """Presentation time of the first frame of the source, in seconds."""
    start: Fraction | None = field(default=None)
    """Presentation time of the first frame of the file, in seconds."""

    def seconds_of(self, frame: Frame) -> float | None:
        """Return when a frame of the file is shown, in seconds after its first one; None where it has no time."""
        if frame.time is None:
            return None
        if self.start is None:
            self.start = frame.time
        return float(frame.time - self.start)

    def leaks_in(self, pair: FramePair) -> Iterator[Leak]:
        """Yield the leaks of one frame."""
        frame, before = cast("Frame", pair.after), pair.before
        shown = before or frame
        if shown.index == 0:
            self.first = shown.time
        if before is not None and not _same_size(frame, before):
            yield Leak(
                "frames", f"the frame has {frame.width} x {frame.height} pixels, its source another size", frame.index
            )
            before = None
        regions = self._regions(shown)
        detected = () if pair.again else self.found.get(frame.index, ())
        if not regions and not detected and before is None:
            return
        after = frame.rgb(frame.width, frame.height)
        source = None if before is None else before.rgb(frame.width, frame.height)
        pictures = _Pictures(after, source, None if source is None else self._hide_again(source, regions))
        weak = list(self._weak(frame, before, pictures, regions))
        yield from (leak for _, leak in weak)
        if detected:
            doubtful = {id(region) for region, _ in weak}
            sound = [region for region in regions if id(region) not in doubtful]
            yield from self._judge_detections(detected, frame, before, pictures, sound)
        if source is not None:
            yield from self._colour_leaks(
                frame, source, after, regions, None if before is None else opaque_mask(before)
            )
        hidden = [box for region in regions for box in self._hidden_boxes(region, frame)]
        if before is not None and (share := uncovered_share(before, frame, hidden, exact=self.coded == "exact")):
            yield Leak("picture", f"{share:.0%} of the image was transparent and is visible now", frame.index)

    def _regions(self, frame: Frame) -> tuple[Region, ...]:
        """Return the regions that must be hidden in a frame of the source: the given ones and the zones of the plan.

        When a zone is among the given regions, the decision of a person counts: the zone may be switched off or hidden
        by another technique. The decision holds for this zone only.
        """
        hidden = () if self.regions is None else self.regions.get(frame.index, ())
        zones = zones_at(self.work.plan, frame.time, self.first, frame.width, frame.height)
        return (
            *self._regions_to_hide(hidden),
            *(zone for zone in zones if not any(is_zone(region, zone) for region in hidden)),
        )

    def _colour_leaks(
        self, frame: Frame, source: Rgb, after: Rgb, regions: tuple[Region, ...], visible: Mask | None
    ) -> Iterator[Leak]:
        hidden = [box for region in regions for box in self._hidden_boxes(region, frame)] if self.all_known else None
        if why := describe_change(source, after, hidden, visible):
            yield Leak("colour", f"the frame has changed: {why}", frame.index)

    def _hidden_boxes(self, region: Region, frame: Frame) -> Iterator[Box]:
        for rule in self.work.plan.rules:
            if covers(rule.label, region.label) and (area := outline(region, rule, frame.width, frame.height)):
                yield area.box

    def _regions_to_hide(self, regions: tuple[Region, ...]) -> tuple[Region, ...]:
        rules = self.work.plan.rules
        return tuple(
            region
            for region in regions
            if not region.ignored and any(covers(rule.label, region.label) for rule in rules)
        )

    def _judge_detections(
        self, detected: tuple[Region, ...], frame: Frame, before: Frame | None, pictures: _Pictures,
        sound: Sequence[Region],
    ) -> Iterator[Leak]:  # fmt: skip
        """Yield a leak for each detection that shows something outside of what is hidden; `sound` regions are."""
        parts = VisibleParts(self._hidden_pixels(frame, before, pictures, sound), before, self.look)
        for detection in detected:
            box = detection.box.clip(frame.width, frame.height)
            if box is None or self._is_shown_on_purpose(detection, box, (before or frame).index):
                continue
            if self._is_replaced(box, pictures) or not parts.shows(detection, box):
                continue
            place = f"{detection.label} at {box.xyxy}"
            yield Leak("seen", f"a detector still finds {place}", frame.index, box, detection.label, detection.score)

    def _is_shown_on_purpose(self, detection: Region, box: Box, index: int) -> bool:
        """Tell whether a detection is a face that was decided to be shown, in a plan with people."""
        if self.work.plan.people is None or self.regions is None:
            return False
        shown = [
            region for region in self.regions.get(index, ()) if region.ignored and covers(region.label, detection.label)
        ]
        boxes = np.array([region.box.xyxy for region in shown], np.float64).reshape(-1, 4)
        return bool((ious(np.array([box.xyxy], np.float64), boxes) >= SHOWN_IOU).any())

    def _is_replaced(self, box: Box, pictures: _Pictures) -> bool:
        """Tell whether a box differs from the source so far that hiding is what differs, where regions are unknown."""
        if self.regions is not None or pictures.source is None:
            return False
        return residual_detail.changed_share(pictures.source, pictures.after, box) >= REPLACED

    def _hidden_pixels(
        self, frame: Frame, before: Frame | None, pictures: _Pictures, sound: Sequence[Region]
    ) -> Mask:  # fmt: skip
        """Return the pixels that the check knows as hidden: of sound regions, and those that differ from the source.

        With the source, a region counts only where its pixels have changed as hiding changes them.
        """
        excluded = excluded_areas(before or frame, self.work)
        areas = [area for region in sound for area in hidden_areas(region, self.work, frame, excluded)]
        after, source, should = pictures.after, pictures.source, pictures.should
        if source is None or should is None:
            return mask_of((frame.height, frame.width), areas)
        hidden = [area for area in areas if residual_detail.is_hidden(source, should, after, area.box, area.mask)]
        pixels: Mask = mask_of((frame.height, frame.width), hidden) | residual_detail.changed_pixels(source, after)
        return pixels

    def _weak(
        self, frame: Frame, before: Frame | None, pictures: _Pictures, regions: tuple[Region, ...]
    ) -> Iterator[tuple[Region, Leak]]:  # fmt: skip
        """Yield each region that is not hidden as the plan says, with its leak."""
        if not regions:
            return
        after = pictures.after
        again = self._hide_again(after, regions)
        whys = {id(region): reason for region, reason in find_residues(frame, before, regions, self.work, self.coded)}
        for region in regions:
            box = region.box.clip(after.shape[1], after.shape[0])
            if box is None:
                continue
            if reason := self._why_weak(region, box, pictures, again) or whys.get(id(region)):
                message = f"{region.label} at {box.xyxy}: {reason}"
                yield region, Leak("weak", message, frame.index, box, region.label, region.score)

    def _why_weak(self, region: Region, box: Box, pictures: _Pictures, again: Rgb) -> str | None:
        """Say why a region is not hidden as the plan says; None when it is, or is too small to be judged."""
        if not _is_judged(box):
            return None
        self.verified += 1
        after, source, should = pictures.after, pictures.source, pictures.should
        if self._is_drawn(region) and should is not None:
            remains, ground = residual_detail.without_drawing(after, should)
            reason = None if source is None else _why_left(box, remains, source, ground)
        else:
            reason = None if source is None or should is None else _why_left(box, after, source, should)
        return reason or self._why_not_settled(region, box, after, again, source)

    def _hide_again(self, picture: Rgb, regions: tuple[Region, ...]) -> Rgb:
        """Return the image with the regions hidden (once more) as the plan says."""
        if not regions:
            return picture
        height, width = picture.shape[:2]
        hidden, _ = self.engine.hide_pixels(picture, self.work.plan, regions=Annotations(width, height, {0: regions}))
        return cast("Rgb", hidden)

    def _why_not_settled(self, region: Region, box: Box, after: Rgb, again: Rgb, source: Rgb | None) -> str | None:
        levels = residual_detail.rehiding_change(after, again, box, fine=not self._leaves_nothing(region))
        drawn = residual_detail.coding_of_drawing(again, box) if self._is_drawn(region) else 0
        if levels <= residual_detail.MOST_UNSETTLED + drawn:
            return None
        # Another grid or order gives other cells and blurs: that is not a leak. A region without any change is a leak.
        if (
            source is not None
            and not self._leaves_nothing(region)
            and residual_detail.changed_share(source, after, box) > residual_detail.UNTOUCHED
        ):
            return None
        return f"it is not hidden as the plan says; hiding it once more changes it by {levels:.0f} levels"

    def _is_drawn(self, region: Region) -> bool:
        return any(isinstance(technique, Drawing) for technique in self.work.techniques_for(region))

    def _leaves_nothing(self, region: Region) -> bool:
        """Tell whether every technique of a region destroys what it hides."""
        return all(technique.destroys for technique in self.work.techniques_for(region))


def _is_judged(box: Box) -> bool:
    """Tell whether a region is large enough to be judged by its pixels."""
    return min(box.width, box.height) >= residual_detail.SMALLEST


def _why_left(box: Box, after: Rgb, source: Rgb, should: Rgb) -> str | None:
    """Say how much detail of the source is left in a box; `should` is the source as the plan hides it."""
    detail = residual_detail.detail_left(source, after, box)
    if detail is not None and detail > residual_detail.MOST_LEFT:
        return f"{detail:.0%} of its fine detail is still there"
    detail, least = (
        residual_detail.detail_left(source, picture, box, residual_detail.COARSE) for picture in (after, should)
    )
    if detail is not None and least is not None and detail > least + residual_detail.MORE_LEFT:
        return f"{detail:.0%} of its detail is still there, where the plan leaves {max(least, 0):.0%}"
    like = None if np.array_equal(should, source) else residual_detail.ghost_correlation(source, should, after, box)
    if like is not None and like > residual_detail.MOST_TRACED:
        return f"its faint remains resemble the source (correlation {like:.2f})"
    return None


def _same_size(first: Frame, second: Frame) -> bool:
    return (first.width, first.height) == (second.width, second.height)


def zones_at(plan: Plan, time: Fraction | None, first: Fraction | None, width: int, height: int) -> tuple[Region, ...]:
    """Return the zones of a frame shown at `time` seconds, where the first frame of its video is shown at `first`."""
    seconds = float((time or Fraction(0)) - (first or Fraction(0)))
    zones = []
    for rule in plan.rules:
        if rule.locate.name != "fixed":
            continue
        options = rule.locate.options
        start, end, corners = options.get("from", 0.0), options.get("to"), options.get("box")
        if isinstance(start, int | float) and seconds < start:
            continue
        if isinstance(end, int | float) and seconds >= end:
            continue
        box = Box(*corners) if isinstance(corners, tuple) else Box(0, 0, width, height)  # type: ignore[arg-type]  # four numbers, as `fixed` checks
        clipped = box.clip(width, height)
        if clipped is not None:
            zones.append(Region(clipped, rule.label, origin="manual"))
    return tuple(zones)


def is_zone(region: Region, zone: Region) -> bool:
    """Tell whether a given region is this zone of the plan."""
    return region.label == zone.label and region.mask is None and _share(zone.box, region.box) == 1


def _share(inner: Box, outer: Box) -> float:
    width = min(inner.x1, outer.x1) - max(inner.x0, outer.x0)
    height = min(inner.y1, outer.y1) - max(inner.y0, outer.y0)
    return max(width, 0) * max(height, 0) / (inner.width * inner.height)
