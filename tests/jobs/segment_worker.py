"""A worker of videos in spans as a process of its own: `python segment_worker.py URL STORE FOLDER`."""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from velum import Limits
from velum.frame import Frame
from velum.jobs import EngineProcessor, FolderStore, Worker, WorkerTiming
from velum.plugins import RuntimeConfig
from velum.region import Box, Region

PACE = WorkerTiming(poll_seconds=0.03, beat_seconds=0.2, dead_seconds=1.0, drain_seconds=5.0, backoff_seconds=0.05)
SPAN_SECONDS = 0.4


class Slow:
    """Finds the same box in each frame, and takes its time; `log` gets a line for each."""

    labels = frozenset({"face"})

    def __init__(self, log: str, seconds: float) -> None:
        self._log, self._seconds = Path(log), seconds

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        for frame in frames:
            time.sleep(self._seconds)
            with self._log.open("a") as log:
                log.write(f"{os.getpid()} {frame.index}\n")
        return [[Region(Box(10, 10, 30, 30), "face", 0.9)] for _ in frames]

    def close(self) -> None: ...


def host(log: str, seconds: float) -> RuntimeConfig:
    return RuntimeConfig(localizers={"slow": partial(Slow, log, seconds)})


def make_processor(log: Path, seconds: float = 0.0) -> EngineProcessor:
    return EngineProcessor(partial(host, str(log), seconds), Limits(), span_seconds=SPAN_SECONDS)


def main(url: str, store: str, folder: str) -> None:
    sys.modules["segment_worker"] = sys.modules["__main__"]
    host.__module__ = "segment_worker"  # as the process that decodes finds it
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log = Path(folder) / "log"
    worker = Worker(
        url, FolderStore(Path(store)), lambda: make_processor(log, 0.02), folder=Path(folder) / "work", timing=PACE
    )
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    worker.run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
