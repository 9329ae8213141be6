"""velum's own API: its parts, and the routers of its endpoints."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from velum.errors import OutputFailed
from velum.service import panoramax
from velum.service.auth.api_keys import ApiKeys
from velum.service.auth.middleware import Authenticator, keys_file
from velum.service.job_backend import InProcessWorker, JobBackend, observed_processor_factory, retention_of, work_folder
from velum.service.late_router import LateRouter
from velum.service.observed_processor import write_audit
from velum.service.state import ServiceParts
from velum.service.v1 import (
    api_keys,
    capabilities,
    drafts,
    galleries,
    images,
    jobs,
    previews,
    review,
    topics,
    trainings,
    uploads,
)
from velum.service.v1.capabilities import Obtainable
from velum.service.v1.job_service import JobService
from velum.service.v1.photos import RequestPhotos
from velum.service.v1.plans import REMOTE, Plans
from velum.service.v1.previews import Previews
from velum.service.v1.trainings import TrainingService
from velum.storage.scratch import ScratchDirs

LOG = logging.getLogger("velum.service")


@dataclass(frozen=True, slots=True, eq=False)
class V1:
    """The parts of velum's own API, which live as long as the service."""

    backend: JobBackend
    worker: InProcessWorker | None
    scratch: ScratchDirs
    image_routes: LateRouter
    image_service: images.ImageService
    street_images: panoramax.PanoramaxService
    offered: capabilities.Capabilities
    upload_service: uploads.UploadService
    job_service: JobService
    previews: Previews
    galleries: galleries.Galleries
    trainings: TrainingService
    keys: ApiKeys
    required_approvals: int
    watchers: int
    ending: Callable[[], bool]

    def open(self) -> None:
        """Start the parts. What cannot start is logged, and reported to requests that need it."""
        try:
            self.scratch.open()
        except OutputFailed as error:
            LOG.warning("images cannot be processed", extra={"facts": {"cause": str(error)}})
        lacking = self.street_images.state()
        if lacking != "ready":
            LOG.info("street images are refused", extra={"facts": {"cause": lacking}})
        if self.worker is not None:
            self.worker.start()

    def close(self) -> None:
        """Shut down; a running job may finish within the grace period."""
        if self.worker is not None:
            self.worker.end()
        self.previews.close()
        self.galleries.close()
        self.backend.close()
        self.scratch.close()

    def routers(self, access: Authenticator) -> Iterator[tuple[str, LateRouter]]:
        """Yield the routers, each with the prefix of its paths."""
        yield "/v1", self.image_routes
        yield "", panoramax.routes(self.street_images, access)
        yield "/v1", uploads.routes(self.upload_service, access)
        yield "/v1", topics.routes(self.backend, self.previews.decoders, self.previews.limits, access)
        yield "/v1", jobs.routes(self.job_service, access, watchers=self.watchers, ending=self.ending)
        yield "/v1", review.routes(self.job_service, self.image_service, access)
        yield "/v1", previews.routes(self.job_service, self.previews, access)
        yield "/v1", drafts.routes(self.job_service, access)
        yield "/v1", galleries.routes(self.galleries, self.job_service, access)
        yield "/v1", review.queue_routes(self.job_service, access, required_approvals=self.required_approvals)
        yield "/v1", trainings.routes(self.trainings, access)
        yield "/v1", capabilities.routes(self.offered)
        yield "/v1", api_keys.routes(self.keys, access)
        yield "/v1", api_keys.session_routes(access)


def create_v1(parts: ServiceParts, jobs: JobBackend) -> V1:
    """Return the parts of the API. They share engine, threads and connections with the rest of the service."""
    settings = parts.settings
    service = settings.service
    plans = Plans(service.plans, parts.engine, REMOTE | parts.added_localizers, service.people)
    scratch = ScratchDirs(work_folder(settings))
    photos = RequestPhotos(jobs, plans, scratch)
    image_service = images.ImageService(parts.engine, parts.admission, scratch)
    offered = capabilities.Capabilities(parts.host, plans, Obtainable(parts.host), parts.is_installed)
    make_processor = observed_processor_factory(settings, parts.metrics, parts.audit)
    return V1(
        backend=jobs,
        worker=InProcessWorker(settings, parts.peers, make_processor) if settings.jobs.in_process else None,
        scratch=scratch,
        image_routes=images.routes(
            image_service, photos, parts.workers, parts.access, most=service.picture_bytes
        ),
        image_service=image_service,
        street_images=panoramax.PanoramaxService(
            image_service, plans, parts.workers, parts.host, parts.is_installed, service.picture_bytes,
            service.blur_plan,
        ),
        offered=offered,
        upload_service=uploads.UploadService(
            jobs, streams=service.requests, most_bytes=settings.limits().bytes
        ),
        job_service=JobService(
            jobs, plans, photos, parts.peers, settings.limits().bytes, allows_urls=settings.jobs.urls,
            allows_webhooks=settings.jobs.webhooks, retention=retention_of(settings.jobs),
            most_seconds=settings.jobs.originals_most_seconds,
        ),
        previews=Previews(scratch, parts.decoders, parts.engine.limits, partial(_keeps_source, jobs)),
        galleries=galleries.Galleries(parts.engine, scratch, partial(_keeps_source, jobs), is_allowed=service.people),
        trainings=TrainingService(
            jobs, parts.host, settings.train, settings.review.required_approvals, partial(_audit, parts)
        ),
        keys=ApiKeys(keys_file(settings)),
        required_approvals=settings.review.required_approvals,
        watchers=max(1, service.requests // 2),
        ending=parts.ending.is_set,
    )  # fmt: skip


def _audit(parts: ServiceParts, line: Mapping[str, Any]) -> None:
    if parts.audit is not None:
        write_audit(parts.audit, line, parts.metrics)


def _keeps_source(backend: JobBackend, preview: str) -> bool:
    """Tell whether the file is still kept that a preview shows: the source of a job, or its result (`job.result`)."""
    job, _, result = preview.partition(previews.MEMBER_SIGN)[0].partition(".")
    record = backend.open().queue.get(job)
    return record is not None and (record.result == result if result else record.source_kept)
