"""velum's own part of the service: what it is made of, and its endpoints."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Depends

from velum.engine.engine import Engine
from velum.errors import OutputFailed
from velum.media import DecoderPool
from velum.net.client import HttpClient
from velum.plugins import RuntimeConfig
from velum.service import panoramax
from velum.service.admission import Admission
from velum.service.auth.api_keys import ApiKeys
from velum.service.auth.middleware import Authenticator, keys_file
from velum.service.job_backend import InProcessWorker, JobBackend, ProcessorFactory, work_folder
from velum.service.request_threads import RequestThreads
from velum.service.v1 import api_keys, approvals, capabilities, images, job_service, jobs, review, session, uploads
from velum.service.v1.downloadable_models import Obtainable
from velum.service.v1.image_service import ImageService
from velum.service.v1.plans import Plans
from velum.service.v1.previews import Previews
from velum.settings import Settings
from velum.storage.scratch import ScratchDirs

LOG = logging.getLogger("velum.service")


@dataclass(frozen=True, slots=True, eq=False)
class V1:
    """Everything of it that lives as long as the service."""

    office: JobBackend
    crew: InProcessWorker | None
    workshop: ScratchDirs
    images: images.Images
    blurring: panoramax.PanoramaxService
    offered: capabilities.Capabilities
    receiving: uploads.UploadService
    counter: job_service.JobService
    previews: Previews
    keys: ApiKeys
    eyes: int
    watchers: int
    ending: Callable[[], bool]

    def open(self) -> None:
        """Begin. What cannot be opened now is told to those who need it."""
        try:
            self.workshop.open()
        except OutputFailed as error:
            LOG.warning("pictures cannot be served", extra={"facts": {"cause": str(error)}})
        lacking = self.blurring.state()
        if lacking != "ready":
            LOG.info("street pictures are refused", extra={"facts": {"cause": lacking}})
        if self.crew is not None:
            self.crew.start()

    def close(self) -> None:
        """End; a job in work is finished as far as that is soon."""
        if self.crew is not None:
            self.crew.end()
        self.previews.close()
        self.office.close()
        self.workshop.close()

    def routers(self, access: Authenticator) -> Iterator[tuple[str, APIRouter]]:
        """Yield the endpoints, each with the path they lie under."""
        anonymizing = APIRouter(dependencies=[Depends(access.require("anonymize"))])
        anonymizing.include_router(images.routes(self.images), prefix="/v1")
        anonymizing.include_router(panoramax.routes(self.blurring))
        yield "", anonymizing
        yield "/v1", uploads.routes(self.receiving, access)
        yield "/v1", jobs.routes(self.counter, access, watchers=self.watchers, ending=self.ending)
        yield "/v1", review.routes(self.counter, self.images.studio, self.previews, access)
        yield "/v1", approvals.routes(self.counter, access, eyes=self.eyes)
        yield "/v1", capabilities.routes(self.offered)
        yield "/v1", api_keys.routes(self.keys, access)
        yield "/v1", session.routes(access)


def native(  # noqa: PLR0913 - all but three are given by name
    settings: Settings,
    host: RuntimeConfig,
    engine: Engine,
    *,
    decoders: DecoderPool,
    gate: Admission,
    workers: RequestThreads,
    peers: HttpClient,
    office: JobBackend,
    craft: ProcessorFactory,
    ending: Callable[[], bool],
) -> V1:
    """Return it. The gate, the workers and the connections are those of the whole service.

    `ending` tells whether that has been told to end.
    """
    service, most = settings.service, settings.limits().bytes
    plans = Plans(service.plans, engine)
    workshop = ScratchDirs(work_folder(settings))
    studio = ImageService(engine, gate, workshop)
    shown = capabilities.Capabilities(host, plans, Obtainable(host))
    return V1(
        office=office,
        crew=InProcessWorker(settings, peers, craft) if settings.jobs.in_process else None,
        workshop=workshop,
        images=images.Images(studio, plans, workers, service.picture_bytes),
        blurring=panoramax.PanoramaxService(
            studio, plans, workers, host, shown.installed, service.picture_bytes, service.blur_plan
        ),
        offered=shown,
        receiving=uploads.UploadService(office, streams=service.requests),
        counter=job_service.JobService(
            office, plans, peers, job_service.Allowed(urls=settings.jobs.urls, webhooks=settings.jobs.webhooks), most
        ),
        previews=Previews(workshop, decoders, engine.limits, partial(_kept, office)),
        keys=ApiKeys(keys_file(settings)),
        eyes=settings.review.required_approvals,
        watchers=max(1, service.requests // 2),
        ending=ending,
    )


def _kept(office: JobBackend, job: str) -> bool:
    """Tell whether the source of a job is still kept."""
    found = office.open().desk.get(job)
    return found is not None and found.source_kept
