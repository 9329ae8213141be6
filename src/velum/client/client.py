"""The service from programs that wait for it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Self, TypeVar

from velum.annotations import Annotations
from velum.client import downloads, jobs, queries, uploads
from velum.client._sansio import Emit, Exchange, Next, Open, Pause, Progress, RunBlocking, Step, Steps
from velum.client.models import HiddenFile, Job, LabelInfo, ModelInfo, NamedPlan, State, TechniqueInfo, Upload
from velum.client.transport import Connection, ServiceAddress
from velum.errors import VelumError
from velum.plan import Plan

T = TypeVar("T")


class Client:
    """The service at `base_url`. Safe to share between threads.

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
        self._http = self._service.client()
        self._patience = patience_seconds

    def hide(
        self, source: str | Path, target: str | Path, plan: Plan | str | None = None, *, overwrite: bool = False
    ) -> HiddenFile:
        """Hide in a picture what the plan names, and write it to `target`. The service keeps nothing of it."""
        return self._run(downloads.hidden(Path(source), Path(target), plan, overwrite=overwrite))

    def locate(self, source: str | Path, plan: Plan | str | None = None) -> Annotations:
        """Return what the plan would hide in a picture."""
        return self._run(queries.located(Path(source), plan))

    def upload(self, source: str | Path, *, progress: Progress | None = None) -> Upload:
        """Send a file for a job to take over; what no job takes is deleted by the service after a time."""
        return self._run(uploads.uploaded(Path(source), self._patience, progress))

    def submit(
        self, source: str | Path | Upload, plan: Plan | str | None = None, *, name: str | None = None,
        priority: int = 0, webhook: str | None = None, regions: Annotations | None = None,
        progress: Progress | None = None,
    ) -> Job:  # fmt: skip
        """Hand in a job. `source` is a file, an upload, or an address (`http...`) that the service fetches it from.

        `name` is what the result is named after. With `regions` these are hidden, and nothing is looked for.
        """
        wanted = jobs.NewJob(source, plan, name, priority, webhook, regions, progress)
        return self._run(jobs.submitted(wanted, self._patience))

    def job(self, job: Job | str) -> Job:
        """Return a job as it is now."""
        return self._run(jobs.looked_at(job))

    def jobs(self, *, state: State | None = None, owner: str | None = None) -> Iterator[Job]:
        """Yield one's jobs, newest first; with the scope operate those of `owner`, or everyone's."""
        return self._each(jobs.listed(state, owner))

    def events(self, job: Job | str) -> Iterator[Job]:
        """Yield a job, and again each time that it has changed, up to its end."""
        return self._each(jobs.watched(job, self._patience))

    def wait(self, job: Job | str) -> Job:
        """Return a job when it has ended, well or not."""
        return self._run(jobs.watched(job, self._patience))

    def cancel(self, job: Job | str) -> Job:
        """Call a job off."""
        return self._run(jobs.looked_at(job, "cancel"))

    def retry(self, job: Job | str) -> Job:
        """Have a job done again that did not end well. Raises `Conflict` when it cannot be."""
        return self._run(jobs.looked_at(job, "retry"))

    def delete(self, job: Job | str) -> None:
        """Delete a job with all that belongs to it."""
        self._run(jobs.deleted(job))

    def result(
        self, job: Job | str, target: str | Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> Path:
        """Write the result of a job to `target`, whole or not at all.

        Raises `Conflict` before the job is done, `Expired` when the result was deleted after its time.
        """
        return self._run(downloads.result(job, Path(target), self._patience, progress, overwrite=overwrite))

    def report(self, job: Job | str) -> Mapping[str, Any]:
        """Return the report of a job, as `velum.report.Report.to_json` writes it."""
        return self._run(queries.report(job))

    def regions(self, job: Job | str) -> Annotations:
        """Return what a job hides, or what it was last corrected to. Raises `Conflict` before it is done."""
        return self._run(queries.regions(job))

    def render(self, job: Job | str, regions: Annotations | None = None) -> Job:
        """Have a job done again with its regions, or with corrected ones, and without looking for any.

        The result that it had is withdrawn at once. Raises `Conflict` when it cannot be.
        """
        return self._run(queries.rendered(job, regions, self._patience))

    def techniques(self) -> tuple[TechniqueInfo, ...]:
        """Return how can be hidden."""
        return self._run(queries.offered("techniques", TechniqueInfo.read))

    def models(self) -> tuple[ModelInfo, ...]:
        """Return what can find."""
        return self._run(queries.offered("models", ModelInfo.read))

    def labels(self) -> tuple[LabelInfo, ...]:
        """Return what can be found."""
        return self._run(queries.offered("labels", LabelInfo.read))

    def plans(self) -> tuple[NamedPlan, ...]:
        """Return the plans that the operator keeps."""
        return self._run(queries.offered("plans", NamedPlan.read))

    def close(self) -> None:
        """End all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        with closing(Exchange(steps)) as talk, closing(Connection(self._service, self._http)) as line:
            while talk.step is not None:
                _take(talk.step, talk, line)
            return talk.result

    def _each(self, steps: Steps[Any]) -> Iterator[Any]:
        with closing(Exchange(steps)) as talk, closing(Connection(self._service, self._http)) as line:
            while talk.step is not None:
                if isinstance(talk.step, Emit):
                    yield talk.step.value
                _take(talk.step, talk, line)


def _take(step: Step, talk: Exchange[Any], line: Connection) -> None:
    try:
        outcome = _outcome(step, line)
    except (VelumError, OSError) as error:
        talk.failed(error)
    else:
        talk.done(outcome)


def _outcome(step: Step, line: Connection) -> Any:
    match step:
        case Open(ask):
            return line.open(ask)
        case Next():
            return line.next()
        case RunBlocking(call):
            return call()
        case Pause(seconds):
            time.sleep(seconds)
        case Emit():
            pass
    return None
