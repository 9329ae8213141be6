"""Previews of videos that browsers cannot play: rendered on request, and deleted soon or with the source."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from velum.errors import OutputFailed, VelumError, names_for_places
from velum.limits import Limits
from velum.media import DecoderPool
from velum.service.v1.requested_results import RequestedResult, RequestedResults
from velum.storage.scratch import ScratchDirs

Fetch = Callable[[Path], Path]
"""Returns the path of the source: its own, or that of a copy in the given folder."""


@dataclass(slots=True, eq=False)
class Previews:
    """Renders one preview at a time, in a process of `decoders` and a scratch folder.

    `keeps_source` tells by the id of a job whether its source still exists: a preview shows what the source does, so it
    is deleted with it. Safe to share between threads.
    """

    scratch: ScratchDirs
    decoders: DecoderPool
    limits: Limits
    keeps_source: Callable[[str], bool]
    _results: RequestedResults[Path] = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)
    _folder: Path | None = None

    def __post_init__(self) -> None:
        self._results = RequestedResults("velum-previews", self.keeps_source, partial(Path.unlink, missing_ok=True))

    def ask(self, job: str, name: str, fetch: Fetch) -> dict[str, Any]:
        """Return the progress of a preview as JSON values, starting it on the first request.

        A failure is returned once; the next request starts again.
        """
        return self._results.ask(job, lambda result: self._render(result, job, name, fetch))

    def file(self, job: str) -> Path | None:
        """Return the path of the finished preview, None before."""
        return self._results.get(job)

    def close(self) -> None:
        """Stop rendering, and delete all previews."""
        self._results.close()
        self._stack.close()

    def _render(self, result: RequestedResult[Path], job: str, name: str, fetch: Fetch) -> Path:
        from velum.media.video.proxy import write_preview  # noqa: PLC0415 - loads PyAV, which nothing else here needs

        if self._folder is None:
            self._folder = self._stack.enter_context(self.scratch.folder())
        file, part = self._folder / f"{job}.mp4", self._folder / f"{job}.part.mp4"
        try:
            with self.scratch.folder() as folder:
                source = fetch(folder)
                steps = self.decoders.steps(name, self.limits, write_preview, source, part, self.limits)
                with names_for_places(source, name), closing(steps):
                    for done, total in steps:
                        result.report(done, total)
            return part.replace(file)
        except VelumError:
            raise
        except OSError as error:
            raise OutputFailed(f"the preview cannot be written: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)
