"""The localizer for requests: that of an inference API, whose failures say which one it was."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from velum.bmw.localizer import Bmw
from velum.errors import Unavailable, VelumError
from velum.frame import Frame
from velum.plugins import RuntimeConfig
from velum.region import Region
from velum.service.admission import Admission
from velum.spec import PartSpec

NAME = "asked"
"""Name in plans. It exists only in the service, where each address was checked before."""


class NoAnswer(Unavailable):
    """An inference API gave no usable answer; `use` is the localizer of the plan."""

    def __init__(self, use: PartSpec, why: str) -> None:
        super().__init__(why)
        self.use = use


class RequestLocalizer:
    """What `bmw` finds. While its service works, the processor is free for others."""

    def __init__(self, use: PartSpec, make: Callable[[], Bmw], gate: Admission) -> None:
        """Do nothing yet: looking up an address may take long, and parts are made one after the other."""
        self._use, self._make, self._gate = use, make, gate
        self._lock = threading.Lock()
        self._made: Bmw | None = None

    @property
    def labels(self) -> frozenset[str]:
        """Every label of the model. Raises `NoAnswer`."""
        with self._asking() as inner:
            return inner.labels

    @property
    def description(self) -> Mapping[str, str]:
        """Address, model and kind, for the report."""
        return {"model": str(self._use)}

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return what is found in each frame. Raises `NoAnswer`."""
        with self._asking() as inner:
            return inner.locate(frames)

    def close(self) -> None:
        """Close what was opened."""
        if self._made is not None:
            self._made.close()

    @contextmanager
    def _asking(self) -> Iterator[Bmw]:
        with self._gate.yield_cpu():
            try:
                yield self._inner()
            except VelumError as error:
                raise NoAnswer(self._use, str(error)) from error

    def _inner(self) -> Bmw:
        if self._made is None:
            made = self._make()
            with self._lock:
                self._made = self._made or made
        return self._made


def localizer(gate: Admission) -> Callable[..., RequestLocalizer]:
    """Return the localizer `asked`, which lets others to the processor through `gate`."""

    def asked(
        url: str, model: str, kind: Literal["detection", "segmentation"], host: RuntimeConfig
    ) -> RequestLocalizer:
        use = PartSpec(NAME, {"url": url, "model": model, "kind": kind})
        return RequestLocalizer(use, lambda: Bmw(url, model, host, kind=kind), gate)

    return asked
