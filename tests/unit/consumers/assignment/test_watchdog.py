"""When a replica that stands still ends for its supervisor, and when it had better not."""

from __future__ import annotations

import pytest

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


async def test_what_moves_is_let_be(clock: FakeClock, watchdog: Watchdog) -> None:
    """Neither an idle poll nor a late heartbeat ends a replica before patience does."""
    await clock.advance(20)

    await watchdog.look(polled_at=11.0, heartbeat_at=10.0)


@pytest.mark.parametrize(
    ("polled_at", "heartbeat_at", "what"), [(1.0, 20.0, "polling stands still"), (20.0, 1.0, "no heartbeat was taken")]
)
async def test_what_stands_still_while_kafka_answers_must_end(
    clock: FakeClock, watchdog: Watchdog, polled_at: float, heartbeat_at: float, what: str
) -> None:
    """A replica whose polling or membership is dead though Kafka is there ends, and says which of both it was."""
    await clock.advance(20)

    with pytest.raises(WatchdogBarked, match=what):
        await watchdog.look(polled_at=polled_at, heartbeat_at=heartbeat_at)


async def test_an_outage_of_kafka_ends_nobody(clock: FakeClock, kafka: _Kafka, watchdog: Watchdog) -> None:
    """While Kafka is silent a replica goes on however long, since only it knows what was sent and not recorded."""
    kafka.answers = False

    for _ in range(5):
        await clock.advance(100)
        await watchdog.look(polled_at=0.0, heartbeat_at=0.0)


async def test_after_an_outage_patience_begins_anew(clock: FakeClock, kafka: _Kafka, watchdog: Watchdog) -> None:
    """A replica has as long to come back after an outage as it has otherwise, and ends if it does not."""
    kafka.answers = False
    await clock.advance(100)
    await watchdog.look(polled_at=0.0, heartbeat_at=0.0)
    kafka.answers = True

    await clock.advance(9)
    await watchdog.look(polled_at=0.0, heartbeat_at=0.0)
    await clock.advance(2)
    with pytest.raises(WatchdogBarked):
        await watchdog.look(polled_at=0.0, heartbeat_at=0.0)
