"""A clock that stands still until a test advances it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 26, 8, 30, tzinfo=UTC)

_TURNS = 20  # of the event loop: enough for a woken task to reach its next wait


class FakeClock:
    """A clock whose time passes only by `advance`, which wakes sleepers in order."""

    def __init__(self, now: datetime = START) -> None:
        self._wall = now
        self._monotonic = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the fake wall clock's time."""
        return self._wall

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._monotonic

    @property
    def sleepers(self) -> int:
        """Count the tasks that sleep."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been advanced by *seconds*."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass; each sleeper wakes at its time, and reaches its next wait before another wakes."""
        await _turn()
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():  # a cancelled sleeper is gone
                self._pass(due - self._monotonic)
                woken.set_result(None)
                await _turn()
        self._pass(end - self._monotonic)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator does; wake nobody."""
        self._wall += timedelta(seconds=seconds)

    def _pass(self, seconds: float) -> None:
        self._monotonic += seconds
        self._wall += timedelta(seconds=seconds)


async def _turn() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
