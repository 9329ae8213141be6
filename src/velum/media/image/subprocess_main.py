"""The decoder process: it reads and writes one file after another, by requests that come through two pipes.

It ends when its parent ends. The system ends it when it uses more processor time than `work_seconds` allows: for the
whole of an image, or for one frame of a video.
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

from velum.errors import BadInput, VelumError
from velum.frame import Frame, Samples, Touched
from velum.limits import Limits
from velum.media import open_sink, open_source
from velum.media.image.info import ImageFormat, ImageInfo
from velum.media.image.pipe_messages import Pipe, apply_changes, plain_frame, receive, send
from velum.media.image_sequence import SequenceInfo
from velum.media.sources import BytesSource
from velum.plan import Plan

if TYPE_CHECKING:
    from velum.media.video.info import VideoInfo


class _Session:
    """The state between requests: the open reader, the open writer, and the frames that were sent out."""

    def __init__(self) -> None:
        self._reading, self._writing = ExitStack(), ExitStack()
        self._pending_frames: dict[int, Frame] = {}
        self._has_writer = self._counts_each_step = False
        self._steps: Iterator[Any] = iter(())

    def begin(self, limits: Limits) -> None:
        """Close the file before, and start counting processor time against `limits`."""
        self.close()
        self._limits, self._counts_each_step = limits, False
        _allow_seconds(limits.work_seconds)

    def open(
        self, source: BytesSource | Path, limits: Limits, *, cover_damage: bool
    ) -> "tuple[ImageInfo | VideoInfo, str | None]":
        """Open a file; return its description, and its SHA-256 where that is known already."""
        self._reader = self._reading.enter_context(open_source(source, limits, cover_damage=cover_damage))
        info = self._reader.info
        if isinstance(info, ImageInfo):
            return _sendable_info(info), self._reader.sha256
        if isinstance(info, SequenceInfo):
            raise BadInput(f"{source} is a sequence of images, which is read without this process")
        self._counts_each_step = True
        return info, None

    def hash(self) -> str | None:
        """Return the SHA-256 of the open file in hexadecimal; None where it is not known."""
        self._restart_clock()
        return self._reader.sha256

    def restart(self) -> None:
        """Start again with the first frame."""
        self._steps = self._reader.frames()

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call a function, and return its result."""
        return function(*args, **kwargs)

    def begin_steps(
        self, function: Callable[..., Iterator[Any]], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Start an iterator whose values `next` returns."""
        self._steps, self._counts_each_step = function(*args, **kwargs), True

    def next(self) -> Any:
        """Return the next frame, or the next value of the iterator; None after the last."""
        self._restart_clock()
        step = next(self._steps, None)
        if not isinstance(step, Frame):
            return step
        if self._has_writer:
            self._pending_frames[step.index] = step
        return plain_frame(step)

    def begin_file(
        self, target: Path, plan: Mapping[str, Any], *, overwrite: bool, touched: Container[int] | None
    ) -> tuple[str, tuple[str, ...]]:
        """Open a writer of a file like the source; return its encoding and warnings."""
        parsed = Plan.from_json(plan)
        self._writer = open_sink(target, self._reader, parsed, overwrite=overwrite, touched=touched)
        self._writing.enter_context(self._writer)
        self._has_writer = True
        return self._writer.encoding, self._writer.warnings

    def put(self, frame: Frame) -> None:
        """Write the next frame."""
        self._restart_clock()
        lent = self._pending_frames.pop(frame.index, None)
        own = frame if lent is None else replace(lent, planes=frame.planes, encoded=frame.encoded)
        self._writer.write(own)

    def put_changes(self, index: int, touched: Touched, changes: Sequence[Sequence[Samples]]) -> None:
        """Write a frame that `next` returned, with the changed samples put into it."""
        self._restart_clock()
        frame = self._pending_frames.pop(index)
        apply_changes(frame, touched, changes)
        self._writer.write(replace(frame, encoded=None, touched=touched))

    def publish(self) -> tuple[str, tuple[str, ...], str | None, tuple[Mapping[str, Any], ...]]:
        """Publish the written file; return its encoding, warnings and SHA-256, and what was done to its sound."""
        self._restart_clock()
        self._writing.close()
        return self._writer.encoding, self._writer.warnings, self._writer.sha256, self._writer.sound

    def close(self) -> None:
        """Discard a file that is not published, and close the source."""
        error = VelumError("the file is not wanted any more")
        with suppress(VelumError):
            self._writing.__exit__(VelumError, error, None)
        if isinstance(self._steps, Generator):
            self._steps.close()
        self._reading.close()
        self._reading, self._writing = ExitStack(), ExitStack()
        self._steps, self._has_writer = iter(()), False
        self._pending_frames.clear()

    def _restart_clock(self) -> None:
        """Start counting processor time again, where the limit is one for each frame or step."""
        if self._counts_each_step:
            _allow_seconds(self._limits.work_seconds)


def main(reading: int, writing: int) -> None:
    """Answer requests from two pipes, given as file descriptors, until the parent closes them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # when memory runs out, the kernel should end this process, not its parent
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
    os._exit(0)  # without waiting for threads of libraries


def _serve(pipe: Pipe, orders: Mapping[str, Callable[..., Any]]) -> None:
    with suppress(EOFError, OSError):  # the parent is gone
        while True:
            name, args, kwargs = receive(pipe)
            send(pipe, _execute(orders[name], args, kwargs))
            del args, kwargs  # or a frame would be kept while this waits for the next request


def _execute(order: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, Any]:
    try:
        return "done", order(*args, **kwargs)
    except VelumError as error:
        limit = tuple(getattr(error, name, None) for name in ("limit", "value", "allowed"))
        return "error", (type(error).__name__, str(error), limit)
    except Exception as error:  # noqa: BLE001 - the outermost edge of this process
        return "error", ("PluginFault", f"{type(error).__name__}: {error}", ())


def _sendable_info(info: ImageInfo) -> ImageInfo:
    """Return the description of an image without the large values that only the writer in this process needs."""
    coding = info.coding
    jpeg = None if coding.jpeg is None else replace(coding.jpeg, data=b"")
    bare = replace(coding.first, palette=None, icc=None)
    return replace(info, coding=ImageFormat(bare, coding.orientation, animated=coding.animated, jpeg=jpeg))


def _allow_seconds(seconds: int) -> None:
    """Have the system end this process after `seconds` more of processor time."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  # not everywhere

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))
