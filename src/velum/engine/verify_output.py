"""Publish a hidden file only when a check of the finished file has found nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from velum import media
from velum.annotations import Annotations
from velum.atomic import ensure_free, folder_next_to, publish
from velum.engine.stages import OnRegions
from velum.errors import BadPlan, NotHidden, VelumError
from velum.plan import Plan
from velum.region import Region
from velum.report import Report

SHOWN = 3
"""Number of leaks that a message names."""


class Verdict(Protocol):
    """The result of the check of a file."""

    @property
    def leaks(self) -> Sequence[Any]:
        """Everything the check found; each leak has a `message`."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        ...


def hide_verified(
    source: Path | media.LiveSource | media.BytesSource, target: Path | media.StreamSink, plan: Plan,
    hide: Callable[..., Report], check: Callable[..., Verdict], *, overwrite: bool, on_regions: OnRegions | None,
) -> Report:  # fmt: skip
    """Hide by `hide(source, file, plan, on_regions=)`, run `check(file, plan, against=, regions=)`, then publish.

    Raises `NotHidden` when the check finds anything; then, and on any other failure, nothing is published. Raises
    `BadPlan` for a source or target that is a stream.
    """
    if isinstance(target, media.StreamSink) or isinstance(source, media.LiveSource):
        raise BadPlan("verify looks at the finished file and at its source; leave it out where they come once")
    ensure_free(target, overwrite=overwrite)
    hidden: dict[int, tuple[Region, ...]] = {}

    def remember(index: int, regions: tuple[Region, ...]) -> None:
        hidden[index] = regions
        if on_regions is not None:
            on_regions(index, regions)

    with folder_next_to(target) as folder:
        unchecked = folder / target.name
        try:
            report = hide(source, unchecked, plan, on_regions=remember)
        except VelumError as error:
            # Users know the file that they asked for, not the one that is checked before it gets that name.
            error.args = tuple(
                value.replace(str(unchecked), str(target)) if isinstance(value, str) else value for value in error.args
            )
            raise
        annotations = Annotations(report.width, report.height, hidden, report.input_sha256)
        verdict = check(unchecked, plan, against=source, regions=annotations)
        if verdict.leaks:
            raise NotHidden(leak_message(target, verdict))
        with publish(target, overwrite=overwrite) as part:
            unchecked.replace(part)
    result: Mapping[str, Any] = verdict.to_json() | {"file": str(target)}
    return replace(report, target=str(target), check=result)


def leak_message(target: Path, verdict: Verdict) -> str:
    """Return why a file is not published, with the first leaks."""
    named = "; ".join(leak.message for leak in verdict.leaks[:SHOWN])
    rest = f"; and {len(verdict.leaks) - SHOWN} more" if len(verdict.leaks) > SHOWN else ""
    return (
        f"{target.name} was hidden and then checked, and is not published: {named}{rest}. "
        f"Hide more (another model, a lower threshold, regions by hand), or leave verify out and look for yourself"
    )
