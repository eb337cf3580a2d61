"""A supervisor: it restarts replicas that end by themselves, and counts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.chaos.cluster import World
from tests.chaos.scenario import Figure
from tests.processes import Process

_LOOK_SECONDS = 0.5


class Supervisor:
    """Restarts replicas, with the same settings, if they end although nobody stopped them."""

    def __init__(self, stage: World) -> None:
        self._stage = stage
        self._settings: dict[str, dict[str, Any]] = {}
        self.ended: list[str] = []
        """The names of replicas that ended by themselves, and how they ended."""

    async def replica(self, *, wait: bool = True, **settings: Any) -> Process:
        """Start a replica that will be restarted with the same settings."""
        started = await self._stage.replica(wait=wait, **settings)
        self._settings[started.name] = settings
        return started

    async def programs(self, *, replicas: int = 3, facades: int = 2, **settings: Any) -> None:
        """Start the usual set, side by side."""
        async with asyncio.TaskGroup() as starting:
            for _ in range(replicas):
                starting.create_task(self.replica(**settings))
            for _ in range(facades):
                starting.create_task(self._stage.facade())

    async def keep(self) -> None:
        """Watch the replicas until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for replica in [replica for replica in self._stage.replicas if not replica.running]:
                self._stage.replicas.remove(replica)
                self.ended.append(f"{replica.name}: {replica.end}")
                self._stage.mark("stop", f"{replica.name} ended by itself, {replica.end}")
                await self.replica(wait=False, **self._settings.get(replica.name, {}))

    def figures(self) -> list[Figure]:
        """Return how many ended by themselves; a facade must not."""
        as_told = [one for one in self.ended if one.endswith(" 0")]
        facades = [facade.process.name for facade in self._stage.facades if not facade.process.running]
        return [
            Figure("replicas that ended by themselves", len(self.ended), why=", ".join(self.ended)),
            Figure("of these with exit code 0, as if told to", len(as_told), 0, why=", ".join(as_told)),
            Figure("facades that ended by themselves", len(facades), 0, why=", ".join(facades)),
        ]


@asynccontextmanager
async def supervised(stage: World) -> AsyncIterator[Supervisor]:
    """Supervise until the context ends."""
    supervisor = Supervisor(stage)
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(supervisor.keep())
        try:
            yield supervisor
        finally:
            keeping.cancel()
