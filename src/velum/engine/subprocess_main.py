"""The process that hides one file after another, as requested through a pipe.

It keeps models loaded between images. When its parent ends, for whatever reason, it ends, too.
"""

import errno
import gc
import hashlib
import json
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import cv2

from velum.annotations import Annotations, line_of
from velum.engine.engine import Engine
from velum.engine.prepare import PreparedPlan
from velum.engine.stages import OnRegions
from velum.engine.subprocess_engine import SubprocessRequest
from velum.errors import BadInput, OutputFailed, Unavailable, VelumError
from velum.limits import Limits
from velum.media import VIDEO_SUFFIXES, Segment
from velum.media.video.encoders import use_one_thread
from velum.plan import Plan
from velum.plugins import Fingerprinted, RuntimeConfig
from velum.report import Report

PROGRESS_SECONDS = 0.1
"""Least time between two messages of progress."""

UNREADABLE = frozenset(
    {
        errno.EACCES, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENODEV,
        errno.ENOENT, errno.ENOMEM, errno.ENOTCONN, errno.ENOTDIR, errno.EPERM, errno.ESTALE, errno.ETIMEDOUT,
    }
)  # fmt: skip
"""Errors of the operating system that say nothing about the content of a file."""


def main(descriptor: int) -> None:
    """Serve requests from the pipe until its other end is closed."""
    gc.freeze()  # what was imported stays
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # when memory runs out, the kernel should kill this process, not its parent
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    pipe: Connection[Any, Any] = Connection(descriptor)
    sys.path[:] = pipe.recv()
    host, limits = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our parent
    requests: SimpleQueue[SubprocessRequest] = SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, requests), daemon=True).start()
    _serve(pipe, requests, host, limits)


def _listen(pipe: "Connection[Any, Any]", requests: SimpleQueue[SubprocessRequest]) -> None:
    """Receive requests in a thread of its own, to notice the end of the parent also while a file is processed."""
    while True:
        try:
            values = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        requests.put(SubprocessRequest(**{**values, "plan": Plan.from_json(values["plan"])}))


def _serve(
    pipe: "Connection[Any, Any]",
    requests: SimpleQueue[SubprocessRequest],
    host: Callable[[], RuntimeConfig],
    limits: Limits,
) -> None:
    image_engine: Engine | None = None
    if host().threads == 1:
        cv2.setNumThreads(1)  # as many processes as cores share the machine
        use_one_thread()
    while True:
        request = requests.get()
        pipe.send(("begun", ()))
        spent = time.process_time()
        try:
            # A piece must come out the same, to the last digit, whatever this process did before. An engine in
            # throughput mode adapts to the first sizes of images that it gets, so each video has an engine of its own;
            # one in latency mode does not adapt, and is kept for images.
            if request.span is not None or request.target.suffix.lower() in VIDEO_SUFFIXES:
                with Engine(host=host(), limits=limits) as engine:
                    report = _execute(engine, request, _progress_sender(pipe))
            else:
                config = replace(host(), mode="latency", progress=_fetch_sender(pipe))
                image_engine = image_engine or Engine(host=config, limits=limits)
                report = _execute(image_engine, request, _progress_sender(pipe))
            pipe.send(("spent", time.process_time() - spent))
            pipe.send(("report", report))
        except VelumError as failure:
            error = failure if request.name is None else _blame(failure)
            limit = tuple(getattr(error, name, None) for name in ("limit", "value", "allowed"))
            pipe.send(("error", (type(error).__name__, str(error), limit)))
        except Exception as error:  # noqa: BLE001 - the outermost edge of this process
            pipe.send(("error", ("PluginFault", f"{type(error).__name__}: {error}", ())))
        finally:
            if request.name is not None and image_engine is not None:  # of a job: its people are forgotten with it
                image_engine.forget_people()


def _blame(error: VelumError) -> VelumError:
    """Return the error, as `Unavailable` where the system could not read the file: the user is not at fault then."""
    cause: BaseException | None = error if isinstance(error, BadInput) else None
    while cause is not None:
        # Errors of PyAV and Pillow may be of these classes, too; PyAV uses the same numbers for damaged files.
        if isinstance(cause, OSError) and cause.errno in UNREADABLE and type(cause).__module__ == "builtins":
            return Unavailable(f"a file in the store cannot be read: {cause.strerror}")
        cause = cause.__cause__
    return error


def _execute(
    engine: Engine, request: SubprocessRequest, progress: Callable[[int, int | None], None]
) -> Mapping[str, Any]:
    source, target, plan = request.source, request.target, request.plan
    if request.check:
        work = engine.check(plan)
        fingerprint = _fingerprint_of(work) if request.fingerprint else ""
        return {"models": work.models, "warnings": work.warnings, "fingerprint": fingerprint}
    if request.cut_seconds is not None:
        form, given = VIDEO_SUFFIXES[target.suffix], request.regions is not None
        spans = engine.split(source, form, plan, seconds=request.cut_seconds, given=given)
        return {"spans": [] if isinstance(spans, str) else [span.to_json() for span in spans]}
    if request.parts:
        parts = [(file, Report.from_json(report)) for file, report in request.parts]
        return engine.concat(source, parts, target, plan, overwrite=True).to_json()
    regions = None if request.regions is None else _read_regions(request.regions)
    with _write_regions(request.hidden_regions) as on_regions:
        if request.span is not None:
            span = Segment.from_json(request.span)
            report = engine.hide_segment(
                source, target, plan, span, regions=regions, progress=progress, on_regions=on_regions
            )
        else:
            report = engine.hide(
                source, target, plan, regions=regions, overwrite=request.overwrite, progress=progress,
                on_regions=on_regions,
            )  # fmt: skip
    return report.to_json()


def _fingerprint_of(work: PreparedPlan) -> str:
    """Return one hash for the arithmetic of all models of a plan; empty where none of them has a fingerprint."""
    fingerprints = [part.fingerprint() for part in work.localizers if isinstance(part, Fingerprinted)]
    return hashlib.sha256("".join(fingerprints).encode()).hexdigest() if fingerprints else ""


@contextmanager
def _write_regions(path: Path | None) -> Iterator[OnRegions | None]:
    """Give a callback that writes the regions of each frame at once, so that those of a long video need no memory."""
    if path is None:
        yield None
        return
    try:
        with path.open("w", encoding="utf-8") as file:
            yield lambda index, regions: print(line_of(index, regions), file=file)
    except OSError as error:
        if isinstance(error, VelumError):
            raise
        raise OutputFailed(f"cannot write the regions: {error.strerror or error}; make room on the disk") from error


def _read_regions(path: Path) -> Annotations:
    try:
        return Annotations.from_json(json.loads(path.read_bytes()))
    except OSError as error:
        raise Unavailable(f"the regions cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, VelumError):
            raise
        raise BadInput(f"the regions cannot be read: {error}") from error


def _progress_sender(pipe: "Connection[Any, Any]") -> Callable[[int, int | None], None]:
    sent = 0.0

    def send_progress(done: int, total: int | None) -> None:
        nonlocal sent
        if (now := time.monotonic()) - sent >= PROGRESS_SECONDS or done == total:
            sent = now
            pipe.send(("progress", (done, total)))

    return send_progress


def _fetch_sender(pipe: "Connection[Any, Any]") -> Callable[[str, int, int | None], None]:
    def send_fetch_progress(name: str, done: int, total: int | None) -> None:
        pipe.send(("fetching", (name, done, total)))

    return send_fetch_progress
