"""The ASGI application of one profile: its routes and its error responses."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from queue import Full
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velum.bmw import inference_wire, wire
from velum.bmw.inference_server.endpoints import BoundedExecutor, Calls, Capacity, Failed
from velum.bmw.inference_server.loaded_models import LoadedModel
from velum.bmw.inference_server.ocr import Ocr
from velum.bmw.inference_server.profiles import ApiVariant, Call, FailureKind, FailureResponse
from velum.errors import LimitExceeded, VelumError
from velum.limits import Limits
from velum.media import DecoderPool
from velum.service.middleware.origins import SiteCheck, Sites

log = logging.getLogger(__name__)

BUSY = 429
RETRY_SECONDS = 1

MOST_FILES, MOST_FIELDS, LONGEST_FIELD = 64, 16, 1 << 16
"""Most files and fields of a form, and most bytes of a field."""

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
    sites: Sites | None = None,
) -> FastAPI:
    """Return the application that serves `models` with the API of `profile`.

    `texts` recognizes text for the OCR calls, and `sites` says which web pages may call. With `wait_for_load`, models
    are unknown until `/load` has been called once, as with the YOLO variants. The caller closes the models' localizers
    after shutdown.
    """
    limits, capacity = limits or Limits(), capacity or Capacity()
    executor, decoders = BoundedExecutor(capacity), DecoderPool(capacity.parallel)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        decoders.close()
        executor.close()

    app = FastAPI(
        title=profile.title,
        version="1.0",
        lifespan=lifespan,
        docs_url=None,  # the framework's pages load scripts from another host
        redoc_url=None,
        form_limits={"max_files": MOST_FILES, "max_fields": MOST_FIELDS, "max_part_size": LONGEST_FIELD},
        telemetry={"tracing": False, "logs": False},
    )
    most = f"at most {capacity.upload:,} bytes are allowed"
    too_large = FailureResponse(TOO_LARGE, f"the upload is too large; {most}", profile.refusal)
    app.add_middleware(BodyLimit, upload=capacity.upload, answer=too_large)
    app.add_middleware(SiteCheck, sites=sites or Sites(), refuse=partial(_refuse_site, profile))
    _handle(app, profile, too_large)
    _route(app, profile, Calls(profile, list(models), executor, limits, texts, decoders, wait=wait_for_load))
    return app


def _route(app: FastAPI, profile: ApiVariant, calls: Calls) -> None:
    """Add the endpoints of the profile with their documentation, and the page that shows it."""
    for route in (*_model_routes(calls), *_image_routes(calls)):
        if route.call is None or route.call in profile.calls:
            app.add_api_route(
                route.path,
                route.endpoint,
                methods=["POST" if route.upload else "GET"],
                responses=_document_responses(profile, route),
                include_in_schema=route.call != Call.PREDICT_BATCH,
            )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        policy = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(overview(app.openapi()), headers=policy)


@dataclass(frozen=True, slots=True, eq=False)
class _Route:
    """One endpoint: the call that a profile must have (None: all have it), and the failures it can answer."""

    call: Call | None
    path: str
    endpoint: Endpoint
    failures: tuple[FailureKind, ...] = ()
    upload: bool = False
    kind: str = "application/json"
    also: tuple[int, ...] = ()


def _model_routes(calls: Calls) -> list[_Route]:
    unknown = (FailureKind.NO_FACTS,)
    return [
        _Route(None, f"/{inference_wire.MODELS}", calls.models),
        _Route(None, f"/{inference_wire.LOAD}", calls.load),
        _Route(Call.LOAD_ONE, _model_path(inference_wire.LOAD), calls.load_one, (FailureKind.NO_MODEL,)),
        _Route(None, _model_path(inference_wire.LABELS), calls.labels, unknown),
        _Route(None, _model_path(inference_wire.CONFIG), calls.config, unknown),
        _Route(Call.PALETTE, _model_path(inference_wire.PALETTE), calls.palette, unknown),
        _Route(Call.LABEL_HASHES, f"/{inference_wire.LABEL_HASHES}", calls.label_hashes, unknown, upload=True),
    ]


def _image_routes(calls: Calls) -> list[_Route]:
    def route(call: Call, path: str, endpoint: Endpoint, kind: str = "application/json") -> _Route:
        failures = FailureKind.NO_MODEL, FailureKind.NO_IMAGE, FailureKind.OTHER
        return _Route(call, path, endpoint, failures, upload=True, kind=kind)

    return [
        route(Call.PREDICT, _model_path(inference_wire.PREDICT), calls.predict),
        route(Call.DETECT, f"/{inference_wire.DETECT}", calls.detect),
        route(Call.PREDICT_BATCH, _model_path(inference_wire.PREDICT_BATCH), calls.predict_batch),
        route(
            Call.PREDICT_IMAGE,
            _model_path(inference_wire.PREDICT_IMAGE),
            calls.predict_image,
            inference_wire.MISNAMED_PNG,
        ),
        route(Call.MASK, _model_path(inference_wire.INFERENCE), calls.mask, inference_wire.MISNAMED_PNG),
        route(Call.OVERLAY, _model_path(inference_wire.OVERLAY), calls.overlay, "image/png"),
        route(Call.INSTANCES, _model_path(inference_wire.DETECT), calls.instances),
        _Route(Call.TEXTS, _model_path(inference_wire.OCR), calls.texts, upload=True, also=(400, 404, 500)),
        _Route(
            Call.TEXTS,
            _model_path(inference_wire.ONE_SHOT_OCR),
            calls.texts_in_finds,
            upload=True,
            also=(400, 404, 500),
        ),
    ]


def _model_path(action: str) -> str:
    """Return the path of an action on one model."""
    return f"/{inference_wire.MODELS}/{{name}}/{action}"


def _document_responses(profile: ApiVariant, route: _Route) -> Responses:
    """Return the responses of an endpoint for the OpenAPI document: status -> content types."""
    documented: Responses = {200: {"description": "done", "content": {route.kind: {}}}}
    answers = [profile.failures[failure] for failure in route.failures]
    if route.upload:
        answers += [FailureResponse(status, "", profile.refusal) for status in (400, TOO_LARGE, BUSY)]
    for answer in [*answers, *(FailureResponse(status, "", "detail") for status in route.also)]:
        entry = documented.setdefault(answer.status, {"description": answer.text or "refused", "content": {}})
        entry["content"][answer.kind.partition(";")[0]] = {}
    return documented


def _handle(app: FastAPI, profile: ApiVariant, too_large: FailureResponse) -> None:
    """Add exception handlers that answer as the profile does."""

    def respond(answer: FailureResponse, model: str = "", headers: Mapping[str, str] | None = None) -> Response:
        return Response(answer.body(model), answer.status, headers, media_type=answer.kind)

    @app.exception_handler(Failed)
    async def on_failed_call(_: Request, error: Failed) -> Response:
        if error.__cause__ is not None:
            log.info("model %s: %s", error.model, error.__cause__)
        return respond(profile.failures[error.failure], error.model)

    @app.exception_handler(LimitExceeded)
    async def on_limit_exceeded(_: Request, error: LimitExceeded) -> Response:
        return respond(FailureResponse(TOO_LARGE, str(error), profile.refusal))

    @app.exception_handler(Full)
    async def on_full_queue(_: Request, __: Full) -> Response:
        text = "too many requests are waiting; try again later"
        return respond(FailureResponse(BUSY, text, profile.refusal), headers={"retry-after": str(RETRY_SECONDS)})

    @app.exception_handler(VelumError)
    async def on_velum_error(_: Request, error: VelumError) -> Response:
        log.error("%s: %s", type(error).__name__, error)
        return respond(profile.failures[FailureKind.OTHER])

    @app.exception_handler(Exception)
    async def on_unexpected_error(_: Request, __: Exception) -> Response:
        return respond(profile.failures[FailureKind.OTHER])  # the HTTP server logs the error itself

    @app.exception_handler(RequestValidationError)
    async def on_invalid_request(_: Request, error: RequestValidationError) -> Response:
        return Response(wire.validation_error_body(error.errors()), 422, media_type="application/json")

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        return respond(too_large) if error.status_code == TOO_LARGE else await http_exception_handler(request, error)


def _refuse_site(
    profile: ApiVariant, status: int, text: str, _path: str, _code: str, headers: Mapping[str, str]
) -> Response:
    """Return the response to a request of another site's page, in the form of the profile."""
    answer = FailureResponse(status, text, profile.refusal)
    return Response(answer.body(), status, headers, media_type=answer.kind)


TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """Passes on requests with at most `upload` bytes; others get `answer`.

    Starlette's own limit always answers in plain text, which clients of these APIs do not expect.
    """

    app: ASGIApp
    upload: int
    answer: FailureResponse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        stated = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if stated.isdecimal() and int(stated) > self.upload:
            response = Response(self.answer.body(), self.answer.status, media_type=self.answer.kind)
            # The rest of the body is never read, so the connection cannot be used again.
            response.headers["connection"] = "close"
            await response(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.upload:
                raise HTTPException(TOO_LARGE)
            return message

        await self.app(scope, receive_within_limit, send)


_STYLE = (
    "body{font:1rem/1.5 sans-serif;margin:2rem}td,th{padding:.2rem 1rem .2rem 0;text-align:left;vertical-align:top}"
)


def overview(document: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as an HTML page."""
    title = escape(document["info"]["title"])
    rows = "".join(_rows(document["paths"]))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><table>"
        f"<tr><th>call</th><th>what it does</th><th>answers</th></tr>{rows}</table>"
        '<p>The whole description is in <a href="openapi.json">openapi.json</a>.</p></body></html>'
    )


def _rows(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, calls in paths.items():
        for method, call in calls.items():
            answers = "<br>".join(
                f"{escape(status)}: {escape(answer['description'])}" for status, answer in call["responses"].items()
            )
            description = escape(call.get("description", ""))
            cells = f"<code>{escape(method.upper())} {escape(path)}</code>", description, answers
            yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
