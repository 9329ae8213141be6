"""`velum serve`: the service."""

import logging
import os
import threading
from contextlib import suppress
from types import FrameType
from typing import Annotated

import typer

STARTUP_FAILURE = 3
"""What servers of this kind end with when they cannot begin: the port is taken."""

Host = Annotated[
    str | None, typer.Option("--host", help="Address to listen on. Default: 127.0.0.1, this machine alone.")
]
Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port to listen on. Default: 4343.")]


LEAVING_SECONDS = 5.0
"""How long after the grace time the process is there at most: what a thread does cannot be ended otherwise."""


def _leave() -> None:
    logging.getLogger("velum.service").error("the grace time is over; what was still in work is given up")
    os._exit(1)  # what it wrote is not published, and its children end with it


def serve(host: Host = None, port: Port = None) -> None:
    """Serve the BMW Anonymization API over HTTP, with velum's own models and remote ones."""
    import uvicorn

    from velum.service.access import check_entrance
    from velum.service.app import create_app
    from velum.service.edge import log_to_stderr
    from velum.service.protocol import timed_protocol
    from velum.settings import Settings

    settings = Settings.load()
    address = host or settings.service.listen_host
    check_entrance(settings, address)
    log_to_stderr()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=address,
        port=settings.service.listen_port if port is None else port,
        log_config=None,
        access_log=False,
        http=timed_protocol(settings.service.head_seconds, settings.service.idle_seconds),
        timeout_graceful_shutdown=max(1, round(settings.service.grace_seconds)),
    )

    class Server(uvicorn.Server):
        """Tells the service of its end before it waits for what is in work: streams of events would never end."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.end()
            leaving = threading.Timer(settings.service.grace_seconds + LEAVING_SECONDS, _leave)
            leaving.daemon = True
            leaving.start()
            super().handle_exit(sig, frame)

    server = Server(config)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise typer.Exit(STARTUP_FAILURE)
