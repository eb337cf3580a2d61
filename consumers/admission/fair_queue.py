"""Whose turn it is at the gate: callers who still wait, then the backlog; neither starves, nor does any mentor."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

_MOST_AHEAD = 3
"""So many callers at most go ahead of the backlog's first, each of another mentor: then it is the backlog's turn."""


@dataclass(eq=False)
class Permit:
    """One dispatch that wants to send, waiting at the gate."""

    mentor_id: str
    emails: int
    waits_until: float = 0.0
    """Monotonic time up to which its caller waits; 0 where none does."""
    answer_was_lost: bool = False
    probe: bool = field(default=False, init=False)
    number: int = field(default=0, init=False)
    """Its place in the order of arrival."""
    opened: asyncio.Event = field(default_factory=asyncio.Event, init=False)


# In the order of arrival; one leaves from anywhere, and the first is found, at no cost (a plain dict is slow at that).
_Queue = OrderedDict[Permit, None]


class FairQueue:
    """Those who wait at the gate, in three queues, each first come first served: all is O(1)."""

    def __init__(self) -> None:
        self._arrived = 0
        self._callers: _Queue = OrderedDict()
        self._lapsed: _Queue = OrderedDict()
        """Whose callers wait no longer: backlog, at the place that they came in at."""
        self._backlog: _Queue = OrderedDict()
        self._went_ahead: set[str] = set()
        """Mentors whose callers went ahead of the backlog's first."""

    def __len__(self) -> int:
        return len(self._callers) + len(self._lapsed) + len(self._backlog)

    def __iter__(self) -> Iterator[Permit]:
        yield from self._callers
        yield from self._lapsed
        yield from self._backlog

    def add(self, permit: Permit, now: float) -> None:
        """Have a ticket wait."""
        self._arrived += 1
        permit.number = self._arrived
        (self._callers if permit.waits_until > now else self._backlog)[permit] = None

    def leave(self, permit: Permit) -> None:
        """Forget a ticket that waits no longer, without its having had a turn."""
        for queue in (self._callers, self._lapsed, self._backlog):
            queue.pop(permit, None)

    def next(self, now: float) -> Permit:
        """Return whose turn it is; somebody must be waiting."""
        self._let_lapse(now)
        waited_longest = self._first_of_backlog()
        if waited_longest is None:
            return next(iter(self._callers))
        if len(self._went_ahead) < _MOST_AHEAD:
            for caller in self._callers:  # at most as many are passed over as went ahead: a mentor has one ticket
                if caller.mentor_id not in self._went_ahead:
                    return caller
        return waited_longest

    def take(self, permit: Permit) -> None:
        """Give a ticket its turn."""
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
        return min(firsts, key=lambda permit: permit.number, default=None)
