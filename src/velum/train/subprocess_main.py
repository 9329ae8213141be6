"""The process of one training, started as `python -m velum.train.subprocess_main DESCRIPTOR`.

What it needs comes through the pipe; what it sends back are pairs: `progress`, then `done` or `error`. Whatever ends
it, the run folder holds the last good state. When its parent ends, it ends, too.
"""

import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from velum.errors import VelumError
from velum.limits import Limits
from velum.plugins import RuntimeConfig
from velum.train import machine
from velum.train.job import write_entry
from velum.train.run_folder import Mode, RunFolder, TrainingRequest

Tell = Callable[[Mapping[str, Any]], None]

PROGRESS_SECONDS = 0.5
"""Least time between two messages of progress."""


def main(descriptor: int) -> None:
    """Run the training that the parent orders."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # when memory runs out, the kernel should kill this process, not its parent
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    with suppress(OSError):  # requests and other jobs come first
        os.nice(10)
    pipe: Connection[Any, Any] = Connection(descriptor)
    sys.path[:] = pipe.recv()
    host, limits = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our parent
    folder, request, mode = pipe.recv()
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    with suppress(BrokenPipeError):
        try:
            machine.quiet_threads()
            train_in(RunFolder(folder), request, mode, host(), limits, lambda values: pipe.send(("progress", values)))
            pipe.send(("done", None))
        except VelumError as error:
            pipe.send(("error", (type(error).__name__, str(error))))


def _end_with_parent(pipe: "Connection[Any, Any]") -> None:
    with suppress(EOFError, OSError):
        pipe.recv()
    os._exit(0)


def train_in(
    folder: RunFolder, request: TrainingRequest, mode: Mode, host: RuntimeConfig, limits: Limits, tell: Tell
) -> None:
    """Train in a folder, and make its model, which is not added to the catalogue. Raises any `VelumError`."""
    from velum.train import training  # noqa: PLC0415 - after the threads are quiet
    from velum.train.pictures import PictureStore  # noqa: PLC0415 - likewise

    tell({"phase": "reading"})
    prepared = training.prepare(request, limits)
    with PictureStore(limits) as store:
        if mode == "start":
            machine.check_memory(request)
            run = prepared.run()
        else:
            training.check_same_pictures(folder, prepared)
            run = replace(folder.read(), request=request)
        work = training.Training(folder, prepared, run, host, limits)
        if mode == "report":
            store.extract_frames(prepared.parts.held_out)
        else:
            work.check_base()
            if mode == "start":
                folder.begin(run, replace=True)
            store.extract_frames(prepared.found.pictures)
            work.train(store, _Course(folder, tell), lambda: False, resume=mode == "resume")
        tell({"phase": "measuring", "share": 1.0, "seconds_left": None, "looks": list(folder.looks())})
        done = work.finish(store)
    write_entry(folder, done.offer)


class _Course:
    """Tells of the steps now and then, and of each look at the held-out pictures."""

    def __init__(self, folder: RunFolder, tell: Tell) -> None:
        self._folder, self._tell, self._next = folder, tell, 0.0

    def __call__(self, progress: Any) -> None:
        now = time.monotonic()
        if now < self._next and not progress.is_look:
            return
        self._next = now + PROGRESS_SECONDS
        score = progress.score
        self._tell({
            "phase": "training", "step": progress.step, "share": round(progress.share, 4),
            "loss": round(progress.loss, 5), "best": max(0.0, round(progress.best, 4)),
            "score": None if score is None else round(score.mean, 4),
            "measure": None if score is None else score.measure, "seconds_left": round(progress.seconds_left, 1),
            **({"looks": list(self._folder.looks())} if progress.is_look else {}),
        })  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]))
