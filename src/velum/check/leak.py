"""The check: one finished file, looked at by other eyes, from all sides."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import cast

from velum import media
from velum.check import depth, rivals
from velum.check.hashes import sha256_of
from velum.check.values import Checked, Leak
from velum.engine.engine import Engine
from velum.engine.prepare import Work
from velum.findings import Findings
from velum.frame import Frame, Rgb
from velum.limits import Limits
from velum.locate.labels import covers
from velum.media.beside import beside
from velum.media.video.beside import sounding
from velum.plan import Plan
from velum.plugins import Host
from velum.region import Box, Region

COVERED = 0.5
"""Share of what a detector sees that must lie in something hidden: then it sees the hiding."""

Regions = Mapping[int, tuple[Region, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """What is needed to check: an engine, and what it was made of."""

    engine: Engine
    host: Host
    limits: Limits

    def __call__(
        self, file: Path, plan: Plan, *, against: Path | media.Held | None = None, regions: Findings | None = None,
        text: bool = False, progress: Callable[[int, int | None], None] | None = None,
    ) -> Checked:  # fmt: skip
        """Return what is left to be seen in `file`, which should be hidden in as `plan` says.

        `against` is its source, `regions` what was hidden: with them more can be told. With `text`, words that lead to
        a person are found although the plan hides no text. Raises any `VelumError` for what cannot be checked.
        """
        looking, notes = rivals.watching(plan, self.host, self.engine, text=text)
        found: Regions = {} if looking is None else self.engine.locate(file, looking).frames
        work = self.engine.check(plan, regions=regions or _NOBODY)
        look = _Look(self.engine, work, None if regions is None else regions.frames, found)
        leaks = list(_beside(file, plan, self.limits))
        frames = 0
        for after, before in self._pairs(file, against):
            if after is None or before is _ENDED:
                leaks.append(Leak("frames", f"the file has not as many pictures as its source: {frames} fit"))
                break
            frames += 1
            leaks.extend(look.at(after, before))
            if progress is not None:
                progress(frames, None)
        if against is None and regions is None:
            notes = (*notes, "neither its source nor its regions were given: whether they are hidden is not verified")
        detectors = () if looking is None else tuple(str(rule.locate) for rule in looking.rules)
        return Checked(file.name, sha256_of(file), frames, tuple(leaks), detectors, look.verified, notes)

    def _pairs(
        self, file: Path, against: Path | media.Held | None
    ) -> "Iterator[tuple[Frame | None, Frame | _Ended | None]]":
        """Yield the frames of the file, each with that of its source where there is one."""
        with media.read(file, self.limits) as after:
            if against is None:
                for frame in after.frames():
                    yield frame, None
                return
            with media.read(against, self.limits) as before:
                for one, other in zip_longest(after.frames(), before.frames()):
                    yield one, _ENDED if other is None else other


class _Ended:
    """There is no further frame in the source."""


_ENDED = _Ended()

_NOBODY = Findings(1, 1, {})
"""No regions: for a plan whose techniques alone are asked about."""


@dataclass(slots=True, eq=False)
class _Look:
    engine: Engine
    work: Work
    regions: Regions | None
    found: Regions
    verified: int = field(default=0)

    def at(self, frame: Frame, before: "Frame | _Ended | None") -> Iterator[Leak]:
        """Yield what is left to be seen in one frame."""
        regions = () if self.regions is None else self._wanted(self.regions.get(frame.index, ()))
        seen = self.found.get(frame.index, ())
        if not regions and not seen:
            return
        after = frame.rgb(frame.width, frame.height)
        source = before.rgb(frame.width, frame.height) if isinstance(before, Frame) and _same(frame, before) else None
        if isinstance(before, Frame) and source is None:
            yield Leak("frames", f"the picture is {frame.width} x {frame.height}, its source is not", frame.index)
        yield from self._weak(frame.index, after, source, regions)
        for one in seen:
            box = one.box.clip(frame.width, frame.height)
            if box is not None and not self._is_hidden(box, after, source, regions):
                where = f"{one.label} at {box.xyxy}"
                yield Leak("seen", f"another detector sees a {where}", frame.index, box, one.label, one.score)

    def _wanted(self, regions: tuple[Region, ...]) -> tuple[Region, ...]:
        rules = self.work.plan.rules
        return tuple(one for one in regions if not one.off and any(covers(rule.label, one.label) for rule in rules))

    def _is_hidden(self, box: Box, after: Rgb, source: Rgb | None, regions: tuple[Region, ...]) -> bool:
        if source is not None:
            return depth.changed(source, after, box) >= COVERED
        return any(_share(box, one.box) >= COVERED for one in regions)

    def _weak(self, index: int, after: Rgb, source: Rgb | None, regions: tuple[Region, ...]) -> Iterator[Leak]:
        """Yield the regions that are not hidden as the plan says, though they were named."""
        if not regions:
            return
        again = self._hidden(after, regions)
        both = None if source is None else (source, self._hidden(source, regions))
        for one in regions:
            box = one.box.clip(after.shape[1], after.shape[0])
            if box is None or min(box.width, box.height) < depth.SMALLEST:
                continue
            self.verified += 1
            why = None if both is None else _why_left(box, after, *both)
            if why := why or self._why_unsettled(one, box, after, again, source):
                yield Leak("weak", f"{one.label} at {box.xyxy}: {why}", index, box, one.label, one.score)

    def _hidden(self, picture: Rgb, regions: tuple[Region, ...]) -> Rgb:
        """Return the picture with the regions hidden as the plan says."""
        height, width = picture.shape[:2]
        made, _ = self.engine.hide_pixels(picture, self.work.plan, regions=Findings(width, height, {0: regions}))
        return cast("Rgb", made)

    def _why_unsettled(self, one: Region, box: Box, after: Rgb, again: Rgb, source: Rgb | None) -> str | None:
        by = depth.unsettled(after, again, box, fine=not self._flat(one))
        if by <= depth.MOST_UNSETTLED:
            return None
        # Cells and blurs of another grid or order differ from each other; that a region is as it was is another thing.
        if source is not None and not self._flat(one) and depth.changed(source, after, box) > depth.UNTOUCHED:
            return None
        return f"it is not hidden as the plan says; hiding it once more changes it by {by:.0f} levels"

    def _flat(self, one: Region) -> bool:
        """Tell whether all that hides a region leaves nothing of it."""
        rules = (index for index, rule in enumerate(self.work.plan.rules) if covers(rule.label, one.label))
        return all(self.work.technique(index, one).destroys for index in rules)


def _why_left(box: Box, after: Rgb, source: Rgb, should: Rgb) -> str | None:
    """Say what is left of the source's detail that should not be; `should` is the source as the plan hides it."""
    left = depth.left_of(source, after, box)
    if left is not None and left > depth.MOST_LEFT:
        return f"{left:.0%} of its fine detail is still there"
    left, least = (depth.left_of(source, one, box, depth.COARSE) for one in (after, should))
    if left is not None and least is not None and left > least + depth.MORE_LEFT:
        return f"{left:.0%} of its detail is still there, where the plan leaves {max(least, 0):.0%}"
    return None


def _same(one: Frame, other: Frame) -> bool:
    return (one.width, one.height) == (other.width, other.height)


def _share(inner: Box, outer: Box) -> float:
    width = min(inner.x1, outer.x1) - max(inner.x0, outer.x0)
    height = min(inner.y1, outer.y1) - max(inner.y0, outer.y0)
    return max(width, 0) * max(height, 0) / (inner.width * inner.height)


def _beside(file: Path, plan: Plan, limits: Limits) -> Iterator[Leak]:
    """Yield what lies beside the pictures and was not allowed to stay."""
    found = beside(file, limits)
    for one in found:
        kept = one.kinds & set(plan.metadata)
        allowed = (one.kind == "audio" and plan.video.audio != "drop") or (
            one.kind == "subtitles" and plan.video.subtitles != "drop"
        )
        if not kept and not allowed:
            yield Leak(one.kind, f"there is still {one.what}")
    if plan.video.audio == "mute" and any(one.kind == "audio" for one in found):
        for index in sounding(file, limits):
            yield Leak("audio", f"stream {index} should be silent, and can still be heard")
