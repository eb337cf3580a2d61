"""Plays scenarios several at once where they leave the brokers alone: most of their time is waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future

from tests.chaos.playing import Result, Scenario

Play = Callable[[Scenario], Awaitable[object]]

Played = Mapping[str, Future[Result]]
"""By name: what becomes of each scenario."""


async def side_by_side(scenarios: Sequence[Scenario], play: Play, *, most: int) -> None:
    """Have each played by *play*, at most so many at once."""
    places = asyncio.Semaphore(most)

    async def one(scenario: Scenario) -> None:
        async with places:
            await play(scenario)

    async with asyncio.TaskGroup() as together:
        for scenario in sorted(scenarios, key=lambda one: not one.long):
            together.create_task(one(scenario))
