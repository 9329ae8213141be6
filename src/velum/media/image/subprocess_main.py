"""The process that reads and writes one file after another, as it is told through two pipes.

It ends with its parent, however that ends; work that needs more processor time than its limits allow ends it: all of
the work on an image, or that on one frame of a video.
"""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from velum.errors import VelumError
from velum.frame import Frame, Samples, Touched
from velum.limits import Limits
from velum.media.doors import read, write
from velum.media.image.info import ImageFormat, ImageInfo
from velum.media.image.pipe_messages import Pipe, apply_changes, plain_frame, receive, send
from velum.media.sources import BytesSource
from velum.plan import Plan

if TYPE_CHECKING:
    from velum.media.video.info import VideoInfo


class _Session:
    """One file: opened, read, and written while it is read; or a function that does something with one."""

    def __init__(self) -> None:
        self._reading, self._writing = ExitStack(), ExitStack()
        self._lent: dict[int, Frame] = {}
        self._written = self._anew = False
        self._steps: Iterator[Any] = iter(())

    def begin(self, limits: Limits) -> None:
        """Let go of what was before, and count the processor time from now on."""
        self.close()
        self._limits, self._anew = limits, False
        _allow_seconds(limits.work_seconds)

    def open(
        self, source: BytesSource | Path, limits: Limits, *, cover_damage: bool
    ) -> "tuple[ImageInfo | VideoInfo, str | None]":
        """Open a file, and return what the other side needs to know of it."""
        self._reader = self._reading.enter_context(read(source, limits, cover_damage=cover_damage))
        info = self._reader.info
        if isinstance(info, ImageInfo):
            return _told(info), self._reader.sha256
        self._anew = True
        return info, None

    def hash(self) -> str | None:
        """Return the hash of the file that is open."""
        self._go_on()
        return self._reader.sha256

    def restart(self) -> None:
        """Begin anew with the first frame."""
        self._steps = self._reader.frames()

    def call(self, function: Callable[..., Any], values: tuple[Any, ...], more: Mapping[str, Any]) -> Any:
        """Return what a function returns."""
        return function(*values, **more)

    def begin_steps(
        self, function: Callable[..., Iterator[Any]], values: tuple[Any, ...], more: Mapping[str, Any]
    ) -> None:
        """Begin with what a function yields."""
        self._steps, self._anew = function(*values, **more), True

    def next(self) -> Any:
        """Return the next frame, or what comes next, None after the last."""
        self._go_on()
        step = next(self._steps, None)
        if not isinstance(step, Frame):
            return step
        if self._written:
            self._lent[step.index] = step
        return plain_frame(step)

    def begin_file(
        self, target: Path, plan: Mapping[str, Any], *, overwrite: bool, touched: Container[int] | None
    ) -> tuple[str, tuple[str, ...]]:
        """Begin a file like the source."""
        made = Plan.from_json(plan)
        self._writer = write(target, self._reader, made, overwrite=overwrite, touched=touched)
        self._writing.enter_context(self._writer)
        self._written = True
        return self._writer.encoding, self._writer.warnings

    def put(self, frame: Frame) -> None:
        """Write the next frame."""
        self._go_on()
        lent = self._lent.pop(frame.index, None)
        own = frame if lent is None else replace(lent, planes=frame.planes, encoded=frame.encoded)
        self._writer.write(own)

    def put_changes(self, index: int, touched: Touched, changes: Sequence[Sequence[Samples]]) -> None:
        """Write a frame that was given out, as it was changed."""
        self._go_on()
        frame = self._lent.pop(index)
        apply_changes(frame, touched, changes)
        self._writer.write(replace(frame, encoded=None, touched=touched))

    def publish(self) -> tuple[str, tuple[str, ...], str | None]:
        """Publish the file, and say what there is to say of it."""
        self._go_on()
        self._writing.close()
        return self._writer.encoding, self._writer.warnings, self._writer.sha256

    def close(self) -> None:
        """Drop what is not published, and let go of the source."""
        error = VelumError("the file is not wanted any more")
        with suppress(VelumError):
            self._writing.__exit__(VelumError, error, None)
        if isinstance(self._steps, Generator):
            self._steps.close()
        self._reading.close()
        self._reading, self._writing = ExitStack(), ExitStack()
        self._steps, self._written = iter(()), False
        self._lent.clear()

    def _go_on(self) -> None:
        """Count the processor time from now on, where that of each step counts."""
        if self._anew:
            _allow_seconds(self._limits.work_seconds)


def main(reading: int, writing: int) -> None:
    """Do what comes through the pipes, each by its descriptor, until nobody is at their other ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # where memory runs out, the kernel is to choose this process, not its parent
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    session = _Session()
    orders: Mapping[str, Callable[..., Any]] = {
        "begin": session.begin, "open": session.open, "hash": session.hash, "restart": session.restart,
        "call": session.call, "begin_steps": session.begin_steps, "next": session.next,
        "begin_file": session.begin_file, "put": session.put, "put_changes": session.put_changes,
        "publish": session.publish, "close": session.close,
    }  # fmt: skip
    threading.Thread(target=_serve, args=(Connection(writing), orders), daemon=True).start()
    _serve(Connection(reading), orders)
    os._exit(0)  # threads of libraries are of no interest


def _serve(pipe: Pipe, orders: Mapping[str, Callable[..., Any]]) -> None:
    with suppress(EOFError, OSError):  # the parent is gone
        while True:
            name, values, more = receive(pipe)
            send(pipe, _done(orders[name], values, more))
            del values, more  # a frame would be held while the next one is waited for


def _done(order: Callable[..., Any], values: tuple[Any, ...], more: Mapping[str, Any]) -> tuple[str, Any]:
    try:
        return "done", order(*values, **more)
    except VelumError as error:
        limit = tuple(getattr(error, name, None) for name in ("limit", "value", "allowed"))
        return "error", (type(error).__name__, str(error), limit)
    except Exception as error:  # noqa: BLE001 - the outermost edge of this process
        return "error", ("PluginFault", f"{type(error).__name__}: {error}", ())


def _told(info: ImageInfo) -> ImageInfo:
    """Return what is known of the image without what only its writer, here, needs."""
    look = info.look
    jpeg = None if look.jpeg is None else replace(look.jpeg, data=b"")
    bare = replace(look.first, palette=None, icc=None)
    return replace(info, look=ImageFormat(bare, look.orientation, animated=look.animated, jpeg=jpeg))


def _allow_seconds(seconds: int) -> None:
    """Have the system end this process when it has used so much more processor time."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  # not everywhere

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))
