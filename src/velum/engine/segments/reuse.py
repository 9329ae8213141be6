"""Which spans of an earlier rendering hide what this one is to hide, and need not be made again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from velum import __version__
from velum.engine.segments.track_ids import linked, renumbered, reported
from velum.errors import BadInput, OutputFailed, Unavailable

Hid = tuple[Mapping[str, Any], Path]
"""Of a span: its report, and a file of what was hidden in each of its frames, as a line of JSON."""

_Digests = Mapping[int, bytes]
"""By frame: what stands for its regions. The regions of a long video would take hundreds of megabytes."""

_NONE = b""


def reusable_segments(spans: Sequence[Hid | None], given: Path, *, detected: bool) -> list[Hid | None]:
    """Return those spans whose frames have the very regions in the file `given`, told of with the numbers there.

    `spans` are all of a video, in order, None where one is missing; `detected` says that their regions were found by
    localizers, not given. Raises `BadInput` for a file that is none of regions, and `OutputFailed`.
    """
    there = [span for span in spans if span is not None]
    if detected and len(there) < len(spans):
        return [None] * len(spans)  # the number of a thing follows from all spans before
    numbers = linked([told for _, told in there]) if detected else {}
    wanted = _digests(given)
    return [span and _same(span, list(renumbered(_lines(span[1]), numbers)), wanted, numbers) for span in spans]


def _same(span: Hid, lines: Sequence[str], wanted: _Digests, numbers: Mapping[int, int]) -> Hid | None:
    note, told = span
    # Another version may encode otherwise, and then the spans would not go together.
    if note.get("version") != __version__ or any(
        wanted.get(index, _NONE) != digest for index, digest in map(_loaded, lines)
    ):
        return None
    if not numbers:
        return span
    path = told.with_name(f"{told.name}.renumbered")
    try:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise OutputFailed(f"cannot write the regions: {error.strerror or error}; check that there is room") from error
    return reported(note, numbers), path


def _digests(given: Path) -> _Digests:
    try:
        return dict(_loaded(given.read_bytes())["frames"])
    except OSError as error:
        raise Unavailable(f"the file of regions cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"the file of regions cannot be read ({type(error).__name__}); put it again") from error


def _loaded(text: str | bytes) -> Any:
    """Return JSON in which every frame with its regions is its number and the digest of these.

    All numbers are floats: who writes a file in another language may write 1 for 1.0.
    """
    return json.loads(text, object_hook=_digested, parse_int=float)


def _digested(value: dict[str, Any]) -> Any:
    if value.keys() != {"index", "regions"}:
        return value
    regions = value["regions"]
    text = json.dumps(regions, sort_keys=True).encode()
    return int(value["index"]), hashlib.blake2b(text, digest_size=16).digest() if regions else _NONE


def _lines(told: Path) -> list[str]:
    return told.read_text(encoding="utf-8").splitlines()
