"""Job processors: the interface between the queue, which knows nothing of images, and the engine."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from velum.annotations import Annotations, text_of
from velum.engine.segments import link_tracks, renumber_lines, renumber_report, reusable_segments
from velum.engine.subprocess_engine import DeathAdvice, SubprocessEngine, SubprocessRequest
from velum.errors import OutputFailed, Unavailable
from velum.jobs.values import Piece, RegionsOrigin, Submission
from velum.limits import Limits
from velum.media import SEGMENT_SECONDS, Segment, sound_format_of
from velum.media.archive import SUFFIXES as CONTAINER_SUFFIXES
from velum.media.archive import container_of, suffix_of_container, usual_suffix
from velum.media.formats import (
    SOUND_FORMAT_SUFFIXES,
    VIDEO_HEAD_BYTES,
    VIDEO_SUFFIXES,
    format_of,
    is_dicom,
    is_suffix_of,
    suffix_of,
    video_format_of,
)
from velum.plugins import RuntimeConfig

Progress = Callable[[int, int | None], None]
"""Called with the number of finished frames of the piece, and the number of all its frames, None if unknown."""


Interim = Callable[[Mapping[str, Any]], None]
"""Called with JSON values about the work so far: whoever watches the job sees the last ones."""


def _ignore_progress(done: int, total: int | None) -> None:
    """Ignore progress."""


def _ignore_interim(values: Mapping[str, Any]) -> None:
    """Ignore the values."""


@dataclass(frozen=True, slots=True)
class Task:
    """A running job, as its processor gets it. `folder` is its own scratch folder, which is removed afterwards."""

    id: str
    submission: Submission
    source: Path
    regions: Path | None
    folder: Path
    progress: Progress = _ignore_progress
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the job was cancelled or lost: the processor raises `Cancelled` soon."""
    interim: Interim = _ignore_interim


@dataclass(frozen=True, slots=True)
class PieceResult:
    """A finished piece: its file, JSON values to store with it, and the region file of its hidden regions, if any."""

    file: Path
    note: Mapping[str, Any] = field(default_factory=dict)
    hidden_regions: Path | None = None


@dataclass(frozen=True, slots=True)
class JobOutput:
    """The output of a job: a file (possibly that of a piece), the name for it, its report, and an annotation file.

    The annotation file has the hidden regions; a user can correct them and have the job rendered again.
    """

    file: Path
    name: str
    report: Mapping[str, Any]
    regions: Path | None = None


class Cancelled(Exception):
    """The job was stopped because `Task.stop` was set."""


class JobProcessor(Protocol):
    """Runs jobs, one at a time; each thread of a worker has its own processor.

    Methods raise any `VelumError`, and `Cancelled`. A finished piece is not made again, even when another worker on
    another machine continues the job. `make` must be deterministic: two workers may make the same piece, and either
    result may be used.
    """

    def cut(self, task: Task) -> Sequence[Piece]:
        """Return the pieces of a job, at least one; called once for each job."""
        ...

    def make(self, task: Task, piece: Piece) -> PieceResult:
        """Make one piece, in the task's folder."""
        ...

    def renew(
        self, task: Task, results: Sequence[PieceResult | None], former: RegionsOrigin
    ) -> Sequence[PieceResult | None]:
        """Return the pieces of an earlier rendering that also fit the task's regions; None for pieces to be made again.

        `results` has the pieces in order, None for a missing one; `former` says which regions they hid.
        """
        ...

    def join(self, task: Task, results: Sequence[PieceResult]) -> JobOutput:
        """Return the result of all pieces, in their order."""
        ...

    def close(self) -> None:
        """Release all resources. The processor is not used again."""
        ...


_WHOLE = Piece(0)

_ADVICE = DeathAdvice(
    "raise the worker's memory limit, or run fewer jobs at a time in it",
    "the log of the worker, or of a service without workers, shows what the libraries print",
)


