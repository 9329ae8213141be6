"""Asking for something, and reading a whole answer."""

import json
import time
from collections.abc import Mapping
from typing import Any

from velum.client._sansio import Body, HttpRequest, HttpResponse, Next, Open, Pause, Steps
from velum.client.errors import Busy, Conflict, Denied, refusal
from velum.client.parsing import JsonReader
from velum.errors import Unavailable

ANSWER_BYTES = 1 << 30
"""Largest answer that is held in memory."""

PAUSES_SECONDS = (0.1, 5.0)
"""Pause before something is first tried again, which doubles each time, and the longest."""


def opened(ask: HttpRequest, kind: str | None = None) -> Steps[HttpResponse]:
    """Send a request and return the beginning of its answer, of media type `kind`. Raises what the service refuses."""
    answer: HttpResponse = yield Open(ask)
    if answer.status >= 300:
        raise refusal(answer.status, answer.headers, (yield from _rest()), answer.where)
    told = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind is not None and told != kind:
        raise Unavailable(
            f"{answer.where} answered with {told or 'nothing'!r}, not with {kind}; check the address of the service"
        )
    return answer


def asked(ask: HttpRequest) -> Steps[JsonReader]:
    """Return the object that the service answers. Raises what it refuses."""
    yield from opened(ask, "application/json")
    return JsonReader.of_text((yield from _rest()))


def done(ask: HttpRequest) -> Steps[None]:
    """Have something done whose answer says nothing. Raises what the service refuses."""
    yield from opened(ask)


def body_of(value: Mapping[str, Any]) -> Body:
    """Return the body that is a JSON object."""
    return Body("application/json", json.dumps(value).encode())


def _rest() -> Steps[bytes]:
    """Return what is left of the answer."""
    body = bytearray()
    while chunk := (yield Next()):
        body += chunk
        if len(body) > ANSWER_BYTES:
            raise Unavailable(f"the service answered with more than {ANSWER_BYTES:,} bytes, which are not taken")
    return bytes(body)


class Retry:
    """For how long something that goes on is tried again without getting any further, once it has begun."""

    def __init__(self, seconds: float, *, begun: bool = False) -> None:
        self._seconds, self._begun = seconds, begun
        self._since: float | None = None
        self._pause = PAUSES_SECONDS[0]

    def progress(self) -> None:
        """Note that it got further."""
        self._begun, self._since, self._pause = True, None, PAUSES_SECONDS[0]

    def wait(self, error: Unavailable | Conflict) -> Steps[None]:
        """Wait a moment; raise the error when there is no hope, or no patience left."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if not self._begun or isinstance(error, Denied) or now - self._since > self._seconds:
            raise error
        yield Pause(max(self._pause, error.seconds if isinstance(error, Busy) else 0.0))
        self._pause = min(self._pause * 2, PAUSES_SECONDS[1])
