"""`velum serve` and `velum worker`: run the HTTP service, and a process that runs its jobs."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from socket import socket
from types import FrameType
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from velum.errors import Unavailable

if TYPE_CHECKING:
    import uvicorn

    from velum.settings import Settings


STARTUP_FAILURE = 3
"""Exit code when the server cannot start, for example because the port is taken."""

LEAVING_SECONDS = 5.0
"""Seconds after the grace time at which the process exits: a thread that still works cannot be ended otherwise."""

Host = Annotated[
    str | None,
    typer.Option("--host", metavar="ADDRESS", help="Address to listen on. Default: 127.0.0.1 (only this machine)."),
]
Port = Annotated[
    int | None, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on. Default: 4343.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings file. Default: velum.toml in this folder.")
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="Folder of jobs and keys. Default: see velum config show."),
]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", metavar="N", min=1, help="Jobs to run at the same time. Default: jobs.concurrency."),
]
Metrics = Annotated[
    str | None,
    typer.Option("--metrics", metavar="HOST:PORT", help="Serve /metrics here; a port alone means this machine."),
]


def serve(host: Host = None, port: Port = None, config: ConfigFile = None, data: DataFolder = None) -> None:
    """Run the HTTP service: velum's API, the page, and the BMW Anonymization API."""
    try:
        import uvicorn

        from velum.bmw.app import create_app
        from velum.service.auth.middleware import check_entrance
        from velum.service.process import lines_of_libraries, log_to_stderr, reuse_memory
        from velum.service.timed_protocol import timed_protocol
    except ImportError as error:
        raise Unavailable(
            f"the service needs a library that is not installed ({error}); pip install 'velum-anonymizer[service]'"
        ) from error

    settings = load_settings(config, data)
    address = host or settings.service.listen_host
    check_entrance(settings, address)
    log_to_stderr()
    reuse_memory()
    app = create_app(settings)
    options = uvicorn.Config(
        app,
        host=address,
        port=settings.service.listen_port if port is None else port,
        log_config=None,
        access_log=False,
        http=timed_protocol(settings.service.head_seconds, settings.service.idle_seconds),
        timeout_graceful_shutdown=max(1, round(settings.service.grace_seconds)),
    )
    server: uvicorn.Server | None = None
    with suppress(KeyboardInterrupt), lines_of_libraries() as screen:
        server = _make_server(
            options, app.state.end, settings.service.grace_seconds,
            lambda bound_port: _announce(_welcome_text(settings, config, address, bound_port), screen),
        )  # fmt: skip
        server.run()
    if server is None or not server.started:
        raise typer.Exit(STARTUP_FAILURE)


def _make_server(
    options: "uvicorn.Config", end: Callable[[], None], grace_seconds: float, announce: Callable[[int], None]
) -> "uvicorn.Server":
    """Return a server that calls `announce` with its port once it listens, and `end` when it is to exit."""
    import uvicorn

    class Server(uvicorn.Server):
        """Tells the application that it ends before waiting for open requests: event streams would never end."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            end()
            leaving = threading.Timer(grace_seconds + LEAVING_SECONDS, _exit_now)
            leaving.daemon = True
            leaving.start()
            super().handle_exit(sig, frame)

        async def startup(self, sockets: list[socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                bound = [bound_socket.getsockname() for server in self.servers for bound_socket in server.sockets]
                announce(bound[0][1] if bound else 0)

    return Server(options)


def worker(
    concurrency: Concurrency = None, metrics: Metrics = None, config: ConfigFile = None, data: DataFolder = None
) -> None:
    """Run jobs of the service until SIGTERM or Ctrl-C; then finish the running ones and exit."""
    from velum.net.client import HttpClient
    from velum.service import job_backend, tracing
    from velum.service import metrics as counting
    from velum.service.audit import audit_of
    from velum.service.process import lines_of_libraries, log_to_stderr

    settings = load_settings(config, data)
    if concurrency is not None:
        settings = replace(settings, jobs=replace(settings.jobs, concurrency=concurrency))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log_to_stderr()
    address = metrics or settings.observability.worker_metrics
    with ExitStack() as stack:
        stack.enter_context(lines_of_libraries())
        peers = stack.enter_context(closing(HttpClient(settings.remote)))
        stack.enter_context(tracing.sending(traces=settings.observability.traces))
        observer = counting.Metrics(stack.enter_context(closing(job_backend.JobBackend(settings))) if address else None)
        if address:
            stack.enter_context(counting.serve_metrics(observer, address))
        job_backend.worker(
            settings, peers, job_backend.observed_processor_factory(settings, observer, audit_of(settings))
        ).run(stop)


def load_settings(config: Path | None, data: Path | None) -> "Settings":
    """Return the settings; `data` replaces their data folder. Raises `BadPlan` for wrong settings."""
    from velum.settings import Settings

    settings = Settings.load(file=config)
    return settings if data is None else replace(settings, jobs=replace(settings.jobs, data=data.absolute()))


def _announce(welcome: str, screen: TextIO) -> None:
    """Print the text on a terminal; elsewhere standard error is the log, so write a JSON line."""
    if screen.isatty():
        typer.echo(welcome, screen)
        return
    first, *lines = welcome.splitlines()
    facts = {name: value.strip() for name, _, value in (line.partition(" ") for line in lines)}
    logging.getLogger("velum.service").info(first, extra={"facts": facts})


def _welcome_text(settings: "Settings", config: Path | None, address: str, port: int) -> str:
    """Return the text printed at the start: addresses of the service and the page, settings file, data folder."""
    from velum.settings import FILE

    name = f"[{address}]" if ":" in address else {"0.0.0.0": "127.0.0.1"}.get(address, address)  # noqa: S104 - shown, not bound
    file = config or Path(FILE)
    lines = [
        f"velum serves at http://{name}:{port}/docs",
        f"page      http://{name}:{port}/" if settings.service.page else "page      turned off (service.page)",
        f"settings  {file.absolute()}" if file.is_file() else f"settings  none; {FILE} in this folder would be read",
        f"data      {settings.jobs.data.absolute()}",
        "stop      Ctrl-C",
    ]
    return "\n".join(lines)


def _exit_now() -> None:
    logging.getLogger("velum.service").error(
        "the grace time is over; the service exits and drops the jobs still running"
    )
    os._exit(1)  # unfinished files are not published, and child processes end with this one
