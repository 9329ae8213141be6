"""The client, blocking and asynchronous: the same methods over connections of either kind."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from velum.annotations import Annotations
from velum.client import jobs, transfers
from velum.client.models import HiddenFile, Job, LabelInfo, ModelInfo, NamedPlan, State, TechniqueInfo, Upload
from velum.client.transfers import Progress
from velum.client.transport import (
    AsyncConnection,
    BlockingConnection,
    Connection,
    ServiceAddress,
    close_after,
    close_after_each,
    iterate,
    run,
)
from velum.people import People
from velum.plan import Plan

T = TypeVar("T")
P = ParamSpec("P")

Call = Callable[Concatenate[Connection, P], Coroutine[Any, Any, T]]
Values = Callable[Concatenate[Connection, P], AsyncGenerator[T]]


class Client:
    """The service at `base_url`. Safe to share between threads.

    A plan is a `Plan`, or the name of a plan of the service; None is the default plan of the service. The photos of
    `people`, or of those of the plan, are sent with a request and deleted when it is answered. The service may
    be silent for `timeout_seconds`. Uploads, downloads and watching continue after a broken connection, until they make
    no progress for `patience_seconds`; nothing else is tried twice. Every method raises `Unavailable` when the service
    cannot be reached, and the errors of `velum.errors` and `velum.client` for what the service refuses.
    """

    def __init__(
        self, base_url: str, token: str | None = None, *, timeout_seconds: float = 120.0, patience_seconds: float = 60.0
    ) -> None:
        """Prepare; nothing is sent yet. Raises `BadPlan` when the address or the token is malformed."""
        self._service = ServiceAddress.parse(base_url, token, timeout_seconds)
        self._http = self._service.open_client()
        self._patience = patience_seconds

    def hide(
        self, source: str | Path, target: str | Path, plan: Plan | str | None = None, *, people: People | None = None,
        overwrite: bool = False,
    ) -> HiddenFile:  # fmt: skip
        """Hide in an image what the plan names, and write the result to `target`. The service keeps nothing of it."""
        return self._run(
            jobs.hide, Path(source), Path(target), plan, people, self._patience, overwrite=overwrite
        )  # fmt: skip

    def locate(
        self, source: str | Path, plan: Plan | str | None = None, *, people: People | None = None
    ) -> Annotations:  # fmt: skip
        """Return the regions that the plan would hide in an image."""
        return self._run(jobs.locate, Path(source), plan, people, self._patience)

    def upload(self, source: str | Path, *, progress: Progress | None = None) -> Upload:
        """Upload a file for a later `submit`. The service deletes an upload that no job uses after a time."""
        return self._run(transfers.upload_file, Path(source), self._patience, progress)

    def submit(
        self, source: str | Path | Upload, plan: Plan | str | None = None, *, name: str | None = None,
        priority: int = 0, webhook: str | None = None, regions: Annotations | None = None,
        people: People | None = None, progress: Progress | None = None,
    ) -> Job:  # fmt: skip
        """Submit a job. `source` is a file, an upload, or a URL (`http...`) that the service downloads.

        The result is named after `name`. With `regions` the job hides these and runs no localizer.
        """
        return self._run(
            jobs.submit, source, plan, name=name, priority=priority, webhook=webhook, regions=regions,
            people=people, progress=progress, patience_seconds=self._patience,
        )  # fmt: skip

    def job(self, job: Job | str) -> Job:
        """Return a job as it is now."""
        return self._run(jobs.fetch_job, job)

    def jobs(self, *, state: State | None = None, owner: str | None = None) -> Iterator[Job]:
        """Yield the caller's jobs, newest first; with the scope `operate` those of `owner`, or of everyone."""
        return self._each(jobs.list_jobs, state, owner)

    def events(self, job: Job | str) -> Iterator[Job]:
        """Yield a job now and after each change, until it has ended."""
        return self._each(jobs.watch, job, self._patience)

    def wait(self, job: Job | str) -> Job:
        """Wait until a job has ended (done, failed, cancelled or given up), and return it."""
        return self._run(jobs.wait, job, self._patience)

    def cancel(self, job: Job | str) -> Job:
        """Cancel a job."""
        return self._run(jobs.fetch_job, job, "cancel")

    def retry(self, job: Job | str) -> Job:
        """Run a job again that failed, was given up or was cancelled. Raises `Conflict` in any other state."""
        return self._run(jobs.fetch_job, job, "retry")

    def delete(self, job: Job | str) -> None:
        """Delete a job and all its files."""
        self._run(jobs.delete, job)

    def result(
        self, job: Job | str, target: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Write the result of a job to `target`, whole or not at all.

        Raises `Conflict` before the job is done, `Expired` when the result was deleted after its time.
        """
        return self._run(transfers.result, job, Path(target), self._patience, progress, overwrite=overwrite)

    def report(self, job: Job | str) -> Mapping[str, Any]:
        """Return the report of a job, as `velum.report.Report.to_json` writes it."""
        return self._run(jobs.report, job)

    def regions(self, job: Job | str) -> Annotations:
        """Return the regions that a job hides, as corrected last. Raises `Conflict` before the job is done."""
        return self._run(jobs.regions, job)

    def render(self, job: Job | str, regions: Annotations | None = None) -> Job:
        """Hide the regions of a job again, or corrected ones, without running any localizer.

        The result so far is withdrawn at once. Raises `Conflict` when the state of the job does not allow this.
        """
        return self._run(jobs.render, job, regions, self._patience)

    def techniques(self) -> tuple[TechniqueInfo, ...]:
        """List the techniques that the service offers."""
        return self._run(jobs.list_offers, "techniques", TechniqueInfo)

    def models(self) -> tuple[ModelInfo, ...]:
        """List the models that the service offers."""
        return self._run(jobs.list_offers, "models", ModelInfo)

    def labels(self) -> tuple[LabelInfo, ...]:
        """List the labels that the service can locate."""
        return self._run(jobs.list_offers, "labels", LabelInfo)

    def plans(self) -> tuple[NamedPlan, ...]:
        """List the named plans of the service."""
        return self._run(jobs.list_offers, "plans", NamedPlan)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, call: Call[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        connection = BlockingConnection(self._service, self._http)
        return run(close_after(connection, call(connection, *args, **kwargs)))

    def _each(self, values: Values[P, T], *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        connection = BlockingConnection(self._service, self._http)
        return iterate(close_after_each(connection, values(connection, *args, **kwargs)))


class AsyncClient:
    """The service at `base_url`, for one event loop (of asyncio, or of trio).

    A plan is a `Plan`, or the name of a plan of the service; None is the default plan of the service. The photos of
    `people`, or of those of the plan, are sent with a request and deleted when it is answered. The service may
    be silent for `timeout_seconds`. Uploads, downloads and watching continue after a broken connection, until they make
    no progress for `patience_seconds`; nothing else is tried twice. Every method raises `Unavailable` when the service
    cannot be reached, and the errors of `velum.errors` and `velum.client` for what the service refuses.
    """

    def __init__(
        self, base_url: str, token: str | None = None, *, timeout_seconds: float = 120.0, patience_seconds: float = 60.0
    ) -> None:
        """Prepare; nothing is sent yet. Raises `BadPlan` when the address or the token is malformed."""
        self._service = ServiceAddress.parse(base_url, token, timeout_seconds)
        self._http = self._service.open_async_client()
        self._patience = patience_seconds

    async def hide(
        self, source: str | Path, target: str | Path, plan: Plan | str | None = None, *, people: People | None = None,
        overwrite: bool = False,
    ) -> HiddenFile:  # fmt: skip
        """Hide in an image what the plan names, and write the result to `target`. The service keeps nothing of it."""
        return await self._run(
            jobs.hide, Path(source), Path(target), plan, people, self._patience, overwrite=overwrite
        )  # fmt: skip

    async def locate(
        self, source: str | Path, plan: Plan | str | None = None, *, people: People | None = None
    ) -> Annotations:  # fmt: skip
        """Return the regions that the plan would hide in an image."""
        return await self._run(jobs.locate, Path(source), plan, people, self._patience)

    async def upload(self, source: str | Path, *, progress: Progress | None = None) -> Upload:
        """Upload a file for a later `submit`. The service deletes an upload that no job uses after a time."""
        return await self._run(transfers.upload_file, Path(source), self._patience, progress)

    async def submit(
        self, source: str | Path | Upload, plan: Plan | str | None = None, *, name: str | None = None,
        priority: int = 0, webhook: str | None = None, regions: Annotations | None = None,
        people: People | None = None, progress: Progress | None = None,
    ) -> Job:  # fmt: skip
        """Submit a job. `source` is a file, an upload, or a URL (`http...`) that the service downloads.

        The result is named after `name`. With `regions` the job hides these and runs no localizer.
        """
        return await self._run(
            jobs.submit, source, plan, name=name, priority=priority, webhook=webhook, regions=regions,
            people=people, progress=progress, patience_seconds=self._patience,
        )  # fmt: skip

    async def job(self, job: Job | str) -> Job:
        """Return a job as it is now."""
        return await self._run(jobs.fetch_job, job)

    def jobs(self, *, state: State | None = None, owner: str | None = None) -> AsyncIterator[Job]:
        """Yield the caller's jobs, newest first; with the scope `operate` those of `owner`, or of everyone."""
        return self._each(jobs.list_jobs, state, owner)

    def events(self, job: Job | str) -> AsyncIterator[Job]:
        """Yield a job now and after each change, until it has ended."""
        return self._each(jobs.watch, job, self._patience)

    async def wait(self, job: Job | str) -> Job:
        """Wait until a job has ended (done, failed, cancelled or given up), and return it."""
        return await self._run(jobs.wait, job, self._patience)

    async def cancel(self, job: Job | str) -> Job:
        """Cancel a job."""
        return await self._run(jobs.fetch_job, job, "cancel")

    async def retry(self, job: Job | str) -> Job:
        """Run a job again that failed, was given up or was cancelled. Raises `Conflict` in any other state."""
        return await self._run(jobs.fetch_job, job, "retry")

    async def delete(self, job: Job | str) -> None:
        """Delete a job and all its files."""
        await self._run(jobs.delete, job)

    async def result(
        self, job: Job | str, target: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Write the result of a job to `target`, whole or not at all.

        Raises `Conflict` before the job is done, `Expired` when the result was deleted after its time.
        """
        return await self._run(transfers.result, job, Path(target), self._patience, progress, overwrite=overwrite)

    async def report(self, job: Job | str) -> Mapping[str, Any]:
        """Return the report of a job, as `velum.report.Report.to_json` writes it."""
        return await self._run(jobs.report, job)

    async def regions(self, job: Job | str) -> Annotations:
        """Return the regions that a job hides, as corrected last. Raises `Conflict` before the job is done."""
        return await self._run(jobs.regions, job)

    async def render(self, job: Job | str, regions: Annotations | None = None) -> Job:
        """Hide the regions of a job again, or corrected ones, without running any localizer.

        The result so far is withdrawn at once. Raises `Conflict` when the state of the job does not allow this.
        """
        return await self._run(jobs.render, job, regions, self._patience)

    async def techniques(self) -> tuple[TechniqueInfo, ...]:
        """List the techniques that the service offers."""
        return await self._run(jobs.list_offers, "techniques", TechniqueInfo)

    async def models(self) -> tuple[ModelInfo, ...]:
        """List the models that the service offers."""
        return await self._run(jobs.list_offers, "models", ModelInfo)

    async def labels(self) -> tuple[LabelInfo, ...]:
        """List the labels that the service can locate."""
        return await self._run(jobs.list_offers, "labels", LabelInfo)

    async def plans(self) -> tuple[NamedPlan, ...]:
        """List the named plans of the service."""
        return await self._run(jobs.list_offers, "plans", NamedPlan)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, call: Call[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        connection = AsyncConnection(self._service, self._http)
        return await close_after(connection, call(connection, *args, **kwargs))

    def _each(self, values: Values[P, T], *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        connection = AsyncConnection(self._service, self._http)
        return close_after_each(connection, values(connection, *args, **kwargs))
