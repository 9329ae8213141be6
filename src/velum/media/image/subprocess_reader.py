"""Reading and writing in decoder processes, so that a decoder that crashes or hangs ends only such a process."""

import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Container, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from velum import errors
from velum.errors import BadInput, LimitExceeded, PluginFault, Unavailable, VelumError
from velum.frame import Frame
from velum.limits import Limits
from velum.media.formats import format_of, kind_of
from velum.media.image.decode_cost import is_light
from velum.media.image.info import ImageInfo
from velum.media.image.pipe_messages import Pipe, changes_of, receive, send
from velum.media.sequence_file import is_sequence
from velum.media.sources import BytesSource, LiveSource
from velum.plan import Plan

if TYPE_CHECKING:
    from velum.media.video.info import VideoInfo

IDLE_PROCESSES = 2
"""How many idle processes are kept for further work; others end after their file."""

WAIT_FACTOR = 20
"""An answer may take this many times `work_seconds` by the clock, since a busy machine gives a process little time."""

T = TypeVar("T")
P = ParamSpec("P")

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


class DecoderPool:
    """A pool of decoder processes for videos, and for images that may be costly to decode. Threads may share it."""

    def __init__(self, most_idle: int = IDLE_PROCESSES) -> None:
        self._most_idle, self._lock = most_idle, threading.Lock()
        self._idle: list[DecoderProcess] = []
        self._busy: set[DecoderProcess] = set()
        self._closed = False

    def takes(self, source: Path | LiveSource | BytesSource) -> bool:
        """Tell whether a source should be read by this pool: every file, and images in memory that are not light."""
        if isinstance(source, LiveSource):
            return False
        if isinstance(source, Path):
            # Whoever opens it says what is wrong. Sequences are files of velum's own.
            return source.is_file() and kind_of(source) != "DICOM" and not is_sequence(source)
        try:
            return not is_light(source.data, format_of(source.data, source.name))
        except BadInput:
            return False

    def read(self, source: Path | BytesSource, limits: Limits, *, cover_damage: bool = False) -> "IsolatedReader":
        """Open an image or a video in a process.

        Raises as `media.open_source` does, and `Unavailable` when the pool is closed.
        """
        limits.check(
            "bytes", len(source.data) if isinstance(source, BytesSource) else source.stat().st_size, str(source)
        )
        process = self._take_process()
        try:
            info, sha256 = process.open(source, limits, cover_damage=cover_damage)
        except BaseException:
            self._return_process(process)
            raise
        return IsolatedReader(process, info, sha256, lambda: self._return_process(process))

    def call(self, name: str, limits: Limits, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function of a module in a process, and return its result. It may take `work_seconds`.

        `name` is the file that it decodes, for messages. Raises the function's errors, and as `Channel.ask` does.
        """
        with self._borrow_process(name, limits) as process:
            answer: T = process.reading.ask("call", function, args, kwargs)
            return answer

    def steps(
        self, name: str, limits: Limits, function: Callable[P, Iterator[T]], *args: P.args, **kwargs: P.kwargs
    ) -> Generator[T, None, None]:
        """Yield the values, never None, of a generator function that runs in a process.

        Each value may take `work_seconds`. Raises as `call` does.
        """
        with self._borrow_process(name, limits) as process:
            process.reading.ask("begin_steps", function, args, kwargs)
            while (step := process.reading.ask("next")) is not None:
                yield step

    def close(self) -> None:
        """End all processes, including busy ones."""
        with self._lock:
            self._closed = True
            everyone, self._idle = [*self._idle, *self._busy], []
        for process in everyone:
            process.kill()

    @contextmanager
    def _borrow_process(self, name: str, limits: Limits) -> Iterator["DecoderProcess"]:
        process = self._take_process()
        try:
            process.begin(name, limits)
            yield process
        finally:
            self._return_process(process)

    def _take_process(self) -> "DecoderProcess":
        with self._lock:
            if self._closed:
                raise Unavailable("cannot read further files: the service is shutting down; try again later")
            # An idle process may have ended meanwhile, for instance when memory ran out.
            self._idle = [process for process in self._idle if process.alive]
            process = self._idle.pop() if self._idle else DecoderProcess()
            self._busy.add(process)
            return process

    def _return_process(self, process: "DecoderProcess") -> None:
        with suppress(VelumError):
            process.reading.ask("close")
        with self._lock:
            self._busy.discard(process)
            if process.alive and len(self._idle) < self._most_idle and not self._closed:
                self._idle.append(process)
                return
        process.kill()


class DecoderProcess:
    """One decoder process with two channels, since one thread reads a video's frames while another writes them."""

    def __init__(self) -> None:
        self.name, self.limits = "the picture", Limits()
        with ExitStack() as stack:
            ours, theirs = zip(*(multiprocessing.Pipe() for _ in range(2)), strict=True)
            for pipe in theirs:
                stack.enter_context(pipe)
            numbers = [pipe.fileno() for pipe in theirs]
            # Not `multiprocessing.Process`: it would run the embedding program's main module again.
            self._process = subprocess.Popen(  # noqa: S603 - our own module, in the running interpreter
                [sys.executable, "-c", _START.format(sys.path, numbers)],
                pass_fds=numbers, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.reading, self.writing = (Channel(self, pipe) for pipe in ours)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def begin(self, name: str, limits: Limits) -> None:
        """Start work on the file `name`; `limits` count from now on. Raises as `Channel.ask` does."""
        self.name, self.limits = name, limits
        self.reading.ask("begin", limits)

    def open(self, source: Path | BytesSource, limits: Limits, *, cover_damage: bool) -> Any:
        """Open an image or a video; return its description and SHA-256, if known. Raises as `Channel.ask` does."""
        self.begin(str(source), limits)
        return self.reading.ask("open", source, limits, cover_damage=cover_damage)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()

    def explain_exit(self) -> VelumError:
        """Return the error that says why the process ended, after it has closed its pipe."""
        code = self._process.wait()
        if -code == getattr(signal, "SIGXCPU", None):
            allowed = self.limits.work_seconds
            return LimitExceeded("work_seconds", allowed + 1, allowed, f"the work on {self.name}")
        if -code in _CRASHES:
            crash = signal.Signals(-code).name
            return BadInput(f"cannot read {self.name}: its decoder crashed ({crash}); convert it with another program")
        return Unavailable("the decoder process was killed: the service is shutting down or out of memory; try again")


class Channel:
    """A pipe to a decoder process, to be used by one thread at a time."""

    def __init__(self, process: DecoderProcess, pipe: Pipe) -> None:
        self._process, self._pipe = process, pipe

    def ask(self, order: str, *args: Any, **kwargs: Any) -> Any:
        """Send a request, and return the answer.

        Raises the `VelumError` that the process met; `BadInput`, `LimitExceeded` or `Unavailable` when it ended.
        """
        seconds = self._process.limits.work_seconds * WAIT_FACTOR
        self._use_pipe(lambda pipe: send(pipe, (order, args, kwargs)))
        if not self._use_pipe(lambda pipe: pipe.poll(seconds)):
            self._process.kill()
            raise BadInput(f"cannot read {self._process.name}: its decoder gave no answer in {seconds} seconds")
        kind, answer = self._use_pipe(receive)
        if kind == "error":
            raise _error(*answer)
        return answer

    def _use_pipe(self, action: Callable[[Pipe], T]) -> T:
        """Return the action's result. Raises why the process ended; only here, since some VelumErrors are OSErrors."""
        try:
            return action(self._pipe)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise self._process.explain_exit() from error


class IsolatedReader:
    """A `media.Reader` whose image or video a decoder process reads."""

    def __init__(
        self, process: DecoderProcess, info: "ImageInfo | VideoInfo", sha256: str | None, leave: Callable[[], None]
    ) -> None:
        self.info = info
        self._sha256, self._process, self._leave, self._is_closed = sha256, process, leave, False

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the decoded file, in hexadecimal; None where it is not known."""
        if self._sha256 is None and not self._is_closed:
            self._sha256 = self._process.reading.ask("hash")
        return self._sha256

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                _ = self.sha256  # fetched now: a report needs it after the file may have been deleted
        finally:
            self._is_closed = True
            self._leave()

    def frames(self) -> Generator[Frame, None, None]:
        """Yield every frame in order. Raises as `media.Reader.frames` does."""
        self._process.reading.ask("restart")
        while (frame := self._process.reading.ask("next")) is not None:
            yield frame
            del frame  # or its samples would be kept while the next frame is decoded

    def writer(
        self, target: Path, plan: Plan, *, overwrite: bool, touched: Container[int] | None = None
    ) -> "IsolatedWriter":
        """Return a writer of a file like this one, in the same process. Raises as `media.open_sink` does."""
        return IsolatedWriter(self._process.writing, target, plan, overwrite=overwrite, touched=touched)


class IsolatedWriter:
    """A `media.Writer` whose target a decoder process writes."""

    def __init__(
        self, channel: Channel, target: Path, plan: Plan, *, overwrite: bool, touched: Container[int] | None
    ) -> None:
        self._channel = channel
        self.sha256: str | None = None
        self.sound: tuple[Mapping[str, Any], ...] = ()
        self.encoding, self.warnings = channel.ask(
            "begin_file", target, plan.to_json(), overwrite=overwrite, touched=touched
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.encoding, self.warnings, self.sha256, self.sound = self._channel.ask("publish")

    def write(self, frame: Frame) -> None:
        """Send the next frame, or only its touched boxes where they are known. Raises as `media.Writer.write` does."""
        if frame.touched is None:
            self._channel.ask("put", frame)
        else:
            self._channel.ask("put_changes", frame.index, frame.touched, changes_of(frame))


_START = "import sys; sys.path[:] = {!r}; from velum.media.image.subprocess_main import main; main(*{})"


def _error(name: str, message: str, limit: tuple[Any, ...]) -> VelumError:
    """Return the error that the other process raised, rebuilt from its class name and message."""
    kind: type[VelumError] = getattr(errors, name, PluginFault)
    error = kind.__new__(kind, message)
    error.args = (message,)
    if isinstance(error, LimitExceeded):
        error.limit, error.value, error.allowed = limit
    return error
