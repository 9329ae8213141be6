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
from velum.bmw.workers import Workers
from velum.locate.asset import Model
from velum.locate.choose import rules_for
from velum.locate.models import catalog
from velum.plan import METADATA, Plan
from velum.plugins import Host
from velum.service.pose import with_pose_of
from velum.service.problems import Unsupported, documented
from velum.service.v1.images import accepts, joined
from velum.service.v1.intake import sent
from velum.service.v1.plans import Plans
from velum.service.v1.studio import Hidden, Studio, digest
from velum.use import Use

NAME = "velum"
"""What the service calls itself: platforms find by it what it said of a picture before."""

JPEG = b"\xff\xd8\xff"


@dataclass(slots=True, eq=False)
class Blurring:
    """What the endpoint works with. `plan_name` is a plan of the operator, "" for velum's own choice."""

    studio: Studio
    plans: Plans
    workers: Workers
    host: Host
    here: Callable[[Model], bool]
    most: int
    plan_name: str = ""
    _chosen: Plan | None = field(default=None, init=False)
    _choosing: threading.Lock = field(default_factory=threading.Lock, init=False)

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
        """Return the plan; one that names no metadata keeps all kinds, as these platforms live by them."""
        if self.plan_name:
            plan = self.plans.named(self.plan_name)
            return replace(plan, metadata=plan.metadata or METADATA)
        with self._choosing:
            if self._chosen is None:
                self._chosen = self._choice()
            return self._chosen

    def _choice(self) -> Plan:
        """Return what blurs faces, and licence plates as far as models for them are on this machine."""
        blur = Use("blur")
        known = catalog(self.host)
        plates = rules_for(["license_plate"], blur, self.host)
        able = tuple(rule for rule in plates if rule.locate.name in known and self.here(known[rule.locate.name]))
        return Plan((*rules_for(["face"], blur, self.host), *able), metadata=METADATA)


def routes(blurring: Blurring) -> APIRouter:
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


def _alone(made: Hidden) -> Response:
    return Response(made.data, media_type="image/jpeg", headers=_headers(made))


def _both(made: Hidden) -> Response:
    said = {"blurring_id": secrets.token_hex(16), "service_name": NAME, "annotations": []}
    both = ((b"metadata", b"application/json", json.dumps(said).encode()), (b"image", b"image/jpeg", made.data))
    return joined(both, _headers(made), "multipart/form-data")


def _headers(made: Hidden) -> dict[str, str]:
    return {
        "x-velum-hidden": str(len(made.report.hidden)), "x-velum-report": digest(made.report),
        "cache-control": "no-store", "vary": "accept",
    }  # fmt: skip
