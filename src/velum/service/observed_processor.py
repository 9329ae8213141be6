"""The job processor of the service and its workers, observed. It needs no web framework, so that workers load none."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from velum import media
from velum.errors import OutputFailed, VelumError
from velum.jobs.processor import EngineProcessor, JobOutput, PieceResult, Task
from velum.jobs.values import Piece
from velum.limits import Limits
from velum.plugins import RuntimeConfig
from velum.service.audit import Audit
from velum.service.metrics import Metrics
from velum.service.tracing import Facts, Note, Spans, spans

LOG = logging.getLogger("velum.service")


class ObservedProcessor(EngineProcessor):
    """A job processor that counts its work in metrics, traces it and writes finished jobs to the audit log."""

    def __init__(
        self, metrics: Metrics, audit: Audit | None, host: Callable[[], RuntimeConfig], limits: Limits, *,
        span_seconds: float = media.SEGMENT_SECONDS, tracing: Spans | None = None,
    ) -> None:  # fmt: skip
        super().__init__(host, limits, span_seconds=span_seconds)
        self._metrics, self._audit, self._tracing = metrics, audit, tracing or spans(traces=False)

    def cut(self, task: Task) -> Sequence[Piece]:
        """Do the same as `EngineProcessor`, observed."""
        with self._trace_step("job cut", task) as note:
            pieces = super().cut(task)
            note({"velum.pieces": len(pieces)})
        return pieces

    def make(self, task: Task, piece: Piece) -> PieceResult:
        """Do the same as `EngineProcessor`, observed."""
        with self._trace_step("job make", task, piece=piece.index) as note:
            result = super().make(task, piece)
            seconds = {f"velum.seconds.{stage}": spent for stage, spent in result.note.get("seconds", {}).items()}
            note({"velum.frames": result.note["frames"], **seconds})
        return result

    @contextmanager
    def _trace_step(self, name: str, task: Task, **numbers: int) -> Iterator[Note]:
        facts: Facts = {"velum.job": task.id, **{f"velum.{key}": number for key, number in numbers.items()}}
        try:
            with self._tracing(name, facts) as note:
                yield note
        except VelumError as error:
            self._metrics.count_failure(error)
            raise

    def join(self, task: Task, results: Sequence[PieceResult]) -> JobOutput:
        """Do the same as `EngineProcessor`, observed. A job that joins again after a crash is counted again."""
        with self._trace_step("job join", task, pieces=len(results)):
            result = super().join(task, results)
        report = result.report
        self._metrics.count_report(report)
        if self._audit is not None:
            hidden = Counter(region["label"] for region in (*report["hidden"], *report["tracks"]))
            line = {
                "job": task.id, "caller": task.submission.owner, "result": "done", "plan": task.submission.plan.digest,
                "input_sha256": report["input_sha256"], "output_sha256": report["output_sha256"],
                "frames": report["frames"], "hidden": dict(hidden),
            }  # fmt: skip
            write_audit(self._audit, line, self._metrics)
        return result


def write_audit(audit: Audit, line: Mapping[str, Any], metrics: Metrics) -> None:
    """Write a line to the audit log; where that fails, metrics and the log tell what is missing."""
    try:
        audit.write(line)
    except OutputFailed as error:
        # The work is done and the response is being sent, so only metrics and the log can report the missing line.
        metrics.unaudited.inc()
        LOG.error("audit", extra={"facts": {"cause": str(error), **line}})  # noqa: TRY400 - the cause says all
