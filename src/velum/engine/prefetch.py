"""Prefetch: run an iterator in a thread of its own, ahead of its reader. The engine has no other threads."""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Channel(Generic[T]):
    """A queue between two threads that holds at most `depth` items."""

    depth: int
    items: deque[T] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    ended: bool = False
    left: bool = False
    failure: BaseException | None = None

    def put(self, item: T) -> bool:
        """Add an item, waiting for room. Return False when the reader has left."""
        with self.changed:
            self.changed.wait_for(lambda: self.left or len(self.items) < self.depth)
            if not self.left:
                self.items.append(item)
                self.changed.notify_all()
            return not self.left

    def end(self, failure: BaseException | None = None) -> None:
        """End the items, with the failure that ended them, if any."""
        with self.changed:
            self.ended, self.failure = True, failure
            self.changed.notify_all()

    def leave(self) -> None:
        """End the reading: later items are not taken."""
        with self.changed:
            self.left = True
            self.items.clear()
            self.changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.ended or self.items)
                if not self.items:
                    if self.failure is not None:
                        raise self.failure
                    return
                item = self.items.popleft()
                self.changed.notify_all()
            yield item
            del item  # or it would be held while the next one is waited for


@contextmanager
def prefetch(items: Iterable[T], depth: int = 2) -> Iterator[Iterator[T]]:
    """Give an iterator over `items`, which a thread of its own computes at most `depth` ahead.

    A failure is raised after all items before it. However the block is left, the thread ends and `items` is closed.
    """
    channel: _Channel[T] = _Channel(depth)

    def work() -> None:
        try:
            if all(map(channel.put, items)):
                channel.end()
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that reads
            channel.end(error)
        finally:
            if isinstance(items, Generator):
                items.close()

    thread = threading.Thread(target=work, name="velum-lane", daemon=True)
    thread.start()
    try:
        yield iter(channel)
    finally:
        channel.leave()
        thread.join()
