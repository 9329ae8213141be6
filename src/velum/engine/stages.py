"""Stages: functions from iterator to iterator. A stage knows no thread, no file and no request."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from velum.engine.paint import paint
from velum.engine.prepare import Work
from velum.errors import PluginFault, VelumError
from velum.findings import Findings
from velum.frame import Frame
from velum.limits import Limits
from velum.locate.labels import covers
from velum.plan import Rule
from velum.plugins import Localizer
from velum.region import Region
from velum.report import Hidden


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """A frame and what is known of it: regions by localizer, and those never to be hidden.

    A localizer that was not asked about the frame has None.
    """

    frame: Frame
    found: tuple[Sequence[Region] | None, ...]
    kept: Sequence[Region] = ()


@dataclass(slots=True)
class Tally:
    """What one run counts while it goes."""

    seconds: dict[str, float] = field(default_factory=dict)
    frames: int = 0
    hidden: list[Hidden] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the stage of that name."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds to the stage of that name."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def counted(frames: Iterable[Frame], tally: Tally) -> Iterator[Frame]:
    """Pass the frames on, timing their decoding."""
    frames = iter(frames)
    while True:
        with tally.stage("decode"):
            frame = next(frames, None)
        if frame is None:
            return
        tally.frames += 1
        yield frame


def locate(frames: Iterable[Frame], work: Work, limits: Limits, tally: Tally) -> Iterator[Looked]:
    """Find regions. A localizer that several rules name runs once per frame."""
    for frame in frames:
        with tally.stage("locate"):
            found = tuple(_run(part, frame, limits) for part in work.localizers)
            kept = [region for part in work.keepers for region in _run(part, frame, limits)]
        yield Looked(frame, found, kept)


def known(frames: Iterable[Frame], work: Work, findings: Findings, limits: Limits) -> Iterator[Looked]:
    """Take the regions from findings instead of looking for them."""
    for frame in frames:
        kept = [region for part in work.keepers for region in _run(part, frame, limits)]
        yield Looked(frame, (findings.frames.get(frame.index, ()),), kept)


def hide(looked: Iterable[Looked], work: Work, tally: Tally) -> Iterator[Frame]:
    """Hide every region in place, as its rule says."""
    for look in looked:
        wanted = wanted_by(work, look)
        with tally.stage("hide"):
            paint(look.frame, wanted, work, look.kept)
        for index, (rule, found) in enumerate(zip(work.plan.rules, wanted, strict=True)):
            tally.hidden.extend(
                Hidden(look.frame.index, r.label, r.box, r.score, r.found, index, str(rule.hide), r.mask is not None)
                for r in found
            )
        yield look.frame


def wanted_by(work: Work, look: Looked) -> list[list[Region]]:
    """Return the regions that each rule of the plan hides."""
    return [_chosen(rule, look.found[which] or ()) for rule, which in zip(work.plan.rules, work.finder, strict=True)]


def _chosen(rule: Rule, regions: Iterable[Region]) -> list[Region]:
    return [region for region in regions if covers(rule.label, region.label) and region.score >= rule.min_score]


def _run(localizer: Localizer, frame: Frame, limits: Limits) -> list[Region]:
    try:
        answers = localizer.locate([frame])
    except VelumError:
        raise
    except Exception as error:
        raise PluginFault(f"localizer {localizer!r} failed: {type(error).__name__}: {error}") from error
    if not isinstance(answers, list) or len(answers) != 1:
        raise PluginFault(f"localizer {localizer!r} did not return one list of regions for one frame")
    limits.check("regions", len(answers[0]), f"frame {frame.index}")
    return answers[0]
