"""The service from programs that do other things while they wait for it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, Self, TypeVar

from velum.annotations import Annotations
from velum.client import downloads, jobs, queries, uploads
from velum.client._sansio import Emit, Exchange, Next, Open, Pause, Progress, RunBlocking, Step, Steps
from velum.client.models import HiddenFile, Job, LabelInfo, ModelInfo, NamedPlan, State, TechniqueInfo, Upload
from velum.client.transport import AsyncConnection, ServiceAddress, pause, threaded
from velum.errors import VelumError
from velum.plan import Plan

T = TypeVar("T")


class AsyncClient:
    """The service at `base_url`, for one event loop (of asyncio, or of trio).

    A plan is a `Plan`, or the name of one that the operator keeps; None is that of the service. `timeout_seconds` is
    how long the service may be silent. What has begun (sending, fetching, watching) goes on after a broken connection,
    until it has got no further for `patience_seconds`; nothing else is tried twice. Every method raises `Unavailable`
    when the service cannot be reached, and the errors of `velum.errors` and `velum.client` for what it refuses.
    """

    def __init__(
        self, base_url: str, token: str | None = None, *, timeout_seconds: float = 120.0, patience_seconds: float = 60.0
    ) -> None:
        """Prepare; nothing is asked yet. Raises `BadPlan` for an address or a token that cannot be used."""
        self._service = ServiceAddress.at(base_url, token, timeout_seconds)
        self._http = self._service.async_client()
        self._patience = patience_seconds

    async def hide(
        self, source: str | Path, target: str | Path, plan: Plan | str | None = None, *, overwrite: bool = False
    ) -> HiddenFile:
        """Hide in a picture what the plan names, and write it to `target`. The service keeps nothing of it."""
        return await self._run(downloads.hidden(Path(source), Path(target), plan, overwrite=overwrite))

    async def locate(self, source: str | Path, plan: Plan | str | None = None) -> Annotations:
        """Return what the plan would hide in a picture."""
        return await self._run(queries.located(Path(source), plan))

    async def upload(self, source: str | Path, *, progress: Progress | None = None) -> Upload:
        """Send a file for a job to take over; what no job takes is deleted by the service after a time."""
        return await self._run(uploads.uploaded(Path(source), self._patience, progress))

    async def submit(
        self, source: str | Path | Upload, plan: Plan | str | None = None, *, name: str | None = None,
        priority: int = 0, webhook: str | None = None, regions: Annotations | None = None,
        progress: Progress | None = None,
    ) -> Job:  # fmt: skip
        """Hand in a job. `source` is a file, an upload, or an address (`http...`) that the service fetches it from.

        `name` is what the result is named after. With `regions` these are hidden, and nothing is looked for.
        """
        wanted = jobs.NewJob(source, plan, name, priority, webhook, regions, progress)
        return await self._run(jobs.submitted(wanted, self._patience))

    async def job(self, job: Job | str) -> Job:
        """Return a job as it is now."""
        return await self._run(jobs.looked_at(job))

    def jobs(self, *, state: State | None = None, owner: str | None = None) -> AsyncIterator[Job]:
        """Yield one's jobs, newest first; with the scope operate those of `owner`, or everyone's."""
        return self._each(jobs.listed(state, owner))

    def events(self, job: Job | str) -> AsyncIterator[Job]:
        """Yield a job, and again each time that it has changed, up to its end."""
        return self._each(jobs.watched(job, self._patience))

    async def wait(self, job: Job | str) -> Job:
        """Return a job when it has ended, well or not."""
        return await self._run(jobs.watched(job, self._patience))

    async def cancel(self, job: Job | str) -> Job:
        """Call a job off."""
        return await self._run(jobs.looked_at(job, "cancel"))

    async def retry(self, job: Job | str) -> Job:
        """Have a job done again that did not end well. Raises `Conflict` when it cannot be."""
        return await self._run(jobs.looked_at(job, "retry"))

    async def delete(self, job: Job | str) -> None:
        """Delete a job with all that belongs to it."""
        await self._run(jobs.deleted(job))

    async def result(
        self, job: Job | str, target: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Write the result of a job to `target`, whole or not at all.

        Raises `Conflict` before the job is done, `Expired` when the result was deleted after its time.
        """
        return await self._run(downloads.result(job, Path(target), self._patience, progress, overwrite=overwrite))

    async def report(self, job: Job | str) -> Mapping[str, Any]:
        """Return the report of a job, as `velum.report.Report.to_json` writes it."""
        return await self._run(queries.report(job))

    async def regions(self, job: Job | str) -> Annotations:
        """Return what a job hides, or what it was last corrected to. Raises `Conflict` before it is done."""
        return await self._run(queries.regions(job))

    async def render(self, job: Job | str, regions: Annotations | None = None) -> Job:
        """Have a job done again with its regions, or with corrected ones, and without looking for any.

        The result that it had is withdrawn at once. Raises `Conflict` when it cannot be.
        """
        return await self._run(queries.rendered(job, regions, self._patience))

    async def techniques(self) -> tuple[TechniqueInfo, ...]:
        """Return how can be hidden."""
        return await self._run(queries.offered("techniques", TechniqueInfo.read))

    async def models(self) -> tuple[ModelInfo, ...]:
        """Return what can find."""
        return await self._run(queries.offered("models", ModelInfo.read))

    async def labels(self) -> tuple[LabelInfo, ...]:
        """Return what can be found."""
        return await self._run(queries.offered("labels", LabelInfo.read))

    async def plans(self) -> tuple[NamedPlan, ...]:
        """Return the plans that the operator keeps."""
        return await self._run(queries.offered("plans", NamedPlan.read))

    async def close(self) -> None:
        """End all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        with closing(Exchange(steps)) as talk:
            async with aclosing(AsyncConnection(self._service, self._http)) as line:
                while talk.step is not None:
                    await _take(talk.step, talk, line)
                return talk.result

    async def _each(self, steps: Steps[Any]) -> AsyncIterator[Any]:
        with closing(Exchange(steps)) as talk:
            async with aclosing(AsyncConnection(self._service, self._http)) as line:
                while talk.step is not None:
                    if isinstance(talk.step, Emit):
                        yield talk.step.value
                    await _take(talk.step, talk, line)


async def _take(step: Step, talk: Exchange[Any], line: AsyncConnection) -> None:
    try:
        outcome = await _outcome(step, line)
    except (VelumError, OSError) as error:
        talk.failed(error)
    else:
        talk.done(outcome)


async def _outcome(step: Step, line: AsyncConnection) -> Any:
    match step:
        case Open(ask):
            return await line.open(ask)
        case Next():
            return await line.next()
        case RunBlocking(call):
            return await threaded(call)
        case Pause(seconds):
            await pause(seconds)
        case Emit():
            pass
    return None
