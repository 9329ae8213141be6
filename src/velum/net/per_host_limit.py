"""Limit the concurrent calls to one address, so that a slow server delays only its own callers."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class PerHostLimit:
    """Allows at most `each` concurrent calls to one address."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._changed = threading.Condition()
        self._busy: Counter[str] = Counter()

    @contextmanager
    def slot(self, address: str, seconds: float) -> Iterator[bool]:
        """Hold a slot of the address; yield False when none became free within `seconds`."""
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
