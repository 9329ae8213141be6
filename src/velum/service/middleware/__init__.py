"""Middleware of every request, outermost first: observation, limits, origins, authentication; and the public paths."""

OPEN = ("/health/", "/docs/", "/ui/")
OPEN_ALONE = frozenset({"/", "/docs", "/redoc", "/openapi.json"})
"""Public paths: they return nothing about anyone's images, and probes and browsers have no keys."""


def is_protected(path: str) -> bool:
    """Tell whether a path needs credentials where access is restricted."""
    return path not in OPEN_ALONE and not path.startswith(OPEN)
