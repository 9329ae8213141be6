"""The check: one finished file, looked at by other eyes, from all sides."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np

from velum import media
from velum.annotations import Annotations
from velum.engine.engine import Engine
from velum.engine.masks import outline
from velum.engine.prepare import PreparedPlan
from velum.file_hash import sha256_of
from velum.frame import Frame, Rgb
from velum.limits import Limits
from velum.locate.labels import covers
from velum.media.image.side_content import beside
from velum.media.video.side_streams import audible_streams
from velum.plan import Plan
from velum.plugins import RuntimeConfig
from velum.region import Box, Mask, Region
from velum.verify import residual_detail, second_detector
from velum.verify.alignment import FramePair, merged, one_by_one
from velum.verify.coding import coding_of
from velum.verify.colours import why_changed
from velum.verify.solid_fill import SampleCoding, residues
from velum.verify.transparency import opaque, uncovered
from velum.verify.values import Checked, Leak
from velum.verify.zones import only_zones, zones_at

COVERED = 0.5
"""Share of what a detector sees that must lie in something hidden: then it sees the hiding."""

Regions = Mapping[int, tuple[Region, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """What is needed to check: an engine, and what it was made of."""

    engine: Engine
    host: RuntimeConfig
    limits: Limits

    def __call__(
        self,
        file: Path,
        plan: Plan,
        *,
        against: Path | media.BytesSource | None = None,
        regions: Annotations | None = None,
        text: bool = False,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Checked:
        """Return what is left to be seen in `file`, which should be hidden in as `plan` says.

        `against` is its source, `regions` what was hidden: with them more can be told. With `text`, words that lead to
        a person are found although the plan hides no text. Raises any `VelumError` for what cannot be checked.
        """
        looking, notes = second_detector.watching(plan, self.host, self.engine, text=text)
        found: Regions = {} if looking is None else self.engine.locate(file, looking).frames
        work = self.engine.check(plan, regions=regions or _NOBODY)
        leaks, told = _beside(file, plan, self.limits)
        notes = (*notes, *told)
        with media.read(file, self.limits) as after, self._source(against) as before:
            look = _Look(
                self.engine, work, None if regions is None else regions.frames, found, coding_of(after.info),
                _is_told(plan, regions),
            )  # fmt: skip
            frames = 0
            for pair in _pairs(after, before):
                if pair.after is None or (before is not None and pair.before is None):
                    more = "more" if pair.before is None else "fewer"
                    leaks.append(Leak("frames", f"the file has {more} pictures than its source: {frames} fit"))
                    break
                frames += 1
                leaks.extend(look.at(pair))
                if progress is not None:
                    progress(frames, None)
        if against is None and regions is None and not only_zones(plan):
            notes = (*notes, "neither its source nor its regions were given: whether they are hidden is not verified")
        detectors = () if looking is None else tuple(str(rule.locate) for rule in looking.rules)
        return Checked(file.name, sha256_of(file), frames, tuple(leaks), detectors, look.verified, notes)

    @contextmanager
    def _source(self, against: Path | media.BytesSource | None) -> Iterator[media.Reader | None]:
        if against is None:
            yield None
            return
        with media.read(against, self.limits) as before:
            yield before


def _pairs(after: media.Reader, before: media.Reader | None) -> Iterator[FramePair]:
    """Yield the frames of the file, each with that of its source where there is one."""
    if before is None:
        yield from (FramePair(frame, None) for frame in after.frames())
        return
    animated = isinstance(after.info, media.ImageInfo) and after.info.coding.animated
    fewer = (after.info.frames or 0) < (before.info.frames or 0)
    single = isinstance(after.info, media.ImageInfo) and fewer and before.info.fps is not None
    yield from (merged if fewer and (animated or single) else one_by_one)(after.frames(), before.frames())


def _is_told(plan: Plan, regions: Annotations | None) -> bool:
    """Tell whether it is known where all that is hidden lies."""
    return regions is not None or only_zones(plan)


_NOBODY = Annotations(1, 1, {})
"""No regions: for a plan whose techniques alone are asked about."""


@dataclass(slots=True, eq=False)
class _Look:
    engine: Engine
    work: PreparedPlan
    regions: Regions | None
    found: Regions
    coded: SampleCoding
    told: bool
    """Whether it is known where all that is hidden lies."""
    verified: int = field(default=0)
    first: Fraction | None = field(default=None)
    """When the first frame is shown."""

    def at(self, pair: FramePair) -> Iterator[Leak]:
        """Yield what is left to be seen in one frame."""
        frame, before = cast("Frame", pair.after), pair.before
        shown = before or frame
        if shown.index == 0:
            self.first = shown.time
        if before is not None and not _same(frame, before):
            yield Leak("frames", f"the picture is {frame.width} x {frame.height}, its source is not", frame.index)
            before = None
        regions = self._regions(shown)
        seen = () if pair.again else self.found.get(frame.index, ())
        if not regions and not seen and before is None:
            return
        after = frame.rgb(frame.width, frame.height)
        source = None if before is None else before.rgb(frame.width, frame.height)
        yield from self._weak(frame, before, after, source, regions)
        for one in seen:
            box = one.box.clip(frame.width, frame.height)
            if box is not None and not self._is_hidden(box, after, source, regions):
                where = f"{one.label} at {box.xyxy}"
                yield Leak("seen", f"another detector sees a {where}", frame.index, box, one.label, one.score)
        if source is not None:
            yield from self._changed(frame, source, after, regions, None if before is None else opaque(before))
        hidden = [box for region in regions for box in self._hidden_boxes(region, frame)]
        if before is not None and (more := uncovered(before, frame, hidden, exact=self.coded.exact)):
            yield Leak("picture", f"{more:.0%} of the picture was transparent, and is shown now", frame.index)

    def _regions(self, frame: Frame) -> tuple[Region, ...]:
        """Return what must be hidden in a frame of the source: what was named, and the zones of the plan.

        A zone that is among the regions of the frame is as people have decided: off, or hidden by another technique.
        That goes for this zone alone: what they said of other regions excuses none.
        """
        given = () if self.regions is None else self.regions.get(frame.index, ())
        zones = zones_at(self.work.plan, frame.time, self.first, frame.width, frame.height)
        return (*self._wanted(given), *(zone for zone in zones if not any(_covers(one, zone) for one in given)))

    def _changed(
        self, frame: Frame, source: Rgb, after: Rgb, regions: tuple[Region, ...], seen: Mask | None
    ) -> Iterator[Leak]:
        hidden = [box for region in regions for box in self._hidden_boxes(region, frame)] if self.told else None
        if why := why_changed(source, after, hidden, seen):
            yield Leak("colour", f"the picture has changed: {why}", frame.index)

    def _hidden_boxes(self, region: Region, frame: Frame) -> Iterator[Box]:
        for rule in self.work.plan.rules:
            if covers(rule.label, region.label) and (area := outline(region, rule, frame.width, frame.height)):
                yield area.box

    def _wanted(self, regions: tuple[Region, ...]) -> tuple[Region, ...]:
        rules = self.work.plan.rules
        return tuple(one for one in regions if not one.ignored and any(covers(rule.label, one.label) for rule in rules))

    def _is_hidden(self, box: Box, after: Rgb, source: Rgb | None, regions: tuple[Region, ...]) -> bool:
        if source is not None:
            return residual_detail.changed(source, after, box) >= COVERED
        return any(_share(box, one.box) >= COVERED for one in regions)

    def _weak(
        self, frame: Frame, before: Frame | None, after: Rgb, source: Rgb | None, regions: tuple[Region, ...]
    ) -> Iterator[Leak]:
        """Yield the regions that are not hidden as the plan says, though they were named."""
        if not regions:
            return
        again = self._hidden(after, regions)
        both = None if source is None else (source, self._hidden(source, regions))
        whys = {id(one): why for one, why in residues(frame, before, regions, self.work, self.coded)}
        for one in regions:
            box = one.box.clip(after.shape[1], after.shape[0])
            if box is None:
                continue
            if why := self._why_weak(one, box, after, again, both) or whys.get(id(one)):
                yield Leak("weak", f"{one.label} at {box.xyxy}: {why}", frame.index, box, one.label, one.score)

    def _why_weak(self, one: Region, box: Box, after: Rgb, again: Rgb, both: tuple[Rgb, Rgb] | None) -> str | None:
        """Say why a region is not hidden as the plan says, as far as its size lets it be judged."""
        if min(box.width, box.height) < residual_detail.SMALLEST:
            return None
        self.verified += 1
        why = None if both is None else _why_left(box, after, *both)
        return why or self._why_unsettled(one, box, after, again, None if both is None else both[0])

    def _hidden(self, picture: Rgb, regions: tuple[Region, ...]) -> Rgb:
        """Return the picture with the regions hidden as the plan says."""
        height, width = picture.shape[:2]
        made, _ = self.engine.hide_pixels(picture, self.work.plan, regions=Annotations(width, height, {0: regions}))
        return cast("Rgb", made)

    def _why_unsettled(self, one: Region, box: Box, after: Rgb, again: Rgb, source: Rgb | None) -> str | None:
        by = residual_detail.unsettled(after, again, box, fine=not self._flat(one))
        if by <= residual_detail.MOST_UNSETTLED:
            return None
        # Cells and blurs of another grid or order differ from each other; that a region is as it was is another thing.
        if (
            source is not None
            and not self._flat(one)
            and residual_detail.changed(source, after, box) > residual_detail.UNTOUCHED
        ):
            return None
        return f"it is not hidden as the plan says; hiding it once more changes it by {by:.0f} levels"

    def _flat(self, one: Region) -> bool:
        """Tell whether all that hides a region leaves nothing of it."""
        return all(technique.destroys for technique in self.work.techniques_for(one))


def _why_left(box: Box, after: Rgb, source: Rgb, should: Rgb) -> str | None:
    """Say what is left of the source's detail that should not be; `should` is the source as the plan hides it."""
    left = residual_detail.left_of(source, after, box)
    if left is not None and left > residual_detail.MOST_LEFT:
        return f"{left:.0%} of its fine detail is still there"
    left, least = (residual_detail.left_of(source, one, box, residual_detail.COARSE) for one in (after, should))
    if left is not None and least is not None and left > least + residual_detail.MORE_LEFT:
        return f"{left:.0%} of its detail is still there, where the plan leaves {max(least, 0):.0%}"
    like = None if np.array_equal(should, source) else residual_detail.traced(source, should, after, box)
    if like is not None and like > residual_detail.MOST_TRACED:
        return f"what is faint in it is like its source (correlation {like:.2f})"
    return None


