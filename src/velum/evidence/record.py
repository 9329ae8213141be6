"""The evidence of one file, taken from its report: no pixels, no positions, no names of sources."""

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
"""Lower bounds of the size classes, in pixels of a region's shorter side."""

UNSIZED = "in video"
"""Size class of a track in reports of older versions, which do not keep its size."""

MOST_BYTES = 16 << 20
"""Largest JSON file that is read, in bytes: a report, a result of a check, evidence."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The JSON result of another command about a file; `passed` is None when the result has no such field."""

    passed: bool | None
    sha256: str
    result: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "CommandResult":
        """Read a JSON object whose `passed`, if any, is true or false. Raises `BadInput` for anything else."""
        result = read_json(path)
        if not isinstance(result, Mapping):
            raise BadInput(f"{path} is not a result; give the JSON object that the command printed with --json")
        passed = result.get("passed")
        if passed is not None and not isinstance(passed, bool):
            raise BadInput(f"in {path}, 'passed' is {passed!r}; it must be true or false")
        return cls.of(result)

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> "CommandResult":
        """Wrap a result that is a JSON object already."""
        passed = result.get("passed")
        return cls(passed if isinstance(passed, bool) else None, hashlib.sha256(canonical(result)).hexdigest(), result)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"passed": self.passed, "sha256": self.sha256, "result": dict(self.result)}


def file_entry(
    report: Report, name: str, *, check: CommandResult | None = None, evaluation: CommandResult | None = None
) -> dict[str, Any]:
    """Return the evidence of file `name`, hidden as `report` says; `check` defaults to the one in the report.

    Raises `BadInput` when `check` is about another file, or `evaluation` about another plan.
    """
    if check is None and report.check is not None:
        check = CommandResult.of(report.check)
    if check is not None and (checked := check.result.get("sha256")) != report.output_sha256:
        raise BadInput(
            f"the check is of a file with SHA-256 {checked!r:.70}; that of {name} is {report.output_sha256}: "
            f"give the result of velum check for {name}"
        )
    evaluated = evaluation.result.get("plan") if evaluation else None
    if isinstance(evaluated, Mapping) and evaluated.get("digest") != report.plan:
        raise BadInput(
            f"the evaluation is of plan {str(evaluated.get('digest'))[:12]}, {name} was hidden by "
            f"{report.plan[:12]}: give the result of velum evaluate for that plan"
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
        "hidden": _region_counts(report),
        "found": dict(sorted(_origins(report).items())),
        "techniques": sorted(
            {*(region.technique for region in report.hidden), *(region.technique for region in report.tracks)}
        ),
        "warnings": list(report.warnings),
        "check": check.to_json() if check else None,
        "standard": evaluation.to_json() if evaluation else None,
    }


def earlier_entry(name: str, output_sha256: str) -> dict[str, Any]:
    """Return the evidence of a file that an earlier run finished and whose report is not available."""
    return {"file": name, "output_sha256": output_sha256, "earlier": True, "check": None}


def size_class(side_pixels: int) -> str:
    """Return the size class of a region by its shorter side in pixels."""
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


def _region_counts(report: Report) -> list[dict[str, Any]]:
    regions = Counter((item.label, size_class(min(item.box.width, item.box.height))) for item in report.hidden)
    tracks = Counter(
        (item.label, UNSIZED if item.largest_side is None else size_class(item.largest_side)) for item in report.tracks
    )
    order = [size_class(side) for side in (1, *SIZES)] + [UNSIZED]
    counts = sorted((regions + tracks).items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    return [{"label": label, "size": size, "count": count} for (label, size), count in counts]


def _origins(report: Report) -> Counter[str]:
    """Return how regions were found, by origin: regions of an image, or frames of the tracks of a video."""
    found: Counter[str] = Counter(region.found for region in report.hidden)
    for track in report.tracks:
        found.update(track.found)
    return found
