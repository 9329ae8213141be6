"""What the anonymization API says of itself in its OpenAPI document."""

import json
from collections.abc import Mapping
from typing import Any

from velum.bmw import builtin_models, wire

Responses = dict[int | str, dict[str, Any]]

_ENVELOPE: Mapping[str, Any] = {
    "type": "object",
    "properties": {"data": {}, "error": {"type": "string"}, "success": {"type": "boolean"}},
    "required": ["data", "error", "success"],
}
_REFUSAL: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "detail": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"loc": {"type": "array"}, "msg": {"type": "string"}, "type": {"type": "string"}},
            },
        }
    },
}
_DETAIL: Mapping[str, Any] = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}

_METHODS: Mapping[str, Any] = {
    "face": wire.offered({wire.DETECTION: {builtin_models.URL: ["centerface"]}}, [*wire.TECHNIQUES]),
}

CONFIGURATION = json.dumps(
    {wire.ENTRIES: [dict(zip(wire.REQUIRED, ("centerface", "face", "blurring", wire.DETECTION, 1), strict=True))]}
)
"""A configuration that works at once."""


def _json(schema: Mapping[str, Any], **examples: Any) -> dict[str, Any]:
    named = {name: {"value": value} for name, value in examples.items()}
    return {"schema": schema, **({"examples": named} if named else {})}


def envelope(description: str, **data: Any) -> Responses:
    """Return the documentation of an endpoint whose answers are wrapped; `data` are examples of what is in them."""
    examples = {name: {"data": value, "error": "", "success": True} for name, value in data.items()}
    examples["failure"] = {"data": None, "error": wire.UNEXPECTED, "success": False}
    content = {"application/json": _json(_ENVELOPE, **examples)}
    return {200: {"description": f"{description} Failures are told in the body, by `success`.", "content": content}}


def methods() -> Responses:
    """Return the documentation of the list of methods."""
    schema = {"type": "object", "additionalProperties": True}
    failure = {"data": None, "error": wire.UNEXPECTED, "success": False}
    content = {"application/json": _json(schema, methods=_METHODS, failure=failure)}
    return {200: {"description": "Labels, with the models that find them and the techniques.", "content": content}}


def form() -> Responses:
    """Return what every endpoint with a form can answer besides."""
    return {
        400: {"description": "The body cannot be read as a form.", "content": {"application/json": _json(_DETAIL)}},
        413: _wrapped("The upload is larger than the service accepts."),
        422: {
            "description": "A field is missing or of the wrong kind.",
            "content": {"application/json": _json(_REFUSAL)},
        },
        429: _wrapped("There is more to do than may wait; try again later."),
    }


def picture() -> Responses:
    """Return the documentation of anonymizing a picture."""
    content = {
        "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
        "application/json": _json(_ENVELOPE, failure={"data": None, "error": wire.UNEXPECTED, "success": False}),
    }
    headers = {
        "X-Velum-Hidden": {"description": "How many regions were hidden.", "schema": {"type": "integer"}},
        "X-Velum-Warnings": {"description": "What to doubt, separated by `; `.", "schema": {"type": "string"}},
    }
    text = "The picture: PNG data, labelled image/jpeg; JPEG data where `Accept` names image/jpeg and not image/png."
    return {200: {"description": text, "content": content, "headers": headers}, **form()}


def video() -> Responses:
    """Return the documentation of anonymizing a video."""
    schema = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, _ENVELOPE]}
    content = {
        "application/json": _json(
            schema,
            done="Done",
            errors=[wire.unknown_technique(wire.Entry("face", "centerface", wire.DETECTION, "x", 1), 1)],
            failure={"data": None, "error": wire.UNEXPECTED, "success": False},
        )
    }
    text = "`Done`, when the video is in the folder of finished videos; a list of what is wrong with the configuration."
    name = {"description": "Name of the finished video, percent-encoded.", "schema": {"type": "string"}}
    return {200: {"description": text, "content": content, "headers": {"X-Velum-File": name}}, **form()}


def _wrapped(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": _json(_ENVELOPE)}}
