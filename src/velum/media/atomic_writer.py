"""The base class of writers that publish a complete file or nothing."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Self


class AtomicWriter(ABC):
    """A writer for a `with` block: leaving the block finishes the file, an error in the block discards it."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    @abstractmethod
    def _begin(self, stack: ExitStack) -> None:
        """Open the target, and push onto the stack how to publish or discard it."""

    @abstractmethod
    def _finish(self) -> None:
        """Write what is left of the file. An error here discards it, too."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._begin(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            with self._stack:
                self._finish()
        else:
            self._stack.__exit__(kind, error, trace)
