"""`/v1/trainings`: operators train models from labels, compare them with the present ones, and switch over."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from fastapi import Path as InPath
from starlette.responses import JSONResponse, Response

from velum.errors import BadInput, BadPlan, Unavailable
from velum.jobs import JobKind, JobRecord, State, Submission
from velum.jobs.approvals import list_approvals
from velum.jobs.queue import MAX_PAGE_SIZE
from velum.locate import registry
from velum.plan import Plan
from velum.plugins import RuntimeConfig
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.job_backend import JobBackend
from velum.service.late_router import LateRouter
from velum.service.middleware import note
from velum.service.problem_details import Problem, problems
from velum.service.v1.http_bodies import result_of
from velum.service.v1.jobs import RANGES, JobId
from velum.service.v1.values import ModelVersion, TrainingEntry, TrainingList, TrainRequest
from velum.settings.schema import TrainSettings
from velum.train import machine
from velum.train.job import TrainingOrder, read_result, write_order
from velum.train.run_folder import TrainingRequest

_NO_STORE = {"cache-control": "no-store"}

ModelName = Annotated[str, InPath(description="Name of a model that was added.", examples=["helmet"])]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingService:
    """Starts, lists and changes trainings for operators. Safe to share between threads."""

    backend: JobBackend
    host: RuntimeConfig
    settings: TrainSettings
    required_approvals: int
    audit: Callable[[Mapping[str, Any]], None]
    """Writes a line to the audit log, where there is one."""

    def start(self, wanted: TrainRequest, caller: Principal) -> JobRecord:
        """Submit a training. Raises `Problem` (409) without torch, `BadPlan` and `BadInput` for wrong values."""
        if (needs := _missing()) is not None:
            raise Problem(409, needs)
        from velum.train.training import check_name  # noqa: PLC0415 - it needs onnx, of the same extra

        check_name(wanted.name, self.host, replace_model=True)
        if wanted.seconds > self.settings.most_seconds:
            raise BadPlan(
                f"seconds is {wanted.seconds:g}; a training may take up to {self.settings.most_seconds:g} s here "
                "(setting train.most_seconds)"
            )
        truth, media = (None if path is None else self._inside(path) for path in (wanted.truth, wanted.media))
        request = TrainingRequest(
            truth="" if truth is None else str(truth), media=None if media is None else str(media),
            labels=tuple(wanted.labels), task=wanted.task, base=self._base(wanted), group=wanted.group,
            seconds=wanted.seconds, recall=wanted.recall, side=wanted.side,
        )  # fmt: skip
        labels, sources = self._export_approved() if truth is None else ({}, {})
        if truth is None and media is None and not sources:
            raise BadInput(
                "the service has deleted its copies of all approved files, as it does after their approval; name the "
                "folder where the submitted files lie with media"
            )
        opened = self.backend.open()
        with tempfile.TemporaryDirectory(prefix="velum-train-") as folder:
            path = Path(folder) / "order.zip"
            write_order(path, TrainingOrder(request, sources), labels)
            key = opened.store.move_in(path).key
        return opened.queue.submit(Submission(key, wanted.name, Plan(), owner=caller.name, kind=JobKind.TRAIN))

    def get(self, job: str) -> JobRecord:
        """Return a training. Raises `Problem` (404)."""
        record = self.backend.open().queue.get(job) if len(job) == 32 and job.isalnum() else None
        if record is None or record.submission.kind is not JobKind.TRAIN:
            raise Problem(404, f"training {job[:40]!r} does not exist: it was never started, or it has been deleted")
        return record

    def json_of(self, job: JobRecord) -> dict[str, Any]:
        """Return a training as JSON values."""
        report = self.backend.open().queue.report(job.id, interim=True)
        values = job.to_json(inner=True)
        shown = {name: values[name] for name in ("id", "name", "state", "submitted", "started", "ended", "error")}
        return shown | {
            "owner": job.submission.owner, "report": report, "result": job.result is not None,
            "present": report is not None and self._is_present(job.submission.name, report.get("sha256")),
            "retryable": job.source_kept and job.state in {State.FAILED, State.CANCELLED, State.GAVE_UP},
        }  # fmt: skip

    def overview(self) -> dict[str, Any]:
        """Return the newest trainings and what can be trained here, as JSON values."""
        jobs = self.backend.open().queue.list(kind=JobKind.TRAIN, limit=50).jobs
        needs = _missing()
        return {
            "trainings": [self.json_of(job) for job in jobs], "needs": needs,
            "bases": {} if needs else self._bases(), "folders": [str(folder) for folder in self.settings.folders],
            "most_seconds": self.settings.most_seconds,
        }  # fmt: skip

    def change(self, job: str, how: Literal["cancel", "retry"]) -> JobRecord:
        """Cancel a training, or have it go on from its last state. Raises `Problem` (404, 409)."""
        self.get(job)
        queue = self.backend.open().queue
        try:
            record = queue.cancel(job) if how == "cancel" else queue.retry(job)
        except BadPlan as error:
            raise Problem(409, str(error)) from error
        return record or self.get(job)

    def switch_over(self, job: str, caller: Principal) -> dict[str, Any]:
        """Make the model of a training the present one of its name. Raises `Problem` (404, 409, 410)."""
        from velum.locate import user_models  # noqa: PLC0415 - what runs networks is loaded when one is tried

        training, opened = self.get(job), self.backend.open()
        if training.state is not State.DONE:
            raise Problem(409, f"training {job} is {training.state}; it has a model once it is done")
        if training.result is None:
            raise Problem(410, f"the model of training {job} was deleted after its retention time; train again")
        with tempfile.TemporaryDirectory(prefix="velum-train-") as folder:
            offer = read_result(opened.store.fetch(training.result, Path(folder)), Path(folder))
            user_models.put(offer, self.host, replace=True)
        return self._describe_versions(offer.name, "switch over", caller)

    def switch_back(self, name: str, caller: Principal) -> dict[str, Any]:
        """Make the former version of a model the present one. Raises `Problem` (404, 409) where there is none."""
        from velum.locate import user_models  # noqa: PLC0415 - likewise

        if name not in registry.added_models(self.host):
            raise Problem(404, f"there is no added model {name[:80]!r}, so nothing can be switched back")
        try:
            user_models.switch_back(name, self.host)
        except BadPlan as error:
            raise Problem(409, str(error)) from error
        return self._describe_versions(name, "switch back", caller)

    def _describe_versions(self, name: str, how: str, caller: Principal) -> dict[str, Any]:
        former = registry.former_models(self.host).get(name)
        versions = {
            "name": name, "present": registry.added_models(self.host)[name].fingerprint,
            "former": None if former is None else former.fingerprint,
        }  # fmt: skip
        self.audit({"caller": caller.name, "result": how, "model": versions["present"]})
        return versions

    def _is_present(self, name: str, sha256: object) -> bool:
        present = registry.added_models(self.host).get(name)
        return present is not None and present.sha256 == sha256

    def _inside(self, text: str) -> Path:
        """Return a path that must lie in one of the operator's folders, links resolved. Raises `BadInput`."""
        folders = [folder.resolve() for folder in self.settings.folders]
        if not folders:
            raise BadInput(
                "no folder is open to trainings here; its operator names them with the setting train.folders"
            )
        path = (folders[0] / text).resolve()
        if "\0" in text or not any(path.is_relative_to(folder) for folder in folders):
            raise BadInput(f"{text[:200]!r} is in none of the folders {', '.join(map(str, self.settings.folders))}")
        if not path.exists():
            raise BadInput(f"{text[:200]!r} does not exist; give a file or folder in {folders[0]}")
        return path

    def _base(self, request: TrainRequest) -> str:
        bases = self._bases()[request.task]
        name = request.base or bases[0]
        if name not in bases:
            raise BadPlan(f"base {name!r} cannot be trained for {request.task}; take {', '.join(bases)}")
        return name

    def _bases(self) -> dict[str, list[str]]:
        from velum.train.bases import DEFAULTS, list_bases  # noqa: PLC0415 - it needs onnx, of the extra

        return {task: sorted(list_bases(task, self.host), key=lambda name: name != DEFAULTS[task]) for task in DEFAULTS}

    def _export_approved(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the annotation file of each approved result, and the key of its source, by name of the source.

        Raises `BadInput` where nothing is approved.
        """
        labels: dict[str, str] = {}
        sources: dict[str, str] = {}
        store = self.backend.open().store
        for job in self._approved_jobs():
            name = PurePosixPath(job.submission.name).name
            if name not in labels and job.regions is not None and not job.corrections_pending:
                labels[name] = b"".join(store.open(job.regions)).decode()
                if job.source_kept:
                    sources[name] = job.submission.source
        if not labels:
            raise BadInput(
                "no job has an approved result, so there is nothing to learn from; approve results on the page, under "
                "Review, or name labels in one of the operator's folders"
            )
        return labels, sources

    def _approved_jobs(self) -> Iterator[JobRecord]:
        opened, after = self.backend.open(), None
        while True:
            page = opened.queue.list(state=State.DONE, after=after, limit=MAX_PAGE_SIZE)
            approvals: Mapping[str, Sequence[object]] = list_approvals(opened.database, page.jobs)
            yield from (job for job in page.jobs if len(approvals.get(job.id, ())) >= self.required_approvals)
            if (after := page.after) is None:
                return


def _missing() -> str | None:
    """Return what must be installed to train here, None where nothing is missing."""
    try:
        machine.check_torch()
    except Unavailable as error:
        return str(error)
    return None


def routes(service: TrainingService, access: Authenticator) -> LateRouter:
    """Return the endpoints below `/trainings`, and that for switching a model back."""
    router = LateRouter(tags=["Training"], default_response_class=JSONResponse)
    Operating = Annotated[Principal, Depends(access.require("operate"))]  # noqa: N806 - a type

    def answer(job: JobRecord, request: Request, status: int = 200) -> Response:
        note(request, job=job.id)
        return JSONResponse(service.json_of(job), status, _NO_STORE)

    @router.get("/trainings", response_model=TrainingList, responses=problems())
    def list_trainings(_: Operating) -> Response:
        """List the newest trainings, and what can be trained here. Takes the scope operate."""
        return JSONResponse(service.overview(), headers=_NO_STORE)

    @router.post("/trainings", status_code=201, response_model=TrainingEntry, responses=problems(409))
    def start(wanted: TrainRequest, caller: Operating, request: Request) -> Response:
        """Train a model, in a worker. It replaces none before someone switches over. Takes the scope operate."""
        return answer(service.start(wanted, caller), request, 201)

    @router.get("/trainings/{job}", response_model=TrainingEntry, responses=problems(404))
    def look(job: JobId, _: Operating, request: Request) -> Response:
        """Return a training: its progress, and then its figures. Takes the scope operate."""
        return answer(service.get(job), request)

    @router.post("/trainings/{job}/cancel", response_model=TrainingEntry, responses=problems(404))
    def cancel(job: JobId, _: Operating, request: Request) -> Response:
        """Cancel a training; its best state so far is kept, and retry goes on from there. Takes the scope operate."""
        return answer(service.change(job, "cancel"), request)

    @router.post("/trainings/{job}/retry", response_model=TrainingEntry, responses=problems(404, 409))
    def retry(job: JobId, _: Operating, request: Request) -> Response:
        """Have a cancelled or failed training go on from its last state. Takes the scope operate."""
        return answer(service.change(job, "retry"), request)

    @router.post("/trainings/{job}/switch", response_model=ModelVersion, responses=problems(404, 409, 410))
    def switch_over(job: JobId, caller: Operating, request: Request) -> Response:
        """Make the model of a training the present one; the one before stays as the former. Takes operate."""
        note(request, job=job)
        return JSONResponse(service.switch_over(job, caller))

    @router.post("/models/{name}/switch-back", response_model=ModelVersion, responses=problems(404, 409))
    def switch_back(name: ModelName, caller: Operating) -> Response:
        """Make the former version of a model the present one; a second time, the newer one. Takes operate."""
        return JSONResponse(service.switch_back(name, caller))

    @router.get(
        "/trainings/{job}/result", responses={**RANGES, **problems(404, 409, 410, 416)}, response_class=Response
    )
    def result(job: JobId, _: Operating, request: Request) -> Response:
        """Fetch the model with its card and report, a ZIP archive. The report shows people. Takes operate."""
        return result_of(service.get(job), service.backend.open().store, request)

    @router.delete("/trainings/{job}", status_code=204, responses=problems(404), response_class=Response)
    def delete(job: JobId, _: Operating) -> Response:
        """Delete a training in any state; a model that is used stays. Takes the scope operate."""
        service.get(job)
        service.backend.delete(job)
        return Response(status_code=204)

    return router
