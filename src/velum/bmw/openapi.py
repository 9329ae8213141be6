"""The OpenAPI documentation of the anonymization API, and the whole document of the strict mode.

Clients generated from the strict document work with the original and with velum alike. The framework writes OpenAPI
3.1, in which files no longer have `format: binary`, and generators name code after operations and bodies: version,
operations, bodies, parameters and errors of the strict document are therefore those of the original.
"""

import json
from collections.abc import Mapping
from typing import Any

from velum.bmw import wire
from velum.service.admission import OWN_MODELS

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
    "face": wire.methods_of_label({wire.DETECTION: {OWN_MODELS: ["centerface"]}}, [*wire.TECHNIQUES]),
}

CONFIGURATION = json.dumps(
    {wire.ENTRIES: [dict(zip(wire.REQUIRED, ("centerface", "face", "blurring", wire.DETECTION, 1), strict=True))]}
)
"""Example of a configuration that works with velum's own models."""


def _json(schema: Mapping[str, Any], **examples: Any) -> dict[str, Any]:
    named = {name: {"value": value} for name, value in examples.items()}
    return {"schema": schema, **({"examples": named} if named else {})}


def envelope_responses(description: str, **data: Any) -> Responses:
    """Document an endpoint with enveloped responses; `data` are examples of their content by name."""
    examples = {name: {"data": value, "error": "", "success": True} for name, value in data.items()}
    examples["failure"] = {"data": None, "error": wire.UNEXPECTED, "success": False}
    content = {"application/json": _json(_ENVELOPE, **examples)}
    return {200: {"description": f"{description} The member `success` of the body tells failures.", "content": content}}


def methods_responses() -> Responses:
    """Document the list of methods."""
    schema = {"type": "object", "additionalProperties": True}
    failure = {"data": None, "error": wire.UNEXPECTED, "success": False}
    content = {"application/json": _json(schema, methods=_METHODS, failure=failure)}
    return {200: {"description": "Labels, with the models that find them and the techniques.", "content": content}}


def form_responses() -> Responses:
    """Document the error responses of every endpoint with a form."""
    return {
        400: {"description": "The body cannot be parsed as a form.", "content": {"application/json": _json(_DETAIL)}},
        413: _envelope_response("The upload is larger than the service accepts."),
        422: {
            "description": "A field is missing or of the wrong kind.",
            "content": {"application/json": _json(_REFUSAL)},
        },
        429: _envelope_response("The queue is full; try again later."),
    }


def image_responses() -> Responses:
    """Document the anonymization of an image."""
    content = {
        "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
        "application/json": _json(_ENVELOPE, failure={"data": None, "error": wire.UNEXPECTED, "success": False}),
    }
    headers = {
        "X-Velum-Hidden": {"description": "How many regions were hidden.", "schema": {"type": "integer"}},
        "X-Velum-Warnings": {"description": "Warnings, separated by `; `.", "schema": {"type": "string"}},
    }
    text = (
        "The image: PNG data with content type image/jpeg; JPEG data where `Accept` names image/jpeg and not image/png."
    )
    return {200: {"description": text, "content": content, "headers": headers}, **form_responses()}


def video_responses() -> Responses:
    """Document the anonymization of a video."""
    schema = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, _ENVELOPE]}
    content = {
        "application/json": _json(
            schema,
            done="Done",
            errors=[wire.unknown_technique(wire.Entry("face", "centerface", wire.DETECTION, "x", 1), 1)],
            failure={"data": None, "error": wire.UNEXPECTED, "success": False},
        )
    }
    text = "`Done` once the video is in the folder of finished videos, or a list of errors in the configuration."
    name = {"description": "Name of the finished video, percent-encoded.", "schema": {"type": "string"}}
    return {200: {"description": text, "content": content, "headers": {"X-Velum-File": name}}, **form_responses()}


def _envelope_response(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": _json(_ENVELOPE)}}


VERSION = "3.0.2"

_CONFIGURING, _HIDING = "Configuration", "Anonymization"
_FORM, _FILES = "application/x-www-form-urlencoded", "multipart/form-data"
_TEXT: dict[str, Any] = {"type": "string"}
_FILE: dict[str, Any] = {"type": "string", "format": "binary"}

_OPERATIONS: tuple[tuple[str, str, str, str, str, tuple[str, ...]], ...] = (
    ("/list_urls", "get", "list_urls", _CONFIGURING, "List the inference APIs that are configured.", ()),
    ("/set_url", "post", "set_url", _CONFIGURING, "Add an inference API, which must answer.", (wire.URL,)),
    ("/remove_url", "post", "remove_url", _CONFIGURING, "Remove an inference API.", (wire.URL,)),
    ("/remove_all_urls", "post", "remove_all_urls", _CONFIGURING, "Remove all inference APIs.", ()),
    (
        "/available_methods/", "get", "get_available_methods", _CONFIGURING,
        "Ask all inference APIs and list what can be hidden: labels, models, techniques.", (),
    ),
    (
        "/anonymize/", "post", "anonymize", _HIDING,
        "Hide in an image what the configuration names, and return the image.", (wire.IMAGE, wire.CONFIGURATION),
    ),
    (
        "/anonymize_video/", "post", "anonymize_video", _HIDING,
        "Hide in a video what the configuration names, and put it into the folder of finished videos.",
        (wire.VIDEO, wire.CONFIGURATION),
    ),
)  # fmt: skip
"""Path, method, name, tag, description and form fields."""


def strict_document(title: str, version: str, description: str) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for path, method, name, tag, text, fields in _OPERATIONS:
        # As by the framework of the original: each non-word character of the path becomes `_`.
        identifier = f"{name}{path.replace('/', '_')}_{method}"
        operation: dict[str, Any] = {
            "tags": [tag], "summary": name.replace("_", " ").title(), "description": text, "operationId": identifier,
            "responses": {"200": _answer("Successful Response", {})},
        }  # fmt: skip
        if fields:
            body = f"Body_{identifier}"
            schemas[body] = _body(body, fields)
            content = {_FORM if fields == (wire.URL,) else _FILES: {"schema": _reference(body)}}
            operation["requestBody"] = {"content": content, "required": True}
            operation["responses"]["422"] = _answer("Validation Error", _reference("HTTPValidationError"))
        paths[path] = {method: operation}
    return {
        "openapi": VERSION,
        "info": {"title": title, "description": description, "version": version},
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items())) | _ERRORS},
    }


def _reference(schema: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _body(title: str, fields: tuple[str, ...]) -> dict[str, Any]:
    properties = {field: {"title": field.title(), **(_TEXT if field == wire.URL else _FILE)} for field in fields}
    return {"title": title, "required": list(fields), "type": "object", "properties": properties}


_ERRORS: dict[str, Any] = {
    "HTTPValidationError": {
        "title": "HTTPValidationError",
        "type": "object",
        "properties": {"detail": {"title": "Detail", "type": "array", "items": _reference("ValidationError")}},
    },
    "ValidationError": {
        "title": "ValidationError",
        "required": ["loc", "msg", "type"],
        "type": "object",
        "properties": {
            "loc": {"title": "Location", "type": "array", "items": _TEXT},
            "msg": {"title": "Message", **_TEXT},
            "type": {"title": "Error Type", **_TEXT},
        },
    },
}
