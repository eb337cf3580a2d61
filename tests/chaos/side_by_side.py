"""Play several scenarios at once if they do not touch the brokers: most of their time is waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future

from tests.chaos.scenario import Result, Scenario

Play = Callable[[Scenario], Awaitable[object]]

Played = Mapping[str, Future[Result]]
"""The future results of scenarios, by name."""


async def side_by_side(scenarios: Sequence[Scenario], play: Play, *, most: int) -> None:
    """Call *play* for each scenario, at most *most* at once; those with the second listeners one after another."""
    places = asyncio.Semaphore(most)
    second_way = [scenario for scenario in scenarios if scenario.second_way]
    singly = [[scenario] for scenario in scenarios if not scenario.second_way]
    chains = [second_way, *singly] if second_way else singly

    async def in_turn(chain: Sequence[Scenario]) -> None:
        async with places:
            for scenario in chain:
                await play(scenario)

    async with asyncio.TaskGroup() as together:
        for chain in sorted(chains, key=lambda chain: not chain[0].long):
            together.create_task(in_turn(chain))
