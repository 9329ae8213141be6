"""The process that reads and writes one image after another, as it is told through a pipe.

It is started as `python -m velum.media.image.subprocess_main DESCRIPTOR`. It ends with its parent, however that ends; a
picture that needs more processor time than its limits allow ends it.
"""

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from velum.errors import VelumError
from velum.frame import Frame
from velum.limits import Limits
from velum.media.image import reader, writer
from velum.media.image.info import ImageFormat, ImageInfo
from velum.media.image.pipe_messages import Pipe, receive, send
from velum.media.sources import BytesSource
from velum.plan import Plan


class _Session:
    """One image: opened, read, and written while it is read."""

    def __init__(self) -> None:
        self._reading, self._writing = ExitStack(), ExitStack()

    def open(self, source: BytesSource | Path, limits: Limits) -> tuple[ImageInfo, str | None]:
        """Open an image, and return what the other side needs to know of it."""
        self.close()
        _allow_seconds(limits.work_seconds)
        made = reader.held(source, limits) if isinstance(source, BytesSource) else reader.read(source, limits)
        self._reader = self._reading.enter_context(made)
        return _told(made.info), made.sha256

    def restart(self) -> None:
        """Begin anew with the first frame."""
        self._frames: Iterator[Frame] = self._reader.frames()

    def next(self) -> Frame | None:
        """Return the next frame, None after the last."""
        return next(self._frames, None)

    def begin(self, target: Path, plan: Mapping[str, Any], *, overwrite: bool) -> tuple[str, tuple[str, ...]]:
        """Begin a file like the source."""
        self._writer = writer.write(target, self._reader.info, Plan.from_json(plan), overwrite=overwrite)
        self._writing.enter_context(self._writer)
        return self._writer.encoding, self._writer.warnings

    def put(self, frame: Frame) -> None:
        """Write the next frame."""
        self._writer.write(frame)

    def publish(self) -> tuple[str, tuple[str, ...], str | None]:
        """Publish the file, and say what there is to say of it."""
        self._writing.close()
        return self._writer.encoding, self._writer.warnings, self._writer.sha256

    def close(self) -> None:
        """Drop what is not published, and let go of the image."""
        error = VelumError("the file is not wanted any more")
        with suppress(VelumError):
            self._writing.__exit__(VelumError, error, None)
        self._reading.close()
        self._reading, self._writing = ExitStack(), ExitStack()


def main(descriptor: int) -> None:
    """Do what comes through the pipe until nobody is at its other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # where memory runs out, the kernel is to choose this process, not its parent
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    pipe: Pipe = Connection(descriptor)
    session = _Session()
    orders: Mapping[str, Callable[..., Any]] = {
        "open": session.open, "restart": session.restart, "next": session.next, "begin": session.begin,
        "put": session.put, "publish": session.publish, "close": session.close,
    }  # fmt: skip
    with suppress(EOFError, OSError):  # the parent is gone
        while True:
            name, values, more = receive(pipe)
            send(pipe, _done(orders[name], values, more))


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


if __name__ == "__main__":
    main(int(sys.argv[1]))
    os._exit(0)  # threads of libraries are of no interest
