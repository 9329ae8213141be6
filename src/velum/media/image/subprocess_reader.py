"""Images and videos read and written in a process of their own: its end, whatever the reason, is nobody else's."""

import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Container, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from velum import errors
from velum.errors import BadInput, LimitExceeded, PluginFault, Unavailable, VelumError
from velum.frame import Frame
from velum.limits import Limits
from velum.media.formats import format_of
from velum.media.image.decode_cost import is_light
from velum.media.image.info import ImageInfo
from velum.media.image.pipe_messages import Pipe, changes_of, receive, send
from velum.media.sources import BytesSource, LiveSource
from velum.plan import Plan

if TYPE_CHECKING:
    from velum.media.video.info import VideoInfo

KEPT = 2
"""Processes that wait for more work; others end when they are done."""

WAIT_FACTOR = 20
"""How much longer than its processor time a process may take for one answer, on a machine with much else to do."""

T = TypeVar("T")
P = ParamSpec("P")

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


class DecoderPool:
    """Reads videos, and images that are much work or of a kind that can be, each in a process.

    Safe to share between threads.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._lock = kept, threading.Lock()
        self._idle: list[DecoderProcess] = []
        self._busy: set[DecoderProcess] = set()
        self._closed = False

    def takes(self, source: Path | LiveSource | BytesSource) -> bool:
        """Tell whether a source is to be read here: each file, and images in memory but for light ones."""
        if isinstance(source, LiveSource):
            return False
        if isinstance(source, Path):
            return source.is_file()  # whoever opens it says what is wrong
        try:
            return not is_light(source.data, format_of(source.data, source.name))
        except BadInput:
            return False

    def read(self, source: Path | BytesSource, limits: Limits, *, cover_damage: bool = False) -> "IsolatedReader":
        """Open an image or a video. Raises as `media.read` does, and `Unavailable` when the pool is closed."""
        limits.check(
            "bytes", len(source.data) if isinstance(source, BytesSource) else source.stat().st_size, str(source)
        )
        process = self._taken()
        try:
            info, sha256 = process.open(source, limits, cover_damage=cover_damage)
        except BaseException:
            self._back(process)
            raise
        return IsolatedReader(process, info, sha256, lambda: self._back(process))

    def call(self, name: str, limits: Limits, function: Callable[P, T], *values: P.args, **more: P.kwargs) -> T:
        """Return what a function of a module returns that decodes what `name` says, in at most `work_seconds`.

        Raises what it raises, and why there is no answer.
        """
        with self._lent(name, limits) as process:
            answer: T = process.reading.ask("call", function, values, more)
            return answer

    def steps(
        self, name: str, limits: Limits, function: Callable[P, Iterator[T]], *values: P.args, **more: P.kwargs
    ) -> Generator[T, None, None]:
        """Yield what such a function yields, none of it None; each step may take `work_seconds`."""
        with self._lent(name, limits) as process:
            process.reading.ask("begin_steps", function, values, more)
            while (step := process.reading.ask("next")) is not None:
                yield step

    def close(self) -> None:
        """End all processes, those in work too."""
        with self._lock:
            self._closed = True
            everyone, self._idle = [*self._idle, *self._busy], []
        for process in everyone:
            process.kill()

    @contextmanager
    def _lent(self, name: str, limits: Limits) -> Iterator["DecoderProcess"]:
        process = self._taken()
        try:
            process.begin(name, limits)
            yield process
        finally:
            self._back(process)

    def _taken(self) -> "DecoderProcess":
        with self._lock:
            if self._closed:
                raise Unavailable("no more files are read: the service is ending; try again later")
            # One that had nothing to do may have ended meanwhile, for want of memory.
            self._idle = [one for one in self._idle if one.alive]
            process = self._idle.pop() if self._idle else DecoderProcess()
            self._busy.add(process)
            return process

    def _back(self, process: "DecoderProcess") -> None:
        with suppress(VelumError):
            process.reading.ask("close")
        with self._lock:
            self._busy.discard(process)
            if process.alive and len(self._idle) < self._kept and not self._closed:
                self._idle.append(process)
                return
        process.kill()


class DecoderProcess:
    """One process, and the two ways to it: a video's frames are read by one thread and written by another."""

    def __init__(self) -> None:
        self.name, self.limits = "the picture", Limits()
        with ExitStack() as stack:
            ours, theirs = zip(*(multiprocessing.Pipe() for _ in range(2)), strict=True)
            for pipe in theirs:
                stack.enter_context(pipe)
            numbers = [pipe.fileno() for pipe in theirs]
            # Not by multiprocessing: that would run the embedding program's main module once more.
            self._process = subprocess.Popen(  # noqa: S603 - our own module, in the running interpreter
                [sys.executable, "-c", _START.format(sys.path, numbers)],
                pass_fds=numbers, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.reading, self.writing = (Channel(self, pipe) for pipe in ours)

    @property
    def alive(self) -> bool:
        """Whether it can be asked more."""
        return self._process.poll() is None

    def begin(self, name: str, limits: Limits) -> None:
        """Begin with what is called `name`: the process may work for so long from now on. Raises as `ask` does."""
        self.name, self.limits = name, limits
        self.reading.ask("begin", limits)

    def open(self, source: Path | BytesSource, limits: Limits, *, cover_damage: bool) -> Any:
        """Have an image or a video opened, and return what is known of it. Raises as `ask` does."""
        self.begin(str(source), limits)
        return self.reading.ask("open", source, limits, cover_damage=cover_damage)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()

    def death(self) -> VelumError:
        """Return why it is no more, once it has closed its pipe."""
        code = self._process.wait()
        if -code == getattr(signal, "SIGXCPU", None):
            allowed = self.limits.work_seconds
            return LimitExceeded("work_seconds", allowed + 1, allowed, f"the work on {self.name}")
        if -code in _CRASHES:
            return BadInput(f"cannot read {self.name}: its decoder crashed ({signal.Signals(-code).name})")
        return Unavailable("the decoder process was ended, by the end of the service or for want of memory; try again")


class Channel:
    """A way to a process, for one thread at a time."""

    def __init__(self, process: DecoderProcess, pipe: Pipe) -> None:
        self._process, self._pipe = process, pipe

    def ask(self, order: str, *values: Any, **more: Any) -> Any:
        """Return the answer. Raises what went wrong there, or why there is no answer."""
        seconds = self._process.limits.work_seconds * WAIT_FACTOR
        self._talk(lambda pipe: send(pipe, (order, values, more)))
        if not self._talk(lambda pipe: pipe.poll(seconds)):
            self._process.kill()
            raise BadInput(f"cannot read {self._process.name}: its decoder gave no answer for too long")
        kind, answer = self._talk(receive)
        if kind == "error":
            raise _error(*answer)
        return answer

    def _talk(self, how: Callable[[Pipe], T]) -> T:
        """Use the pipe. Raises why the process is dead; only here, for some errors of velum are an `OSError` too."""
        try:
            return how(self._pipe)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise self._process.death() from error


class IsolatedReader:
    """An image or a video that a process reads. As `media.Reader`."""

    def __init__(
        self, process: DecoderProcess, info: "ImageInfo | VideoInfo", sha256: str | None, leave: Callable[[], None]
    ) -> None:
        self.info = info
        self._sha256, self._process, self._leave, self._left = sha256, process, leave, False

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the very bytes that are decoded, in hexadecimal; None where it is not known."""
        if self._sha256 is None and not self._left:
            self._sha256 = self._process.reading.ask("hash")
        return self._sha256

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                _ = self.sha256  # asked for in reports, when the file may be gone
        finally:
            self._left = True
            self._leave()

    def frames(self) -> Generator[Frame, None, None]:
        """Yield every frame in order, as `media.Reader` does."""
        self._process.reading.ask("restart")
        while (frame := self._process.reading.ask("next")) is not None:
            yield frame
            del frame  # or its samples would be held while the next one is decoded

    def writer(
        self, target: Path, plan: Plan, *, overwrite: bool, touched: Container[int] | None = None
    ) -> "IsolatedWriter":
        """Return a writer of a file like this one, in the same process. Raises as `media.write` does."""
        return IsolatedWriter(self._process.writing, target, plan, overwrite=overwrite, touched=touched)


class IsolatedWriter:
    """One target that a process writes. As `media.Writer`."""

    def __init__(
        self, channel: Channel, target: Path, plan: Plan, *, overwrite: bool, touched: Container[int] | None
    ) -> None:
        self._channel = channel
        self.sha256: str | None = None
        self.encoding, self.warnings = channel.ask(
            "begin_file", target, plan.to_json(), overwrite=overwrite, touched=touched
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.encoding, self.warnings, self.sha256 = self._channel.ask("publish")

    def write(self, frame: Frame) -> None:
        """Take the next frame; only what was changed of it goes back. Raises as `media.Writer.write` does."""
        if frame.touched is None:
            self._channel.ask("put", frame)
        else:
            self._channel.ask("put_changes", frame.index, frame.touched, changes_of(frame))


_START = "import sys; sys.path[:] = {!r}; from velum.media.image.subprocess_main import main; main(*{})"


def _error(name: str, message: str, limit: tuple[Any, ...]) -> VelumError:
    """Return the error that the other process met, as it was."""
    kind: type[VelumError] = getattr(errors, name, PluginFault)
    error = kind.__new__(kind, message)
    error.args = (message,)
    if isinstance(error, LimitExceeded):
        error.limit, error.value, error.allowed = limit
    return error
