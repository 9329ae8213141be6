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

Located = tuple[Frame, tuple[Sequence[Region], ...]]
"""A frame and, for each rule of the plan, the regions it hides."""


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


def locate(frames: Iterable[Frame], work: Work, limits: Limits, tally: Tally) -> Iterator[Located]:
    """Find regions. A localizer that several rules name runs once per frame."""
    for frame in frames:
        with tally.stage("locate"):
            unique = {id(part): part for part in work.localizers}
            found = {key: _run(part, frame, limits) for key, part in unique.items()}
            wanted = tuple(
                _chosen(rule, found[id(part)]) for rule, part in zip(work.plan.rules, work.localizers, strict=True)
            )
        yield frame, wanted


def known(frames: Iterable[Frame], work: Work, findings: Findings) -> Iterator[Located]:
    """Take the regions from findings instead of looking for them."""
    for frame in frames:
        regions = findings.frames.get(frame.index, ())
        yield frame, tuple(_chosen(rule, regions) for rule in work.plan.rules)


def hide(located: Iterable[Located], work: Work, tally: Tally) -> Iterator[Frame]:
    """Hide every region in place, as its rule says."""
    for frame, regions in located:
        with tally.stage("hide"):
            paint(frame, regions, work)
        for index, (rule, found) in enumerate(zip(work.plan.rules, regions, strict=True)):
            tally.hidden.extend(
                Hidden(frame.index, r.label, r.box, r.score, r.found, index, str(rule.hide), r.mask is not None)
                for r in found
            )
        yield frame


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