def _covers(one: Region, zone: Region) -> bool:
    """Tell whether a region that was named is a zone of the plan."""
    return one.label == zone.label and one.mask is None and _share(zone.box, one.box) == 1


def _same(one: Frame, other: Frame) -> bool:
    return (one.width, one.height) == (other.width, other.height)


def _share(inner: Box, outer: Box) -> float:
    width = min(inner.x1, outer.x1) - max(inner.x0, outer.x0)
    height = min(inner.y1, outer.y1) - max(inner.y0, outer.y0)
    return max(width, 0) * max(height, 0) / (inner.width * inner.height)


def _beside(file: Path, plan: Plan, limits: Limits) -> tuple[list[Leak], list[str]]:
    """Return what lies beside the pictures and was not allowed to stay, and what should be looked at."""
    leaks, notes = [], []
    found = beside(file, limits)
    for one in found:
        kept = one.kinds & set(plan.metadata)
        allowed = (one.kind == "audio" and plan.video.audio != "drop") or (
            one.kind == "subtitles" and plan.video.subtitles != "drop"
        )
        if one.ordinary:
            notes.append(f"there is {one.description}: programs write that, and anything may be in it")
        elif not kept and not allowed:
            leaks.append(Leak(one.kind, f"there is still {one.description}"))
    if plan.video.audio == "mute" and any(one.kind == "audio" for one in found):
        leaks += [
            Leak("audio", f"stream {index} should be silent, and can still be heard")
            for index in audible_streams(file, limits)
        ]
    return leaks, notes
