"""Hides in one object: fetches it, hides in a process that may die, and stores the result with its outcome."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from velum.batch.arrange import result_suffix
from velum.batch.item import ItemOutcome, SourceItem
from velum.batch.manifest import BatchRun
from velum.batch.videos import LongVideo, is_long, segments_folder
from velum.engine.subprocess_engine import DecoderCrash, ProcessKilled, SubprocessPool, SubprocessRequest
from velum.errors import BadInput, BadPlan, LimitExceeded, NotHidden, OutputFailed, PluginFault, VelumError
from velum.report import Report
from velum.storage.objects import ObjectChanged, ObjectGone, ObjectTree

TRIES = 2
"""Number of attempts for a file whose process dies, and for a source that changes while it is read."""

OLDER_RESULT = "an older result, of another source or plan, is still in its place: delete it if it must not be used"

_REFUSALS = (BadInput, BadPlan, LimitExceeded, NotHidden)


@dataclass(frozen=True, slots=True)
class ItemHider:
    """Hides in the items of a run. A file that fails has an outcome. Safe to share between threads."""

    run: BatchRun
    source: ObjectTree
    engines: SubprocessPool
    scratch: Path
    node: str
    """Name of this process in outcomes."""
    threads: int
    """Number of files that a runner may give it at the same time, and of segments of a long video: more than there are
    processes, which then do not wait for stores."""
    fingerprint: str = ""
    """Hash of what the models give for a fixed image on this node."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Ends what is running, without an outcome, once it is set."""

    def hide(self, item: SourceItem) -> ItemOutcome | None:
        """Hide in one item and store the result; return the outcome, None when `stop` was set.

        Raises `Unavailable` or `OutputFailed` when a store or a service fails.
        """
        if item.fault:
            return self._failure(item, BadInput(item.fault), 1)
        if not item.size:
            return self._failure(item, BadInput("the object is empty"), 1)
        for attempt in range(1, TRIES + 1):
            try:
                return self._attempt(item, attempt)
            except ObjectGone:
                return self._failure(item, BadInput("the object no longer exists"), attempt)
            except ObjectChanged:
                if attempt == TRIES:
                    break
                try:
                    item = SourceItem.of(self.source.head(item.key))
                except ObjectGone:
                    return self._failure(item, BadInput("the object no longer exists"), attempt)
            except (DecoderCrash, ProcessKilled, PluginFault) as error:
                if attempt == TRIES:
                    return self._failure(item, error, attempt, refused=False)
            except _REFUSALS as error:
                return self._failure(item, error, attempt)
        changed = BadInput(
            "the object changed while it was read, each time; repeat the command to hide what it is then"
        )
        return self._failure(item, changed, TRIES, refused=False)

    def _attempt(self, item: SourceItem, attempt: int) -> ItemOutcome | None:
        with _scratch_folder(self.scratch) as folder:
            source = folder / f"source{_file_suffix(item.key)}"
            self.source.fetch(item.info, source)
            suffix, note = result_suffix(source)
            target = folder / f"result{suffix}"
            answer = self._hide_file(item, source, target)
            if answer is None:
                return None
            values, cpu_seconds = answer
            report = Report.from_json(values)
            report = replace(report, seconds={**report.seconds, "cpu": cpu_seconds})
            note = f"the result has the content of {suffix} files, whatever its key says" if note else ""
            outcome = ItemOutcome.of(
                item, report, note=note, result_size=target.stat().st_size, node=self.node, attempt=attempt
            )
            outcome = replace(outcome, arithmetic=self.fingerprint[:12])
            self.run.target.put_file(item.key, target, outcome.to_metadata())
            return outcome

    def _hide_file(self, item: SourceItem, source: Path, target: Path) -> tuple[Mapping[str, Any], float] | None:
        """Return the report as JSON values and the processor time; None when `stop` was set."""
        plan = self.run.config.plan
        if is_long(item):
            place = segments_folder(self.run.root, item)
            return LongVideo(
                self.run.target, place, item.key, source, target, plan, self.engines, self.threads, self.stop
            ).hide()
        with self.engines.engine() as engine:
            values = engine.hide(SubprocessRequest(source, target, plan, name=item.key), stop=self.stop)
            return None if values is None else (values, engine.cpu_seconds)

    def _failure(self, item: SourceItem, error: VelumError, attempt: int, *, refused: bool = True) -> ItemOutcome:
        """Return the outcome of an item without a result; it says when a result of an earlier run is still there."""
        outcome = ItemOutcome.of_error(
            item, error, refused=refused, node=self.node, attempt=attempt, plan=self.run.config.plan.digest
        )
        try:
            self.run.target.head(item.key)
        except ObjectGone:
            return outcome
        return replace(outcome, reason=f"{outcome.reason}; {OLDER_RESULT}")


def _file_suffix(key: str) -> str:
    """Return the suffix of a key where it can be that of a file: a key may have any characters."""
    suffix = PurePosixPath(key).suffix
    return suffix if suffix[1:].isalnum() and len(suffix) < 20 else ""


@contextmanager
def _scratch_folder(scratch: Path) -> Iterator[Path]:
    try:
        folder = TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputFailed(f"cannot write to {scratch}: {error.strerror or error}; make room there") from error
    with folder as name:
        yield Path(name)
