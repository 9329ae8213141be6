"""The machine and process of a training: what must be installed and free, signals, and threads."""

import importlib.util
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from velum.errors import Unavailable
from velum.train.run_folder import TrainingRequest

LEAST_MEMORY = 2 << 30
"""Bytes of free memory that a training of the usual size needs: as measured, 1.2 GB, and pictures on top."""

USUAL_PIXELS = 6 * 288 * 288
"""Pixels of a usual batch."""


def check_torch() -> None:
    """Raise `Unavailable` where torch or onnx is missing, saying what to install."""
    missing = [name for name in ("torch", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise Unavailable(
            f"training needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; "
            "pip install torch 'velum-anonymizer[train]' (for a processor alone, torch's own index has a build of a "
            "tenth of the size)"
        )


def check_memory(request: TrainingRequest) -> None:
    """Raise `Unavailable` where less memory is free than the steps need."""
    free = free_memory()
    needed = int(LEAST_MEMORY * max(1.0, request.batch * request.side**2 / USUAL_PIXELS))
    if free is not None and request.device == "cpu" and free < needed:
        raise Unavailable(
            f"training with {request.batch} crops of {request.side} pixels needs about {needed >> 20} MB of free "
            f"memory, and {free >> 20} MB are free; end other programs, or choose a smaller --batch or --side"
        )


def free_memory() -> int | None:
    """Return the bytes that this process may still take, by the machine and its control group; None: not known."""
    limits = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        limits += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
        group = Path("/sys/fs/cgroup")
        limits.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no Linux, no control group, or one without a limit
    return min(limits) if limits else None


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether a signal asked to stop; the first signal ends the steps.

    The second Ctrl-C ends everything at once.
    """
    stop = threading.Event()

    def ask(number: int, _: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return
    former = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop.is_set
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def quiet_threads() -> None:
    """Have torch's threads sleep while they wait: spinning makes a step several times dearer on a busy machine.

    To be called before torch is imported.
    """
    for name, value in (("OMP_WAIT_POLICY", "passive"), ("KMP_BLOCKTIME", "0")):
        os.environ.setdefault(name, value)
