"""Opens encoders that would take the machine, or the screen, for themselves."""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.codec.context import CodecContext

_REAL_TIME = frozenset({"libsvtav1"})
"""Encoders that, run by root, set the thread that opens them and their own threads to real-time scheduling.

SVT-AV1 asks for SCHED_FIFO with priority 99 (`pthread_setschedparam` in its EbThreads.c and EbEncHandle.c). Such
threads run before everything else on the machine, and their policy passes to every thread and process that they start
later: whatever then waits by spinning (OpenBLAS, libvpx, a JavaScript engine) stands still for ever.
"""
_THREADS = Path("/proc/self/task")

_VERBOSITY = {"libsvtav1": ("SVT_LOG", "1")}
"""Environment variable and value that have an encoder print errors only: it writes to standard error by itself."""


_pinned = threading.Event()


def use_one_thread() -> None:
    """Give each encoder of this process one thread, from now on.

    Otherwise it has one for each core, and libx264 cuts a frame into as many slices: other bytes on another machine.
    """
    _pinned.set()


def open_encoder(context: "CodecContext") -> None:
    """Open a configured encoder that sets scheduling by itself, and give all threads the policy that was set before.

    Other encoders are left to open at their first frame. Raises `av.FFmpegError` where the encoder cannot be opened.
    """
    if _pinned.is_set():
        context.thread_count = 1
    if context.name in _VERBOSITY:
        os.environ.setdefault(*_VERBOSITY[context.name])
    if context.name not in _REAL_TIME or not _THREADS.is_dir():
        return
    before = _threads()
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        context.open()
    finally:
        for thread in {threading.get_native_id(), *(_threads() - before)}:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(thread.name) for thread in _THREADS.iterdir()}
