"""The blocking client."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Self, TypeVar

from velum.annotations import Annotations
from velum.client import jobs, transfers
from velum.client._sansio import Emit, Exchange, Next, Open, Pause, Progress, RunBlocking, Step, Steps
from velum.client.models import HiddenFile, Job, LabelInfo, ModelInfo, NamedPlan, State, TechniqueInfo, Upload
from velum.client.transport import Connection, ServiceAddress
from velum.errors import VelumError
from velum.plan import Plan

T = TypeVar("T")


class Client:
    """The service at `base_url`. Safe to share between threads.

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
        self._http = self._service.client()
        self._patience = patience_seconds

    def hide(
        self, source: str | Path, target: str | Path, plan: Plan | str | None = None, *, overwrite: bool = False
    ) -> HiddenFile:
        """Hide in an image what the plan names, and write the result to `target`. The service keeps nothing of it."""
        return self._run(transfers.hide_image(Path(source), Path(target), plan, overwrite=overwrite))

    def locate(self, source: str | Path, plan: Plan | str | None = None) -> Annotations:
        """Return the regions that the plan would hide in an image."""
        return self._run(jobs.locate(Path(source), plan))

    def upload(self, source: str | Path, *, progress: Progress | None = None) -> Upload:
        """Upload a file for a later `submit`. The service deletes an upload that no job uses after a time."""
        return self._run(transfers.upload_file(Path(source), self._patience, progress))

    def submit(
        self, source: str | Path | Upload, plan: Plan | str | None = None, *, name: str | None = None,
        priority: int = 0, webhook: str | None = None, regions: Annotations | None = None,
        progress: Progress | None = None,
    ) -> Job:  # fmt: skip
        """Submit a job. `source` is a file, an upload, or a URL (`http...`) that the service downloads.

        The result is named after `name`. With `regions` the job hides these and runs no localizer.
        """
        wanted = jobs.NewJob(source, plan, name, priority, webhook, regions, progress)
        return self._run(jobs.submit(wanted, self._patience))

    def job(self, job: Job | str) -> Job:
        """Return a job as it is now."""
        return self._run(jobs.fetch_job(job))

    def jobs(self, *, state: State | None = None, owner: str | None = None) -> Iterator[Job]:
        """Yield the caller's jobs, newest first; with the scope `operate` those of `owner`, or of everyone."""
        return self._each(jobs.list_jobs(state, owner))

    def events(self, job: Job | str) -> Iterator[Job]:
        """Yield a job now and after each change, until it has ended."""
        return self._each(jobs.watch(job, self._patience))

    def wait(self, job: Job | str) -> Job:
        """Wait until a job has ended (done, failed, cancelled or given up), and return it."""
        return self._run(jobs.watch(job, self._patience))

    def cancel(self, job: Job | str) -> Job:
        """Cancel a job."""
        return self._run(jobs.fetch_job(job, "cancel"))

    def retry(self, job: Job | str) -> Job:
        """Run a job again that failed, was given up or was cancelled. Raises `Conflict` in any other state."""
        return self._run(jobs.fetch_job(job, "retry"))

    def delete(self, job: Job | str) -> None:
        """Delete a job and all its files."""
        self._run(jobs.delete(job))

    def result(
        self, job: Job | str, target: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Write the result of a job to `target`, whole or not at all.

        Raises `Conflict` before the job is done, `Expired` when the result was deleted after its time.
        """
        return self._run(transfers.result(job, Path(target), self._patience, progress, overwrite=overwrite))

    def report(self, job: Job | str) -> Mapping[str, Any]:
        """Return the report of a job, as `velum.report.Report.to_json` writes it."""
        return self._run(jobs.report(job))

    def regions(self, job: Job | str) -> Annotations:
        """Return the regions that a job hides, as corrected last. Raises `Conflict` before the job is done."""
        return self._run(jobs.regions(job))

    def render(self, job: Job | str, regions: Annotations | None = None) -> Job:
        """Hide the regions of a job again, or corrected ones, without running any localizer.

        The result so far is withdrawn at once. Raises `Conflict` when the state of the job does not allow this.
        """
        return self._run(jobs.render(job, regions, self._patience))

    def techniques(self) -> tuple[TechniqueInfo, ...]:
        """List the techniques that the service offers."""
        return self._run(jobs.list_offers("techniques", TechniqueInfo.read))

    def models(self) -> tuple[ModelInfo, ...]:
        """List the models that the service offers."""
        return self._run(jobs.list_offers("models", ModelInfo.read))

    def labels(self) -> tuple[LabelInfo, ...]:
        """List the labels that the service can locate."""
        return self._run(jobs.list_offers("labels", LabelInfo.read))

    def plans(self) -> tuple[NamedPlan, ...]:
        """List the named plans of the service."""
        return self._run(jobs.list_offers("plans", NamedPlan.read))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        with closing(Exchange(steps)) as exchange, closing(Connection(self._service, self._http)) as connection:
            while exchange.step is not None:
                _take(exchange.step, exchange, connection)
            return exchange.result

    def _each(self, steps: Steps[Any]) -> Iterator[Any]:
        with closing(Exchange(steps)) as exchange, closing(Connection(self._service, self._http)) as connection:
            while exchange.step is not None:
                if isinstance(exchange.step, Emit):
                    yield exchange.step.value
                _take(exchange.step, exchange, connection)


def _take(step: Step, exchange: Exchange[Any], connection: Connection) -> None:
    try:
        outcome = _outcome(step, connection)
    except (VelumError, OSError) as error:
        exchange.fail(error)
    else:
        exchange.resume(outcome)


def _outcome(step: Step, connection: Connection) -> Any:
    match step:
        case Open(request):
            return connection.open(request)
        case Next():
            return connection.next()
        case RunBlocking(call):
            return call()
        case Pause(seconds):
            time.sleep(seconds)
        case Emit():
            pass
    return None
