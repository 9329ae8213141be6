"""The localizer `bmw` for requests: it frees the processor while it waits, and its errors name it."""

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
"""Its name in plans. It exists only in the service, which has checked each address before."""


class NoAnswer(Unavailable):
    """An inference API gave no usable answer; `use` is its localizer in the plan."""

    def __init__(self, use: PartSpec, why: str) -> None:
        super().__init__(why)
        self.use = use


class RequestLocalizer:
    """Wraps `bmw`: other requests may use the processor while the inference API works."""

    def __init__(self, use: PartSpec, make: Callable[[], Bmw], admission: Admission) -> None:
        """Connect later: resolving a host may take long, and localizers are made one after the other."""
        self._use, self._make, self._admission = use, make, admission
        self._lock = threading.Lock()
        self._made: Bmw | None = None

    @property
    def labels(self) -> frozenset[str]:
        """All labels of the model. Raises `NoAnswer`."""
        with self._inner_without_cpu() as inner:
            return inner.labels

    @property
    def description(self) -> Mapping[str, str]:
        """Address, model and kind, for the report."""
        return {"model": str(self._use)}

    def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
        """Return the regions in each frame. Raises `NoAnswer`."""
        with self._inner_without_cpu() as inner:
            return inner.locate(frames)

    def close(self) -> None:
        """Close the connections, if there are any."""
        if self._made is not None:
            self._made.close()

    @contextmanager
    def _inner_without_cpu(self) -> Iterator[Bmw]:
        with self._admission.yield_cpu():
            try:
                yield self._inner()
            except VelumError as error:
                raise NoAnswer(self._use, str(error)) from error

    def _inner(self) -> Bmw:
        if self._made is None:
            localizer = self._make()
            with self._lock:
                self._made = self._made or localizer
        return self._made


def localizer(admission: Admission) -> Callable[..., RequestLocalizer]:
    """Return the factory of the localizer `asked`, which releases its processor slot of `admission` while it waits."""

    def make(url: str, model: str, kind: Literal["detection", "segmentation"], host: RuntimeConfig) -> RequestLocalizer:
        use = PartSpec(NAME, {"url": url, "model": model, "kind": kind})
        return RequestLocalizer(use, lambda: Bmw(url, model, host, kind=kind), admission)

    return make
