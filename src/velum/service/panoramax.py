"""`POST /blur/`: what platforms of street pictures such as Panoramax ask a blurring service for.

A JPEG comes in as `picture`, the same JPEG goes out, blurred, with what its metadata say of place, time and camera.
"""

import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from velum.bmw.routes import note
from velum.errors import VelumError
from velum.locate.default_models import rules_for
from velum.locate.registry import catalog
from velum.locate.weights.asset import Model
from velum.plan import METADATA, Plan
from velum.plugins import RuntimeConfig
from velum.service.problem_details import NotInstalled, Unsupported, documented
from velum.service.request_threads import RequestThreads
from velum.service.v1.image_service import HiddenImage, ImageService, digest
from velum.service.v1.images import accepts, joined
from velum.service.v1.plans import Plans
from velum.service.v1.request_body import sent
from velum.service.xmp_pose import with_pose_of
from velum.spec import PartSpec

NAME = "velum"
"""What the service calls itself: platforms find by it what it said of a picture before."""

JPEG = b"\xff\xd8\xff"

PLATE = "license_plate"


@dataclass(slots=True, eq=False)
class PanoramaxService:
    """What the endpoint works with. `plan_name` is a plan of the operator, "" for velum's own choice."""

    studio: ImageService
    plans: Plans
    workers: RequestThreads
    host: RuntimeConfig
    here: Callable[[Model], bool]
    most: int
    plan_name: str = ""
    _chosen: Plan | None = field(default=None, init=False)
    _choosing: threading.Lock = field(default_factory=threading.Lock, init=False)

    def state(self) -> str:
        """Return "ready", or why pictures are refused: for the operator."""
        try:
            self.plan()
        except VelumError as error:
            return str(error)
        return "ready"

    async def blurred(self, request: Request) -> Response:
        """Return the blurred picture, alone or with what is said of it."""
        came = await sent(request, "picture", ("keep",), self.most, bare=False)
        both = accepts(request, "multipart/form-data")

        def work(gone: threading.Event) -> Response:
            if not came.data.startswith(JPEG):
                raise Unsupported("the picture is no JPEG; only JPEG is taken here, /v1/images takes others")
            made = self.studio.hide(came.data, self.plan(), gone)
            made = replace(made, data=with_pose_of(came.data, made.data))
            note(request, hidden=len(made.report.hidden))
            return _both(made) if both else _alone(made)

        return await self.workers.run(request, work)

    def plan(self) -> Plan:
        """Return the plan; one that names no metadata keeps all kinds, as these platforms live by them.

        Raises `NotInstalled` when a model of the plan is missing and may not be fetched, and when no plan is named and
        no model on this machine finds licence plates; `BadPlan` for a plan of the operator that cannot be read.
        """
        plan = self._named() if self.plan_name else self._default()
        missing = self._missing(plan) if self.host.offline else []
        if missing:
            raise NotInstalled(
                f"{', '.join(missing)} is not on this machine, and fetching is forbidden; run 'velum models pull "
                f"{' '.join(missing)}' with network access, where the service keeps its models"
            )
        return plan

    def _named(self) -> Plan:
        plan = self.plans.named(self.plan_name)
        return replace(plan, metadata=plan.metadata or METADATA)

    def _missing(self, plan: Plan) -> list[str]:
        """Return the models of the catalogue that a plan needs and whose files are not on this machine."""
        known = catalog(self.host)
        needed = dict.fromkeys(rule.locate.name for rule in plan.rules if rule.locate.name in known)
        return [name for name in needed if name not in self.host.localizers and not self.here(known[name])]

    def _default(self) -> Plan:
        """Return the plan for faces and plates."""
        with self._choosing:
            if self._chosen is not None:
                return self._chosen
            plan, complete = self._choice()
            # Models that are fetched later are taken up: only the whole choice is final.
            self._chosen = plan if complete else None
            return plan

    def _choice(self) -> tuple[Plan, bool]:
        """Return what blurs faces and licence plates, and whether all models for plates are on this machine."""
        blur = PartSpec("blur")
        known = catalog(self.host)
        plates = rules_for([PLATE], blur, self.host)
        able = tuple(rule for rule in plates if rule.locate.name in known and self.here(known[rule.locate.name]))
        if not able:
            raise NotInstalled(
                "no model on this machine finds licence plates, and a picture with readable plates is not returned; "
                f"run 'velum models pull {plates[0].locate.name}' where the service runs, or name a plan of yours in "
                "the setting service.blur_plan: one whose rules name faces only leaves plates readable"
            )
        return Plan((*rules_for(["face"], blur, self.host), *able), metadata=METADATA), len(able) == len(plates)


def routes(blurring: PanoramaxService) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter(tags=["Street pictures"])
    binary = {"schema": {"type": "string", "format": "binary"}}
    done = {
        "description": "The picture; with `Accept: multipart/form-data` the parts `metadata` (JSON) and `image`.",
        "content": {"image/jpeg": binary, "multipart/form-data": binary},
    }

    @router.post("/blur/", responses={200: done, **documented(400, 415)}, response_class=Response, openapi_extra=_BODY)
    async def blur(
        request: Request,
        keep: Annotated[  # noqa: ARG001 - of the contract
            str | None, Query(description="Accepted, and without effect: what was hidden is never kept.")
        ] = None,
    ) -> Response:
        """Blur faces and licence plates in a street picture, as Panoramax asks for it."""
        return await blurring.blurred(request)

    return router


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "picture": {"type": "string", "format": "binary", "description": "A JPEG."},
                        "keep": {"type": "string", "description": "As the parameter of the query."},
                    },
                    "required": ["picture"],
                    "additionalProperties": False,
                }
            }
        },
    }
}


def _alone(made: HiddenImage) -> Response:
    return Response(made.data, media_type="image/jpeg", headers=_headers(made))


def _both(made: HiddenImage) -> Response:
    said = {"blurring_id": secrets.token_hex(16), "service_name": NAME, "annotations": []}
    both = ((b"metadata", b"application/json", json.dumps(said).encode()), (b"image", b"image/jpeg", made.data))
    return joined(both, _headers(made), "multipart/form-data")


def _headers(made: HiddenImage) -> dict[str, str]:
    return {
        "x-velum-hidden": str(len(made.report.hidden)), "x-velum-report": digest(made.report),
        "cache-control": "no-store", "vary": "accept",
    }  # fmt: skip
