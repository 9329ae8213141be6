"""Observation: every request and source is counted in metrics; those that matter are written to the audit log."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velum import media
from velum.annotations import Annotations
from velum.engine.engine import DEFAULT_PLAN, Engine
from velum.engine.stages import OnRegions, Progress
from velum.errors import VelumError
from velum.limits import Limits
from velum.plan import Plan
from velum.plugins import RuntimeConfig
from velum.report import Report
from velum.service.audit import Audit
from velum.service.auth.middleware import CALLER
from velum.service.auth.principal import ANYONE, Principal
from velum.service.metrics import PATH, Metrics
from velum.service.middleware import CLIENT_GONE, FACTS, is_protected
from velum.service.middleware.limits import REQUEST
from velum.service.observed_processor import write_audit

DONE: ContextVar[list[Mapping[str, Any]] | None] = ContextVar("velum_done", default=None)
"""List of the current request to which the engine's results are appended as facts."""

OF_CONTENT = frozenset({"result", "report", "regions"})
"""Last path segments of routes that return content; other read requests are not audited."""

REFUSED = frozenset({401, 403, 429})

NOTED = ("job", "plan", "input_sha256", "output_sha256")
"""Facts that an endpoint may note; they take precedence over those of the engine."""

_NOBODY = Principal("", frozenset())


class ObservedEngine(Engine):
    """An engine that counts its work in metrics and notes it for its request; `hashes` adds SHA-256 for audit logs."""

    def __init__(
        self, metrics: Metrics, *, hashes: bool, host: RuntimeConfig | None = None, limits: Limits | None = None,
        decoders: media.DecoderPool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(host=host, limits=limits, decoders=decoders)
        self._metrics, self._hashes = metrics, hashes

    def hide(
        self, source: str | Path | media.LiveSource | media.BytesSource, target: str | Path | media.StreamSink,
        plan: Plan = DEFAULT_PLAN, *, regions: Annotations | None = None, overwrite: bool = False,
        progress: Progress | None = None, on_regions: OnRegions | None = None, transcript: Path | None = None,
    ) -> Report:  # fmt: skip
        """Do the same as `Engine`, observed."""
        with self._count_failures():
            report = super().hide(
                source, target, plan, regions=regions, overwrite=overwrite, progress=progress, on_regions=on_regions,
                transcript=transcript,
            )  # fmt: skip
        self._record(report)
        return report

    def hide_image_bytes(
        self, data: bytes, plan: Plan = DEFAULT_PLAN, *, format: media.PlainFormat = "PNG",
        quality: int | None = None,
    ) -> tuple[bytes, Report]:  # fmt: skip
        """Do the same as `Engine`, observed."""
        with self._count_failures():
            result, report = super().hide_image_bytes(data, plan, format=format, quality=quality)
        if self._hashes:
            self._record(replace(report, input_sha256=_sha256(data), output_sha256=_sha256(result)))
        else:
            self._record(report)
        return result, report

    def locate(
        self, source: str | Path | media.BytesSource, plan: Plan = DEFAULT_PLAN, *, progress: Progress | None = None
    ) -> Annotations:
        """Do the same as `Engine`, observed."""
        with self._count_failures():
            annotations = super().locate(source, plan, progress=progress)
        _note_for_request({"plan": plan.digest, "input_sha256": annotations.sha256})
        return annotations

    @contextmanager
    def _count_failures(self) -> Iterator[None]:
        try:
            yield
        except VelumError as error:
            self._metrics.count_failure(error)
            raise

    def _record(self, report: Report) -> None:
        self._metrics.count_report(report.to_json())
        _note_for_request(
            {
                "plan": report.plan, "input_sha256": report.input_sha256, "output_sha256": report.output_sha256,
                "frames": report.frames, "hidden": report.labels,
            }
        )  # fmt: skip


class ObserveRequests:
    """Observes every request, also those that outer layers refuse."""

    def __init__(self, app: ASGIApp, metrics: Metrics, audit: Audit | None) -> None:
        self._app, self._metrics, self._audit = app, metrics, audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = received = 0

        async def receive_counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        start, done = time.perf_counter(), list[Mapping[str, Any]]()
        token = DONE.set(done)
        try:
            with self._metrics.inside.track_inprogress():
                await self._app(scope, receive_counting, send_noting_status)
        finally:
            DONE.reset(token)
            status = status or CLIENT_GONE
            route = str(getattr(scope.get("route"), "path", "other"))
            self._metrics.count_request(route, scope["method"], status, time.perf_counter() - start, received)
            if self._audit and _is_audited(scope, status, route):
                write_audit(self._audit, _line(scope, status, route, done), self._metrics)


def _is_audited(scope: Scope, status: int, route: str) -> bool:
    """Tell whether a request is audited: it changes something, returns content, or was refused."""
    if not is_protected(scope["path"]) or scope["path"] == PATH:
        return False
    reads = scope["method"] in {"GET", "HEAD", "OPTIONS"}
    return not reads or status in REFUSED or route.rpartition("/")[2] in OF_CONTENT


def _line(scope: Scope, status: int, route: str, done: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    facts = scope.get(FACTS, {})
    line = {
        "id": scope.get(REQUEST), "caller": scope.get(CALLER, _NOBODY if status in REFUSED else ANYONE).name,
        "method": scope["method"], "route": route, "status": status, "result": _result(status, facts, done),
    }  # fmt: skip
    for facts_of_source in done:
        line |= {key: value for key, value in facts_of_source.items() if value is not None}
    # Only for a job that exists: otherwise the path may contain any text.
    job = {"job": scope["path_params"]["job"]} if status < 400 and "job" in scope.get("path_params", {}) else {}
    return line | job | {key: facts[key] for key in NOTED if facts.get(key) is not None}


def _result(status: int, facts: Mapping[str, Any], done: Sequence[Any]) -> str:
    """Return "done", "failed" or "denied"; the BMW API answers errors with status 200, so facts decide there."""
    if status in REFUSED:
        return "denied"
    if status >= 400 or (not done and (facts.get("cause") or facts.get("refused"))):
        return "failed"
    return "done"


def _note_for_request(facts: Mapping[str, Any]) -> None:
    if (done := DONE.get()) is not None:
        done.append(facts)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
