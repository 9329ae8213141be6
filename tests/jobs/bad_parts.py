"""Localizers that crash, hang or misbehave; imported by name in the process that decodes."""

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from velum.frame import Frame
from velum.plugins import RuntimeConfig
from velum.region import Box, Region


class Bad:
    """Finds nothing, in its own way."""

    labels = frozenset({"face"})

    def __init__(self, how: str) -> None:
        self._how = how

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        if self._how == "crash":
            ctypes.string_at(0)
        if self._how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._how == "terminated":
            os.kill(os.getpid(), signal.SIGTERM)
        if self._how == "leave":
            os._exit(3)
        if self._how == "hang":
            time.sleep(60)
        if self._how.startswith("mark "):
            Path(self._how.removeprefix("mark ")).write_text(str(os.getpid()))
            time.sleep(60)
        return [[] for _ in frames]

    def close(self) -> None: ...


class Moody:
    """Finds something else with each frame that it sees, unless it is to answer at once: as networks do that adapt."""

    labels = frozenset({"face"})

    def __init__(self, host: RuntimeConfig) -> None:
        self._adapts, self._seen = host.mode == "throughput", 0

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        found = []
        for _ in frames:
            found.append([Region(Box(4, 4, 8 + self._seen, 8), "face", 0.9)])
            self._seen += self._adapts
        return found

    def close(self) -> None: ...


def host() -> RuntimeConfig:
    return RuntimeConfig(localizers={"bad": Bad, "moody": Moody}, mode="throughput")
