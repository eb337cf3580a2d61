"""Slow sources and all others at the gate: each has a fair queue, and the slow ones a share while both wait."""

from __future__ import annotations

from collections.abc import Iterator

from consumers.admission.fair_queue import FairQueue, Permit


class WeightedQueue:
    """
    The permits that wait, in two fair queues.

    While others wait, the slow ones get *slow_share* of the e-mails. Whoever waits alone gets the whole rate.
    """

    def __init__(self, slow_share: float) -> None:
        self._others = FairQueue()
        self._slow = FairQueue()
        self._earned_each = slow_share / (1 - slow_share)
        self._earned = 0.0
        """How many e-mails the slow ones may begin before the others, for those that the others began before them."""

    def __len__(self) -> int:
        return len(self._others) + len(self._slow)

    def __iter__(self) -> Iterator[Permit]:
        yield from self._others
        yield from self._slow

    def add(self, permit: Permit, now: float) -> None:
        """Add a permit that waits."""
        self._of(permit).add(permit, now)

    def leave(self, permit: Permit) -> None:
        """Remove a permit that no longer waits."""
        self._of(permit).leave(permit)

    def hasten(self, permit: Permit, now: float) -> None:
        """Let a slow permit that waits wait with the others."""
        self._slow.leave(permit)
        permit.slow = False
        self._others.add(permit, now)

    def next(self, now: float) -> Permit:
        """Return the permit whose turn it is; at least one must wait."""
        if not self._slow:
            return self._others.next(now)
        slow = self._slow.next(now)
        return slow if not self._others or self._earned >= slow.emails else self._others.next(now)

    def take(self, permit: Permit) -> None:
        """Remove a permit that gets its turn."""
        if permit.slow:
            # What they begin while nobody else waits counts, too: the others need not wait for that once more.
            self._earned = max(self._earned - permit.emails, 0.0)
        elif self._slow:
            self._earned += permit.emails * self._earned_each
        self._of(permit).take(permit)
        if not self._slow:
            self._earned = 0.0

    def _of(self, permit: Permit) -> FairQueue:
        return self._slow if permit.slow else self._others
