"""The largest request: refused before it is read where its size is known, else as soon as it shows."""

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velum.bmw.inference_server.profiles import FailureResponse

TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """Passes requests on whose body has at most `upload` bytes; `answer` is what the others get.

    Starlette's own limit always answers in plain text, which clients of these interfaces do not expect.
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
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.upload:
                raise HTTPException(TOO_LARGE)
            return message

        await self.app(scope, counted, send)
