"""Middleware of every request, outermost first: observation, limits, origins, authentication.

This file has what all of them share: the paths that need no credentials, and the facts for a request's log line.
"""

from typing import Any

from starlette.requests import Request

OPEN = ("/health/", "/docs/", "/ui/")
OPEN_ALONE = frozenset({"/", "/docs", "/redoc", "/openapi.json"})
"""Public paths: they return nothing about anyone's images, and probes and browsers have no keys."""

TOO_SLOW, TOO_LARGE, TOO_MANY, CLIENT_GONE = 408, 413, 429, 499

FACTS = "velum.facts"
"""Key of the ASGI scope that has the facts for the request's log line."""


def is_protected(path: str) -> bool:
    """Tell whether a path needs credentials where access is restricted."""
    return path not in OPEN_ALONE and not path.startswith(OPEN)


def note(request: Request, **facts: Any) -> None:
    """Add facts to the log line of a request."""
    request.scope.setdefault(FACTS, {}).update(facts)
