"""A processor without images, and a worker of it as a process of its own: `python fake_processor.py URL STORE FOLDER`.

A source is JSON that says how it is to be done: so many pieces, of so many seconds or until a file is there, and what
goes wrong.
"""

import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from velum import errors
from velum.jobs import Cancelled, JobOutput, Piece, PieceResult, RegionsOrigin, Task, Worker, WorkerTiming, open_store

PACE = WorkerTiming(poll_seconds=0.03, beat_seconds=0.2, dead_seconds=1.0, drain_seconds=5.0, backoff_seconds=0.05)


class Hands:
    """Makes pieces from chance that the plan and the source decide; `log` gets a line for each that is begun."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.closed = False

    def cut(self, task: Task) -> Sequence[Piece]:
        return [Piece(index, f"piece {index}", 10) for index in range(self._order(task).get("pieces", 3))]

    def make(self, task: Task, piece: Piece) -> PieceResult:
        order = self._order(task)
        with self._log.open("a") as log:
            log.write(f"{task.submission.name} {piece.index}\n")
        wrong = "error" in order and order.get("only", piece.index) == piece.index
        if wrong and self._count(task, piece) <= order.get("times", 1000):
            raise getattr(errors, order["error"], ZeroDivisionError)("so it was ordered")
        end = time.monotonic() + order.get("seconds", 0.0)
        until = Path(order.get("until", "/"))
        while time.monotonic() < end or not until.exists():
            task.progress(5, 10)
            if task.stop.wait(0.01) and not order.get("deaf"):
                raise Cancelled
        task.progress(10, 10)
        file = task.folder / f"{piece.index}.piece"
        seed = f"{order} {piece.index} {task.submission.plan.digest}".encode()
        file.write_bytes(b"".join(hashlib.sha256(seed + bytes([n])).digest() for n in range(100)))
        return PieceResult(file, {"piece": piece.index})

    def renew(
        self, task: Task, results: Sequence[PieceResult | None], former: RegionsOrigin
    ) -> Sequence[PieceResult | None]:
        with self._log.open("a") as log:
            log.write(f"{former} {[result and result.note['piece'] for result in results]}\n")
        return [
            result if result is not None and result.note["piece"] in self._order(task).get("same", []) else None
            for result in results
        ]

    def join(self, task: Task, results: Sequence[PieceResult]) -> JobOutput:
        file = task.folder / "joined"
        file.write_bytes(b"".join(result.file.read_bytes() for result in results))
        return JobOutput(file, f"{task.submission.name}.out", {"pieces": [result.note["piece"] for result in results]})

    def close(self) -> None:
        self.closed = True

    def _order(self, task: Task) -> dict[str, Any]:
        return dict(json.loads(task.source.read_bytes()))

    def _count(self, task: Task, piece: Piece) -> int:
        return self._log.read_text().splitlines().count(f"{task.submission.name} {piece.index}")


def main(url: str, store: str, folder: str, dead_seconds: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log = Path(folder) / "log"
    timing = replace(PACE, dead_seconds=float(dead_seconds))
    place = open_store(store if "://" in store else Path(store))
    worker = Worker(url, place, lambda: Hands(log), folder=Path(folder) / "work", concurrency=2, timing=timing)
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    worker.run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
