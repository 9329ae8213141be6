"""Which paths are for everyone, and which give out or change what belongs to somebody."""

OPEN = ("/health/", "/docs/", "/ui/")
OPEN_ALONE = frozenset({"/", "/docs", "/redoc", "/openapi.json"})
"""Paths for everyone: they tell nothing of anyone's pictures, and probes and browsers come without keys."""


def is_protected(path: str) -> bool:
    """Tell whether a path is only for those who are known, where access is restricted."""
    return path not in OPEN_ALONE and not path.startswith(OPEN)
