"""Trainings as jobs, for tests without torch: what a process that died has left, and a worker that goes on from it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.train.factories import coco, discs
from tests.train.tiny_network import write_disc_finder
from tests.waiting import until

from velum import Limits
from velum.jobs import JobKind, JobRecord, Submission
from velum.locate import user_models
from velum.locate.import_model import ImportOptions, identify_model
from velum.net.client import HttpClient
from velum.plan import Plan
from velum.service.job_backend import JobBackend, trainings_folder, worker
from velum.settings import Settings
from velum.train import job
from velum.train.run_folder import RunFolder, TrainingRequest
from velum.train.training import Training, prepare

NAME = "round"


@dataclass(frozen=True)
class TrainingJobs:
    """Labelled discs, and the jobs of a service with these settings."""

    settings: Settings
    folder: Path
    backend: JobBackend

    @classmethod
    def of(cls, settings: Settings, folder: Path) -> "TrainingJobs":
        """Draw the discs into a folder, and write the base."""
        coco(folder, discs(20))
        write_disc_finder(folder / "base.onnx", 32)
        return cls(settings, folder, JobBackend(settings))

    @property
    def request(self) -> TrainingRequest:
        """A training of the labels in the folder."""
        truth, base = (str(self.folder / name) for name in ("truth.json", "base.onnx"))
        return TrainingRequest(truth=truth, base=base, side=96, recall=0.5, steps=10)

    def submit(
        self, request: TrainingRequest | None = None, sources: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> JobRecord:  # fmt: skip
        path, opened = self.folder / "order.zip", self.backend.open()
        job.write_order(path, job.TrainingOrder(request or self.request, sources or {}), labels or {})
        key = opened.store.move_in(path).key
        return opened.queue.submit(Submission(key, NAME, Plan(), owner="op", kind=JobKind.TRAIN))

    def add_base(self) -> None:
        """Add the base as a model of the catalogue."""
        offer = identify_model(self.folder / "base.onnx", ImportOptions(name="tiny", labels=("face",)))
        user_models.put(offer, self.settings.host())

    def leave_state(self, training: JobRecord, request: TrainingRequest | None = None) -> RunFolder:
        """Leave what a training has whose process was killed after the first look at the held-out pictures."""
        prepared = prepare(request or self.request, Limits())
        folder = RunFolder(trainings_folder(self.settings) / training.id / NAME)
        work = Training(folder, prepared, prepared.run(), self.settings.host(), Limits())
        folder.begin(work.run, replace=True)
        folder.write_bytes("model.onnx", work.model.SerializeToString())
        folder.add_look({
            "step": 3, "share": 0.1, "loss": 2.0, "measure": "AP50", "score": 0.5, "by_label": {"disc": 0.5},
            "seconds": 1.0,
        })  # fmt: skip
        return folder

    def add_present(self) -> None:
        """Add a model of that name whose boxes are too small for most discs."""
        network = write_disc_finder(self.folder / "present.onnx", 4)
        offer = identify_model(network, ImportOptions(name=NAME, labels=("disc",), family="centerface"))
        user_models.put(offer, self.settings.host())

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker in a thread."""
        stop = threading.Event()
        run = worker(self.settings, HttpClient(self.settings.remote)).run
        thread = threading.Thread(target=run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def ended(self, training: JobRecord) -> JobRecord:
        """Wait for the end of a training."""

        def look() -> JobRecord | None:
            found = self.backend.open().queue.get(training.id)
            return found if found is not None and found.state.is_final else None

        found: JobRecord = until(look)
        return found
