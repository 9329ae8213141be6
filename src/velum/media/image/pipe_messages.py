"""Values with large arrays through a pipe between two processes of ours: arrays go beside the pickle, uncopied."""

import pickle
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Pipe = Connection[Any, Any]
else:  # not generic where it runs
    Pipe = Connection


def send(pipe: Pipe, value: Any) -> None:
    """Send a value. Raises `OSError` when nobody is at the other end."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    raw = [one.raw() for one in buffers]
    pipe.send((head, [len(one) for one in raw]))
    for one in raw:
        pipe.send_bytes(one)


def receive(pipe: Pipe) -> Any:
    """Return the next value; its arrays can be written to. Raises `EOFError` or `OSError` without another end."""
    head, sizes = pipe.recv()
    buffers = []
    for size in sizes:
        buffer = bytearray(size)
        if size:
            pipe.recv_bytes_into(buffer)
        else:
            pipe.recv_bytes()
        buffers.append(buffer)
    return pickle.loads(head, buffers=buffers)  # noqa: S301 - from a process of ours
