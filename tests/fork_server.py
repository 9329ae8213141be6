"""Processes of velum that are forked from one process that has imported it: most of a start is imports.

`ForkedPopen` takes the place of `subprocess.Popen` while tests run (`conftest.py`): a command that starts velum is run
by a fork of the process of `main`, which a run of the tests has once, with arguments, environment, folder, files and
signals as after a real start. Others start as ever, and those with an environment that the interpreter itself reads.
A test that must have real processes asks for the fixture `real_processes`.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

ROOT = Path(__file__).parents[1]

ADDRESS = "TESTS_FORK_SERVER"
"""Environment variable with the name of the socket; tests that run in parallel share one server."""

IMPORTED = (
    "velum.locate.runtime", "openvino", "velum.bmw.app", "velum.bmw.inference_server.app", "velum.cli.batch",
    "velum.cli.hide", "velum.cli.main", "velum.cli.serve", "velum.cli.serve_models", "velum.engine.engine",
    "velum.media.image.subprocess_main", "velum.media.video.reader", "velum.media.video.writer",
    "velum.service.job_backend", "velum.service.timed_protocol", "velum.verify.leak_check", "uvicorn.lifespan.on",
    "uvicorn.loops.auto", "uvicorn.protocols.websockets.auto", "psycopg", "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
)  # fmt: skip
"""In this order: velum imports OpenVINO without a thread of its telemetry, and only a process without threads forks."""

READ_AT_START = ("LANG", "LC_", "OMP_", "OPENBLAS_", "PYTHON")
"""Beginnings of the names of variables that Python or a library reads only when it is loaded; not PYTHONPATH."""

DECODER = "from velum.media.image.subprocess_main import main"
"""What the code of a decoder process has in it."""

MOST_BYTES, MOST_FILES = 200_000, 32


@dataclass(frozen=True)
class Start:
    """A process to start: `arguments` of the interpreter, and the numbers that the files sent along get."""

    arguments: list[str]
    environ: dict[str, str]
    folder: str
    numbers: list[int]
    own_session: bool

    def enter(self, sent: list[int]) -> None:
        """Make this process, a fork of the server, one that has just been started."""
        free = max(*sent, *self.numbers) + 1
        moved = [os.dup2(number, free + index) for index, number in enumerate(sent)]
        os.closerange(0, free)
        for number, target in zip(moved, self.numbers, strict=True):
            os.dup2(number, target, inheritable=target < 3)
        os.closerange(free, free + len(moved))
        if self.own_session:
            os.setsid()
        os.environ.clear()
        os.environ.update(self.environ)
        time.tzset()
        tempfile.tempdir = None  # or it is that of the server
        more = self.environ.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[1:1] = [folder for folder in more if folder and folder not in sys.path]
        os.chdir(self.folder)

    def run(self) -> None:
        """Run what the interpreter would."""
        first, *more = self.arguments
        if first == "-m":
            sys.argv, sys.path[0] = more, self.folder
            runpy.run_module(more[0], run_name="__main__", alter_sys=True)
        elif first == "-c":
            sys.argv, sys.path[0] = ["-c", *more[1:]], ""
            module = sys.modules["__main__"] = ModuleType("__main__")
            exec(compile(more[0], "<string>", "exec"), module.__dict__)
        else:
            sys.argv, sys.path[0] = self.arguments, str(Path(first).parent)
            runpy.run_path(first, run_name="__main__")

    def run_to_end(self) -> None:
        """Run it, and end this process as the interpreter does, but for taking apart what has been imported."""
        code = 0
        try:
            self.run()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            if isinstance(error.code, str):
                sys.stderr.write(f"{error.code}\n")
        except BaseException as error:  # noqa: BLE001 - as the interpreter does
            traceback.print_exc()
            code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        if code == -signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(code)


RealPopen = subprocess.Popen


class ForkedPopen(RealPopen[Any]):
    """A process that the server forks where its command starts velum."""

    address: ClassVar[str]
    read_at_start: ClassVar[dict[str, str]]
    enabled: ClassVar[bool] = True
    _connection: socket.socket | None = None

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any, env: Any, *rest: Any
    ) -> None:
        p2cread, _, _, c2pwrite, _, errwrite = pipes = rest[3:9]
        *_, start_new_session, process_group = rest
        command = [] if isinstance(args, str | bytes | os.PathLike) else [os.fspath(value) for value in args]
        environ = dict(os.environ if env is None else env)
        if preexec_fn or process_group != -1 or not self._is_forked(command, environ):
            super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)  # type: ignore[misc]
            return
        standard = [given if given != -1 else number for number, given in enumerate((p2cread, c2pwrite, errwrite))]
        start = Start(
            command[1:], environ, os.fspath(cwd or Path.cwd()), [0, 1, 2, *map(int, pass_fds)], start_new_session
        )
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect("\0" + self.address)
        socket.send_fds(self._connection, [json.dumps(asdict(start)).encode()], [*standard, *map(int, pass_fds)])
        self.pid = int(self._connection.recv(100))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _is_forked(self, command: list[str], environ: dict[str, str]) -> bool:
        if not self.enabled or len(command) < 2 or command[0] != sys.executable:
            return False
        known = command[1] == "-m" and command[2].partition(".")[0] == "velum"
        known |= command[1] == "-c" and DECODER in command[2]
        known |= Path(command[1]).is_relative_to(Path(__file__).parent)
        return known and _read_at_start(environ) == self.read_at_start

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._connection is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc,no-any-return]
        self._connection.setblocking(not wait_flags & os.WNOHANG)
        try:
            status = self._connection.recv(100)
        except BlockingIOError:
            return 0, 0
        self._connection.close()
        return self.pid, int(status or signal.SIGKILL)  # without an answer the server is gone

    def _internal_poll(self, *args: Any, **kwargs: Any) -> int | None:
        if self._connection is None:
            return super()._internal_poll(*args, **kwargs)  # type: ignore[misc,no-any-return]
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):  # type: ignore[attr-defined]
            try:
                if self.returncode is None and (ended := self._try_wait(os.WNOHANG))[0]:
                    self._handle_exitstatus(ended[1])  # type: ignore[attr-defined]
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode


class Owner:
    """Starts the server when the first process is asked for, and ends it."""

    def __init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(f"\0velum-tests-{os.getpid()}")
        self._listener.listen(100)
        os.environ[ADDRESS] = f"velum-tests-{os.getpid()}"
        self._ours, self._theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._start_when_asked, daemon=True)
        self._thread.start()

    def _start_when_asked(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._listener, selectors.EVENT_READ)
            ready.register(self._theirs, selectors.EVENT_READ)
            if any(key.fileobj is self._theirs for key, _ in ready.select()):
                return
        numbers = [self._listener.fileno(), self._theirs.fileno()]
        command = [sys.executable, "-c", f"from tests.fork_server import main; main(*{numbers})"]
        nothing = subprocess.DEVNULL
        with RealPopen(command, pass_fds=numbers, cwd=ROOT, stdin=nothing, stdout=nothing, start_new_session=True):
            self._theirs.close()
        self._listener.close()  # whoever waits for an answer gets none, should the server have ended by itself

    def close(self) -> None:
        """End the server; the processes that it started go on."""
        self._ours.close()
        self._thread.join()
        self._theirs.close()
        self._listener.close()
        del os.environ[ADDRESS]


def install(address: str) -> None:
    """Start velum by forks in this process, from now on."""
    ForkedPopen.address, ForkedPopen.read_at_start = address, _read_at_start(os.environ)
    subprocess.Popen = ForkedPopen  # type: ignore[misc]


def _read_at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(READ_AT_START) and name != "PYTHONPATH"}


def main(listener: int, owner: int) -> None:
    """Import velum, and fork at each request; in each fork, do what was requested."""
    for name in IMPORTED:
        with suppress(ImportError):  # of an extra that is not installed
            importlib.import_module(name)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads cannot be forked safely"
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=listener) as requests, socket.socket(fileno=owner) as ended:
        install(requests.getsockname()[1:].decode())
        start = _next_start(requests, ended)
    start.run_to_end()


def _next_start(listener: socket.socket, owner: socket.socket) -> Start:
    """Return in each fork what it is to do; in the server itself, only end when the owner does."""
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(listener, selectors.EVENT_READ)
        ready.register(owner, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is owner:
                    os._exit(0)
                if key.fileobj is not listener:
                    ready.unregister(key.fd)
                    os.close(key.fd)
                    _report_end(*running.pop(key.fd))
                    continue
                connection, _ = listener.accept()
                content, sent, _, _ = socket.recv_fds(connection, MOST_BYTES, MOST_FILES)
                start = Start(**json.loads(content))
                if (pid := os.fork()) == 0:
                    # What is closed as an object now closes no number that this process uses later.
                    ready.close()
                    for opened in (listener, owner, connection, *(other for _, other in running.values())):
                        opened.close()
                    start.enter(sent)
                    return start
                for number in sent:
                    os.close(number)
                with suppress(OSError):  # whoever asked is gone
                    connection.send(str(pid).encode())
                running[pidfd := os.pidfd_open(pid)] = pid, connection
                ready.register(pidfd, selectors.EVENT_READ)


def _report_end(pid: int, connection: socket.socket) -> None:
    status = os.waitpid(pid, 0)[1]
    with connection, suppress(OSError):
        connection.send(str(status).encode())
