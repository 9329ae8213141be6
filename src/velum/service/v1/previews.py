"""Previews of files that browsers cannot show: videos, sounds and stills, rendered on request and soon deleted."""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, JSONResponse, Response

from velum.errors import OutputFailed, VelumError, names_for_places
from velum.jobs import JobRecord
from velum.limits import Limits
from velum.media import DecoderPool
from velum.media.still import Still, render_still
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import AccessDenied, Principal
from velum.service.late_router import LateRouter
from velum.service.middleware import note
from velum.service.problem_details import Problem, problems
from velum.service.v1.http_bodies import result_key_of
from velum.service.v1.job_service import JobService
from velum.service.v1.jobs import RANGES, JobId
from velum.service.v1.requested_results import RequestedResult, RequestedResults
from velum.storage.scratch import ScratchDirs

STILL_BYTES = 48 << 20
SMALL_SIDE = 512
STILL_SECONDS = 900.0
"""Bytes of small stills that are kept in memory, up to which side they are small, and for how long after their use."""

MEMBER_SIGN = "@"
"""Between the key of a file and that of its member, in the keys of previews."""

RENDERED_AT_ONCE = 2
"""Stills that are decoded at the same time, each in a process of its own."""

Fetch = Callable[[Path], Path]
"""Returns the path of the source: its own, or that of a copy in the given folder."""


@dataclass(slots=True, eq=False)
class Previews:
    """Renders one preview at a time, in a process of `decoders` and a scratch folder.

    `keeps_source` tells by the key of a preview whether the file that it shows still exists: the preview shows what the
    file does, so it is deleted with it. Safe to share between threads.
    """

    scratch: ScratchDirs
    decoders: DecoderPool
    limits: Limits
    keeps_source: Callable[[str], bool]
    _results: RequestedResults[Path] = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack)
    _folder: Path | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stills: dict[tuple[str, str, int, int], tuple[float, Still]] = field(default_factory=dict)
    _decoding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(RENDERED_AT_ONCE))

    def __post_init__(self) -> None:
        self._results = RequestedResults("velum-previews", self.keeps_source, partial(Path.unlink, missing_ok=True))

    def ask(self, job: str, name: str, fetch: Fetch, member: str = "") -> dict[str, Any]:
        """Return the progress of a preview as JSON values, starting it on the first request.

        A failure is returned once; the next request starts again.
        """
        key = _key_of(job, member)
        return self._results.ask(key, lambda result: self._render(result, key, name, fetch, member))

    def file(self, job: str, member: str = "") -> Path | None:
        """Return the path of the finished preview, None before."""
        return self._results.get(_key_of(job, member))

    def still(
        self, key: str, name: str, fetch: Fetch, page: int, side: int, *, member: str = ""
    ) -> Still:  # fmt: skip
        """Return a page of a file of the store. Raises as `render_still` does.

        `key` is that of the store, whose files never change; small stills are kept in memory for a while.
        """
        entry, now = (key, member, page, side), time.monotonic()
        with self._lock:
            for old in [at for at, (used, _) in self._stills.items() if now - used > STILL_SECONDS]:
                del self._stills[old]
            if (cached := self._stills.pop(entry, None)) is not None:
                self._stills[entry] = (now, cached[1])
                return cached[1]
        with self._decoding, self.scratch.folder() as folder:
            source = fetch(folder)
            if not source.exists():
                raise Problem(410, f"{name} has been deleted, or was made anew; ask for the job again")
            with names_for_places(source, name):
                still = self.decoders.call(
                    name, self.limits, render_still, source, self.limits, page, side, member, folder
                )
        if 0 < side <= SMALL_SIDE:
            with self._lock:
                self._stills[entry] = (now, still)
                while sum(len(kept.jpeg) for _, kept in self._stills.values()) > STILL_BYTES:
                    del self._stills[next(iter(self._stills))]
        return still

    def close(self) -> None:
        """Stop rendering, and delete all previews."""
        self._results.close()
        self._stack.close()

    def _render(self, result: RequestedResult[Path], job: str, name: str, fetch: Fetch, member: str) -> Path:
        from velum.media.video.proxy import write_preview  # noqa: PLC0415 - loads PyAV, which nothing else here needs

        if self._folder is None:
            self._folder = self._stack.enter_context(self.scratch.folder())
        file, part = self._folder / f"{job}.mp4", self._folder / f"{job}.part.mp4"
        try:
            with self.scratch.folder() as folder:
                source = fetch(folder)
                steps = self.decoders.steps(name, self.limits, write_preview, source, part, self.limits, member, folder)
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


def _key_of(job: str, member: str) -> str:
    """Return the key of a preview; names of members may be no file names."""
    return f"{job}{MEMBER_SIGN}{hashlib.sha256(member.encode()).hexdigest()[:32]}" if member else job


