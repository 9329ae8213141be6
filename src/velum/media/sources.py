"""Sources that are not files (live streams, bytes in memory), and the sink for streamed results: plain values."""

import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, overload
from urllib.parse import urlsplit

from velum.errors import BadInput, BadPlan
from velum.media.formats import VIDEO_SUFFIXES

STREAMED = ("MKV", "MP4", "TS", "WEBM")
"""Containers that can be written without seeking; MP4 is then fragmented."""

_SCHEMES = ("rtsp", "rtsps", "tcp", "udp")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DEVICE = re.compile(r"/dev/(video\d+|v4l/by-[a-z]+/[^/]+)")


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A live source: `-` for a pipe, `rtsp://...`, `tcp://...`, `udp://...` (MPEG-TS), or a camera as `/dev/video0`.

    `str()` leaves out user, password and query. Raises `BadInput` for any other address, and a time-out of 0 or less.
    """

    address: str = field(repr=False)
    timeout_seconds: float = 30.0
    """Longest wait for the first and for any further data."""
    descriptor: int = 0
    """File descriptor that `-` reads; 0 is the standard input."""
    stopped: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.timeout_seconds <= 0:
            raise BadInput(f"the time-out of {self} is {self.timeout_seconds} s; it must be more than 0")
        if self.kind in {"pipe", "device"}:
            return
        host = _host_of(self.address)
        if self.kind not in _SCHEMES or not host or not self.address.isprintable():
            raise BadInput(
                f"cannot read {self}: allowed are addresses such as rtsp://host/path that begin with "
                f"{', '.join(f'{scheme}://' for scheme in _SCHEMES)}; pipe other streams in, and give - as the source"
            )

    @property
    def kind(self) -> str:
        """`pipe`, `device` or the scheme of the address."""
        if self.address == "-":
            return "pipe"
        return "device" if _DEVICE.fullmatch(self.address) else self.address.partition("://")[0].lower()

    @property
    def waits(self) -> bool:
        """True where the sender waits until velum reads on; cameras and network streams do not wait."""
        return self.kind == "pipe"

    @property
    def name(self) -> str:
        """The address for messages, without secrets."""
        return str(self)

    @property
    def suffix(self) -> str:
        """Empty: a live source has no file suffix."""
        return ""

    def stop(self) -> None:
        """End the stream: frames received so far are finished and kept. May be called from any thread."""
        self.stopped.set()

    def __str__(self) -> str:
        if self.address == "-":
            return "standard input"
        scheme, mark, rest = self.address.partition("://")
        return f"{scheme}{mark}{_remove_secrets(rest)}" if mark else self.address


@dataclass(frozen=True, slots=True, eq=False)
class StreamSink:
    """A binary stream for a result, such as the standard output. Data that was sent cannot be withdrawn.

    `format` is one of `STREAMED`, in upper or lower case, or a suffix such as `mkv`. Raises `BadPlan` for others.
    """

    file: BinaryIO
    format: str = "MKV"

    def __post_init__(self) -> None:
        suffix = self.format.removeprefix(".")
        name = VIDEO_SUFFIXES.get(f".{suffix.lower()}", suffix.upper())
        if name not in STREAMED:
            raise BadPlan(f"format {self.format!r} cannot be streamed; allowed are {', '.join(STREAMED).lower()}")
        object.__setattr__(self, "format", name)

    @property
    def name(self) -> str:
        """The name for messages."""
        return str(self)

    def __str__(self) -> str:
        return "standard output"


@dataclass(frozen=True, slots=True, eq=False)
class BytesSource:
    """An image file in memory, which is never written to disk; messages and the report use `name`."""

    name: str
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.name


@overload
def source_of(source: str | Path | LiveSource) -> Path | LiveSource: ...
@overload
def source_of(source: str | Path | LiveSource | BytesSource) -> Path | LiveSource | BytesSource: ...
def source_of(source: str | Path | LiveSource | BytesSource) -> Path | LiveSource | BytesSource:
    """Return the live source of an address or a camera, or the path of a file.

    A `Path` is never an address; a file named `-` is `./-`. Raises `BadInput` as `LiveSource` does.
    """
    if isinstance(source, LiveSource | BytesSource):
        return source
    if isinstance(source, str) and (source == "-" or _ADDRESS.match(source)):
        return LiveSource(source)
    return LiveSource(str(source)) if _DEVICE.fullmatch(str(source)) else Path(source)


def _host_of(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:  # for instance, a port that is not a number
        return None
    # udp://:1234 listens for any sender.
    return parts.hostname or (parts.netloc if parts.scheme == "udp" and port else None)


def _remove_secrets(rest: str) -> str:
    """Return an address after its scheme without user, password, query and fragment."""
    address = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = address.partition("/")
    # A password may hold a slash that should have been escaped: nothing before the last @ is shown.
    return address.rpartition("@")[2] if "@" in path else f"{host.rpartition('@')[2]}{slash}{path}"
