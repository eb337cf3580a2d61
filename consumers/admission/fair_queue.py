"""The order at the gate: callers who still wait go first, then the backlog. No mentor starves, nor does the backlog."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

_MAX_AHEAD = 3
"""How many callers, each of another mentor, may go ahead of the backlog's first; then it is the backlog's turn."""


@dataclass(eq=False)
class Permit:
    """What one dispatch waits for at the gate before it may send."""

    mentor_id: str
    emails: int
    waits_until: float = 0.0
    """Monotonic time until which its caller waits; 0 if no caller does."""
    answer_was_lost: bool = False
    slow: bool = False
    """Whether its source is slow: then others go first, except for a share."""
    probe: bool = field(default=False, init=False)
    arrival: int = field(default=0, init=False)
    """Its position in the order of arrival."""
    granted: asyncio.Event = field(default_factory=asyncio.Event, init=False)


# In the order of arrival. A plain dict would be slow here: removed keys make it slow to find the first.
_Queue = OrderedDict[Permit, None]


class FairQueue:
    """The permits that wait, in three queues, each first in, first out. Every operation is O(1)."""

    def __init__(self) -> None:
        self._arrived = 0
        self._callers: _Queue = OrderedDict()
        self._lapsed: _Queue = OrderedDict()
        """Their callers no longer wait: they count as backlog, in the order of their arrival."""
        self._backlog: _Queue = OrderedDict()
        self._went_ahead: set[str] = set()
        """Mentors whose callers went ahead of the backlog's first permit."""

    def __len__(self) -> int:
        return len(self._callers) + len(self._lapsed) + len(self._backlog)

    def __iter__(self) -> Iterator[Permit]:
        yield from self._callers
        yield from self._lapsed
        yield from self._backlog

    def add(self, permit: Permit, now: float) -> None:
        """Add a permit that waits."""
        self._arrived += 1
        permit.arrival = self._arrived
        (self._callers if permit.waits_until > now else self._backlog)[permit] = None

    def leave(self, permit: Permit) -> None:
        """Remove a permit that no longer waits."""
        for queue in (self._callers, self._lapsed, self._backlog):
            queue.pop(permit, None)

    def next(self, now: float) -> Permit:
        """Return the permit whose turn it is; at least one must wait."""
        self._let_lapse(now)
        backlog_first = self._first_of_backlog()
        if backlog_first is None:
            return next(iter(self._callers))
        if len(self._went_ahead) < _MAX_AHEAD:
            for caller in self._callers:  # at most _MAX_AHEAD are skipped, since a mentor has one permit
                if caller.mentor_id not in self._went_ahead:
                    return caller
        return backlog_first

    def take(self, permit: Permit) -> None:
        """Remove a permit that gets its turn."""
        if permit not in self._callers:
            self._went_ahead.clear()
        elif self._lapsed or self._backlog:
            self._went_ahead.add(permit.mentor_id)
        self.leave(permit)

    def _let_lapse(self, now: float) -> None:
        while self._callers and (first := next(iter(self._callers))).waits_until <= now:
            del self._callers[first]
            self._lapsed[first] = None

    def _first_of_backlog(self) -> Permit | None:
        firsts = [next(iter(queue)) for queue in (self._lapsed, self._backlog) if queue]
        return min(firsts, key=lambda permit: permit.arrival, default=None)
