"""Fixed zones of a plan, read from its rules independently of the localizer."""

from fractions import Fraction

from velum.plan import Plan
from velum.region import Box, Region


def has_only_zones(plan: Plan) -> bool:
    """Tell whether the plan hides fixed zones only, so that nothing has to be detected."""
    return all(rule.locate.name == "fixed" for rule in plan.rules)


def zones_at(plan: Plan, time: Fraction | None, first: Fraction | None, width: int, height: int) -> tuple[Region, ...]:
    """Return the zones of a frame shown at `time` seconds, where the first frame of its video is shown at `first`."""
    seconds = float((time or Fraction(0)) - (first or Fraction(0)))
    found = []
    for rule in plan.rules:
        if rule.locate.name != "fixed":
            continue
        options = rule.locate.options
        start, end, corners = options.get("from", 0.0), options.get("to"), options.get("box")
        if isinstance(start, int | float) and seconds < start:
            continue
        if isinstance(end, int | float) and seconds >= end:
            continue
        box = Box(*corners) if isinstance(corners, tuple) else Box(0, 0, width, height)  # type: ignore[arg-type]
        clipped = box.clip(width, height)
        if clipped is not None:
            found.append(Region(clipped, rule.label, origin="manual"))
    return tuple(found)
