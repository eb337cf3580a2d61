"""Which records of a place have waited for a minute. No I/O, no clock."""

from __future__ import annotations

from collections import deque

PATIENCE_SECONDS = 60.0
"""Within which an event is promised to end: what is seen for longer is late, whatever becomes of it."""


class Overdue:
    """
    The records that were seen at the end of a log a minute ago or earlier.

    Those that were there at the first look do not count: a former owner may have counted them.
    """

    def __init__(self, end: int) -> None:
        self._first = self._end = end
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, end: int, now: float) -> range:
        """Note where the log ends *now*, and return the offsets that have become overdue since the last look."""
        if end > (self._looks[-1][1] if self._looks else self._end):
            self._looks.append((now, end))
        before = self._end
        while self._looks and now - self._looks[0][0] >= PATIENCE_SECONDS:
            _, self._end = self._looks.popleft()
        return range(before, self._end)

    def __contains__(self, offset: int) -> bool:
        return self._first <= offset < self._end
