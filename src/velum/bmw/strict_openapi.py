"""The OpenAPI document of the strict mode: clients generated from the original's fit, and those from this one fit it.

The framework writes OpenAPI 3.1, where a file is no `format: binary` any more, and generators name what they make after
operations and bodies: version, operations, bodies, parameters and errors are therefore those of the original.
"""

from typing import Any

from velum.bmw import wire

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
        "Hide in a picture what the configuration names, and return the picture.", (wire.IMAGE, wire.CONFIGURATION),
    ),
    (
        "/anonymize_video/", "post", "anonymize_video", _HIDING,
        "Hide in a video what the configuration names, and put it into the folder of finished videos.",
        (wire.VIDEO, wire.CONFIGURATION),
    ),
)  # fmt: skip
"""Path, method, name, tag, description and form fields."""


def document(title: str, version: str, description: str) -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for path, method, name, tag, said, fields in _OPERATIONS:
        # As the framework of the original makes it: every character of the path that is none of a word becomes `_`.
        identifier = f"{name}{path.replace('/', '_')}_{method}"
        operation: dict[str, Any] = {
            "tags": [tag], "summary": name.replace("_", " ").title(), "description": said, "operationId": identifier,
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