Which = Literal["source", "result"]
Of = Annotated[Which, Query(description="Which file of the job.")]
Member = Annotated[str, Query(max_length=4096, description="Member of an archive or document.")]
_JSON: dict[str, Any] = {"response_class": JSONResponse}
_STILL: Mapping[str, Any] = {
    "description": "The picture.",
    "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    "headers": {
        "X-Velum-Pages": {"description": "How many pages the file has.", "schema": {"type": "integer"}},
        "X-Velum-Seconds": {"description": "Length of a video or a sound.", "schema": {"type": "number"}},
    },
}


class PreviewState(BaseModel):
    """Progress of a preview; `share` is from 0 to 1, null where it is not known."""

    state: Literal["making", "ready", "failed"]
    share: float | None = Field(examples=[0.4])
    error: str | None


def routes(job_service: JobService, previews: Previews, access: Authenticator) -> LateRouter:
    """Return the endpoints for previews and stills, below `/jobs`."""
    router = LateRouter(prefix="/jobs", tags=["Review"])
    Asking = Annotated[Principal, Depends(access.require("anonymize", "review"))]  # noqa: N806 - a type
    Reviewing = Annotated[Principal, Depends(access.require("review"))]  # noqa: N806 - a type

    def owned_job(job: str, caller: Principal, request: Request) -> JobRecord:
        record = job_service.get(job, caller)
        note(request, job=record.id, plan=record.submission.plan.digest)
        return record

    def shown_file(job: JobRecord, of: Which) -> tuple[str, str, Fetch]:
        """Return the key of previews of a file of a job, the file's name, and what fetches it."""
        if of == "source":
            return job.id, job.submission.name, partial(job_service.source_store(job).fetch, job.submission.source)
        key = result_key_of(job)
        return f"{job.id}.{key}", job.result_name or "result", partial(job_service.backend.open().store.fetch, key)

    @router.post(
        "/{job}/preview", response_model=PreviewState, responses=problems(404, 410),
        operation_id="previewed_v1_jobs__job__preview_post",  # generated clients name their calls after it
        **_JSON,
    )  # fmt: skip
    def prepare_preview(
        job: JobId, caller: Reviewing, request: Request, of: Of = "source", member: Member = ""
    ) -> Response:
        """Render a preview of the source or result that any browser plays, and return its progress. Takes review.

        Repeat the request until it is ready. It is kept for a quarter of an hour after the last access, and no longer
        than the file. Of an archive or a document, it is that of a `member` of the report, a video or a sound.
        """
        key, name, fetch = shown_file(owned_job(job, caller, request), of)
        return JSONResponse(previews.ask(key, name, fetch, member), headers={"cache-control": "no-store"})

    def preview_response(job: str, caller: Principal, request: Request, of: Which, member: str) -> Response:
        record = owned_job(job, caller, request)
        file = previews.file(shown_file(record, of)[0], member)
        if file is None:
            raise Problem(
                409, "there is no preview yet; send POST to this address to render one", state=record.state.value
            )
        return FileResponse(file, media_type="video/mp4", headers={"cache-control": "private, no-store"})

    filmed: dict[str, Any] = {"responses": {**RANGES, **problems(404, 409, 410, 416)}, "response_class": Response}

    @router.get("/{job}/preview", **filmed)
    def preview(job: JobId, caller: Reviewing, request: Request, of: Of = "source", member: Member = "") -> Response:
        """Fetch the preview, or a range of it. Takes the scope review."""
        return preview_response(job, caller, request, of, member)

    @router.head("/{job}/preview", **filmed)
    def preview_head(
        job: JobId, caller: Reviewing, request: Request, of: Of = "source", member: Member = ""
    ) -> Response:
        """Return the headers of the preview. Takes the scope review."""
        return preview_response(job, caller, request, of, member)

    @router.get("/{job}/still", responses={200: dict(_STILL), **problems(404, 409, 410)}, response_class=Response)
    def still(
        job: JobId, caller: Asking, request: Request, *, of: Of = "result",
        page: Annotated[int, Query(ge=0, le=1 << 20, description="Page of the file, from 0.")] = 0,
        side: Annotated[int, Query(ge=0, le=1 << 16, description="Longest side in pixels; 0: as it is.")] = 0,
        member: Member = "",
    ) -> Response:  # fmt: skip
        """Render a page of the result or the source, a frame of a video, or how loud a sound is, as JPEG.

        Of an archive or a document, it is that of a `member` of the report, or of its first picture. The source takes
        the scope review.
        """
        if of == "source" and "review" not in caller.scopes:
            raise AccessDenied("the source takes the scope review; ask for the result")
        key, name, fetch = shown_file(owned_job(job, caller, request), of)
        picture = previews.still(key, name, fetch, page, side, member=member)
        headers = {"cache-control": "private, no-store", "x-velum-pages": str(picture.pages)}
        if picture.seconds is not None:
            headers["x-velum-seconds"] = f"{picture.seconds:.3f}"
        return Response(picture.jpeg, headers=headers, media_type="image/jpeg")

    return router
