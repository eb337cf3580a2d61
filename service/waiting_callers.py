"""Callers who wait for a dispatch; each is registered before its event is published."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from schemas.dispatch import Dispatch, fold


class TooManyWaiting(Exception):
    """No place for another waiting caller is left."""


class TooManyOfOneCaller(Exception):
    """This caller has as many waiting calls as one caller may have."""


class WaitingCaller:
    """One caller who waits, and what has become of the dispatch since."""

    def __init__(self) -> None:
        self.since: Dispatch | None = None
        """The fold of the records that came since this caller was registered."""
        self._changed = asyncio.Event()
        self._stopped = False

    def take(self, dispatch: Dispatch) -> None:
        """Fold a record in."""
        self.since = dispatch if self.since is None else fold(self.since, dispatch)
        self._changed.set()

    def stop_waiting(self) -> None:
        """End the wait."""
        self._stopped = True
        self._changed.set()

    async def until(self, settled: Callable[[Dispatch], bool], *, deadline_seconds: float) -> Dispatch | None:
        """Return the dispatch once it is *settled*, or None after *deadline_seconds*."""
        try:
            async with asyncio.timeout(deadline_seconds):
                while True:
                    if self.since is not None and settled(self.since):
                        return self.since
                    if self._stopped:
                        return None
                    await self._changed.wait()
                    self._changed.clear()
        except TimeoutError:
            return self.since if self.since is not None and settled(self.since) else None


class WaitingCallers:
    """The callers who wait, by dispatch id: at most *limit*, and at most *limit_of_one* calls of one caller."""

    def __init__(self, *, limit: int, limit_of_one: int | None = None) -> None:
        self._limit = limit
        self._limit_of_one = limit if limit_of_one is None else limit_of_one
        self._places: Counter[str] = Counter()
        self._waiters: dict[str, list[WaitingCaller]] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._anybody = asyncio.Event()
        self.count = 0

    @contextmanager
    def register(self, dispatch_id: str, *, caller: str) -> Iterator[WaitingCaller]:
        """
        Register a call of *caller* for as long as the context lasts.

        Raises:
            TooManyWaiting: if no place is left.
            TooManyOfOneCaller: if this caller has its share of the places.
        """
        if self.count >= self._limit:
            raise TooManyWaiting
        if self._places[caller] >= self._limit_of_one:
            raise TooManyOfOneCaller
        waiter = WaitingCaller()
        waiters = self._waiters.setdefault(dispatch_id, [])
        waiters.append(waiter)
        self.count += 1
        self._places[caller] += 1
        self._empty.clear()
        self._anybody.set()
        try:
            yield waiter
        finally:
            waiters.remove(waiter)
            if not waiters:
                del self._waiters[dispatch_id]
            self.count -= 1
            self._places[caller] -= 1
            if not self._places[caller]:
                del self._places[caller]
            if self.count == 0:
                self._empty.set()
                self._anybody.clear()

    def expects(self, dispatch_id: str) -> bool:
        """Return whether anybody waits for this dispatch."""
        return dispatch_id in self._waiters

    def take(self, dispatch: Dispatch) -> None:
        """Hand a record to those who wait for it."""
        for waiter in self._waiters.get(dispatch.dispatch_id, ()):
            waiter.take(dispatch)

    async def until_anybody(self, *, deadline_seconds: float) -> None:
        """Return once somebody waits, or at the deadline."""
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_seconds):
                await self._anybody.wait()

    async def drain(self, *, deadline_seconds: float) -> None:
        """Wait until nobody waits; at the deadline end the remaining waits: these callers get what is known."""
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._empty.wait()
        except TimeoutError:
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.stop_waiting()
