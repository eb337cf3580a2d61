"""The clocks: the machine's, and the one that tests advance."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from runtime.clock import Clock, SystemClock
from tests.fakes.clock import START, FakeClock


async def test_system_clock_is_utc_and_moves() -> None:
    """The machine's clock is aware, in UTC, and continues during a sleep."""
    clock: Clock = SystemClock()
    before, wall = clock.monotonic(), clock.now()
    await clock.sleep(0.001)
    assert UTC == wall.tzinfo
    assert clock.monotonic() - before >= 0.001
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_fake_clock_wakes_in_order() -> None:
    """Sleepers wake in order, and each sees its own time."""
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 3), ("early", 1), ("second", 1), ("later", 5)):
            group.create_task(sleeper(name, seconds))
        await clock.advance(4)
        assert [("early", 1.0), ("second", 1.0), ("late", 3.0)] == woken
        assert START + timedelta(seconds=4) == clock.now()
        assert 1 == clock.sleepers
        await clock.advance(1)
    assert ("later", 5.0) == woken[-1]


async def test_fake_clock_wakes_who_sleeps_again() -> None:
    """One advance wakes a loop as often as it is due."""
    clock = FakeClock()
    ticks: list[float] = []

    async def ticker() -> None:
        while True:
            await clock.sleep(2)
            ticks.append(clock.monotonic())

    ticking = asyncio.create_task(ticker())
    await clock.advance(7)
    ticking.cancel()
    await asyncio.wait([ticking])
    assert [2.0, 4.0, 6.0] == ticks
    assert 0 == clock.sleepers


async def test_fake_clock_jumps_the_wall_alone() -> None:
    """A jump of the wall clock wakes nobody and does not change the monotonic clock."""
    clock = FakeClock()
    clock.jump(-60)
    assert START - timedelta(seconds=60) == clock.now()
    assert 0.0 == clock.monotonic()
