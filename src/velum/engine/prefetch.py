"""The only threads of the engine: run an iterator ahead of who reads it."""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Channel(Generic[T]):
    """Items in order between two threads, at most `depth` of them at a time."""

    depth: int
    items: deque[T] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    ended: bool = False
    left: bool = False
    failure: BaseException | None = None

    def put(self, item: T) -> bool:
        """Add an item, waiting for room. Returns False when nobody reads any more."""
        with self.changed:
            self.changed.wait_for(lambda: self.left or len(self.items) < self.depth)
            if not self.left:
                self.items.append(item)
                self.changed.notify_all()
            return not self.left

    def end(self, failure: BaseException | None = None) -> None:
        """Say that no more items come, and why."""
        with self.changed:
            self.ended, self.failure = True, failure
            self.changed.notify_all()

    def leave(self) -> None:
        """Say that nobody reads any more."""
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
    """Yield an iterator over `items`, which a thread of its own works out at most `depth` ahead.

    A failure is raised where the item would have come, after all items before it. Leaving the block, however, stops
    the thread and closes `items`; none is left behind.
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
