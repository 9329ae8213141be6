"""One run of a job by a worker: from its source to the published result, piece by piece."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from velum.errors import Unavailable
from velum.jobs.claims import Lease, PieceRecord, WorkerClaims
from velum.jobs.processor import Cancelled, JobProcessor, PieceResult, Task
from velum.jobs.values import Piece, RegionsOrigin
from velum.storage.folder import Store, hash_of, missing_file

StopReason = Literal["cancelled", "lost", "drained"]

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts to note something that is done: a database may be away for a moment."""

T = TypeVar("T")


def retry_unavailable(call: Callable[[], T]) -> T:
    """Return the result of `call`, repeated for about 16 seconds while it raises `Unavailable`."""
    for pause in PAUSES:
        try:
            return call()
        except Unavailable:
            time.sleep(pause)
    return call()


class JobRun:
    """A claimed job while it runs."""

    def __init__(self, hold: Lease, craft: JobProcessor, ledger: WorkerClaims, store: Store, folder: Path) -> None:
        self.hold, self.folder = hold, folder
        self.reason: StopReason | None = None
        self.drain = threading.Event()
        """Set when no further piece may begin."""
        self.noted = 0
        """Number of finished frames that the database knows."""
        self._stop = threading.Event()
        self._craft, self._ledger, self._store = craft, ledger, store
        self._alone = True
        self._frames_before = self._frames_now = 0
        """Frames of the finished pieces, and of the piece in work."""
        self._frames_total = hold.job.frames_total
        self._start_frames, self._start_seconds = 0, time.monotonic()
        """Where counting began: with what an earlier run had finished."""

    def stop(self, reason: StopReason) -> None:
        """Ask the running work to stop; the first reason counts."""
        self.reason = self.reason or reason
        self._stop.set()

    def perform(self) -> None:
        """Run the job to its end. Raises any `VelumError`, `LeaseLost`, and `Cancelled` after `stop`."""
        submission = self.hold.job.submission
        source = self._store.fetch(submission.source, self.folder)
        regions = None if submission.regions is None else self._store.fetch(submission.regions, self.folder)
        task = Task(self.hold.job.id, submission, source, regions, self.folder, self._count_frames, self._stop)
        marks = self._load_or_cut(task)
        done: list[tuple[PieceResult, PieceRecord]] = []
        self._alone = len(marks) == 1
        for mark, renewed in marks:
            kept = (renewed, mark) if renewed is not None else self._fetch_finished(mark)
            if kept is None and (self.drain.is_set() or self._stop.is_set()):
                self.stop("drained")
                raise Cancelled
            if kept is not None:
                self._frames_before += mark.piece.frames or 0
                self._start_frames = self._frames_before
            done.append(kept or self._make_piece(task, mark.piece))
        result = self._craft.join(task, [made for made, _ in done])
        if self._stop.is_set():
            raise Cancelled
        # The piece of a job that has only one is the result; it is not stored again.
        same = next((mark.stored for made, mark in done if made.file == result.file), None)
        published = same or self._store.move_in(result.file)
        hidden = None if result.regions is None else self._store.move_in(result.regions).key
        retry_unavailable(lambda: self._ledger.finish(self.hold, published.key, result, hidden, self.progress()))
        if self._alone:  # of several, the ledger keeps note, and they stay
            for key in done[0][1].keys - {published.key}:
                self._store.delete(key)

    def explain(self, error: Exception) -> Exception:
        """Return the cause of a failure: a missing file of the job if there is one, else `error`."""
        submission = self.hold.job.submission
        try:
            self._store.check()
            for key in (submission.source, submission.regions):
                if key is not None and self._store.size(key) is None:
                    return missing_file(key)
        except Unavailable as gone:
            return gone
        return error

    def progress(self) -> dict[str, Any]:
        """Return the progress as column values of the job's row."""
        done, total = self._frames_before + self._frames_now, self._frames_total
        spent = time.monotonic() - self._start_seconds
        fps = (done - self._start_frames) / spent if spent > 0 and done > self._start_frames else None
        left = None if fps is None or total is None else max(total - done, 0) / fps
        return {"frames_done": done, "frames_total": total, "fps": fps, "seconds_left": left}

    def _load_or_cut(self, task: Task) -> list[tuple[PieceRecord, PieceResult | None]]:
        """Return each piece with its result where that can be reused from an earlier rendering, else None."""
        marks = retry_unavailable(lambda: self._ledger.marks(self.hold))
        if not marks:
            pieces = list(self._craft.cut(task))
            retry_unavailable(lambda: self._ledger.cut(self.hold, pieces))
            marks = [PieceRecord(piece) for piece in pieces]
        known = [mark.piece.frames for mark in marks if mark.piece.frames is not None]
        if len(known) == len(marks):
            self._frames_total = sum(known)
        if self.hold.former is None:
            return [(mark, None) for mark in marks]
        return self._reuse_pieces(task, marks, self.hold.former)

    def _reuse_pieces(
        self, task: Task, marks: list[PieceRecord], former: RegionsOrigin
    ) -> list[tuple[PieceRecord, PieceResult | None]]:
        kept = [self._fetch_finished(mark) for mark in marks]
        made = self._craft.renew(task, [one and one[0] for one in kept], former)
        pairs = [self._update_piece(*pair) for pair in zip(marks, kept, made, strict=True)]
        retry_unavailable(lambda: self._ledger.renew(self.hold, [mark for mark, _ in pairs]))
        for before, (after, _) in zip(marks, pairs, strict=True):
            for key in before.keys - after.keys:
                self._store.delete(key)
        return pairs

    def _update_piece(
        self, mark: PieceRecord, kept: tuple[PieceResult, PieceRecord] | None, made: PieceResult | None
    ) -> tuple[PieceRecord, PieceResult | None]:
        if kept is None or made is None:
            return PieceRecord(mark.piece), None
        told = mark.told
        if made.told is not None and made.told != kept[0].told:
            told = self._store.move_in(made.told).key
            made = replace(made, told=self._store.fetch(told, self.folder))
        return replace(mark, note=made.note, told=told), made

    def _fetch_finished(self, mark: PieceRecord) -> tuple[PieceResult, PieceRecord] | None:
        """Return a piece that was finished before; None when it was not, or when its file is missing or changed."""
        if mark.stored is None or any(self._store.size(key) is None for key in mark.keys):
            return None
        made = self._fetch_piece(mark)
        return (made, mark) if hash_of(made.file) == mark.stored.sha256 else None

    def _make_piece(self, task: Task, piece: Piece) -> tuple[PieceResult, PieceRecord]:
        made = self._craft.make(task, piece)
        stored = self._store.move_in(made.file)
        told = None if made.told is None else self._store.move_in(made.told).key
        frames = piece.frames or self._frames_now or None
        mark = PieceRecord(replace(piece, frames=frames), stored, made.note, told)
        retry_unavailable(lambda: self._ledger.finish_piece(self.hold, mark))
        self._frames_before, self._frames_now = self._frames_before + (frames or 0), 0
        return self._fetch_piece(mark), mark

    def _fetch_piece(self, mark: PieceRecord) -> PieceResult:
        assert mark.stored is not None  # noqa: S101 - asked for finished pieces alone
        told = None if mark.told is None else self._store.fetch(mark.told, self.folder)
        return PieceResult(self._store.fetch(mark.stored.key, self.folder), mark.note or {}, told)

    def _count_frames(self, done: int, total: int | None) -> None:
        self._frames_now = done
        if self._alone and total is not None:
            self._frames_total = total
