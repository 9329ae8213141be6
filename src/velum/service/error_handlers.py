"""Exception handlers: problem details below `/v1/` and `/blur/`, the BMW API's bodies elsewhere."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from velum.bmw import wire
from velum.errors import VelumError
from velum.service import problem_details
from velum.service.middleware.limits import CLIENT_GONE, TOO_LARGE, TOO_SLOW


def handle(app: FastAPI) -> None:
    """Add the exception handlers to the application."""

    @app.exception_handler(RequestValidationError)
    async def on_invalid_request(request: Request, error: RequestValidationError) -> Response:
        if problem_details.uses_problem_details(request.url.path):
            return _fields_problem(request, error)
        return Response(wire.validation_error_body(error.errors()), 422, media_type="application/json")

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> Response:
        if problem_details.uses_problem_details(request.url.path):
            return _http_problem(request, error)
        if error.status_code in {TOO_SLOW, TOO_LARGE}:
            # The rest of the body is never read, so the connection cannot be used again.
            body = wire.envelope(error=str(error.detail))
            return Response(body, error.status_code, {"connection": "close"}, media_type="application/json")
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)

    @app.exception_handler(VelumError)
    async def on_velum_error(request: Request, error: VelumError) -> Response:
        return problem_details.problem_of(error, request)

    @app.exception_handler(ClientDisconnect)
    async def on_client_gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)


def _fields_problem(request: Request, error: RequestValidationError) -> Response:
    """Return a 422 response that lists the faults by field, without the values that were sent."""
    wrong = [{"at": ".".join(map(str, fault["loc"])), "problem": fault["msg"]} for fault in error.errors()]
    detail = "; ".join(f"{fault['at']}: {fault['problem']}" for fault in wrong)
    return problem_details.problem(422, detail, request.url.path, code="BadInput", errors=wrong)


def _http_problem(request: Request, error: HTTPException) -> Response:
    unread = error.status_code in {TOO_SLOW, TOO_LARGE}
    codes = {TOO_SLOW: "TooSlow", 404: "NotFound", 405: "NotAllowed", TOO_LARGE: "LimitExceeded", 429: "Busy"}
    # The rest of such a body is never read, so the connection cannot be used again.
    headers = {**(error.headers or {}), **({"connection": "close"} if unread else {})}
    code = codes.get(error.status_code, "Malformed")
    return problem_details.problem(error.status_code, str(error.detail), request.url.path, code=code, headers=headers)
