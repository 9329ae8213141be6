"""Engines in processes of their own, as many as files are hidden at the same time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import LifoQueue
from types import TracebackType
from typing import Self

from velum.engine.subprocess_engine import CheckedPlan, SubprocessEngine, SubprocessRequest
from velum.limits import Limits
from velum.plan import Plan
from velum.plugins import Progress as Fetching
from velum.plugins import RuntimeConfig
from velum.report import Report

SILENT_SECONDS = 3600.0
"""Time without a finished frame after which a file is given up: a large image with many tiles takes minutes."""


class SubprocessPool:
    """Hides files in up to `count` processes, which start when they are needed and keep models loaded.

    A file that crashes its process fails alone. `host` is called in the processes, so it must be picklable. Safe to
    share between threads.
    """

    def __init__(
        self, count: int, host: Callable[[], RuntimeConfig], limits: Limits, *, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        self._engines = [SubprocessEngine(host, limits, silent_seconds=silent_seconds) for _ in range(count)]
        self._idle: LifoQueue[SubprocessEngine] = LifoQueue()  # the process that ran last has its models loaded
        for engine in reversed(self._engines):
            self._idle.put(engine)

    def check(self, plan: Plan, fetching: Fetching | None = None) -> CheckedPlan:
        """Load the models of a plan in one process; see `SubprocessEngine.check`."""
        with self.engine() as engine:
            return engine.check(plan, fetching)

    def hide(self, source: Path, target: Path, plan: Plan, *, overwrite: bool = False) -> Report:
        """Hide in a file as `Engine.hide` does, and return the report. Raises as `SubprocessEngine.hide` does."""
        with self.engine() as engine:
            values = engine.hide(SubprocessRequest(source, target, plan, name=None, overwrite=overwrite))
        assert values is not None  # noqa: S101 - only a request that is stopped has no report
        return Report.from_json(values)

    @contextmanager
    def engine(self) -> Iterator[SubprocessEngine]:
        """Give an engine to the block alone, as soon as one is idle."""
        engine = self._idle.get()
        try:
            yield engine
        finally:
            self._idle.put(engine)

    def close(self) -> None:
        """End all processes."""
        for engine in self._engines:
            engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
