"""`velum worker`: a process that does the jobs that the service takes."""

import signal
import threading
from contextlib import closing
from typing import Annotated

import typer

Concurrency = Annotated[
    int | None, typer.Option("--concurrency", min=1, help="Jobs in work at a time. Default: that of the settings.")
]


def worker(concurrency: Concurrency = None) -> None:
    """Do jobs until told to end (SIGTERM or Ctrl-C); then finish what is in work, as far as that is soon."""
    from dataclasses import replace

    from velum.remote.peers import Peers
    from velum.service import office
    from velum.service.edge import log_to_stderr
    from velum.settings import Settings

    settings = Settings.load()
    if concurrency is not None:
        settings = replace(settings, jobs=replace(settings.jobs, concurrency=concurrency))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log_to_stderr()
    with closing(Peers(settings.remote)) as peers:
        office.worker(settings, peers).run(stop)
