"""`POST /blur/`: the blurring API that platforms for street images such as Panoramax call.

The request has a JPEG as `picture`; the response is that JPEG, blurred, with its metadata of place, time and camera. Of
its XMP only the camera's orientation is kept: Photo Sphere XMP (`GPano`) marks an image as a panorama, and some cameras
write their orientation to `Camera`. XMP can hold anything, embedded images too, so only numbers, dates and a few known
words are copied. JPEG segments: ITU-T T.81, annex B; XMP in them: ISO 16684-3.
"""

import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from starlette.responses import Response

from velum.errors import VelumError
from velum.locate.registry import FINDERS, catalog, model_of, rules_for
from velum.locate.weights.asset import Model
from velum.media.projection import packet
from velum.plan import METADATA, Plan
from velum.plugins import RuntimeConfig
from velum.service.admission import RequestThreads
from velum.service.auth.middleware import Authenticator
from velum.service.late_router import LateRouter
from velum.service.middleware import note
from velum.service.problem_details import NotInstalled, Problem, problems
from velum.service.v1.http_bodies import read_image
from velum.service.v1.images import ImageService, accepts, multipart_response, report_headers
from velum.service.v1.plans import Plans
from velum.spec import PartSpec

NAME = "velum"
"""Name of the service in responses, by which platforms recognise its earlier results."""

JPEG = b"\xff\xd8\xff"

PLATE = "license_plate"


@dataclass(slots=True, eq=False)
class PanoramaxService:
    """Blurs street images. `plan_name` is one of the operator's plans, "" for velum's own choice.

    `is_installed` tells whether a model's weights are on this machine; `most` is the largest image in bytes.
    """

    image_service: ImageService
    plans: Plans
    workers: RequestThreads
    host: RuntimeConfig
    is_installed: Callable[[Model], bool]
    most: int
    plan_name: str = ""
    _chosen: Plan | None = field(default=None, init=False)
    _choosing: threading.Lock = field(default_factory=threading.Lock, init=False)

    def state(self) -> str:
        """Return "ready", or why images are refused; the text is for the operator."""
        try:
            self.plan()
        except VelumError as error:
            return str(error)
        return "ready"

    async def blur_image(self, request: Request) -> Response:
        """Return the blurred image, alone or, where the client accepts multipart/form-data, with its metadata."""
        data, _ = await read_image(request, "picture", ("keep",), self.most, bare=False)
        both = accepts(request, "multipart/form-data")

        def work(disconnect: threading.Event) -> Response:
            if not data.startswith(JPEG):
                raise Problem(415, "the picture is not a JPEG file; send a JPEG, or another format to /v1/images")
            plan = self.plan()
            image, report = self.image_service.hide(data, plan, disconnect)
            report = replace(report, warnings=(*report.warnings, *self._warnings(plan)))
            image, headers = with_pose_of(data, image), report_headers(report)
            note(request, hidden=len(report.hidden))
            return _with_metadata(image, headers) if both else Response(image, media_type="image/jpeg", headers=headers)

        return await self.workers.run(request, work)

    def plan(self) -> Plan:
        """Return the plan to blur with. A plan without `metadata` keeps all kinds, which these platforms rely on.

        Raises `NotInstalled` when a model of the plan is missing and may not be downloaded, or when no plan is set and
        no installed model finds licence plates; `BadPlan` when the operator's plan cannot be read.
        """
        plan = self._operator_plan() if self.plan_name else self._default_plan()
        missing = self._missing(plan) if self.host.offline else []
        if missing:
            raise NotInstalled(
                f"{', '.join(missing)} is not installed, and downloads are off (offline); run 'velum models pull "
                f"{' '.join(missing)}' with network access, into the folder where the service keeps its models"
            )
        return plan

    def _operator_plan(self) -> Plan:
        plan = self.plans.operator_plan(self.plan_name)
        return replace(plan, metadata=plan.metadata or METADATA)

    def _missing(self, plan: Plan) -> list[str]:
        """Return the models of the catalog that a plan needs and that are not installed, nor any in their place."""
        models_known = catalog(self.host)
        needed = dict.fromkeys(rule.locate for rule in plan.rules if rule.locate.name in models_known)
        return [
            spec.name
            for spec in needed
            if spec.name not in self.host.localizers
            and not self.is_installed(models_known[spec.name])
            and (spec.options or self._stand_in(models_known[spec.name]) is None)
        ]

    def _stand_in(self, model: Model) -> PartSpec | None:
        """Return the first localizer in the place of a model whose weights are installed, None where none are."""
        for spec in model.instead:
            needed = model_of(spec, self.host)
            if needed is None or self.is_installed(needed):
                return spec
        return None

    def _default_plan(self) -> Plan:
        """Return velum's own plan for faces and licence plates."""
        with self._choosing:
            if self._chosen is not None:
                return self._chosen
            plan, complete = self._choose_plan()
            # Keep only a complete choice: missing models may be downloaded later.
            self._chosen = plan if complete else None
            return plan

    def _choose_plan(self) -> tuple[Plan, bool]:
        """Return the plan that blurs faces and licence plates, and whether all models for plates are installed."""
        blur = PartSpec("blur")
        catalogue = catalog(self.host)
        plates = rules_for([PLATE], blur, self.host)
        models = {rule: catalogue[rule.locate.name] for rule in plates if rule.locate.name in catalogue}
        able = tuple(rule for rule, model in models.items() if self.is_installed(model))
        if not able:
            stand_ins = {rule: self._stand_in(model) for rule, model in models.items()}
            able = tuple(replace(rule, locate=spec) for rule, spec in stand_ins.items() if spec is not None)[:1]
        if not able:
            raise NotInstalled(
                "no installed model finds licence plates, and an image with readable plates is never returned; "
                f"run 'velum models pull {plates[0].locate.name}' where the service runs, or name your own plan in "
                "the setting service.blur_plan: one whose rules name faces only leaves plates readable"
            )
        return Plan((*rules_for(["face"], blur, self.host), *able), metadata=METADATA), able == plates

    def _warnings(self, plan: Plan) -> tuple[str, ...]:
        """Return a warning where velum's own plan has to find plates without a model of them."""
        catalogue = catalog(self.host)
        if self.plan_name or all(rule.label != PLATE or rule.locate.name in catalogue for rule in plan.rules):
            return ()
        warning = (
            "no model of licence plates is installed, so text of their shape is blurred, which is more than plates; "
            f"run 'velum models pull {FINDERS[PLATE][0]}' where the service runs"
        )
        return (warning,)


