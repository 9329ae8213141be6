"""Previews of videos that browsers cannot play: rendered on request, and deleted soon or with the source."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from velum.errors import VelumError
from velum.limits import Limits
from velum.media import DecoderPool
from velum.storage.scratch import ScratchDirs

KEPT = 8
IDLE_SECONDS = 900.0
LOOK_SECONDS = 15.0
"""Most previews at a time, how long each is kept after the last access, and the interval of checks. A preview shows
what the source does, so it is deleted with it."""

Fetch = Callable[[Path], Path]
"""Returns the path of the source: its own, or that of a copy in the given folder."""


@dataclass(slots=True, eq=False)
class _Preview:
    file: Path
    used: float
    state: Literal["making", "ready", "failed"] = "making"
    share: float | None = None
    error: str | None = None
    wanted: bool = True

    def to_json(self) -> dict[str, Any]:
        return {"state": self.state, "share": self.share, "error": self.error}


@dataclass(slots=True, eq=False)
class Previews:
    """Renders one preview at a time, in a process of `decoders` and a scratch folder.

    `keeps_source` tells by the id of a job whether its source still exists. Safe to share between threads.
    """

    scratch: ScratchDirs
    decoders: DecoderPool
    limits: Limits
    keeps_source: Callable[[str], bool]
    _previews: dict[str, _Preview] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stack: ExitStack = field(default_factory=ExitStack)
    _end: threading.Event = field(default_factory=threading.Event)
    _pool: ThreadPoolExecutor | None = None
    _folder: Path | None = None

    def ask(self, job: str, name: str, fetch: Fetch) -> dict[str, Any]:
        """Return the progress of a preview as JSON values, starting it on the first request. Raises `OutputFailed`.

        A failure is returned once; the next request starts again.
        """
        with self._lock:
            preview = self._previews.get(job)
            if preview is not None and preview.state == "failed":
                return self._previews.pop(job).to_json()
            if preview is None:
                folder, pool = self._start()
                preview = self._previews[job] = _Preview(folder / f"{job}.mp4", time.monotonic())
                pool.submit(self._make, preview, name, fetch)
            preview.used = time.monotonic()
            return preview.to_json()

    def file(self, job: str) -> Path | None:
        """Return the path of the finished preview, None before."""
        with self._lock:
            preview = self._previews.get(job)
            if preview is None or preview.state != "ready":
                return None
            preview.used = time.monotonic()
            return preview.file

    def close(self) -> None:
        """Stop rendering, and delete all previews."""
        self._end.set()
        with self._lock:
            for preview in self._previews.values():
                preview.wanted = False
            pool = self._pool
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._stack.close()

    def _start(self) -> tuple[Path, ThreadPoolExecutor]:
        if self._folder is None or self._pool is None:
            self._folder = self._stack.enter_context(self.scratch.folder())
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="velum-preview")
            threading.Thread(target=self._tidy, name="velum-previews", daemon=True).start()
        return self._folder, self._pool

    def _make(self, preview: _Preview, name: str, fetch: Fetch) -> None:
        from velum.media.video.proxy import write_preview  # noqa: PLC0415 - loads PyAV, which nothing else here needs

        source: Path | None = None
        part = preview.file.with_suffix(".part.mp4")
        try:
            with self.scratch.folder() as folder:
                source = fetch(folder)
                with closing(self.decoders.steps(name, self.limits, write_preview, source, part, self.limits)) as steps:
                    for done, total in steps:
                        preview.share = min(1.0, done / total) if total else None
                        if not preview.wanted:
                            return
            part.replace(preview.file)
            preview.state, preview.share = "ready", 1.0
        except VelumError as error:
            preview.error = str(error) if source is None else str(error).replace(str(source), name)
        except OSError as error:
            preview.error = f"the preview cannot be written: {error.strerror or error}"
        finally:
            part.unlink(missing_ok=True)
            if preview.state == "making":
                preview.state = "failed"

    def _tidy(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            with self._lock:
                newest_first = sorted(self._previews.items(), key=lambda entry: entry[1].used, reverse=True)
            now = time.monotonic()
            for rank, (job, preview) in enumerate(newest_first):
                if rank >= KEPT or now - preview.used > IDLE_SECONDS or not self._keeps_source(job):
                    with self._lock:
                        self._previews.pop(job, None)
                    preview.wanted = False
                    preview.file.unlink(missing_ok=True)

    def _keeps_source(self, job: str) -> bool:
        try:
            return self.keeps_source(job)
        except VelumError:
            return False
