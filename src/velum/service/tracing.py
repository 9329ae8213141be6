"""OpenTelemetry traces. The framework traces requests, this module jobs; neither has content or error messages."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from velum.errors import Unavailable

if TYPE_CHECKING:  # workers trace jobs, and have no use for a web framework
    from fastapi.telemetry import TelemetryConfig

_QUIET = ("/health/", "/metrics")

Facts = Mapping[str, str | int | float]

Note = Callable[[Facts], None]
"""Adds attributes to a span."""

Spans = Callable[[str, Facts], AbstractContextManager[Note]]
"""Context manager factory: (name, attributes) -> a span for the time of the `with` block."""


def telemetry(*, traces: bool) -> "TelemetryConfig":
    """Return the framework's telemetry configuration. Its own logs stay off: they would quote invalid bodies.

    Raises `Unavailable` when `traces` is true and the extra is not installed.
    """
    _check(traces=traces)
    return {"tracing": traces, "auto_configure": traces, "metrics": False, "logs": False, "exclude": _quiet}


def spans(*, traces: bool) -> Spans:
    """Return a factory of spans for jobs. A span of failed work has the type of the error, not its message.

    Raises as `telemetry` does.
    """
    if not traces:
        return lambda _, __: nullcontext(_nowhere)
    _check(traces=traces)
    return _span


@contextmanager
def sending(*, traces: bool) -> Iterator[None]:
    """Export spans as the `OTEL_*` variables say, in a process without the framework. Raises as `telemetry` does."""
    if not traces:
        yield
        return
    _check(traces=traces)
    from opentelemetry import trace  # noqa: PLC0415 - of an extra
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override the name given here.
    name = Resource({"service.name": "velum-worker"})
    resource = Resource.create()
    unnamed = str(resource.attributes.get("service.name", "")).startswith("unknown_service")
    provider = TracerProvider(resource=resource.merge(name) if unnamed else resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()  # sends what has not been sent


@contextmanager
def _span(name: str, facts: Facts) -> Iterator[Note]:
    from opentelemetry import trace  # noqa: PLC0415 - of an extra

    tracer = trace.get_tracer("velum")
    with tracer.start_as_current_span(
        name, attributes=dict(facts), record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield lambda facts_to_add: span.set_attributes(dict(facts_to_add))
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(trace.StatusCode.ERROR)
            raise


def _nowhere(facts: Facts) -> None:
    """Do nothing."""


def _check(*, traces: bool) -> None:
    if traces and not all(map(find_spec, ("opentelemetry.sdk", "opentelemetry.exporter"))):
        raise Unavailable(
            "traces need an extra; run pip install 'velum-anonymizer[traces]', or set observability.traces to false"
        )


def _quiet(scope: Mapping[str, Any]) -> bool:
    return str(scope.get("path", "")).startswith(_QUIET)
