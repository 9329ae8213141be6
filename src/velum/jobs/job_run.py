"""One run of a job by a worker: from its source to the published result, piece by piece."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from velum.errors import Unavailable
from velum.jobs.claims import Lease, PieceRecord, WorkerClaims
from velum.jobs.processor import Cancelled, JobProcessor, PieceResult, Task
from velum.jobs.values import Piece, RegionsOrigin, Submission
from velum.people import STORED, PersonPhoto
from velum.storage import Store, missing_file
from velum.storage.folder import hash_of

StopReason = Literal["cancelled", "lost", "drained"]

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts to write to the database, which may be away for a moment."""

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
    """A job that this worker has claimed and runs."""

    def __init__(self, lease: Lease, processor: JobProcessor, claims: WorkerClaims, store: Store, folder: Path) -> None:
        self.lease, self.folder = lease, folder
        self.reason: StopReason | None = None
        self.drain = threading.Event()
        """Set when the worker shuts down: no further piece may begin."""
        self.noted: tuple[int, str | None] = (0, None)
        """Number of finished frames, and interim report, last written to the database."""
        self.interim: str | None = None
        """The interim report as JSON, None where the processor gives none."""
        self._stop = threading.Event()
        self._processor, self._claims, self._store = processor, claims, store
        self._alone = True
        self._frames_before = self._frames_now = 0
        """Frames of the finished pieces, and finished frames of the current piece."""
        self._frames_total = lease.job.frames_total
        self._start_frames, self._start_seconds = 0, time.monotonic()
        """Start of the measurement of speed: frames that an earlier run had finished do not count."""

    def stop(self, reason: StopReason) -> None:
        """Ask the processor to stop; the first reason counts."""
        self.reason = self.reason or reason
        self._stop.set()

    def perform(self) -> None:
        """Run the job to its end. Raises any `VelumError`, `LeaseLost`, and `Cancelled` after `stop`."""
        submission = self._with_photos(self.lease.job.submission)
        source = self._store.fetch(submission.source, self.folder)
        regions = None if submission.regions is None else self._store.fetch(submission.regions, self.folder)
        task = Task(
            self.lease.job.id, submission, source, regions, self.folder, self._count_frames, self._stop, self._note
        )
        records = self._load_or_cut(task)
        done: list[tuple[PieceResult, PieceRecord]] = []
        self._alone = len(records) == 1
        for record, renewed in records:
            finished = (renewed, record) if renewed is not None else self._fetch_finished(record)
            if finished is None and (self.drain.is_set() or self._stop.is_set()):
                self.stop("drained")
                raise Cancelled
            if finished is not None:
                self._frames_before += record.piece.frames or 0
                self._start_frames = self._frames_before
            done.append(finished or self._make_piece(task, record.piece))
        result = self._processor.join(task, [result_piece for result_piece, _ in done])
        if self._stop.is_set():
            raise Cancelled
        # The piece of a job with a single piece is the result; it is not stored again.
        same = next((record.stored for result_piece, record in done if result_piece.file == result.file), None)
        published = same or self._store.move_in(result.file)
        hidden = None if result.regions is None else self._store.move_in(result.regions).key
        retry_unavailable(lambda: self._claims.finish(self.lease, published.key, result, hidden, self.progress()))
        if self._alone:  # several pieces are recorded in the database, and stay
            for key in done[0][1].keys - {published.key}:
                self._store.delete(key)

    def explain(self, error: Exception) -> Exception:
        """Return the cause of a failure: a missing file of the job if there is one, else `error`."""
        submission = self.lease.job.submission
        try:
            self._store.check()
            for key in submission.keys:
                if self._store.size(key) is None:
                    return missing_file(key)
        except Unavailable as gone:
            return gone
        return error

    def progress(self) -> dict[str, Any]:
        """Return the progress as column values of the job's row."""
        done, total = self._frames_before + self._frames_now, self._frames_total
        spent = time.monotonic() - self._start_seconds
        fps = (done - self._start_frames) / spent if spent > 0 and done > self._start_frames else None
        seconds_left = None if fps is None or total is None else max(total - done, 0) / fps
        return {"frames_done": done, "frames_total": total, "fps": fps, "seconds_left": seconds_left}

    def _with_photos(self, submission: Submission) -> Submission:
        """Return the submission with the photos of people on this machine; given regions need none."""
        people = submission.plan.people
        if people is None or submission.regions is not None or not people.stored_keys:
            return submission

        def fetch(photo: PersonPhoto) -> PersonPhoto:
            return replace(photo, path=str(self._store.fetch(photo.path.removeprefix(STORED), self.folder)))

        return replace(submission, plan=replace(submission.plan, people=people.map_photos(fetch)))

    def _load_or_cut(self, task: Task) -> list[tuple[PieceRecord, PieceResult | None]]:
        """Return each piece with its result where that can be reused from an earlier rendering, else None."""
        records = retry_unavailable(lambda: self._claims.list_pieces(self.lease))
        if not records:
            pieces = list(self._processor.cut(task))
            retry_unavailable(lambda: self._claims.cut(self.lease, pieces))
            records = [PieceRecord(piece) for piece in pieces]
        frame_counts = [record.piece.frames for record in records if record.piece.frames is not None]
        if len(frame_counts) == len(records):
            self._frames_total = sum(frame_counts)
        if self.lease.former is None:
            return [(record, None) for record in records]
        return self._reuse_pieces(task, records, self.lease.former)

    def _reuse_pieces(
        self, task: Task, records: list[PieceRecord], former: RegionsOrigin
    ) -> list[tuple[PieceRecord, PieceResult | None]]:
        finished = [self._fetch_finished(record) for record in records]
        renewed = self._processor.renew(task, [piece and piece[0] for piece in finished], former)
        pairs = [self._update_piece(*pair) for pair in zip(records, finished, renewed, strict=True)]
        retry_unavailable(lambda: self._claims.renew(self.lease, [record for record, _ in pairs]))
        for before, (after, _) in zip(records, pairs, strict=True):
            for key in before.keys - after.keys:
                self._store.delete(key)
        return pairs

    def _update_piece(
        self, record: PieceRecord, finished: tuple[PieceResult, PieceRecord] | None, piece_result: PieceResult | None
    ) -> tuple[PieceRecord, PieceResult | None]:
        if finished is None or piece_result is None:
            return PieceRecord(record.piece), None
        regions = record.hidden_regions
        if piece_result.hidden_regions is not None and piece_result.hidden_regions != finished[0].hidden_regions:
            regions = self._store.move_in(piece_result.hidden_regions).key
            piece_result = replace(piece_result, hidden_regions=self._store.fetch(regions, self.folder))
        return replace(record, note=piece_result.note, hidden_regions=regions), piece_result

    def _fetch_finished(self, record: PieceRecord) -> tuple[PieceResult, PieceRecord] | None:
        """Return a piece that is already finished; None when it is not, or when its file is missing or has changed."""
        if record.stored is None or any(self._store.size(key) is None for key in record.keys):
            return None
        piece_result = self._fetch_piece(record)
        return (piece_result, record) if hash_of(piece_result.file) == record.stored.sha256 else None

    def _make_piece(self, task: Task, piece: Piece) -> tuple[PieceResult, PieceRecord]:
        piece_result = self._processor.make(task, piece)
        stored = self._store.move_in(piece_result.file)
        regions = None if piece_result.hidden_regions is None else self._store.move_in(piece_result.hidden_regions).key
        frames = piece.frames or self._frames_now or None
        record = PieceRecord(replace(piece, frames=frames), stored, piece_result.note, regions)
        retry_unavailable(lambda: self._claims.finish_piece(self.lease, record))
        self._frames_before, self._frames_now = self._frames_before + (frames or 0), 0
        return self._fetch_piece(record), record

    def _fetch_piece(self, record: PieceRecord) -> PieceResult:
        assert record.stored is not None  # noqa: S101 - asked for finished pieces alone
        regions = None if record.hidden_regions is None else self._store.fetch(record.hidden_regions, self.folder)
        return PieceResult(self._store.fetch(record.stored.key, self.folder), record.note or {}, regions)

    def _note(self, values: Mapping[str, Any]) -> None:
        self.interim = json.dumps(values)

    def _count_frames(self, done: int, total: int | None) -> None:
        self._frames_now = done
        if self._alone and total is not None:
            self._frames_total = total
