"""Writes a result into a stream: hashes every byte, and sends none after a failure."""

import hashlib

from velum.media.sources import StreamSink


class ForwardOnlyFile:
    """A forward-only file object for PyAV."""

    def __init__(self, outlet: StreamSink) -> None:
        self._file, self._digest, self._broken_off = outlet.file, hashlib.sha256(), False

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes sent so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """Send all of `data` at once, so that the receiver need not wait for more data; return its length."""
        if self._broken_off:
            raise ValueError("the stream was broken off")
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._file.flush()
        self._digest.update(data)
        return len(data)

    def break_off(self) -> None:
        """Discard everything from now on: an aborted stream must not look like a complete one."""
        self._broken_off = True
