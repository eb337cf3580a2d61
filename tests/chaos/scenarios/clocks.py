"""Clocks of some processes that are hours off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.chaos.cluster import World
from tests.chaos.load_driver import LoadDriver
from tests.chaos.scenario import Figure, Scenario, under_load
from tests.chaos.skewed_clock import OFFSET, PROGRAM

_TWO_HOURS = 2 * 3600
_SKEWED = "tests.chaos.skewed_clock"


def _off(program: str, seconds: int) -> dict[str, str]:
    return {PROGRAM: program, OFFSET: str(seconds)}


async def clocks(stage: World) -> Sequence[Figure]:
    """Run a replica two hours ahead, one two hours behind, one correct, and a facade ahead; kill the first."""

    async def act(stage: World, _driver: LoadDriver) -> None:
        await asyncio.sleep(3)
        await stage.kill(stage.replicas[0])
        await stage.replica(program=_SKEWED, environ=_off("consumers", -_TWO_HOURS))

    async with asyncio.TaskGroup() as starting:
        starting.create_task(stage.replica(program=_SKEWED, environ=_off("consumers", _TWO_HOURS)))
        starting.create_task(stage.replica(program=_SKEWED, environ=_off("consumers", -_TWO_HOURS)))
        starting.create_task(stage.replica())
        starting.create_task(stage.facade(program=_SKEWED, environ=_off("service", _TWO_HOURS)))
    stage.mark("fault", "one clock two hours ahead, one two hours behind")
    await under_load(stage, act, events=stage.size(short=200, full=4000), per_second=stage.size(short=40, full=80))
    return [Figure("clocks off", 3)]


SCENARIOS = (Scenario("11", "clocks", "clocks two hours off, ahead and behind", clocks, doubled_allowed=True),)
