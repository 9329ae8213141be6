"""Files that are published only when a check of them, as they are finished, has found nothing."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from velum.annotations import Annotations
from velum.atomic import ensure_free, publish
from velum.errors import NotHidden, OutputFailed, VelumError
from velum.region import Region
from velum.report import Report

SHOWN = 3
"""How many of the things that were found a message names."""


class Verdict(Protocol):
    """What a check says of a file."""

    @property
    def leaks(self) -> Sequence[Any]:
        """What was found; each has a `message`."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        ...


Hide = Callable[[Path, Callable[[int, tuple[Region, ...]], None]], Report]
"""Hides into the file of that path, and tells what in each frame."""

CheckFile = Callable[[Path, Annotations], Verdict]


def verified(target: Path, hide: Hide, check: CheckFile, *, overwrite: bool) -> Report:
    """Return the report of a file that was hidden, checked and then published as `target`.

    Raises `NotHidden` when the check finds anything; then, and on any other failure, nothing is published.
    """
    ensure_free(target, overwrite=overwrite)
    hidden: dict[int, tuple[Region, ...]] = {}
    with _beside(target) as folder:
        made = folder / target.name
        try:
            report = hide(made, hidden.__setitem__)
        except VelumError as error:
            # Users know the file that they asked for, not the one that is checked before it gets that name.
            error.args = tuple(
                one.replace(str(made), str(target)) if isinstance(one, str) else one for one in error.args
            )
            raise
        findings = Annotations(report.width, report.height, hidden, report.input_sha256)
        verdict = check(made, findings)
        if verdict.leaks:
            raise NotHidden(_told(target, verdict))
        with publish(target, overwrite=overwrite) as part:
            made.replace(part)
    checked: Mapping[str, Any] = verdict.to_json() | {"file": str(target)}
    return replace(report, target=str(target), check=checked)


def _told(target: Path, verdict: Verdict) -> str:
    named = "; ".join(leak.message for leak in verdict.leaks[:SHOWN])
    more = f"; and {len(verdict.leaks) - SHOWN} more" if len(verdict.leaks) > SHOWN else ""
    return (
        f"{target.name} was hidden and then checked, and is not published: {named}{more}. "
        f"Hide more (another model, a lower threshold, regions by hand), or leave verify out and look for yourself"
    )


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Give a folder on the target's file system that is gone afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix=".velum-", dir=target.parent) as folder:
            yield Path(folder)
    except OutputFailed:
        raise
    except OSError as error:
        raise OutputFailed(f"cannot write {target}: {error.strerror or error}; nothing was published") from error
