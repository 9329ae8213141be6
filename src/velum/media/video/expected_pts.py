"""Which pictures should have come: each packet announces one, each picture that comes is checked off."""

import heapq
import sys


class ExpectedPts:
    """Time stamps of announced pictures that have not come yet. Holds as many as a decoder delays."""

    def __init__(self) -> None:
        self._due: list[tuple[int, bool]] = []
        self._start = 0
        self._begun = False

    def begin(self, *, key: bool) -> bool:
        """Expect any picture from now on, if this one is a key frame. Return False when it cannot be decoded."""
        if key and not self._begun:
            self._begun, self._start = True, -sys.maxsize
        return self._begun

    def begin_anew(self) -> None:
        """Expect none before the next key frame: what comes belongs to another recording."""
        self._begun = False

    def announce(self, pts: int, *, key: bool, damaged: bool = False, shown: bool = True) -> bool:
        """Expect a picture at `pts`. Return False when it need not come: it lies before the first key frame.

        A recording may begin anywhere: pictures that need ones from before its beginning are shown by no player.
        One that is not `shown`, since an edit list leaves it out, is not expected, and those after it can be decoded.
        """
        if key and not self._begun:
            self._begun, self._start = True, pts
        if not self._begun or pts < self._start:
            return False
        if shown:
            heapq.heappush(self._due, (pts, damaged))
        return True

    def next_pts(self) -> int | None:
        """Return the time stamp of the picture that is due next."""
        return self._due[0][0] if self._due else None

    def check_off(self, pts: int) -> tuple[list[int], bool]:
        """Check off the picture at `pts`; one, where several are to have the same time.

        Return the time stamps of those that should have come before it, and whether its own packet was damaged.
        """
        missing = []
        while self._due and self._due[0][0] < pts:
            missing.append(heapq.heappop(self._due)[0])
        is_due = bool(self._due) and self._due[0][0] == pts
        return missing, heapq.heappop(self._due)[1] if is_due else False

    def take_missing(self) -> list[int]:
        """Return the time stamps of those that never came."""
        rest = sorted(pts for pts, _ in self._due)
        self._due.clear()
        return rest


class ShownPts:
    """Time stamps of the pictures as they are shown: each later than the one before, whatever the file says."""

    def __init__(self, step: int) -> None:
        """`step` is the usual one from picture to picture."""
        self._step = step
        self._last: int | None = None
        self._timeless = False
        self.pushed = self.derived = 0

    def begin(self, *, timed: bool) -> None:
        """Hear whether any of the first pictures has a time stamp; without one, time begins with the first."""
        self._timeless = not timed

    def make_increasing(self, pts: int) -> int:
        """Return the time stamp of a picture for which the file says `pts`."""
        if self._last is not None and pts <= self._last:
            pts = self._last + 1
            self.pushed += 1
        self._last = pts
        return pts

    def derive_pts(self, due: int | None) -> int | None:
        """Return one for a picture without any, before the one that is `due` next; None where no picture has had one.

        Such ones lie before the time at which the recording begins.
        """
        if self._last is None and not self._timeless:
            return None
        self.derived += 1
        if self._last is None:
            return 0
        pts = self._last + self._step
        return pts if due is None or pts < due else self._last + max(1, (due - self._last) // 2)