class EngineProcessor:
    """Runs an `Engine` in a process of its own, so that a file that crashes a decoder does not crash the worker.

    `host` is called in that process, so it must be picklable, such as a function of a module or a `functools.partial`
    of one. A file of which no frame is finished for `silent_seconds` fails. Videos are split into segments of about
    `span_seconds` where that is possible.
    """

    def __init__(
        self, host: Callable[[], RuntimeConfig], limits: Limits, *, silent_seconds: float = 600.0,
        span_seconds: float = SEGMENT_SECONDS,
    ) -> None:  # fmt: skip
        self._child = SubprocessEngine(host, limits, silent_seconds=silent_seconds, advice=_ADVICE)
        self._span_seconds = span_seconds

    def cut(self, task: Task) -> Sequence[Piece]:
        """Return the segments of a video; one piece for a source that cannot be split. Raises as `make` does."""
        suffix = _suffix(task.source, task.submission.name)
        if suffix not in VIDEO_SUFFIXES or sound_format_of(task.source):
            return [_WHOLE]
        spans = self._run_subprocess(self._request(task, f"cut{suffix}", cut_seconds=self._span_seconds), task)["spans"]
        pieces = [Piece(n, json.dumps(span), Segment.from_json(span).frames) for n, span in enumerate(spans)]
        return pieces or [_WHOLE]

    def make(self, task: Task, piece: Piece) -> PieceResult:
        """Hide what the plan names. Raises `BadInput` also when the decoder crashes on the file or hangs."""
        name, span = f"{piece.index}{_suffix(task.source, task.submission.name)}", None
        if piece.label:
            name, span = f"{piece.index}.part", json.loads(piece.label)
        # No annotation file belongs to an archive, a document or a sound file.
        has_regions = not container_of(task.source) and not sound_format_of(task.source)
        regions_file = task.folder / f"{piece.index}.hidden_regions" if has_regions else None
        request = self._request(task, name, span=span, hidden_regions=regions_file)
        report = self._run_subprocess(request, task)
        task.progress(report["frames"], report["frames"])
        return PieceResult(request.target, _with_public_names(report, task, request.target), regions_file)

    def renew(
        self, task: Task, results: Sequence[PieceResult | None], former: RegionsOrigin
    ) -> Sequence[PieceResult | None]:
        """Return the segments whose given regions are exactly those that were hidden in them."""
        if task.regions is None:
            return [None] * len(results)
        hid = [
            None if piece is None or piece.hidden_regions is None else (piece.note, piece.hidden_regions)
            for piece in results
        ]
        return [
            None if piece is None or segment is None else replace(piece, note=segment[0], hidden_regions=segment[1])
            for piece, segment in zip(
                results, reusable_segments(hid, task.regions, detected=former is RegionsOrigin.FOUND), strict=True
            )
        ]

    def join(self, task: Task, results: Sequence[PieceResult]) -> JobOutput:
        """Return the single piece, or the video joined from all segments. Raises as `make` does."""
        file, report = results[0].file, results[0].note
        files = [piece.hidden_regions for piece in results if piece.hidden_regions is not None]
        # Given regions already have track ids for the whole video.
        numbers = link_tracks(files) if task.regions is None and len(files) == len(results) else {}
        if len(results) > 1:
            name = f"joined{_suffix(task.source, task.submission.name)}"
            request = self._request(
                task, name, parts=[(piece.file, renumber_report(piece.note, numbers)) for piece in results]
            )
            file, report = request.target, _with_public_names(self._run_subprocess(request, task), task, request.target)
        regions = None
        if len(files) == len(results):
            regions = _write_regions(task.folder / "regions.json", report, renumber_lines(_read_lines(files), numbers))
        return JobOutput(file, str(report["target"]), report, regions)

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def _request(self, task: Task, name: str, **more: Any) -> SubprocessRequest:
        given = task.submission
        return SubprocessRequest(task.source, task.folder / name, given.plan, task.regions, given.name, **more)

    def _run_subprocess(self, request: SubprocessRequest, task: Task) -> Mapping[str, Any]:
        report = self._child.hide(request, task.progress, task.stop)
        if report is None:
            raise Cancelled
        return report


def _write_regions(target: Path, report: Mapping[str, Any], lines: Iterable[str]) -> Path:
    """Write the annotation file of a whole job."""
    head = Annotations(report["width"], report["height"], {}, report["input_sha256"], tuple(report["models"]))
    try:
        with target.open("w", encoding="utf-8") as file:
            file.writelines(text_of(head, lines))
    except OSError as error:
        raise OutputFailed(f"cannot write the regions: {error.strerror or error}; make room on the disk") from error
    return target


def _read_lines(files: Sequence[Path]) -> Iterator[str]:
    for path in files:
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\n")


def _with_public_names(report: Mapping[str, Any], task: Task, target: Path) -> Mapping[str, Any]:
    """Return the report with the names that the job's owner knows instead of paths of this machine."""
    return {**report, "source": task.submission.name, "target": _output_name(task.submission.name, target)}


def _suffix(source: Path, name: str) -> str:
    """Return the suffix of the source's name if it fits the format of its content, else that of the format."""
    try:
        with source.open("rb") as file:
            head = file.read(VIDEO_HEAD_BYTES)
    except OSError as error:
        raise Unavailable(f"cannot read the source of {name!r}: {error.strerror or error}") from error
    if container := container_of(source):
        known = suffix_of_container(name)
        return known if CONTAINER_SUFFIXES.get(known) == container else usual_suffix(container)
    if sound := sound_format_of(source):
        stated = Path(name).suffix.lower()
        return stated if stated in SOUND_FORMAT_SUFFIXES[sound] else SOUND_FORMAT_SUFFIXES[sound][0]
    detected = "DICOM" if is_dicom(head) else video_format_of(head) or format_of(head, repr(name))
    stated = Path(name).suffix.lower()
    return stated if is_suffix_of(stated, detected) else suffix_of(detected)


def _output_name(name: str, target: Path) -> str:
    suffix = suffix_of_container(name)
    stem = Path(name.removesuffix(name[-len(suffix) :])).name if suffix else Path(name).stem
    return f"{stem or 'result'}.hidden{suffix_of_container(target.name) or target.suffix}"
