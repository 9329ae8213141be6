"""Previews of videos that browsers cannot play: made when somebody asks, kept while the source is, and not for long."""

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
from velum.media.video.proxy import write_preview
from velum.storage.scratch import ScratchDirs

KEPT = 8
IDLE_SECONDS = 900.0
LOOK_SECONDS = 15.0
"""How many previews are kept, for how long after somebody last looked, and how often is looked what to drop: they show
what the original does, and go when it goes."""

Fetch = Callable[[Path], Path]
"""Gets the source into a folder, or says where it is."""


@dataclass(slots=True, eq=False)
class _Made:
    file: Path
    seen: float
    state: Literal["making", "ready", "failed"] = "making"
    share: float | None = None
    error: str | None = None
    wanted: bool = True

    def to_json(self) -> dict[str, Any]:
        return {"state": self.state, "share": self.share, "error": self.error}


@dataclass(slots=True, eq=False)
class Previews:
    """Makes one at a time, in a process of `decoders` and a folder of `workshop`.

    `there` tells by the id of a job whether its source is kept.
    """

    workshop: ScratchDirs
    decoders: DecoderPool
    limits: Limits
    there: Callable[[str], bool]
    _made: dict[str, _Made] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stack: ExitStack = field(default_factory=ExitStack)
    _end: threading.Event = field(default_factory=threading.Event)
    _pool: ThreadPoolExecutor | None = None
    _folder: Path | None = None

    def ask(self, job: str, name: str, fetch: Fetch) -> dict[str, Any]:
        """Return how far the preview of a job's source is; begin where nobody has yet. Raises `OutputFailed`.

        That it failed is told once; whoever asks again has it tried again.
        """
        with self._lock:
            made = self._made.get(job)
            if made is not None and made.state == "failed":
                return self._made.pop(job).to_json()
            if made is None:
                folder, pool = self._begun()
                made = self._made[job] = _Made(folder / f"{job}.mp4", time.monotonic())
                pool.submit(self._make, made, name, fetch)
            made.seen = time.monotonic()
            return made.to_json()

    def file(self, job: str) -> Path | None:
        """Return the finished preview, None while there is none."""
        with self._lock:
            made = self._made.get(job)
            if made is None or made.state != "ready":
                return None
            made.seen = time.monotonic()
            return made.file

    def close(self) -> None:
        """Remove all of them."""
        self._end.set()
        with self._lock:
            for made in self._made.values():
                made.wanted = False
            pool = self._pool
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._stack.close()

    def _begun(self) -> tuple[Path, ThreadPoolExecutor]:
        if self._folder is None or self._pool is None:
            self._folder = self._stack.enter_context(self.workshop.folder())
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="velum-preview")
            threading.Thread(target=self._tidy, name="velum-previews", daemon=True).start()
        return self._folder, self._pool

    def _make(self, made: _Made, name: str, fetch: Fetch) -> None:
        source: Path | None = None
        part = made.file.with_suffix(".part.mp4")
        try:
            with self.workshop.folder() as folder:
                source = fetch(folder)
                with closing(self.decoders.steps(name, self.limits, write_preview, source, part, self.limits)) as steps:
                    for done, total in steps:
                        made.share = min(1.0, done / total) if total else None
                        if not made.wanted:
                            return
            part.replace(made.file)
            made.state, made.share = "ready", 1.0
        except VelumError as error:
            made.error = str(error) if source is None else str(error).replace(str(source), name)
        except OSError as error:
            made.error = f"it cannot be written: {error.strerror or error}"
        finally:
            part.unlink(missing_ok=True)
            if made.state == "making":
                made.state = "failed"

    def _tidy(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            with self._lock:
                known = sorted(self._made.items(), key=lambda one: one[1].seen, reverse=True)
            now = time.monotonic()
            for place, (job, made) in enumerate(known):
                if place >= KEPT or now - made.seen > IDLE_SECONDS or not self._there(job):
                    with self._lock:
                        self._made.pop(job, None)
                    made.wanted = False
                    made.file.unlink(missing_ok=True)

    def _there(self, job: str) -> bool:
        try:
            return self.there(job)
        except VelumError:
            return False
