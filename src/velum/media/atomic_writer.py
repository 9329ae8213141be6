"""What is written appears whole or not at all: the way in and out that all writers share."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Self


class AtomicWriter(ABC):
    """Something to be used in a `with` block: leaving it well finishes it, leaving it with an error undoes it."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    @abstractmethod
    def _begin(self, stack: ExitStack) -> None:
        """Open what is needed, and say to the stack how it is undone."""

    @abstractmethod
    def _finish(self) -> None:
        """Write what is left. What fails here undoes all the same."""

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
