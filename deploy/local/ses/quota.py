"""The account's two quotas, both counted in recipients: per second and per rolling 24 hours."""

from __future__ import annotations

from collections import deque

DAY_MINUTES = 24 * 60


class SendRate:
    """A token bucket: a burst of one second is allowed, and more only as the bucket refills."""

    def __init__(self, per_second: float, *, burst_seconds: float, now: float) -> None:
        self._per_second = per_second
        self._capacity = max(1.0, per_second * burst_seconds)
        self._tokens = self._capacity
        self._at = now

    def take(self, count: int, now: float) -> bool:
        """Spend *count* tokens and return True, or spend none.

        One token is enough, as at SES: a message with many recipients leaves a debt, and later messages are refused
        until the bucket has refilled.
        """
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False

        self._tokens -= count
        return True


class RollingDay:
    """The number of recipients in the last 24 hours, to the minute."""

    def __init__(self) -> None:
        self._minutes: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, count: int, now: float) -> None:
        """Count *count* recipients at *now*, in seconds."""
        minute = int(now // 60)
        if self._minutes and self._minutes[-1][0] == minute:
            count_before = self._minutes.pop()[1]
            self._minutes.append((minute, count_before + count))
        else:
            self._minutes.append((minute, count))
        self._total += count

    def sent(self, now: float) -> int:
        """Return the number of recipients in the 24 hours before *now*, in seconds."""
        oldest = int(now // 60) - DAY_MINUTES
        while self._minutes and self._minutes[0][0] <= oldest:
            self._total -= self._minutes.popleft()[1]
        return self._total
