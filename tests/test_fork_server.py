"""A process that the fork server starts is as one that starts by itself; only that velum is imported already."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from tests import fork_server
from tests.fork_server import ForkedPopen
from tests.rows import exhaustive

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(subprocess.Popen is not ForkedPopen, reason="`make test-all` starts every process by itself"),
]

FILES = """
import os
print(sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")))
"""
SIGNALS = """
import signal
print([(number, repr(signal.getsignal(number))) for number in signal.valid_signals()], signal.pthread_sigmask(0, ()))
"""
PLACE = """
import os, sys, tempfile, threading
print(tempfile.gettempdir(), os.getcwd(), sys.argv, sys.path, sorted(os.environ.items()))
print(__name__, os.umask(0), threading.active_count())
print(sys.flags, sys.stdin.read(), os.getsid(0) == os.getpid())
"""
LAST_WORDS = """
import atexit, threading, time
atexit.register(print, "at the end")
threading.Thread(target=lambda: (time.sleep(0.05), print("of a thread"))).start()
"""


@pytest.fixture(autouse=True)
def _code_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "DECODER", "")


def run(code: str, folder: Path, *, own_session: bool = False, **variables: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code, "first", "second"], cwd=folder, env=os.environ | variables, input="words",
        capture_output=True, text=True, check=False, timeout=60, start_new_session=own_session,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.splitlines()[-1] if done.stderr else ""


@pytest.mark.parametrize("own_session", [True, *exhaustive([False])])
@pytest.mark.parametrize(
    "code",
    [
        FILES, SIGNALS, PLACE, LAST_WORDS, "import sys; sys.exit(3)", "raise SystemExit('why')", "raise OSError(2)",
        "import os; os._exit(7)", "import os; os.abort()", "raise KeyboardInterrupt",
        *(f"import os; os.kill(os.getpid(), {number})" for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)),
    ],
)  # fmt: skip
def test_a_forked_process_does_as_one_that_started_by_itself(
    code: str, own_session: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"ONE": "two", "PYTHONPATH": f"{tmp_path}/more", "TMPDIR": str(tmp_path)}
    forked = run(code, tmp_path, own_session=own_session, **variables)
    monkeypatch.setattr(ForkedPopen, "enabled", False)
    assert forked == run(code, tmp_path, own_session=own_session, **variables)


def test_velum_is_imported_already(tmp_path: Path) -> None:
    assert run("import sys; print('velum.engine.engine' in sys.modules)", tmp_path) == (0, "True\n", "")


def test_two_processes_draw_different_numbers(tmp_path: Path) -> None:
    code = "import random, uuid; print(random.random(), uuid.uuid4())"
    assert run(code, tmp_path) != run(code, tmp_path)


def test_a_variable_that_python_reads_at_its_start_makes_it_start(tmp_path: Path) -> None:
    assert run("import sys; print(len(sys.modules) > 500)", tmp_path, PYTHONHASHSEED="1")[1] == "False\n"


def test_files_that_are_passed_on_keep_their_numbers_and_no_other_process_holds_them(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    code = f"import os; os.write({writing}, b'through'); input()"
    with (
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, pass_fds=[writing]) as process,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other,
    ):
        os.close(writing)
        assert os.read(reading, 100) == b"through"
        assert process.poll() is None
        process.communicate(b"\n")
        assert os.read(reading, 100) == b"", "the other process, or the server, holds the pipe"
        other.communicate(b"\n")
    os.close(reading)
    assert (process.returncode, other.returncode) == (0, 0)


def test_a_signal_from_outside_ends_it(request: pytest.FixtureRequest) -> None:
    # In the background of a shell the tests ignore Ctrl-C, and so do the processes that they start.
    request.addfinalizer(
        partial(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
    )
    code = "import time; print('begun', flush=True); time.sleep(60)"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
            process.send_signal(number)
            assert process.wait(60) == -number
