"""A run over files on this machine, which one bad file does not stop."""

import hashlib
import json
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from velum.batch.arrange import BatchItem
from velum.errors import BadInput, OutputFailed, VelumError
from velum.plan import Plan
from velum.report import Report

if TYPE_CHECKING:
    from velum.engine.engine import Engine
    from velum.engine.subprocess_engine import SubprocessPool

MANIFEST = ".velum-manifest.jsonl"
"""Name of the file in the target folder that lists the finished items."""


@dataclass(frozen=True, slots=True)
class ItemResult:
    """The outcome of an item: a report, an error, or neither when it was finished before."""

    item: BatchItem
    report: Report | None = None
    error: VelumError | None = None


def run(
    engine: "Engine | SubprocessPool",
    items: Iterable[BatchItem],
    plan: Plan,
    *,
    workers: int,
    overwrite: bool = False,
    manifest: Path | None = None,
    resume: bool = False,
) -> Generator[ItemResult]:
    """Hide the items on `workers` threads and yield each outcome as it comes.

    Finished items are added to the `manifest`. With `resume`, items that it lists, from the same source and with the
    same plan, are skipped, and results of a killed run or of another plan are replaced. Items are taken up as workers
    become free, so a million of them cost no memory.
    """
    finished = _Manifest(manifest, plan, resume=resume) if manifest else None
    overwrite = overwrite or resume
    waiting = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="velum-batch") as pool:
        running: set[Future[ItemResult]] = set()
        try:
            while True:
                fresh = islice(waiting, 2 * workers - len(running))
                running |= {pool.submit(_run, engine, item, plan, finished, overwrite=overwrite) for item in fresh}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()


def count_finished(items: Iterable[BatchItem], manifest: Path, plan: Plan) -> int:
    """Return how many items the `manifest` lists as finished, from the same source and with the same plan."""
    finished = _Manifest(manifest, plan, resume=True)
    return sum(finished.has(item) for item in items)


def _run(
    engine: "Engine | SubprocessPool", item: BatchItem, plan: Plan, finished: "_Manifest | None", *, overwrite: bool
) -> ItemResult:
    try:
        if finished and finished.has(item):
            return ItemResult(item)
        _make_folder(item.target.parent)
        report = engine.hide(item.source, item.target, plan, overwrite=overwrite)
    except VelumError as error:
        return ItemResult(item, error=error)
    if finished:
        finished.add(item)
    return ItemResult(item, item.with_note(report))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot make folder {folder}: {error.strerror or error}; choose another target") from error


class _Manifest:
    """The finished items of a target folder: a JSON list per line, appended as they finish."""

    def __init__(self, path: Path, plan: Plan, *, resume: bool) -> None:
        self._path, self._plan = path, plan.digest
        self._lock = threading.Lock()
        self._finished = set(map(_digest, self._read())) if resume else set()

    def has(self, item: BatchItem) -> bool:
        return item.target.exists() and _digest(self._entry(item)) in self._finished

    def add(self, item: BatchItem) -> None:
        line = json.dumps(self._entry(item)) + "\n"  # in ASCII: names need not be UTF-8
        try:
            with self._lock, self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise OutputFailed(f"cannot write {self._path}: {error.strerror or error}") from error

    def _entry(self, item: BatchItem) -> tuple[str, int, int, str]:
        try:
            stat = item.source.stat()
        except OSError as error:
            raise BadInput(f"cannot read {item.source}: {error.strerror or error}") from error
        return str(item.target.relative_to(self._path.parent)), stat.st_size, stat.st_mtime_ns, self._plan

    def _read(self) -> Iterator[tuple[str, int, int, str]]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"cannot read {self._path}: {error}; remove it to start again") from error
        for line in lines:
            try:
                name, size, mtime_ns, plan = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was killed
            yield name, size, mtime_ns, plan


def _digest(entry: tuple[str, int, int, str]) -> bytes:
    """Return a short hash of an entry: a set of them takes a third of the memory."""
    return hashlib.blake2b(json.dumps(entry).encode(), digest_size=16).digest()
