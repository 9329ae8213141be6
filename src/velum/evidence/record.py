"""What evidence says of one file: taken from its report, without pixels, places or names of sources."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velum.errors import BadInput
from velum.evidence.jcs import canonical, parse
from velum.report import Report

SIZES = (16, 32, 64, 128)
"""Where classes of size begin, in pixels of a region's shorter side."""

UNSIZED = "in video"
"""Class of what was followed through a video, in reports of older versions: they do not keep its size."""

MOST_BYTES = 16 << 20
"""Largest JSON that is read: a report, a result of a check, evidence."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What another command said of the file: its JSON, and whether it passed (None where it does not say)."""

    passed: bool | None
    sha256: str
    result: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "CommandResult":
        """Return what a file says: a JSON object, with `passed` true or false. Raises `BadInput` for anything else."""
        result = read_json(path)
        if not isinstance(result, Mapping):
            raise BadInput(f"{path} is no result: it must be a JSON object, as the command wrote it with --json")
        passed = result.get("passed")
        if passed is not None and not isinstance(passed, bool):
            raise BadInput(f"{path} says that 'passed' is {passed!r}; it must be true or false")
        return cls.of(result)

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> "CommandResult":
        """Return what a result says that is at hand."""
        passed = result.get("passed")
        return cls(passed if isinstance(passed, bool) else None, hashlib.sha256(canonical(result)).hexdigest(), result)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"passed": self.passed, "sha256": self.sha256, "result": dict(self.result)}


def entry(
    report: Report, name: str, *, check: CommandResult | None = None, evaluation: CommandResult | None = None
) -> dict[str, Any]:
    """Return what evidence says of the file `name`, hidden as `report` tells, and checked where no `check` is given.

    Raises `BadInput` where `check` does not tell the file's hash, or `evaluation` the digest of another plan.
    """
    if check is None and report.check is not None:
        check = CommandResult.of(report.check)
    if check is not None and (checked := check.result.get("sha256")) != report.output_sha256:
        raise BadInput(
            f"the check tells of a file whose SHA-256 is {checked!r:.70}; that of {name} is {report.output_sha256}: "
            f"give what velum check says of {name}"
        )
    evaluated = evaluation.result.get("plan") if evaluation else None
    if isinstance(evaluated, Mapping) and evaluated.get("digest") != report.plan:
        raise BadInput(
            f"the evaluation tells of plan {str(evaluated.get('digest'))[:12]}, {name} was hidden by "
            f"{report.plan[:12]}: give what velum evaluate says of that plan"
        )
    return {
        "file": name,
        "format": report.format,
        "width": report.width,
        "height": report.height,
        "frames": report.frames,
        "input_sha256": report.input_sha256,
        "output_sha256": report.output_sha256,
        "encoding": report.encoding,
        "velum": report.version,
        "hidden": _counts(report),
        "found": dict(sorted(_found(report).items())),
        "techniques": sorted({*(one.technique for one in report.hidden), *(one.technique for one in report.tracks)}),
        "warnings": list(report.warnings),
        "check": check.to_json() if check else None,
        "standard": evaluation.to_json() if evaluation else None,
    }


def earlier(name: str, output_sha256: str) -> dict[str, Any]:
    """Return what evidence says of a file that an earlier run finished, whose report is not at hand."""
    return {"file": name, "output_sha256": output_sha256, "earlier": True, "check": None}


def size_class(side_pixels: int) -> str:
    """Return the class of a region whose shorter side has so many pixels."""
    if side_pixels < SIZES[0]:
        return f"under {SIZES[0]} px"
    above = [low for low in SIZES if low <= side_pixels]
    if len(above) == len(SIZES):
        return f"{SIZES[-1]} px and more"
    return f"{above[-1]} to {SIZES[len(above)] - 1} px"


def read_json(path: Path) -> Any:
    """Return the JSON value of a file. Raises `BadInput` when it cannot be read or is larger than `MOST_BYTES`."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MOST_BYTES:
        raise BadInput(f"{path} is larger than the {MOST_BYTES >> 20} MiB allowed for such a file")
    try:
        return parse(text)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _counts(report: Report) -> list[dict[str, Any]]:
    regions = Counter((one.label, size_class(min(one.box.width, one.box.height))) for one in report.hidden)
    tracks = Counter(
        (one.label, UNSIZED if one.largest_side is None else size_class(one.largest_side)) for one in report.tracks
    )
    order = [size_class(side) for side in (1, *SIZES)] + [UNSIZED]
    counts = sorted((regions + tracks).items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    return [{"label": label, "size": size, "count": count} for (label, size), count in counts]


def _found(report: Report) -> Counter[str]:
    """Return how what was hidden was known: in regions of a picture, in frames of a video."""
    found: Counter[str] = Counter(one.found for one in report.hidden)
    for track in report.tracks:
        found.update(track.found)
    return found
