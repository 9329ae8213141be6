"""OpenTelemetry traces: the framework makes and sends them; here is said which, and what must not be in them."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from fastapi.telemetry import TelemetryConfig

from velum.errors import Unavailable

_QUIET = ("/health/", "/metrics")


def telemetry(*, traces: bool) -> TelemetryConfig:
    """Return what the framework is to tell. Its logs would quote bodies that are not valid, so it writes none.

    Raises `Unavailable` when traces are wanted and the extra is missing.
    """
    if traces and not all(map(find_spec, ("opentelemetry.sdk", "opentelemetry.exporter"))):
        raise Unavailable("traces need the extra: install velum[traces], or make [watch] traces false")
    return {"tracing": traces, "auto_configure": traces, "metrics": False, "logs": False, "exclude": _quiet}


def _quiet(scope: Mapping[str, Any]) -> bool:
    return str(scope.get("path", "")).startswith(_QUIET)
