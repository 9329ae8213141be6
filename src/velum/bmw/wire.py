"""The words of the BMW interfaces: field names, bodies and texts, as they go over the wire. No other file has them.

Two dialects: the anonymization API, whose clients velum serves, and the inference APIs, which velum asks and imitates.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# --- both -----------------------------------------------------------------------------------------------------------

UNEXPECTED = "unexpected server error"

DETECTION, SEGMENTATION = "detection", "segmentation"


def envelope(data: Any = None, error: str = "") -> bytes:
    """Return the body that wraps an answer; one with an error is no success."""
    return dumps({"data": data, "error": error, "success": not error})


def dumps(value: Any) -> bytes:
    """Return JSON as both dialects write it: compact, UTF-8, keys in the order they were put."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


# --- the inference APIs ----------------------------------------------------------------------------------------------

INPUT = "input_data"
"""Form field, and file name, of the picture."""


@dataclass(frozen=True, slots=True)
class Find:
    """One object of an inference API: `ltrb` are left, top, right and bottom in pixels, `percent` from 0 to 100."""

    label: str
    number: int
    percent: float
    ltrb: tuple[float, float, float, float]


# --- the anonymization API -------------------------------------------------------------------------------------------

IMAGE, VIDEO, CONFIGURATION, URL = "image", "video", "configuration", "url"
"""Form fields."""

TECHNIQUES: Mapping[str, str] = {"blackening": "blacken", "pixelating": "pixelate", "blurring": "blur"}
"""The interface's name of a technique -> ours, in the order that it lists them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a configuration: hide this, found by that, in this way. `kind` and `technique` are casefolded."""

    label: str
    model: str
    kind: str
    technique: str
    degree: float
    url: str | None = None


def needs_change(errors: Sequence[str]) -> bytes:
    """Return the body for a configuration with errors."""
    text = "Some data in your configuration file need to be modified. Check the /available_methods/ endpoint"
    return envelope(list(errors), text)
