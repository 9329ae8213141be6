"""Time stamps of frames: which ones are due, and which ones to write so that they increase."""

import heapq
import sys


class ExpectedPts:
    """Presentation time stamps of frames that packets announced and the decoder has not returned yet.

    It holds as many as the decoder delays.
    """

    def __init__(self) -> None:
        self._due: list[tuple[int, bool]] = []
        self._start = 0
        self._begun = False

    def begin(self, *, key: bool) -> bool:
        """Note a packet without a time stamp; return False when it comes before the first key frame.

        From a key frame on, every frame can be decoded.
        """
        if key and not self._begun:
            self._begun, self._start = True, -sys.maxsize
        return self._begun

    def begin_anew(self) -> None:
        """Expect no frame before the next key frame: another recording begins."""
        self._begun = False

    def announce(self, pts: int, *, key: bool, damaged: bool = False, shown: bool = True) -> bool:
        """Expect a frame at `pts`. Return False when it lies before the first key frame, and so cannot be decoded.

        A recording may begin between key frames: no player shows frames that refer to frames before its beginning.
        A frame that is not `shown`, because an edit list leaves it out, is not expected; frames after it still are.
        """
        if key and not self._begun:
            self._begun, self._start = True, pts
        if not self._begun or pts < self._start:
            return False
        if shown:
            heapq.heappush(self._due, (pts, damaged))
        return True

    def next_pts(self) -> int | None:
        """Return the time stamp of the next expected frame; None where none is expected."""
        return self._due[0][0] if self._due else None

    def check_off(self, pts: int) -> tuple[list[int], bool]:
        """Check off one frame at `pts`.

        Return the time stamps of expected frames before it, which are missing, and whether its packet was damaged.
        """
        missing = []
        while self._due and self._due[0][0] < pts:
            missing.append(heapq.heappop(self._due)[0])
        is_due = bool(self._due) and self._due[0][0] == pts
        return missing, heapq.heappop(self._due)[1] if is_due else False

    def take_missing(self) -> list[int]:
        """Return the time stamps of all frames that are still expected, in order, and forget them."""
        rest = sorted(pts for pts, _ in self._due)
        self._due.clear()
        return rest


class ShownPts:
    """Presentation time stamps that always increase, whatever the file says; frames without one get one."""

    def __init__(self, step: int) -> None:
        """`step` is the usual difference between two frames, in units of the time base."""
        self._step = step
        self._last: int | None = None
        self._timeless = False
        self.pushed = self.derived = 0

    def begin(self, *, timed: bool) -> None:
        """Note whether any of the first packets has a time stamp (`timed`); if none has, the first frame is at 0."""
        self._timeless = not timed

    def make_increasing(self, pts: int) -> int:
        """Return the time stamp for a frame at `pts`: just after the frame before, where `pts` repeats or goes back."""
        if self._last is not None and pts <= self._last:
            pts = self._last + 1
            self.pushed += 1
        self._last = pts
        return pts

    def derive_pts(self, due: int | None) -> int | None:
        """Return a time stamp for a frame without one, before the next frame, which is `due`.

        None where no frame has had one yet: such frames lie before the start of the recording.
        """
        if self._last is None and not self._timeless:
            return None
        self.derived += 1
        if self._last is None:
            return 0
        pts = self._last + self._step
        return pts if due is None or pts < due else self._last + max(1, (due - self._last) // 2)
