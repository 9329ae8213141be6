"""Wire format of the BMW anonymization API, whose clients velum serves: fields, bodies and texts, byte for byte.

No other file has them; `velum.bmw.inference_wire` has those of the inference APIs. Texts of both APIs are in this file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

UNEXPECTED = "unexpected server error"

DETECTION, SEGMENTATION = "detection", "segmentation"


def envelope(data: Any = None, error: str = "") -> bytes:
    """Return the enveloped body of a response; `success` is false where there is an error."""
    return dumps({"data": data, "error": error, "success": not error})


def dumps(value: Any) -> bytes:
    """Return JSON as both dialects write it: compact, UTF-8, keys in insertion order."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate, which JSON may escape but UTF-8 cannot hold, is escaped again.
    return text.encode(errors="backslashreplace")


_REFUSALS: Mapping[str, tuple[str, str]] = {
    "missing": ("field required", "value_error.missing"),
    "string_type": ("str type expected", "type_error.str"),
    "bool_parsing": ("value could not be parsed to a boolean", "type_error.bool"),
}


def validation_error_body(errors: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the body of status 422: errors of pydantic 2 in the words of pydantic 1."""
    entries = []
    for error in errors:
        message, kind = _REFUSALS.get(error["type"], (error["msg"].removeprefix("Value error, "), error["type"]))
        entries.append({"loc": list(error["loc"]), "msg": message, "type": kind})
    return dumps({"detail": entries})


IMAGE, VIDEO, CONFIGURATION, URL = "image", "video", "configuration", "url"
"""Form fields."""

PIXELATING = "pixelating"
TECHNIQUES: Mapping[str, str] = {"blackening": "blacken", PIXELATING: "pixelate", "blurring": "blur"}
"""The API's name of a technique -> ours, in the API's order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a configuration: label, model and technique. `kind` and `technique` are casefolded.

    `label` and `model` are strings in validated entries (in strict mode the first only); `url` can have any type.
    """

    label: Any
    model: Any
    kind: str
    technique: str
    degree: float | None
    """None for an invalid degree, which only entries that are not validated can have."""
    url: Any = None


def needs_change(errors: Sequence[str]) -> bytes:
    """Return the body for a configuration with errors."""
    text = "Some data in your configuration file need to be modified. Check the /available_methods/ endpoint"
    return envelope(list(errors), text)


FILE = "url_configuration.json"
"""File name of the list of inference APIs."""

ADDRESSES = "urls"
"""Its key."""

CORRUPT = "Json file corrupted"
NO_FILE = "[Errno 2] No such file or directory: '../jsonFiles/url_configuration.json'"
BAD_ADDRESS = "wrong url format. expected format: http://ip:port/"
REFUSED_ADDRESS = (
    "the service may not reach this url: private networks, the machine that it runs on and addresses that its operator "
    "denies are closed; start it with VELUM_REMOTE_ALLOW=host, or with VELUM_REMOTE_PRIVATE=true for private networks"
)
"""This text is velum's own: the original connects to any address."""
SILENT_ADDRESS = "url trying to add is not reachable"
UNKNOWN_ADDRESS = "url is not present in config file"
ADDED, KNOWN_ALREADY = "url added successfully", "url already exist"
REMOVED, ALL_REMOVED = "url removed successfully", "all urls removed successfully"
VIDEO_DONE = b'"Done"'

REQUIRED = ("model_name", "class_name", "anonymization_technique", "inference_type", "anonymization_degree")
"""Fields of an entry, in the order of their validation."""

ENTRIES = "sensitive_info"

ENTRY_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in REQUIRED[:-1]},
        REQUIRED[-1]: {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": list(REQUIRED),
}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {ENTRIES: {"type": "array", "items": [ENTRY_SCHEMA]}},
    "required": [ENTRIES],
}
"""Schema of a configuration; `items` is a list, so it applies to the first entry only."""


def bad_configuration(text: str) -> str:
    """Return the text for an invalid configuration."""
    return f"Invalid model configuration: {text}"


def read_entry(values: Mapping[str, Any]) -> Entry:
    """Return one entry of a configuration. Raises `KeyError` or `AttributeError` where it violates the schema."""
    model, label, technique, kind, degree = (values[name] for name in REQUIRED)
    return Entry(label, model, kind.casefold(), technique.casefold(), degree, values.get(URL))


def methods_of_label(kinds: Mapping[str, Any], techniques: Sequence[str]) -> dict[str, Any]:
    """Return the methods of one label as they are listed: models by kind and address, then the techniques."""
    return {**kinds, "technique": list(techniques)}


def not_supported(entry: Entry, number: int) -> str:
    """Return the text for an unknown kind, and for an inference API that gave no usable answer."""
    return f"The model type <{entry.kind}> in sensitive info <{number}> is not supported."


def unknown_label(entry: Entry, number: int) -> str:
    """Return the text for a label that no model finds."""
    return f"The label <{entry.label}> in the sensitive info <{number}> is not supported."


def label_of_other_kind(entry: Entry, number: int) -> str:
    """Return the text for a label that only models of another kind find."""
    return f"{unknown_label(entry, number)[:-1]} by a {entry.kind} api."


def unlisted_address(entry: Entry) -> str:
    """Return the text for an address that does not serve the label."""
    return f"the url <{entry.url}> does not belong to the list of urls supported"


def model_not_there(entry: Entry, number: int) -> str:
    """Return the text for a model that the entry's address does not have for the label."""
    return (
        f"The model <{entry.model}> in sensitive info <{number}> is not available in the {entry.kind} url : "
        f"<{entry.url}> for the label <{entry.label}>."
    )


def model_nowhere(entry: Entry, number: int) -> str:
    """Return the text for a model that no address has for the label."""
    return (
        f"The model <{entry.model}> in sensitive info <{number}> is not available in the {entry.kind} for label  "
        f"<{entry.label}>"
    )


def unknown_technique(entry: Entry, number: int) -> str:
    """Return the text for a technique that does not exist for the label."""
    return (
        f"The technique <{entry.technique}> is not supported for the label <{entry.label}> in sensitive info "
        f"<{number}>."
    )


def video_name(stem: str, at: datetime) -> str:
    """Return the name of a finished video, without suffix."""
    return f"Anonymized_{stem}_{at:%d_%m_%y_%H_%M_%S}"
