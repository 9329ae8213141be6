"""Trainings as jobs: each in a process of its own, which may die; the next run continues from its last state."""

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from velum import errors
from velum.errors import BadInput, OutputFailed, Unavailable, VelumError
from velum.jobs import Cancelled, JobKind, JobOutput, JobProcessor, Piece, PieceResult, RegionsOrigin, Task
from velum.limits import Limits
from velum.plugins import RuntimeConfig
from velum.storage import Store
from velum.train import machine
from velum.train.job import LABELS, describe_result, read_order, write_result
from velum.train.run_folder import Mode, RunFolder, TrainingRequest

PARTS = 1000
"""Progress of a training in the fields that count frames: thousandths."""

POLL_SECONDS = 0.2

SILENT_SECONDS = 3600.0
"""Time without a sign of life after which the process is ended: measuring many pictures takes minutes."""

CRASHES = 3
"""After so many runs that died, the model of the best state is made, if there is one."""

LEAST_KEPT_SECONDS = 7 * 86400.0
"""Seconds after the start of its last run in which the folder of a training is not deleted."""

RUNS = "runs"
"""File with a byte for each run that has begun and not ended by itself."""


@dataclass(frozen=True, slots=True)
class TrainingProcessor:
    """Runs trainings, and leaves all other jobs to `hiding`.

    `folder` holds a folder for each training that has not ended, by the id of its job: a training that was cancelled,
    or whose worker died, continues from there. Pictures are read from `store`, or where they lie.
    """

    hiding: JobProcessor
    host: Callable[[], RuntimeConfig]
    limits: Limits
    folder: Path
    store: Store
    kept_seconds: float = LEAST_KEPT_SECONDS
    """Time after which what a training would continue from is deleted, at least `LEAST_KEPT_SECONDS`."""

    def cut(self, task: Task) -> Sequence[Piece]:
        """Return one piece for a training."""
        return self.hiding.cut(task) if task.submission.kind is JobKind.HIDE else [Piece(0)]

    def make(self, task: Task, piece: Piece) -> PieceResult:
        """Train, and return the archive of the model. Two runs may differ: only the one that is recorded counts.

        Raises `Unavailable` when the process dies: the job is then tried again, and continues.
        """
        if task.submission.kind is JobKind.HIDE:
            return self.hiding.make(task, piece)
        self._delete_old()
        room = self.folder / task.id
        folder = RunFolder(room / task.submission.name)
        request, left_out = self._request(task, room)
        self._train(task, folder, request, self._mode(room, folder))
        result = task.folder / "model.zip"
        write_result(folder, result)
        task.progress(PARTS, PARTS)
        return PieceResult(result, describe_result(folder) | {"left_out": left_out})

    def renew(
        self, task: Task, results: Sequence[PieceResult | None], former: RegionsOrigin
    ) -> Sequence[PieceResult | None]:
        """Do as `hiding` does; trainings are never rendered again."""
        return self.hiding.renew(task, results, former)

    def join(self, task: Task, results: Sequence[PieceResult]) -> JobOutput:
        """Return the archive, and delete the folder of the training."""
        if task.submission.kind is JobKind.HIDE:
            return self.hiding.join(task, results)
        shutil.rmtree(self.folder / task.id, ignore_errors=True)
        return JobOutput(results[0].file, f"{task.submission.name}.zip", results[0].note)

    def close(self) -> None:
        """Close `hiding`."""
        self.hiding.close()

    def _delete_old(self) -> None:
        """Delete the folders of trainings that failed or were cancelled long ago, and never went on."""
        for room in self.folder.glob("*"):
            with suppress(OSError):  # another worker deletes it, too
                if time.time() - room.stat().st_mtime > max(self.kept_seconds, LEAST_KEPT_SECONDS):
                    shutil.rmtree(room, ignore_errors=True)

    def _request(self, task: Task, room: Path) -> tuple[TrainingRequest, int]:
        """Return the request with the places of labels and pictures here, and how many files are gone.

        Raises `BadInput` where all are.
        """
        try:
            room.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFailed(f"cannot make {room}: {error.strerror or error}; make room on the disk") from error
        order = read_order(task.source, room)
        if order.request.truth:
            return order.request, 0
        media = task.folder / "media"
        media.mkdir()
        elsewhere = None if order.request.media is None else Path(order.request.media)
        left_out = 0
        for labels in sorted((room / LABELS).iterdir()):
            name = labels.name.removesuffix(".regions.json")
            if not self._place(name, order.sources.get(name), elsewhere, media):
                labels.unlink()
                left_out += 1
        if not any((room / LABELS).iterdir()):
            raise BadInput(
                "none of the approved files is there any more: the service has deleted its copies, and the folder of "
                "the media has no file of their names; name the folder where the submitted files lie"
            )
        return replace(order.request, truth=str(room / LABELS), media=str(media)), left_out

    def _place(self, name: str, key: str | None, elsewhere: Path | None, media: Path) -> bool:
        """Put a labelled file into the folder of the media: a copy from the store, or a link to where it lies."""
        # A source that the service has kept is the one that was reviewed; others are compared by their hash.
        if key is not None and self.store.size(key) is not None:
            self.store.fetch(key, media).rename(media / name)
            return True
        if elsewhere is not None and (elsewhere / name).is_file():
            (media / name).symlink_to(elsewhere / name)
            return True
        return False

    def _mode(self, room: Path, folder: RunFolder) -> Mode:
        """Return how to go on in a folder, and count this run."""
        runs = room / RUNS
        died = runs.stat().st_size if runs.exists() else 0
        with runs.open("ab") as file:
            file.write(b".")
        if folder.model.is_file():
            try:
                machine.check_torch()
            except Unavailable:
                return "report"
            return "report" if died >= CRASHES else "resume"
        machine.check_torch()
        return "start"

    def _train(self, task: Task, folder: RunFolder, request: TrainingRequest, mode: Mode) -> None:
        """Run the process to its end. Raises its error, `Unavailable` when it dies, and `Cancelled`."""
        runs = folder.path.parent / RUNS
        with closing(TrainingProcess(self.host, self.limits)) as process:
            process.start(folder.path, request, mode)
            heard, values = time.monotonic(), dict[str, Any]()
            while True:
                if task.stop.is_set():
                    runs.unlink(missing_ok=True)
                    raise Cancelled
                if (message := process.receive()) is None:
                    if time.monotonic() - heard > SILENT_SECONDS:
                        raise Unavailable(
                            f"the training gave no sign of life for {SILENT_SECONDS:g} s, so it was ended"
                        )
                    continue
                heard = time.monotonic()
                kind, content = message
                if kind == "progress":
                    values |= content
                    task.interim(values)
                    task.progress(int(PARTS * values.get("share", 0.0)), PARTS)
                    continue
                runs.unlink(missing_ok=True)
                if kind == "error":
                    raise _error_of(*content)
                return


