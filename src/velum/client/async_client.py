"""The asynchronous client, for asyncio and trio."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, Self, TypeVar

from velum.annotations import Annotations
from velum.client import jobs, transfers
from velum.client._sansio import Emit, Exchange, Next, Open, Pause, Progress, RunBlocking, Step, Steps
from velum.client.models import HiddenFile, Job, LabelInfo, ModelInfo, NamedPlan, State, TechniqueInfo, Upload
from velum.client.transport import AsyncConnection, ServiceAddress, pause, run_in_thread
from velum.errors import VelumError
from velum.plan import Plan

T = TypeVar("T")


class AsyncClient:
    """The service at `base_url`, for one event loop (of asyncio, or of trio).

    A plan is a `Plan`, or the name of a plan of the service; None is the default plan of the service. The service may
    be silent for `timeout_seconds`. Uploads, downloads and watching continue after a broken connection, until they make
    no progress for `patience_seconds`; nothing else is tried twice. Every method raises `Unavailable` when the service
    cannot be reached, and the errors of `velum.errors` and `velum.client` for what the service refuses.
    """

    def __init__(
        self, base_url: str, token: str | None = None, *, timeout_seconds: float = 120.0, patience_seconds: float = 60.0
    ) -> None:
        """Prepare; nothing is sent yet. Raises `BadPlan` when the address or the token is malformed."""
        self._service = ServiceAddress.at(base_url, token, timeout_seconds)
        self._http = self._service.async_client()
        self._patience = patience_seconds

    async def hide(
        self, source: str | Path, target: str | Path, plan: Plan | str | None = None, *, overwrite: bool = False
    ) -> HiddenFile:
        """Hide in an image what the plan names, and write the result to `target`. The service keeps nothing of it."""
        return await self._run(transfers.hide_image(Path(source), Path(target), plan, overwrite=overwrite))

    async def locate(self, source: str | Path, plan: Plan | str | None = None) -> Annotations:
        """Return the regions that the plan would hide in an image."""
        return await self._run(jobs.locate(Path(source), plan))

    async def upload(self, source: str | Path, *, progress: Progress | None = None) -> Upload:
        """Upload a file for a later `submit`. The service deletes an upload that no job uses after a time."""
        return await self._run(transfers.upload_file(Path(source), self._patience, progress))

    async def submit(
        self, source: str | Path | Upload, plan: Plan | str | None = None, *, name: str | None = None,
        priority: int = 0, webhook: str | None = None, regions: Annotations | None = None,
        progress: Progress | None = None,
    ) -> Job:  # fmt: skip
        """Submit a job. `source` is a file, an upload, or a URL (`http...`) that the service downloads.

        The result is named after `name`. With `regions` the job hides these and runs no localizer.
        """
        wanted = jobs.NewJob(source, plan, name, priority, webhook, regions, progress)
        return await self._run(jobs.submit(wanted, self._patience))

    async def job(self, job: Job | str) -> Job:
        """Return a job as it is now."""
        return await self._run(jobs.fetch_job(job))

    def jobs(self, *, state: State | None = None, owner: str | None = None) -> AsyncIterator[Job]:
        """Yield the caller's jobs, newest first; with the scope `operate` those of `owner`, or of everyone."""
        return self._each(jobs.list_jobs(state, owner))

    def events(self, job: Job | str) -> AsyncIterator[Job]:
        """Yield a job now and after each change, until it has ended."""
        return self._each(jobs.watch(job, self._patience))

    async def wait(self, job: Job | str) -> Job:
        """Wait until a job has ended (done, failed, cancelled or given up), and return it."""
        return await self._run(jobs.watch(job, self._patience))

    async def cancel(self, job: Job | str) -> Job:
        """Cancel a job."""
        return await self._run(jobs.fetch_job(job, "cancel"))

    async def retry(self, job: Job | str) -> Job:
        """Run a job again that failed, was given up or was cancelled. Raises `Conflict` in any other state."""
        return await self._run(jobs.fetch_job(job, "retry"))

    async def delete(self, job: Job | str) -> None:
        """Delete a job and all its files."""
        await self._run(jobs.delete(job))

    async def result(
        self, job: Job | str, target: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Write the result of a job to `target`, whole or not at all.

        Raises `Conflict` before the job is done, `Expired` when the result was deleted after its time.
        """
        return await self._run(transfers.result(job, Path(target), self._patience, progress, overwrite=overwrite))

    async def report(self, job: Job | str) -> Mapping[str, Any]:
        """Return the report of a job, as `velum.report.Report.to_json` writes it."""
        return await self._run(jobs.report(job))

    async def regions(self, job: Job | str) -> Annotations:
        """Return the regions that a job hides, as corrected last. Raises `Conflict` before the job is done."""
        return await self._run(jobs.regions(job))

    async def render(self, job: Job | str, regions: Annotations | None = None) -> Job:
        """Hide the regions of a job again, or corrected ones, without running any localizer.

        The result so far is withdrawn at once. Raises `Conflict` when the state of the job does not allow this.
        """
        return await self._run(jobs.render(job, regions, self._patience))

    async def techniques(self) -> tuple[TechniqueInfo, ...]:
        """List the techniques that the service offers."""
        return await self._run(jobs.list_offers("techniques", TechniqueInfo.read))

    async def models(self) -> tuple[ModelInfo, ...]:
        """List the models that the service offers."""
        return await self._run(jobs.list_offers("models", ModelInfo.read))

    async def labels(self) -> tuple[LabelInfo, ...]:
        """List the labels that the service can locate."""
        return await self._run(jobs.list_offers("labels", LabelInfo.read))

    async def plans(self) -> tuple[NamedPlan, ...]:
        """List the named plans of the service."""
        return await self._run(jobs.list_offers("plans", NamedPlan.read))

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        with closing(Exchange(steps)) as exchange:
            async with aclosing(AsyncConnection(self._service, self._http)) as connection:
                while exchange.step is not None:
                    await _take(exchange.step, exchange, connection)
                return exchange.result

    async def _each(self, steps: Steps[Any]) -> AsyncIterator[Any]:
        with closing(Exchange(steps)) as exchange:
            async with aclosing(AsyncConnection(self._service, self._http)) as connection:
                while exchange.step is not None:
                    if isinstance(exchange.step, Emit):
                        yield exchange.step.value
                    await _take(exchange.step, exchange, connection)


async def _take(step: Step, exchange: Exchange[Any], connection: AsyncConnection) -> None:
    try:
        outcome = await _outcome(step, connection)
    except (VelumError, OSError) as error:
        exchange.fail(error)
    else:
        exchange.resume(outcome)


async def _outcome(step: Step, connection: AsyncConnection) -> Any:
    match step:
        case Open(request):
            return await connection.open(request)
        case Next():
            return await connection.next()
        case RunBlocking(call):
            return await run_in_thread(call)
        case Pause(seconds):
            await pause(seconds)
        case Emit():
            pass
    return None
