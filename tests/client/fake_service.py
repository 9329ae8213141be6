"""A service and a worker with scripted behaviour, and a connection to it that a test can cut."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from velum.annotations import Annotations
from velum.errors import BadInput
from velum.jobs import Cancelled, FolderStore, JobOutput, Piece, PieceResult, RegionsOrigin, Task, Worker, WorkerTiming
from velum.settings import Settings

PACE = WorkerTiming(poll_seconds=0.02, beat_seconds=0.1, dead_seconds=5.0, drain_seconds=2.0, backoff_seconds=0.05)


class Copying:
    """Copies the source as the result. One called bad fails; one called slow takes until it is stopped."""

    def cut(self, task: Task) -> Sequence[Piece]:
        return [Piece(0, "all", 10)]

    def make(self, task: Task, piece: Piece) -> PieceResult:
        if task.submission.name.startswith("bad"):
            raise BadInput("the source is bad")
        while task.submission.name.startswith("slow"):
            task.progress(5, 10)
            if task.stop.wait(0.01):
                raise Cancelled
        task.progress(10, 10)
        file = task.folder / "made"
        file.write_bytes(task.source.read_bytes())
        return PieceResult(file)

    def renew(
        self, task: Task, made: Sequence[PieceResult | None], former: RegionsOrigin
    ) -> Sequence[PieceResult | None]:
        return [None] * len(made)

    def join(self, task: Task, made: Sequence[PieceResult]) -> JobOutput:
        report = {
            "hidden": [{"label": "face"}], "tracks": [], "warnings": ["look twice"], "output_sha256": None,
            "width": 64, "height": 48, "frames": 1, "input_sha256": None,
        }  # fmt: skip
        regions = task.folder / "regions"
        given = None if task.regions is None else task.regions.read_text()
        regions.write_text(given or json.dumps(Annotations(64, 48, {0: ()}).to_json()))
        return JobOutput(made[0].file, f"{Path(task.submission.name).stem}.hidden.png", report, regions)

    def close(self) -> None:
        pass


@contextmanager
def working(chosen: Settings) -> Iterator[None]:
    data, stop = chosen.jobs.data, threading.Event()
    store = FolderStore(data / "store")
    worker = Worker(f"sqlite:///{data / 'jobs.sqlite'}", store, Copying, folder=data / "work", timing=PACE)
    thread = threading.Thread(target=worker.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Wire:
    """Between a client and a service: passes on what they send, and breaks as it is told.

    `up` and `down` are, for each connection in turn, how many bytes pass before it is cut; None: all of them.
    """

    def __init__(self, port: int, up: Sequence[int | None], down: Sequence[int | None]) -> None:
        self._port, self._plans = port, iter(zip(up, down, strict=True))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.05)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    @property
    def connections(self) -> int:
        return len(self._ends) // 2

    def close(self) -> None:
        self._closed.set()
        self._threads[0].join()
        for one in self._ends:
            _shut(one)
        for thread in self._threads[1:]:
            thread.join()
        for one in (*self._ends, self._listening):
            one.close()

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                near, _ = self._listening.accept()
            except TimeoutError:
                continue
            near.setblocking(True)
            up, down = next(self._plans, (None, None))
            far = socket.create_connection(("127.0.0.1", self._port))
            self._ends += [near, far]
            for arguments in ((near, far, up), (far, near, down)):
                self._threads.append(threading.Thread(target=_pass, args=arguments))
                self._threads[-1].start()


def _pass(source: socket.socket, target: socket.socket, most: int | None) -> None:
    passed = 0
    with suppress(OSError):
        while most is None or passed < most:
            chunk = source.recv(16384)
            if not chunk:
                break
            chunk = chunk if most is None else chunk[: most - passed]
            target.sendall(chunk)
            passed += len(chunk)
    _shut(source)
    _shut(target)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut(url: str, *, up: Sequence[int | None] = (), down: Sequence[int | None] = ()) -> Iterator[Wire]:
    most = max(len(up), len(down))
    wire = Wire(int(url.rpartition(":")[2]), [*up, *[None] * (most - len(up))], [*down, *[None] * (most - len(down))])
    try:
        yield wire
    finally:
        wire.close()


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """A server that is none of velum's: answers what it is told to the bytes of a request."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)

        def serve() -> None:
            while not stop.is_set():
                try:
                    near, _ = listening.accept()
                except TimeoutError:
                    continue
                with near:
                    near.settimeout(2)
                    near.sendall(answer(near.recv(65536)))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()
