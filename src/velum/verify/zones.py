"""Zones that people place in a plan: where they are in a frame, and whether given regions decide about them."""

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
        box = Box(*corners) if isinstance(corners, tuple) else Box(0, 0, width, height)  # type: ignore[arg-type]  # four numbers, as `fixed` checks
        clipped = box.clip(width, height)
        if clipped is not None:
            found.append(Region(clipped, rule.label, origin="manual"))
    return tuple(found)


def is_zone(region: Region, zone: Region) -> bool:
    """Tell whether a given region is this zone of the plan."""
    return region.label == zone.label and region.mask is None and _share(zone.box, region.box) == 1


def _share(inner: Box, outer: Box) -> float:
    width = min(inner.x1, outer.x1) - max(inner.x0, outer.x0)
    height = min(inner.y1, outer.y1) - max(inner.y0, outer.y0)
    return max(width, 0) * max(height, 0) / (inner.width * inner.height)
