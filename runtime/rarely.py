"""Log what strangers can cause without end: each kind once a minute at most. A metric counts all of it."""

from __future__ import annotations

from collections.abc import Hashable

from runtime.clock import Clock

_EVERY_SECONDS = 60.0


class Rarely:
    """Remembers when each kind was logged last. There must be few kinds, and no stranger may choose their names."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._logged_at: dict[Hashable, float] = {}

    def is_due(self, kind: Hashable) -> bool:
        """Return whether the last line of this kind is a minute old, and count this as the next."""
        now = self._clock.monotonic()
        if now - self._logged_at.get(kind, -_EVERY_SECONDS) < _EVERY_SECONDS:
            return False
        self._logged_at[kind] = now
        return True
