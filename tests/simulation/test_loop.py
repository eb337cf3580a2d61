"""The base of the simulation: virtual time, and programs that are killed or frozen as a whole."""

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
    """Run a program that notes the time once a second, from a task that it starts."""
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
    """An hour passes at once, and is an hour."""
    loop.run_until_complete(asyncio.sleep(3600))

    assert 3600 == loop.time()


def test_a_killed_program_runs_no_more(loop: SimulatedLoop) -> None:
    """None of its tasks runs, and no `finally`."""
    program = Program("p")
    ticks = _ticking(loop, program)
    loop.outside(2.5, program.kill)
    loop.run_until_complete(asyncio.sleep(10))

    assert [1, 2] == ticks


def test_a_frozen_program_resumes_where_it_was(loop: SimulatedLoop) -> None:
    """What was due in between happens late, when it resumes."""
    program = Program("p")
    ticks = _ticking(loop, program)

    def freeze() -> None:
        """Freeze it."""
        program.frozen = True

    loop.outside(1.5, freeze)
    loop.outside(4.5, loop.resume, program)
    loop.run_until_complete(asyncio.sleep(6))

    assert [1, 4.5, 5.5] == ticks


def test_a_deadlock_is_reported(loop: SimulatedLoop) -> None:
    """A run in which nothing can happen any more raises, and does not hang."""
    with pytest.raises(Stuck):
        loop.run_until_complete(asyncio.Event().wait())