class TrainingProcess:
    """The process of a training. For one thread."""

    def __init__(self, host: Callable[[], RuntimeConfig], limits: Limits) -> None:
        """Start nothing yet; `host` is called in the process, so it must be picklable."""
        self._order = pickle.dumps((host, limits))
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None

    def start(self, folder: Path, request: TrainingRequest, mode: Mode) -> None:
        """Start it. Raises `Unavailable` where processes get no pipes."""
        if os.name != "posix":  # a pipe is handed to the process by its number
            raise Unavailable("training in the service needs Linux or macOS; use 'velum train' here")
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, in the running interpreter
                [sys.executable, "-m", "velum.train.subprocess_main", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        try:
            self._pipe.send(sys.path)
            self._pipe.send_bytes(self._order)
            self._pipe.send((folder, request, mode))
        except OSError as error:
            raise self._death() from error

    def receive(self) -> tuple[str, Any] | None:
        """Return the next message, None where none comes soon. Raises `Unavailable` when the process has died."""
        assert self._pipe is not None  # noqa: S101 - made by `start`
        try:
            return self._pipe.recv() if self._pipe.poll(POLL_SECONDS) else None
        except (EOFError, OSError) as error:
            raise self._death() from error

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _death(self) -> Unavailable:
        code = 0 if self._process is None else self._process.wait()
        return Unavailable(
            f"the process of the training ended with exit code {code}, often for too little memory; the best state so "
            "far is kept, and the training continues from it"
        )


def _error_of(name: str, message: str) -> VelumError:
    kind: Any = getattr(errors, name, BadInput)
    return BadInput(message) if kind is errors.LimitExceeded or not issubclass(kind, VelumError) else kind(message)


def forget_training(folder: Path, job: str) -> None:
    """Delete what a training keeps to continue, once its job is deleted."""
    shutil.rmtree(folder / job, ignore_errors=True)
