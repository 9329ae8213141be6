"""The engine in processes of its own, so that a crash does not end its caller: the caller's side of the pipes."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import LifoQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from velum import errors
from velum.errors import BadInput, PluginFault, Unavailable, VelumError
from velum.limits import Limits
from velum.plan import Plan
from velum.plugins import Progress as Fetching
from velum.plugins import RuntimeConfig
from velum.report import Report

START_SECONDS = 120.0
"""How long a process may take to start and to load its libraries, however busy the machine is."""

SILENT_SECONDS = 3600.0
"""Time without a finished frame after which a file is given up: a large image with many tiles takes minutes."""

POLL_SECONDS = 0.1
"""Time between two looks at whether to stop."""

_PROGRAM = "import gc, sys; gc.disable(); from velum.engine.subprocess_main import main; main(int(sys.argv[1]))"
"""Imports make no garbage, and to look for it again and again takes a sixth of the start."""

T = TypeVar("T")


def _ignore_progress(done: int, total: int | None) -> None:
    """Ignore progress."""


class DecoderCrash(BadInput):
    """The process that decodes crashed on the file."""

    code = "BadInput"


class ProcessKilled(Unavailable):
    """The process that decodes was ended from outside while it worked on the file, or ended itself."""

    code = "Unavailable"


@dataclass(frozen=True, slots=True)
class DeathAdvice:
    """What the reader of an error can do about a process that was killed, or that ended itself."""

    killed: str
    ended: str


COMMAND_ADVICE = DeathAdvice(
    "use fewer --workers, or a machine with more memory",
    "hide in it with velum.anonymize in Python, which shows what the libraries print before",
)
"""For a command, which discards what libraries print."""


@dataclass(frozen=True, slots=True)
class CheckedPlan:
    """A plan whose parts a process could make: the descriptions of its models, and what to warn of."""

    models: tuple[Mapping[str, str], ...]
    warnings: tuple[str, ...]
    fingerprint: str = ""
    """Hash of what the models give for a fixed image, where that was asked for; empty without models."""


_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


@dataclass(frozen=True, slots=True)
class SubprocessRequest:
    """A request to hide regions of `source` and to write the result to `target`.

    With `span`, only that segment of a video is hidden. With `parts`, the files of all segments are joined. With
    `cut_seconds`, nothing is written: the answer is the list of segments of about that length.
    """

    source: Path
    target: Path
    plan: Plan
    regions: Path | None = None
    name: str | None = "the file"
    """Name of the source in errors, instead of its path on this machine; None keeps paths."""
    hidden_regions: Path | None = None
    """Region file to write: one line of JSON for each frame, with its hidden regions, as in an annotation file."""
    span: Mapping[str, Any] | None = None
    parts: Sequence[tuple[Path, Mapping[str, Any]]] = ()
    """File and report of each segment."""
    cut_seconds: float | None = None
    overwrite: bool = True
    """Whether a target that exists is replaced."""
    check: bool = False
    fingerprint: bool = False
    """With `check`: run each model once, to compare its arithmetic with that of other machines."""

    def values(self) -> dict[str, Any]:
        """Return the fields, with the plan as JSON values, since a plan cannot be pickled."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"plan": self.plan.to_json()}


