"""How many calls go to one address at a time, so that a slow one holds up nobody but those who ask it."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class PerHostLimit:
    """At most `each` calls to one address at a time."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._changed = threading.Condition()
        self._busy: Counter[str] = Counter()

    @contextmanager
    def slot(self, address: str, seconds: float) -> Iterator[bool]:
        """Hold one of the address's slots; False when none was free for so many seconds."""
        with self._changed:
            got = self._changed.wait_for(lambda: self._busy[address] < self._each, seconds)
            self._busy[address] += got
        try:
            yield got
        finally:
            with self._changed:
                self._busy[address] -= got
                if not self._busy[address]:
                    del self._busy[address]
                self._changed.notify_all()
