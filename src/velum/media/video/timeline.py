"""Which pictures should have come: each packet announces one, each picture that comes is checked off."""

import heapq


class Timeline:
    """Time stamps of announced pictures that have not come yet. Holds as many as a decoder delays."""

    def __init__(self) -> None:
        self._due: list[tuple[int, bool]] = []
        self._start: int | None = None

    def announce(self, pts: int, *, key: bool, damaged: bool = False) -> bool:
        """Expect a picture at `pts`. Return False when it need not come: it lies before the first key frame.

        A recording may begin anywhere: pictures that need ones from before its beginning are shown by no player.
        """
        if self._start is None and key:
            self._start = pts
        if self._start is None or pts < self._start:
            return False
        heapq.heappush(self._due, (pts, damaged))
        return True

    def next_pts(self) -> int | None:
        """Return the time stamp of the picture that is due next."""
        return self._due[0][0] if self._due else None

    def shown(self, pts: int) -> tuple[list[int], bool]:
        """Check off the picture at `pts`.

        Return the time stamps of those that should have come before it, and whether its own packet was damaged.
        """
        missing, damaged = [], False
        while self._due and self._due[0][0] <= pts:
            due, bad = heapq.heappop(self._due)
            if due == pts:
                damaged |= bad
            else:
                missing.append(due)
        return sorted(set(missing)), damaged

    def rest(self) -> list[int]:
        """Return the time stamps of those that never came."""
        rest = sorted({pts for pts, _ in self._due})
        self._due.clear()
        return rest
