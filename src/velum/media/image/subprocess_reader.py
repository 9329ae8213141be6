"""Images that are read and written in a process of their own: its end, whatever the reason, is nobody else's."""

import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from velum import errors
from velum.errors import BadInput, LimitExceeded, PluginFault, Unavailable, VelumError
from velum.frame import Frame
from velum.limits import Limits
from velum.media.formats import VIDEO_HEAD_BYTES, format_of, video_format_of
from velum.media.image.decode_cost import is_light
from velum.media.image.info import ImageInfo
from velum.media.image.pipe_messages import Pipe, receive, send
from velum.media.sources import BytesSource, LiveSource
from velum.plan import Plan

KEPT = 2
"""Processes that wait for more work; others end when they are done."""

WAIT_FACTOR = 20
"""How much longer than its processor time a process may take for one answer, on a machine with much else to do."""

T = TypeVar("T")

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


class DecoderPool:
    """Reads images that are much work, or of a kind that can be, each in a process. Safe to share between threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._lock = kept, threading.Lock()
        self._idle: list[DecoderProcess] = []
        self._busy: set[DecoderProcess] = set()
        self._closed = False

    def takes(self, source: Path | LiveSource | BytesSource) -> bool:
        """Tell whether an image is to be read here: all but light ones. Videos are not, and what is no image."""
        if isinstance(source, LiveSource):
            return False
        try:
            if isinstance(source, Path):
                with source.open("rb") as file:
                    return video_format_of(file.read(VIDEO_HEAD_BYTES)) is None
            return not is_light(source.data, format_of(source.data, source.name))
        except (BadInput, OSError):
            return False  # whoever opens it says what is wrong

    def read(self, source: Path | BytesSource, limits: Limits) -> "IsolatedReader":
        """Open an image. Raises as `media.read` does, and `Unavailable` when the pool is closed."""
        limits.check(
            "bytes", len(source.data) if isinstance(source, BytesSource) else source.stat().st_size, str(source)
        )
        process = self._taken()
        try:
            info, sha256 = process.open(source, limits)
        except BaseException:
            self._back(process)
            raise
        return IsolatedReader(process, info, sha256, lambda: self._back(process))

    def close(self) -> None:
        """End all processes, those in work too."""
        with self._lock:
            self._closed = True
            everyone, self._idle = [*self._idle, *self._busy], []
        for process in everyone:
            process.kill()

    def _taken(self) -> "DecoderProcess":
        with self._lock:
            if self._closed:
                raise Unavailable("no more pictures are read: the service is ending; try again later")
            process = self._idle.pop() if self._idle else DecoderProcess()
            self._busy.add(process)
            return process

    def _back(self, process: "DecoderProcess") -> None:
        with suppress(VelumError):
            process.ask("close")
        with self._lock:
            self._busy.discard(process)
            if process.alive and len(self._idle) < self._kept and not self._closed:
                self._idle.append(process)
                return
        process.kill()


class DecoderProcess:
    """One process and the pipe to it. For one thread at a time, but for `kill`."""

    def __init__(self) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._name, self._limits = "the picture", Limits()
        with theirs:
            # Not by multiprocessing: that would run the embedding program's main module once more.
            self._process = subprocess.Popen(  # noqa: S603 - our own module, in the running interpreter
                [sys.executable, "-c", _START.format(sys.path, theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether it can be asked more."""
        return self._process.poll() is None

    def open(self, source: Path | BytesSource, limits: Limits) -> Any:
        """Have an image opened, and return what is known of it. Raises as `ask` does."""
        self._name, self._limits = str(source), limits
        return self.ask("open", source, limits)

    def ask(self, order: str, *values: Any, **more: Any) -> Any:
        """Return the answer. Raises what went wrong there, or why there is no answer."""
        self._talk(lambda pipe: send(pipe, (order, values, more)))
        if not self._talk(lambda pipe: pipe.poll(self._limits.work_seconds * WAIT_FACTOR)):
            self.kill()
            raise BadInput(f"cannot read {self._name}: its decoder gave no answer for too long")
        kind, answer = self._talk(receive)
        if kind == "error":
            raise _error(*answer)
        return answer

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _talk(self, how: Callable[[Pipe], T]) -> T:
        """Use the pipe. Raises what `_died` returns; only here, for some errors of velum are an `OSError` too."""
        try:
            return how(self._pipe)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise self._died() from error

    def _died(self) -> VelumError:
        code = self._process.wait()
        if -code == getattr(signal, "SIGXCPU", None):
            allowed = self._limits.work_seconds
            return LimitExceeded("work_seconds", allowed + 1, allowed, f"the work on {self._name}")
        if -code in _CRASHES:
            return BadInput(f"cannot read {self._name}: its decoder crashed ({signal.Signals(-code).name})")
        return Unavailable("the decoder process was ended, by the end of the service or for want of memory; try again")


class IsolatedReader:
    """An image that a process reads. As `media.Reader`."""

    def __init__(self, process: DecoderProcess, info: ImageInfo, sha256: str | None, leave: Callable[[], None]) -> None:
        self.info, self.sha256 = info, sha256
        self._process, self._leave = process, leave

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def frames(self) -> Generator[Frame, None, None]:
        """Yield every frame in order, as `media.Reader` does."""
        self._process.ask("restart")
        while (frame := self._process.ask("next")) is not None:
            yield frame
            del frame  # or its samples would be held while the next one is decoded

    def writer(self, target: Path, plan: Plan, *, overwrite: bool) -> "IsolatedWriter":
        """Return a writer of a file like this image, in the same process. Raises as `media.write` does."""
        return IsolatedWriter(self._process, target, plan, overwrite=overwrite)


class IsolatedWriter:
    """One target that a process writes. As `media.Writer`."""

    def __init__(self, process: DecoderProcess, target: Path, plan: Plan, *, overwrite: bool) -> None:
        self._process = process
        self.sha256: str | None = None
        self.encoding, self.warnings = process.ask("begin", target, plan.to_json(), overwrite=overwrite)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.encoding, self.warnings, self.sha256 = self._process.ask("publish")

    def write(self, frame: Frame) -> None:
        """Take the next frame. Raises as `media.Writer.write` does."""
        self._process.ask("put", frame)


_START = "import sys; sys.path[:] = {!r}; from velum.media.image.subprocess_main import main; main({})"


def _error(name: str, message: str, limit: tuple[Any, ...]) -> VelumError:
    """Return the error that the other process met, as it was."""
    kind: type[VelumError] = getattr(errors, name, PluginFault)
    error = kind.__new__(kind, message)
    error.args = (message,)
    if isinstance(error, LimitExceeded):
        error.limit, error.value, error.allowed = limit
    return error
