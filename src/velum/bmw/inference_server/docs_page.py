"""The page at `/docs`: what can be called, without a script and without anything from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:1rem/1.5 sans-serif;margin:2rem}td,th{padding:.2rem 1rem .2rem 0;text-align:left;vertical-align:top}"
)


def overview(document: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as a page of HTML."""
    title = escape(document["info"]["title"])
    rows = "".join(_rows(document["paths"]))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><table>"
        f"<tr><th>call</th><th>what it does</th><th>answers</th></tr>{rows}</table>"
        '<p>The whole description is in <a href="openapi.json">openapi.json</a>.</p></body></html>'
    )


def _rows(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, calls in paths.items():
        for method, call in calls.items():
            answers = "<br>".join(
                f"{escape(status)}: {escape(answer['description'])}" for status, answer in call["responses"].items()
            )
            what = escape(call.get("description", ""))
            cells = f"<code>{escape(method.upper())} {escape(path)}</code>", what, answers
            yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
