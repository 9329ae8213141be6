"""Messages between velum and its decoder processes: pickles, with arrays sent beside them without a copy."""

import os
import pickle
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np

from velum.frame import Frame, Samples, Touched

if TYPE_CHECKING:
    Pipe = Connection[Any, Any]
else:  # not generic where it runs
    Pipe = Connection


def send(pipe: Pipe, value: Any) -> None:
    """Send a value. Raises `OSError` when the other end is closed."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    pipe.send((head, [len(view) for view in views]))
    for view in views:
        position = 0
        while position < len(view):
            position += os.write(pipe.fileno(), view[position:])


def receive(pipe: Pipe) -> Any:
    """Return the next value, with writable arrays. Raises `EOFError` or `OSError` when the other end is closed."""
    head, sizes = pipe.recv()
    buffers = []
    for size in sizes:
        buffer = np.empty(size, np.uint8)  # not zeroed, unlike a bytearray
        view, received = buffer.data, 0
        while received < size:
            count = os.readv(pipe.fileno(), [view[received:]])
            if not count:
                raise EOFError
            received += count
        buffers.append(buffer)
    return pickle.loads(head, buffers=buffers)  # noqa: S301 - from a process of ours


def plain_frame(frame: Frame) -> Frame:
    """Return a frame that can be sent: of the base class, with contiguous samples."""
    planes = tuple(replace(plane, pixels=_compact(plane.pixels)) for plane in frame.planes)
    return Frame(
        planes, frame.width, frame.height, frame.index, frame.time, frame.orientation, frame.encoded, page=frame.page
    )  # fmt: skip


def changes_of(frame: Frame) -> Sequence[Sequence[Samples]]:
    """Return, for each touched box of a frame, its samples plane by plane."""
    return [
        [_compact(plane.cut(plane.cover(box))) for plane in frame.planes]
        for box, _ in frame.touched or ()
    ]  # fmt: skip


def apply_changes(frame: Frame, touched: Touched, changes: Sequence[Sequence[Samples]]) -> None:
    """Copy the samples that `changes_of` returned into the touched boxes of `frame`."""
    for (box, _), samples_by_plane in zip(touched, changes, strict=True):
        for plane, samples in zip(frame.planes, samples_by_plane, strict=True):
            plane.cut(plane.cover(box))[...] = samples


def _compact(samples: Samples) -> Samples:
    return np.ascontiguousarray(samples)  # type: ignore[return-value]  # the message says the dtype