class SubprocessEngine:
    """Starts the process when it is first needed, and again after it has died. For one thread."""

    def __init__(
        self, host: Callable[[], RuntimeConfig], limits: Limits, *, silent_seconds: float, advice: DeathAdvice
    ) -> None:
        self._start, self._silent_seconds, self._advice = pickle.dumps((host, limits)), silent_seconds, advice
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None
        self.cpu_seconds = 0.0
        """Processor time that the last request took in the process, on all its threads."""

    def check(self, plan: Plan, fetching: Fetching | None = None, *, fingerprint: bool = False) -> CheckedPlan:
        """Load the models of a plan; `fetching` is called during downloads. With `fingerprint`, run each once.

        Raises `BadPlan` or `Unavailable` as `Engine.check` does, and as `hide` does when the process ends.
        """
        request = SubprocessRequest(Path(), Path(), plan, name=None, check=True, fingerprint=fingerprint)
        answer = self.hide(request, _ignore_progress, threading.Event(), fetching)
        assert answer is not None  # noqa: S101 - only a request that is stopped has none
        return CheckedPlan(tuple(answer["models"]), tuple(answer["warnings"]), answer["fingerprint"])

    def hide(
        self, request: SubprocessRequest, progress: Callable[[int, int | None], None] = _ignore_progress,
        stop: threading.Event | None = None, fetching: Fetching | None = None,
    ) -> Mapping[str, Any] | None:  # fmt: skip
        """Return the report as JSON values (or `spans`, a list); None when `stop` was set before the process was done.

        Raises what the engine raises, `DecoderCrash`, `BadInput` for a long silence, and `Unavailable` when killed.
        """
        self.start()
        self._use_pipe(lambda pipe: pipe.send(request.values()))
        heard, silence = time.monotonic(), max(self._silent_seconds, START_SECONDS)
        while stop is None or not stop.is_set():
            if self._use_pipe(lambda pipe: pipe.poll(POLL_SECONDS)):
                heard = time.monotonic()
                kind, content = self._use_pipe(lambda pipe: pipe.recv())
                if kind == "spent":
                    self.cpu_seconds = float(content)
                    continue
                if kind == "begun":  # the time before does not count against the file: the process was starting
                    silence = self._silent_seconds
                    continue
                if kind == "report":
                    return dict(content)
                if kind == "error":
                    raise _error(request, *content)
                if kind == "fetching":
                    if fetching is not None:
                        fetching(*content)
                    continue
                progress(*content)
            elif time.monotonic() - heard > silence:
                self.close()
                raise BadInput(
                    f"no frame of the file was finished for {self._silent_seconds:g} s, so velum stopped; "
                    "check that the file plays in other programs"
                )
        self.close()
        return None

    def close(self) -> None:
        """End the process."""
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.kill()
            process.wait()

    def _use_pipe(self, how: "Callable[[Connection[Any, Any]], T]") -> T:
        """Return `how(pipe)`. Raises what `_death_error` returns when the process has ended.

        An `OSError` is caught only here: some errors of velum are an `OSError`, too.
        """
        assert self._pipe is not None  # noqa: S101 - made by start
        try:
            return how(self._pipe)
        except (EOFError, OSError) as error:
            raise self._death_error() from error

    def start(self) -> None:
        """Start the process where none runs. Raises `Unavailable` on Windows."""
        if self._process is not None and self._process.poll() is not None:
            self.close()  # the process died while it was idle
        if self._pipe is None:
            if os.name != "posix":  # a pipe is handed to the process by its number
                raise Unavailable("files in processes of their own need Linux or macOS; use one of these, or WSL")
            self._pipe, theirs = Pipe()
            with theirs:
                # Not with multiprocessing, which would run the main module of the embedding program again.
                self._process = subprocess.Popen(  # noqa: S603 - our own module, in the running interpreter
                    [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )  # fmt: skip
            with suppress(OSError):  # the process has died at once: its first request raises that
                self._pipe.send(sys.path)
                self._pipe.send_bytes(self._start)

    def _death_error(self) -> VelumError:
        code = self._process.wait() if self._process is not None else 0
        self.close()
        if -code in _CRASHES:
            return DecoderCrash(f"the decoder crashed on this file ({signal.Signals(-code).name}); it was not hidden")
        if code == -signal.SIGKILL:
            return ProcessKilled(f"the decoder process was killed, probably out of memory; {self._advice.killed}")
        if -code in {*signal.Signals}:
            return ProcessKilled(
                f"the decoder process was ended from outside ({signal.Signals(-code).name}); try again"
            )
        return ProcessKilled(f"the decoder process ended itself with exit code {code}; {self._advice.ended}")


def _error(request: SubprocessRequest, name: str, message: str, limit: tuple[Any, ...]) -> VelumError:
    """Return the error of the other process, with the name of the source instead of paths."""
    if request.name is not None:
        message = message.replace(str(request.source), request.name).replace(f"{request.target.parent}/", "")
        for index, (file, _) in enumerate(request.parts):
            message = message.replace(str(file), f"{index}.part")
    kind: type[VelumError] = getattr(errors, name, PluginFault)
    error = kind.__new__(kind, message)
    if isinstance(error, errors.LimitExceeded):
        error.limit, error.value, error.allowed = limit
    return error


class SubprocessPool:
    """Hides files in up to `count` processes, which start when they are needed and keep models loaded.

    A file that crashes its process fails alone. `host` is called in the processes, so it must be picklable. Safe to
    share between threads.
    """

    def __init__(
        self, count: int, host: Callable[[], RuntimeConfig], limits: Limits, *,
        silent_seconds: float = SILENT_SECONDS, advice: DeathAdvice = COMMAND_ADVICE,
    ) -> None:  # fmt: skip
        self._engines = [
            SubprocessEngine(host, limits, silent_seconds=silent_seconds, advice=advice) for _ in range(count)
        ]
        self._idle: LifoQueue[SubprocessEngine] = LifoQueue()  # the process that ran last has its models loaded
        for engine in reversed(self._engines):
            self._idle.put(engine)

    def start(self) -> None:
        """Start all processes, so that they load their libraries side by side."""
        for engine in self._engines:
            engine.start()

    def check(self, plan: Plan, fetching: Fetching | None = None, *, fingerprint: bool = False) -> CheckedPlan:
        """Load the models of a plan in one process; see `SubprocessEngine.check`."""
        with self.engine() as engine:
            return engine.check(plan, fetching, fingerprint=fingerprint)

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
