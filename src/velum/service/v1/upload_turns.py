"""Whose turn it is to send an upload: the last that came, for the one before may be a connection that is dead."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Request

from velum.service.problem_details import ConflictProblem


@dataclass(slots=True, eq=False)
class _Turn:
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class UploadTurns:
    """The uploads that are being sent to this process. For its event loop alone."""

    def __init__(self) -> None:
        self._now: dict[str, _Turn] = {}

    @asynccontextmanager
    async def turn(self, upload: str) -> AsyncIterator[asyncio.Event]:
        """Have the one before stop, and wait until it has; the event is set when the next one wants to."""
        while (before := self._now.get(upload)) is not None:
            before.stop.set()
            await before.done.wait()
        mine = self._now[upload] = _Turn()
        try:
            yield mine.stop
        finally:
            del self._now[upload]
            mine.done.set()


async def pieces(request: Request, stop: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises `ConflictProblem` once `stop` is set, and what reading raises."""
    stream = request.stream()
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while True:
            coming = asyncio.ensure_future(anext(stream, None))
            await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                coming.cancel()
                raise ConflictProblem("another request goes on with this upload; this one was ended")
            if (piece := await coming) is None:
                return
            yield piece
    finally:
        stopping.cancel()
