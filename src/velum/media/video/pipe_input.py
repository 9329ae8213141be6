"""Reads a pipe forward-only, hashes what comes, and gives up after a time-out."""

import errno
import hashlib
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

from velum.errors import BadInput, Unavailable, VelumError
from velum.limits import Limits
from velum.media.formats import VIDEO_HEAD_BYTES, video_format_of
from velum.media.sources import LiveSource
from velum.media.video.file_input import DEMUXERS, translate_read_errors
from velum.media.video.truncation import TS_PACKETS

_POLL_SECONDS = 0.2


class Pipe:
    """The read end of a pipe, as a file object for PyAV."""

    def __init__(self, live: LiveSource, limits: Limits) -> None:
        self._live, self._limits = live, limits
        self._digest, self._count, self._head = hashlib.sha256(), 0, b""
        self._fault: OSError | VelumError | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes read so far, in hexadecimal."""
        return self._digest.hexdigest()

    def format(self) -> str:
        """Return the video format by the first bytes. Raises `BadInput` when they belong to no known video format."""
        with translate_read_errors(self._live), translate_timeouts(self._live):
            while len(self._head) < VIDEO_HEAD_BYTES and (data := self._read(VIDEO_HEAD_BYTES - len(self._head))):
                self._head += data
        found = video_format_of(self._head)
        if found is None:
            reason = "it is empty" if not self._head else "its format is unknown"
            raise BadInput(f"cannot read {self._live}: {reason}; supported formats are {', '.join(sorted(DEMUXERS))}")
        return found

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes as soon as any arrive; empty at the end."""
        data, self._head = self._head[:count], self._head[count:]
        return data or self._read(count)

    def check_end(self, format: str, *, whole: bool) -> None:
        """Raise the error that ended the stream, which some demuxers swallow; or one for a partial last packet."""
        if self._fault is not None:
            raise self._fault
        if whole and format == "TS" and all(self._count % packet for packet in TS_PACKETS):
            raise OSError(errno.EIO, f"its {self._count:,} bytes are no whole number of packets")

    def _read(self, count: int) -> bytes:
        if self._fault is not None:  # some demuxers try again after an error
            raise self._fault
        try:
            return self._receive(count)
        except (OSError, VelumError) as error:
            self._fault = error
            raise

    def _receive(self, count: int) -> bytes:
        deadline = time.monotonic() + self._live.timeout_seconds
        while not select.select([self._live.descriptor], [], [], _POLL_SECONDS)[0]:
            if self._live.stopped.is_set() or time.monotonic() > deadline:
                raise TimeoutError(0, f"no data came for {self._live.timeout_seconds:g} s")
        data = os.read(self._live.descriptor, count)
        self._count += len(data)
        self._digest.update(data)
        self._limits.check("bytes", self._count, str(self._live))
        return data


def no_data_error(live: LiveSource) -> Unavailable:
    """Return the error for a stream that never began."""
    reason = "it was stopped before its first frame" if live.stopped.is_set() else "no data came"
    return Unavailable(f"cannot read {live}: {reason} within {live.timeout_seconds:g} s; check that the sender runs")


@contextmanager
def translate_timeouts(live: LiveSource) -> Iterator[None]:
    """Turn a time-out into `Unavailable`: the stream never began, which is no damage."""
    try:
        yield
    except TimeoutError:
        raise no_data_error(live) from None
