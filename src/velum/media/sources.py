"""Sources that are in memory or come as they happen, and results that go out as they are made: plain values."""

import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, overload
from urllib.parse import urlsplit

from velum.errors import BadInput, BadPlan
from velum.media.formats import VIDEO_SUFFIXES

STREAMED = ("MKV", "MP4", "TS", "WEBM")
"""Containers that can be written without ever going back; an MP4 then comes in fragments."""

_SCHEMES = ("rtsp", "rtsps", "tcp", "udp")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DEVICE = re.compile(r"/dev/(video\d+|v4l/by-[a-z]+/[^/]+)")


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A stream: `-` for a pipe, `rtsp://...`, `tcp://...` or `udp://...` (MPEG-TS), or a camera such as `/dev/video0`.

    `str()` of it is without user, password and query. Raises `BadInput` for an address of another kind.
    """

    address: str = field(repr=False)
    timeout_seconds: float = 30.0
    """How long to wait for the first and for any further data."""
    descriptor: int = 0
    """What `-` is read from: the standard input."""
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
                f"{', '.join(f'{one}://' for one in _SCHEMES)}; pipe other streams in, and give - as the source"
            )

    @property
    def kind(self) -> str:
        """`pipe`, `device` or the scheme of the address."""
        if self.address == "-":
            return "pipe"
        return "device" if _DEVICE.fullmatch(self.address) else self.address.partition("://")[0].lower()

    @property
    def waits(self) -> bool:
        """True where the sender waits for us; a camera goes on whether or not we can follow."""
        return self.kind == "pipe"

    @property
    def name(self) -> str:
        """What to call it, without secrets."""
        return str(self)

    @property
    def suffix(self) -> str:
        """A stream has no name to take one from."""
        return ""

    def stop(self) -> None:
        """End the stream here: what has come is finished and kept. May be called from any thread."""
        self.stopped.set()

    def __str__(self) -> str:
        if self.address == "-":
            return "standard input"
        scheme, mark, rest = self.address.partition("://")
        return f"{scheme}{mark}{_plain(rest)}" if mark else self.address


@dataclass(frozen=True, slots=True, eq=False)
class StreamSink:
    """Where a result goes as it is made, such as the standard output. What was sent cannot be taken back.

    `format` is one of `STREAMED`, in any case, or a suffix such as `mkv`. Raises `BadPlan` for another.
    """

    file: BinaryIO
    format: str = "MKV"

    def __post_init__(self) -> None:
        wanted = self.format.removeprefix(".")
        name = VIDEO_SUFFIXES.get(f".{wanted.lower()}", wanted.upper())
        if name not in STREAMED:
            raise BadPlan(f"format {self.format!r} cannot be streamed; allowed are {', '.join(STREAMED).lower()}")
        object.__setattr__(self, "format", name)

    @property
    def name(self) -> str:
        """What to call it."""
        return str(self)

    def __str__(self) -> str:
        return "standard output"


@dataclass(frozen=True, slots=True, eq=False)
class BytesSource:
    """An image file that is in memory; `name` is what messages and the report call it. It never touches a disk."""

    name: str
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.name


@overload
def source_of(source: str | Path | LiveSource) -> Path | LiveSource: ...
@overload
def source_of(source: str | Path | LiveSource | BytesSource) -> Path | LiveSource | BytesSource: ...
def source_of(source: str | Path | LiveSource | BytesSource) -> Path | LiveSource | BytesSource:
    """Return the stream or the file that is meant. A `Path` is never an address; a file named `-` is `./-`."""
    if isinstance(source, LiveSource | BytesSource):
        return source
    if isinstance(source, str) and (source == "-" or _ADDRESS.match(source)):
        return LiveSource(source)
    return LiveSource(str(source)) if _DEVICE.fullmatch(str(source)) else Path(source)


def _host_of(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:  # such as a port that is no number
        return None
    # udp://:1234 listens to whoever sends there.
    return parts.hostname or (parts.netloc if parts.scheme == "udp" and port else None)


def _plain(rest: str) -> str:
    """Return an address after its scheme without user, password, query and fragment."""
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = place.partition("/")
    # A password may hold a slash that should have been escaped: nothing before the last @ is shown.
    return place.rpartition("@")[2] if "@" in path else f"{host.rpartition('@')[2]}{slash}{path}"
