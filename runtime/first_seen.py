"""Notice what is seen for the first time, within a bound: strangers choose the names that we log once."""

from __future__ import annotations

from collections.abc import Hashable


class FirstSeen:
    """Remembers at most *limit* things; once it is full, nothing is new any more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[Hashable] = set()

    def is_new(self, thing: Hashable) -> bool:
        """Return whether *thing* is seen for the first time, and remember it."""
        if thing in self._seen or len(self._seen) >= self._limit:
            return False
        self._seen.add(thing)
        return True
