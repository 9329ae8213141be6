"""`velum worker`: a process that runs the jobs of the service."""

import signal
import threading
from contextlib import ExitStack, closing
from typing import Annotated

import typer

from velum.cli.service_options import ConfigFile, DataFolder, load_settings

Concurrency = Annotated[
    int | None, typer.Option("--concurrency", min=1, help="Jobs to run at the same time. Default: jobs.concurrency.")
]
Metrics = Annotated[
    str | None,
    typer.Option("--metrics", metavar="HOST:PORT", help="Serve /metrics here; a port alone means this machine."),
]


def worker(
    concurrency: Concurrency = None, metrics: Metrics = None, config: ConfigFile = None, data: DataFolder = None
) -> None:
    """Run jobs of the service until SIGTERM or Ctrl-C; then finish the running ones and exit."""
    from dataclasses import replace

    from velum.net.client import HttpClient
    from velum.service import job_backend, tracing
    from velum.service import metrics as counting
    from velum.service.audit import audit_of
    from velum.service.middleware.limits import log_to_stderr
    from velum.service.stderr_log import lines_of_libraries

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
        seen = counting.Metrics(
            stack.enter_context(closing(job_backend.JobBackend(settings))).counts if address else None
        )
        if address:
            stack.enter_context(counting.serve_metrics(seen, address))
        job_backend.worker(
            settings, peers, job_backend.observed_processor_factory(settings, seen, audit_of(settings))
        ).run(stop)
