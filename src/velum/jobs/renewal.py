"""Which spans of an earlier rendering hide what this one is to hide, and need not be made again."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from velum import __version__
from velum.errors import BadInput, OutputFailed
from velum.jobs.seams import linked, renumbered, reported
from velum.jobs.values import Former

Hid = tuple[Mapping[str, Any], Path]
"""Of a span: its report, and a file of what was hidden in each of its frames, as a line of JSON."""

_ByFrame = Mapping[int, Sequence[Any]]


def renewed(spans: Sequence[Hid | None], given: Path, former: Former) -> list[Hid | None]:
    """Return those spans whose frames have the very regions in the file `given`, told of with the numbers there.

    `spans` are all of a video, in order, None where one is missing. Raises `BadInput` for a file that is none of
    regions, and `OutputFailed`.
    """
    there = [span for span in spans if span is not None]
    if former is Former.FOUND and len(there) < len(spans):
        return [None] * len(spans)  # the number of a thing follows from all spans before
    numbers = linked([told for _, told in there]) if former is Former.FOUND else {}
    wanted = _by_frame(given)
    return [span and _same(span, list(renumbered(_lines(span[1]), numbers)), wanted, numbers) for span in spans]


def _same(span: Hid, lines: Sequence[str], wanted: _ByFrame, numbers: Mapping[int, int]) -> Hid | None:
    note, told = span
    # Another version may encode otherwise, and then the spans would not go together.
    if note.get("version") != __version__ or not all(_agrees(json.loads(line), wanted) for line in lines):
        return None
    if not numbers:
        return span
    path = told.with_name(f"{told.name}.renumbered")
    try:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise OutputFailed(f"cannot write the regions: {error.strerror or error}; check that there is room") from error
    return reported(note, numbers), path


def _agrees(frame: Mapping[str, Any], wanted: _ByFrame) -> bool:
    return bool(frame["regions"] == wanted.get(frame["index"], []))


def _by_frame(given: Path) -> _ByFrame:
    try:
        return {frame["index"]: frame["regions"] for frame in json.loads(given.read_bytes())["frames"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"the file of regions cannot be read ({type(error).__name__}); put it again") from error


def _lines(told: Path) -> list[str]:
    return told.read_text(encoding="utf-8").splitlines()