def routes(street_images: PanoramaxService, access: Authenticator) -> LateRouter:
    """Return the endpoint `/blur/`."""
    router = LateRouter(tags=["Street pictures"], dependencies=[Depends(access.require("anonymize"))])
    binary = {"schema": {"type": "string", "format": "binary"}}
    done = {
        "description": "The blurred image; with `Accept: multipart/form-data` the parts `metadata` (JSON) and `image`.",
        "content": {"image/jpeg": binary, "multipart/form-data": binary},
    }

    @router.post("/blur/", responses={200: done, **problems(400, 415)}, response_class=Response, openapi_extra=_BODY)
    async def blur(
        request: Request,
        keep: Annotated[  # noqa: ARG001 - of the contract
            str | None, Query(description="Accepted without effect: what was hidden is never kept.")
        ] = None,
    ) -> Response:
        """Blur faces and licence plates in a street image, as Panoramax expects it."""
        return await street_images.blur_image(request)

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
                        "keep": {"type": "string", "description": "The same as the query parameter."},
                    },
                    "required": ["picture"],
                    "additionalProperties": False,
                }
            }
        },
    }
}


def _with_metadata(image: bytes, headers: Mapping[str, str]) -> Response:
    metadata = {"blurring_id": secrets.token_hex(16), "service_name": NAME, "annotations": []}
    both = ((b"metadata", b"application/json", json.dumps(metadata).encode()), (b"image", b"image/jpeg", image))
    return multipart_response(both, headers, "multipart/form-data")


_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_NAMES: Mapping[str, frozenset[str]] = {
    "GPano": frozenset(
        {
            "UsePanoramaViewer", "ProjectionType", "PoseHeadingDegrees", "PosePitchDegrees", "PoseRollDegrees",
            "InitialViewHeadingDegrees", "InitialViewPitchDegrees", "InitialViewRollDegrees",
            "InitialHorizontalFOVDegrees", "FirstPhotoDate", "LastPhotoDate", "SourcePhotosCount",
            "CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels", "FullPanoWidthPixels",
            "FullPanoHeightPixels", "CroppedAreaLeftPixels", "CroppedAreaTopPixels", "LargestValidInteriorRectLeft",
            "LargestValidInteriorRectTop", "LargestValidInteriorRectWidth", "LargestValidInteriorRectHeight",
        }
    ),
    "Camera": frozenset({"Yaw", "Pitch", "Roll"}),
}  # fmt: skip
_VALUE = rb"[+-]?[0-9][0-9.:TZ+-]{0,39}|True|False|true|false|equirectangular|cylindrical"
_PROPERTY = re.compile(
    rb"\b(GPano|Camera):(\w{1,40})\s*(?:=\s*[\"']\s*(" + _VALUE + rb")\s*[\"']|>\s*(" + _VALUE + rb")\s*<)", re.ASCII
)
_APP0, _APP1, _SOS, _EOI = 0xE0, 0xE1, 0xDA, 0xD9


def with_pose_of(source: bytes, result: bytes) -> bytes:
    """Return the JPEG `result` with the orientation in the XMP of the JPEG `source`; unchanged where there is none.

    XMP that `result` has is replaced.
    """
    values = pose(source)
    if not values:
        return result
    body = _HEAD + packet(values)
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body
    for kind, start, stop in reversed(list(_segments(result))):
        if kind == _APP1 and result.startswith(_HEAD, start + 4):
            result = result[:start] + result[stop:]
    at = 2  # after SOI, and after JFIF and Exif, which readers expect first
    for kind, start, stop in _segments(result):
        if kind not in {_APP0, _APP1} or start != at:
            break
        at = stop
    return result[:at] + segment + result[at:]


def pose(jpeg: bytes) -> dict[str, str]:
    """Return the orientation properties in a JPEG's XMP, by name such as `GPano:PoseHeadingDegrees`."""
    angles: dict[str, str] = {}
    for kind, start, stop in _segments(jpeg):
        segment = jpeg[start + 4 : stop]
        if kind != _APP1 or not segment.startswith(_HEAD):
            continue
        for space, name, *values in _PROPERTY.findall(segment):
            if name.decode() in _NAMES[space.decode()]:
                angles.setdefault(f"{space.decode()}:{name.decode()}", (values[0] or values[1]).decode())
    return angles


def _segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment before the coded samples, up to the first damaged one."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] not in {_SOS, _EOI}:
        if jpeg[at + 1] == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        stop = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if stop > len(jpeg) or stop < at + 4:
            return
        yield jpeg[at + 1], at, stop
        at = stop
