"""Several replicas of one group: start them at once, and wait until they share the partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from runtime.kafka.topics import Topics
from tests.bench.cluster import PARTITIONS, BenchFailed, Environment, Started

_SHARED_SECONDS = 40.0
_LOOK_EVERY_SECONDS = 0.1


class Replicas:
    """The running replicas of one namespace."""

    def __init__(self, env: Environment, topics: Topics, stack: AsyncExitStack, *, stop: bool, **settings: Any) -> None:
        self._ground = env
        self._topics = topics
        self._stack = stack
        self._stop = stop
        self._settings = settings
        self._running: list[tuple[Started, AsyncExitStack]] = []

    @property
    def all(self) -> list[Started]:
        """Return the running replicas, the oldest first."""
        return [one for one, _ in self._running]

    async def start(self, count: int) -> None:
        """Start *count* more, and wait until all share the partitions."""
        self._running += await asyncio.gather(*(self._started() for _ in range(count)))
        await until_shared(self.all)

    async def _started(self) -> tuple[Started, AsyncExitStack]:
        own = await self._stack.enter_async_context(AsyncExitStack())
        running = self._ground.replica(self._topics, stop=self._stop, **self._settings)
        return await own.enter_async_context(running), own

    async def change_to(self, count: int) -> None:
        """Start more, or stop the youngest gracefully, until *count* replicas share the partitions."""
        if count > len(self._running):
            await self.start(count - len(self._running))
        while count < len(self._running):
            _, own = self._running.pop()
            await own.aclose()
            await until_shared(self.all)


async def until_shared(replicas: Sequence[Started]) -> None:
    """Wait until the replicas own all partitions, each its share; raise BenchFailed if that takes too long."""
    least = PARTITIONS // len(replicas)
    owned: list[float] = [0]
    try:
        async with asyncio.timeout(_SHARED_SECONDS):
            while sum(owned) != PARTITIONS or min(owned) < least:
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
                owned = list(await asyncio.gather(*(one.metric("partitions_owned") for one in replicas)))
    except TimeoutError:
        raise BenchFailed(f"replicas own {owned} of {PARTITIONS} partitions") from None
