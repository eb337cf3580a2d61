"""What the simulation itself stands on: virtual time, and programs that die or stand still as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.simulation.loop import Program, SimulatedLoop, Stuck


@pytest.fixture(name="loop")
def _loop() -> Iterator[SimulatedLoop]:
    loop = SimulatedLoop()
    yield loop
    loop.end()


def _ticking(loop: SimulatedLoop, program: Program) -> list[float]:
    """Have *program* note the time once a second, from a task that it started itself."""
    ticks: list[float] = []

    async def tick() -> None:
        """Note the time, for ever."""
        try:
            while True:
                await asyncio.sleep(1)
                ticks.append(loop.time())
        finally:
            ticks.append(-1)

    async def main() -> None:
        """Start the ticking."""
        await asyncio.create_task(tick())

    loop.start(main(), program)
    return ticks


def test_time_passes_only_by_waiting(loop: SimulatedLoop) -> None:
    """An hour is over at once, and is an hour."""
    loop.run_until_complete(asyncio.sleep(3600))

    assert 3600 == loop.time()


def test_a_killed_program_runs_no_more(loop: SimulatedLoop) -> None:
    """No task of it, and no `finally`."""
    program = Program("p")
    ticks = _ticking(loop, program)
    loop.outside(2.5, program.kill)
    loop.run_until_complete(asyncio.sleep(10))

    assert [1, 2] == ticks


def test_a_program_that_stands_still_goes_on_where_it_was(loop: SimulatedLoop) -> None:
    """What was due meanwhile happens when it goes on, late."""
    program = Program("p")
    ticks = _ticking(loop, program)

    def stop() -> None:
        """Have it stand still."""
        program.stopped = True

    loop.outside(1.5, stop)
    loop.outside(4.5, loop.resume, program)
    loop.run_until_complete(asyncio.sleep(6))

    assert [1, 4.5, 5.5] == ticks


def test_waiting_for_each_other_is_told(loop: SimulatedLoop) -> None:
    """A run in which nothing can happen any more does not hang."""
    with pytest.raises(Stuck):
        loop.run_until_complete(asyncio.Event().wait())
