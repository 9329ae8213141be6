"""The application of one profile: its routes, and its way of telling failures."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from velum.bmw import wire
from velum.bmw.inference_server.body_limit import TOO_LARGE, BodyLimit
from velum.bmw.inference_server.docs_page import overview
from velum.bmw.inference_server.endpoints import Calls, Failed
from velum.bmw.inference_server.executor import BoundedExecutor, Capacity, QueueFull
from velum.bmw.inference_server.loaded_models import LoadedModel
from velum.bmw.inference_server.ocr import Ocr
from velum.bmw.inference_server.profiles import ApiVariant, Call, FailureKind, FailureResponse
from velum.errors import LimitExceeded, VelumError
from velum.limits import Limits
from velum.media import DecoderPool

log = logging.getLogger(__name__)

BUSY = 429
RETRY_SECONDS = 1

MOST_FILES, MOST_FIELDS, LONGEST_FIELD = 64, 16, 1 << 16
"""Of one request; the length in bytes."""

Responses = dict[int | str, dict[str, Any]]
Endpoint = Callable[..., Any]


def create_app(
    profile: ApiVariant,
    models: Sequence[LoadedModel],
    *,
    limits: Limits | None = None,
    capacity: Capacity | None = None,
    texts: Ocr | None = None,
    wait_for_load: bool = False,
) -> FastAPI:
    """Return the application that serves `models` as `profile` would.

    `texts` reads what is written, for the calls that ask for it. With `wait_for_load` nothing is said of a model before
    `/load` was called once, as the YOLO variants did. The caller closes the models' localizers when the application
    has stopped.
    """
    limits, capacity = limits or Limits(), capacity or Capacity()
    desk, decoders = BoundedExecutor(capacity), DecoderPool(capacity.parallel)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        decoders.close()
        desk.close()

    app = FastAPI(
        title=profile.title,
        version="1.0",
        lifespan=lifespan,
        docs_url=None,  # the framework's pages come from a host elsewhere
        redoc_url=None,
        form_limits={"max_files": MOST_FILES, "max_fields": MOST_FIELDS, "max_part_size": LONGEST_FIELD},
        telemetry={"tracing": False, "logs": False},
    )
    too_large = FailureResponse(
        TOO_LARGE, f"the upload is too large; at most {capacity.upload:,} bytes are allowed", profile.refusal
    )
    app.add_middleware(BodyLimit, upload=capacity.upload, answer=too_large)
    _handle(app, profile, too_large)
    _route(app, profile, Calls(profile, list(models), desk, limits, texts, decoders, wait=wait_for_load))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        policy = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(overview(app.openapi()), headers=policy)

    return app


def _route(app: FastAPI, profile: ApiVariant, calls: Calls) -> None:
    """Add the endpoints that the profile has, each with what it can answer."""
    for one in (*_facts(calls), *_pictures(calls)):
        if one.call is None or one.call in profile.calls:
            app.add_api_route(
                one.path,
                one.endpoint,
                methods=["POST" if one.upload else "GET"],
                responses=_documented(profile, one),
                include_in_schema=one.call != Call.PREDICT_BATCH,
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Route:
    """One endpoint: the call that a profile must have for it, and which failures it can answer."""

    call: Call | None
    path: str
    endpoint: Endpoint
    failures: tuple[FailureKind, ...] = ()
    upload: bool = False
    kind: str = "application/json"
    also: tuple[int, ...] = ()


def _facts(calls: Calls) -> list[_Route]:
    unknown = (FailureKind.NO_FACTS,)
    return [
        _Route(None, f"/{wire.MODELS}", calls.models),
        _Route(None, f"/{wire.LOAD}", calls.load),
        _Route(Call.LOAD_ONE, _of(wire.LOAD), calls.load_one, (FailureKind.NO_MODEL,)),
        _Route(None, _of(wire.LABELS), calls.labels, unknown),
        _Route(None, _of(wire.CONFIG), calls.config, unknown),
        _Route(Call.PALETTE, _of(wire.PALETTE), calls.palette, unknown),
        _Route(Call.LABEL_HASHES, f"/{wire.LABEL_HASHES}", calls.label_hashes, unknown, upload=True),
    ]


def _pictures(calls: Calls) -> list[_Route]:
    def route(call: Call, path: str, endpoint: Endpoint, kind: str = "application/json") -> _Route:
        failures = FailureKind.NO_MODEL, FailureKind.NO_PICTURE, FailureKind.OTHER
        return _Route(call, path, endpoint, failures, upload=True, kind=kind)

    return [
        route(Call.PREDICT, _of(wire.PREDICT), calls.predict),
        route(Call.DETECT, f"/{wire.DETECT}", calls.detect),
        route(Call.PREDICT_BATCH, _of(wire.PREDICT_BATCH), calls.predict_batch),
        route(Call.PREDICT_IMAGE, _of(wire.PREDICT_IMAGE), calls.predict_image, wire.MISNAMED_PNG),
        route(Call.MASK, _of(wire.INFERENCE), calls.mask, wire.MISNAMED_PNG),
        route(Call.OVERLAY, _of(wire.OVERLAY), calls.overlay, "image/png"),
        route(Call.INSTANCES, _of(wire.DETECT), calls.instances),
        _Route(Call.TEXTS, _of(wire.OCR), calls.texts, upload=True, also=(400, 404, 500)),
        _Route(Call.TEXTS, _of(wire.ONE_SHOT_OCR), calls.texts_in_finds, upload=True, also=(400, 404, 500)),
    ]


def _of(what: str) -> str:
    """Return the path of what is asked of one model."""
    return f"/{wire.MODELS}/{{name}}/{what}"


def _documented(profile: ApiVariant, route: _Route) -> Responses:
    """Return what an endpoint can answer, for the OpenAPI document: statuses, with their content types."""
    found: Responses = {200: {"description": "done", "content": {route.kind: {}}}}
    answers = [profile.failures[failure] for failure in route.failures]
    if route.upload:
        answers += [FailureResponse(status, "", profile.refusal) for status in (400, TOO_LARGE, BUSY)]
    for answer in [*answers, *(FailureResponse(status, "", "detail") for status in route.also)]:
        entry = found.setdefault(answer.status, {"description": answer.text or "refused", "content": {}})
        entry["content"][answer.kind.partition(";")[0]] = {}
    return found


def _handle(app: FastAPI, profile: ApiVariant, too_large: FailureResponse) -> None:
    """Tell every failure as the profile does."""

    def told(answer: FailureResponse, model: str = "", headers: Mapping[str, str] | None = None) -> Response:
        return Response(answer.body(model), answer.status, headers, media_type=answer.kind)

    @app.exception_handler(Failed)
    async def failed(_: Request, error: Failed) -> Response:
        if error.__cause__ is not None:
            log.info("model %s: %s", error.model, error.__cause__)
        return told(profile.failures[error.failure], error.model)

    @app.exception_handler(LimitExceeded)
    async def exceeded(_: Request, error: LimitExceeded) -> Response:
        return told(FailureResponse(TOO_LARGE, str(error), profile.refusal))

    @app.exception_handler(QueueFull)
    async def full(_: Request, __: QueueFull) -> Response:
        text = "too many requests are waiting; try again later"
        return told(FailureResponse(BUSY, text, profile.refusal), headers={"retry-after": str(RETRY_SECONDS)})

    @app.exception_handler(VelumError)
    async def unable(_: Request, error: VelumError) -> Response:
        log.error("%s: %s", type(error).__name__, error)
        return told(profile.failures[FailureKind.OTHER])

    @app.exception_handler(Exception)
    async def broken(_: Request, __: Exception) -> Response:
        return told(profile.failures[FailureKind.OTHER])  # the server logs the error itself

    @app.exception_handler(RequestValidationError)
    async def refused(_: Request, error: RequestValidationError) -> Response:
        return Response(wire.refused(error.errors()), 422, media_type="application/json")

    @app.exception_handler(HTTPException)
    async def told_by_framework(request: Request, error: HTTPException) -> Response:
        return told(too_large) if error.status_code == TOO_LARGE else await http_exception_handler(request, error)
