"""The sending end of a stream: every byte is counted into a hash, and none goes out after a fault."""

import hashlib

from velum.media.sources import StreamSink


class ForwardOnlyFile:
    """A file for PyAV that can only be written forwards."""

    def __init__(self, outlet: StreamSink) -> None:
        self._file, self._digest, self._broken_off = outlet.file, hashlib.sha256(), False

    @property
    def sha256(self) -> str:
        """SHA-256 of what was sent so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """Send all of `data` at once: who reads should not wait for more to come."""
        if self._broken_off:
            raise ValueError("the stream was broken off")
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._file.flush()
        self._digest.update(data)
        return len(data)

    def break_off(self) -> None:
        """Send nothing more: a stream that was broken off must not look like one that has ended."""
        self._broken_off = True
