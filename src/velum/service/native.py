"""velum's own part of the service: what it is made of, and its endpoints."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Depends

from velum.bmw.gate import Gate
from velum.bmw.workers import Workers
from velum.bmw.workshop import Workshop
from velum.engine.engine import Engine
from velum.errors import OutputFailed
from velum.plugins import Host
from velum.remote.peers import Peers
from velum.service import blur
from velum.service.access import Access, keys_file
from velum.service.keys import Keys
from velum.service.office import Crew, Making, Office, work_folder
from velum.service.v1 import approvals, counter, images, jobs, keyring, offered, review, session, uploads
from velum.service.v1.obtainable import Obtainable
from velum.service.v1.plans import Plans
from velum.service.v1.previews import Previews
from velum.service.v1.studio import Studio
from velum.settings import Settings

LOG = logging.getLogger("velum.service")


@dataclass(frozen=True, slots=True, eq=False)
class Native:
    """Everything of it that lives as long as the service."""

    office: Office
    crew: Crew | None
    workshop: Workshop
    images: images.Images
    blurring: blur.Blurring
    offered: offered.Offered
    receiving: uploads.Receiving
    counter: counter.Counter
    previews: Previews
    keys: Keys
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

    def routers(self, access: Access) -> Iterator[tuple[str, APIRouter]]:
        """Yield the endpoints, each with the path they lie under."""
        anonymizing = APIRouter(dependencies=[Depends(access.require("anonymize"))])
        anonymizing.include_router(images.routes(self.images), prefix="/v1")
        anonymizing.include_router(blur.routes(self.blurring))
        yield "", anonymizing
        yield "/v1", uploads.routes(self.receiving, access)
        yield "/v1", jobs.routes(self.counter, access, watchers=self.watchers, ending=self.ending)
        yield "/v1", review.routes(self.counter, self.images.studio, self.previews, access)
        yield "/v1", approvals.routes(self.counter, access, eyes=self.eyes)
        yield "/v1", offered.routes(self.offered)
        yield "/v1", keyring.routes(self.keys, access)
        yield "/v1", session.routes(access)


def native(  # noqa: PLR0913 - all but three are given by name
    settings: Settings,
    host: Host,
    engine: Engine,
    *,
    gate: Gate,
    workers: Workers,
    peers: Peers,
    office: Office,
    craft: Making,
    ending: Callable[[], bool],
) -> Native:
    """Return it. The gate, the workers and the connections are those of the whole service.

    `ending` tells whether that has been told to end.
    """
    service, most = settings.service, settings.limits().bytes
    plans = Plans(service.plans, engine)
    workshop = Workshop(work_folder(settings))
    studio = Studio(engine, gate, workshop)
    shown = offered.Offered(host, plans, Obtainable(host))
    return Native(
        office=office,
        crew=Crew(settings, peers, craft) if settings.jobs.in_process else None,
        workshop=workshop,
        images=images.Images(studio, plans, workers, service.picture_bytes),
        blurring=blur.Blurring(studio, plans, workers, host, shown.here, service.picture_bytes, service.blur_plan),
        offered=shown,
        receiving=uploads.Receiving(office, streams=service.requests),
        counter=counter.Counter(
            office, plans, peers, counter.Allowed(urls=settings.jobs.urls, webhooks=settings.jobs.webhooks), most
        ),
        previews=Previews(workshop, settings.limits(), partial(_kept, office)),
        keys=Keys(keys_file(settings)),
        eyes=settings.jobs.eyes,
        watchers=max(1, service.requests // 2),
        ending=ending,
    )


def _kept(office: Office, job: str) -> bool:
    """Tell whether the source of a job is still kept."""
    found = office.open().desk.get(job)
    return found is not None and found.source_kept
