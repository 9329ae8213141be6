"""`/v1/uploads/{id}/topics`: the topics of a sensor log that was uploaded, to choose from before a job is submitted."""

from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.responses import JSONResponse, Response

from velum.errors import names_for_places
from velum.limits import Limits
from velum.media import DecoderPool
from velum.media.archive import list_topics
from velum.service.auth.middleware import Authenticator
from velum.service.auth.principal import Principal
from velum.service.job_backend import JobBackend
from velum.service.late_router import LateRouter
from velum.service.middleware import note
from velum.service.problem_details import problems
from velum.service.v1.uploads import Id, check_complete, conflict_when_occupied, owned_upload

_TOPIC: dict[str, Any] = {
    "name": "/camera/front", "type": "sensor_msgs/msg/CompressedImage", "messages": 1200, "kind": "images",
    "refused": None,
}  # fmt: skip
_TOPICS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`kind` is images, video or other; `refused` says what velum cannot hide in.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "topics": {"type": "array", "items": {"type": "object", "required": sorted(_TOPIC)}}
                    },
                    "required": ["topics"],
                },
                "example": {"topics": [_TOPIC]},
            }
        },
    },
    **problems(404, 409),
}


def routes(backend: JobBackend, decoders: DecoderPool, limits: Limits, access: Authenticator) -> LateRouter:
    """Return the endpoint. Each log is gone through once, in a process of `decoders`."""
    router = LateRouter(prefix="/uploads", tags=["Uploads"])
    Asking = Annotated[Principal, Depends(access.require("anonymize", "review"))]  # noqa: N806 - a type

    @router.get("/{upload}/topics", responses=_TOPICS, response_class=JSONResponse)
    def topics(upload: Id, caller: Asking, request: Request) -> Response:
        """List the topics of a sensor log (MCAP, ROS bags) that was uploaded, which a plan can choose from.

        Each has its type, the number of its messages, and what velum does with it. A log with topics that are refused
        can be hidden in when the plan names others in `topics`.
        """
        check_complete(owned_upload(backend, upload, caller))
        note(request, upload=upload)
        hold = backend.open().uploads.hold_file
        with conflict_when_occupied(), hold(upload) as path, names_for_places(path, "the log"):
            found = decoders.call("the log", limits, list_topics, path, limits)
        return JSONResponse({"topics": found}, headers={"cache-control": "no-store"})

    return router
