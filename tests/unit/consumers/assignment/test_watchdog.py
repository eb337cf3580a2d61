"""When a replica without progress ends for its supervisor, and when it must not."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from consumers.assignment.watchdog import Watchdog, WatchdogBarked
from tests.fakes.clock import FakeClock


class _Kafka:
    def __init__(self) -> None:
        self.answers = True

    async def asked(self) -> bool:
        return self.answers


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="kafka")
def _kafka() -> _Kafka:
    return _Kafka()


@pytest.fixture(name="watchdog")
def _watchdog(clock: FakeClock, kafka: _Kafka) -> Watchdog:
    return Watchdog(clock, patience_seconds=10, kafka_answers=kafka.asked)


async def test_a_short_pause_ends_nothing(clock: FakeClock, watchdog: Watchdog) -> None:
    """Neither a slow poll nor a late heartbeat ends a replica within its patience."""
    await clock.advance(20)

    await watchdog.look(polled_at=11.0, heartbeat_at=10.0)


@pytest.mark.parametrize(
    ("polled_at", "heartbeat_at", "what"), [(1.0, 20.0, "polling stands still"), (20.0, 1.0, "no heartbeat was taken")]
)
async def test_no_progress_while_kafka_answers_ends_the_replica(
    clock: FakeClock, watchdog: Watchdog, polled_at: float, heartbeat_at: float, what: str
) -> None:
    """When polling or membership stands still although Kafka answers, the error says which of the two it was."""
    await clock.advance(20)

    with pytest.raises(WatchdogBarked, match=what):
        await watchdog.look(polled_at=polled_at, heartbeat_at=heartbeat_at)


async def test_an_outage_of_kafka_ends_nothing(clock: FakeClock, kafka: _Kafka, watchdog: Watchdog) -> None:
    """During an outage a replica stays, since only it knows what was sent and not recorded."""
    kafka.answers = False

    for _ in range(5):
        await clock.advance(100)
        await watchdog.look(polled_at=0.0, heartbeat_at=0.0)


async def test_after_an_outage_patience_starts_again(clock: FakeClock, kafka: _Kafka, watchdog: Watchdog) -> None:
    """After an outage a replica has as much time to recover as otherwise, and ends if it does not."""
    kafka.answers = False
    await clock.advance(100)
    await watchdog.look(polled_at=0.0, heartbeat_at=0.0)
    kafka.answers = True

    await clock.advance(9)
    await watchdog.look(polled_at=0.0, heartbeat_at=0.0)
    await clock.advance(2)
    with pytest.raises(WatchdogBarked):
        await watchdog.look(polled_at=0.0, heartbeat_at=0.0)


async def test_an_outage_that_ends_as_patience_does_ends_nothing(
    clock: FakeClock, kafka: _Kafka, watchdog: Watchdog
) -> None:
    """If Kafka comes back just before patience would end, the replica has time to recover."""
    kafka.answers = False
    for _ in range(9):
        await clock.advance(1)
        await watchdog.look(polled_at=0.0, heartbeat_at=0.0)
    kafka.answers = True

    for _ in range(9):
        await clock.advance(1)
        await watchdog.look(polled_at=0.0, heartbeat_at=0.0)


async def _stacks_logged(clock: FakeClock, watchdog: Watchdog, tasks: list[asyncio.Task[None]]) -> list[str]:
    """Let the watchdog bark while *tasks* wait, and return the stacks that it logs."""
    await clock.advance(20)
    with capture_logs() as logged, pytest.raises(WatchdogBarked):
        await watchdog.look(polled_at=1.0, heartbeat_at=20.0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return list(next(line["stacks"] for line in logged if line["event"] == "watchdog.barked"))


async def test_the_stacks_of_all_tasks_are_logged(clock: FakeClock, watchdog: Watchdog) -> None:
    """The log shows where each task waits: functions and lines down to the innermost await, equal stacks once."""
    tasks = [asyncio.create_task(_outer("m.secret@example.org")) for _ in range(3)]

    stacks = await _stacks_logged(clock, watchdog, tasks)

    waiting = [stack for stack in stacks if "_inner" in stack]
    assert 1 == len(waiting)
    assert waiting[0].startswith(f"3 x {__name__}:")
    assert waiting[0].index("_outer") < waiting[0].index("_inner") < waiting[0].index("Event.wait")
    assert "secret" not in str(stacks)


async def test_many_stacks_are_bounded(clock: FakeClock, watchdog: Watchdog) -> None:
    """Two hundred tasks, each with a stack of its own depth, make a log line of some kilobytes."""
    tasks = [asyncio.create_task(_nested(depth)) for depth in range(1, 200)]

    stacks = await _stacks_logged(clock, watchdog, tasks)

    assert 30 >= len(stacks)
    assert 64 * 1024 > len(str(stacks))


async def _outer(address: str) -> None:
    await _inner(address)


async def _inner(_address: str) -> None:
    await asyncio.Event().wait()


async def _nested(depth: int) -> None:
    if depth:
        await _nested(depth - 1)
    await asyncio.Event().wait()
