"""The page of the HTTP interface, from the OpenAPI document that the service gives out."""

import tempfile
from collections import Counter, defaultdict
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from docs.site.markdown import code, escape, table

from velum.bmw.app import create_app
from velum.settings import Settings

INTRODUCTION = """# HTTP operations

What `velum serve` answers, from its own `/openapi.json`. [The HTTP API](api.md) explains with examples how the
operations belong together, and `/docs` of a running service tries them.

## Failures

A failure of velum's own operations is an object of problem details (RFC 9457). The BMW interface has a form of its own.
Each operation lists the statuses of its failures. They mean:

"""

JSON = "application/json"


def http_page() -> str:
    """Return the page: the operations by subject, then the objects that they take and give."""
    document = openapi()
    subjects: dict[str, list[str]] = defaultdict(list)
    failures = _common_failures(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            subject = _subject(path, operation["tags"][0])
            subjects[subject].append(_operation(method, path, operation, document, failures))
    text = INTRODUCTION + table(["status", "meaning"], ([_status(each), escape(failures[each])] for each in failures))
    for subject in sorted(subjects, key=lambda subject: "BMW" in subject):
        text += f"## {subject}\n\n{''.join(subjects[subject])}"
    return f"{text}## Objects\n\n" + "".join(
        _object(name, schema) for name, schema in document["components"]["schemas"].items() if not _is_form(name)
    )


def _subject(path: str, tag: str) -> str:
    return tag if path.startswith(("/v1/", "/blur", "/health")) else f"{tag} (BMW Anonymization API)"


def _common_failures(document: dict[str, Any]) -> dict[str, str]:
    """Return what the statuses of failures mean for most operations, in their order."""
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    said[status][answer["description"]] += 1
    return {status: said[status].most_common(1)[0][0] for status in sorted(said)}


@cache
def openapi() -> dict[str, Any]:
    """Return the OpenAPI document of a service where nothing is set."""
    with tempfile.TemporaryDirectory() as empty:
        kept = ("VELUM_CACHE", "VELUM_MODELS", "VELUM_JOBS_DATA", "VELUM_BMW_FOLDER", "VELUM_BMW_VIDEOS")
        settings = Settings.load(dict.fromkeys(kept, empty) | {"VELUM_OFFLINE": "1"}, Path(empty))
        document: dict[str, Any] = create_app(settings).openapi()
    return document


def _operation(
    method: str, path: str, operation: dict[str, Any], document: dict[str, Any], failures: dict[str, str]
) -> str:
    anchor = f"{method}{path}".translate(str.maketrans("/_", "--", "{}")).rstrip("-")
    text = f"### {method.upper()} `{path}` {{ #{anchor} }}\n\n"
    text += f"{escape(operation.get('description') or operation.get('summary', ''))}\n\n"
    text += table(
        ["parameter", "in", "type", "meaning"],
        (
            [code(one["name"]), one["in"], _type(one.get("schema", {})), escape(one.get("description", ""))]
            for one in operation.get("parameters", [])
        ),
    )
    text += _body(operation.get("requestBody", {}).get("content", {}), document["components"]["schemas"])
    answers = operation["responses"]
    own = {status: answer for status, answer in answers.items() if answer["description"] != failures.get(status)}
    rows = ([_status(each), escape(own[each]["description"]), _given(own[each].get("content", {}))] for each in own)
    text += table(["status", "meaning", "gives"], rows)
    shared = ", ".join(status for status in answers if status not in own)
    return text + (f"Failures: {shared}.\n\n" if shared else "")


def _status(status: str) -> str:
    return f"{status} {HTTPStatus(int(status)).phrase}"


def _body(content: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Return what may be sent: the kinds of body, and the fields of an object or a form."""
    if not content:
        return ""
    text = f"Body: {', '.join(map(code, content))}.\n\n"
    for kind, each in content.items():
        schema = each.get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        if _is_form(name) or "properties" in schema:
            text += _fields(schemas[name] if name else schema)
        elif kind == JSON:
            text += f"It holds {_type(schema)}.\n\n"
    return text


def _given(content: dict[str, Any]) -> str:
    if JSON in content:
        return _type(content[JSON].get("schema", {}))
    if "application/problem+json" in content:
        return "problem details"
    return ", ".join(map(code, content)) if len(content) < 4 else "the file in its own format"


def _object(name: str, schema: dict[str, Any]) -> str:
    text = f"### {name} {{ #{name.lower()} }}\n\n"
    text += f"{escape(schema['description'])}\n\n" if schema.get("description") else ""
    if "enum" in schema:
        return text + "One of " + ", ".join(code(str(each)) for each in schema["enum"]) + ".\n\n"
    return text + _fields(schema)


def _fields(schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    return table(
        ["field", "type", "", "meaning"],
        (
            [code(field), _type(each), "required" if field in needed else "", escape(each.get("description", ""))]
            for field, each in schema.get("properties", {}).items()
        ),
    )


def _type(schema: dict[str, Any]) -> str:
    """Return what a schema asks for, with links to the objects of this page."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "form fields" if _is_form(name) else f"[{name}](#{name.lower()})"
    for joined in ("anyOf", "oneOf", "allOf"):
        if joined in schema:
            return " or ".join(_type(each) for each in schema[joined])
    if "enum" in schema:
        return ", ".join(code(str(each)) for each in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return "bytes" if schema.get("format") == "binary" else str(kind)


def _is_form(name: str) -> bool:
    """Say whether a schema is one that the framework names after a form."""
    return name.startswith("Body_")
