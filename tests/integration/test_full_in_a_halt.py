"""A replica that is full in a halt: it reads nothing more, and still knows how much was accepted."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.kafka import Kafka
from tests.processes import Process
from tests.stage import Stage, an_event, mentor, open_stage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

_HELD, _EVENTS = 24, 200
_WITHIN_SECONDS = 90.0


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="stage")
async def _stage(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    namespace = f"t-{secrets.token_hex(4)}"
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path_factory.mktemp("full")) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="replica")
async def _replica(stage: Stage) -> Process:
    """Return a replica that was full in a halt when most events were published."""
    replica = await stage.start(max_records_held=_HELD)
    await stage.ses.set(paused=True)
    await _publish(stage, _EVENTS // 2)
    await counts(replica, "gate_halted", 1)
    await counts(replica, "lag_records", _EVENTS // 2)
    await _publish(stage, _EVENTS // 2)
    return replica


async def _publish(stage: Stage, count: int) -> None:
    await stage.publish_all([an_event(mentor_id=mentor(number % 40)) for number in range(count)])


async def counts(replica: Process, name: str, expected: float) -> None:
    """Wait until a metric has a value."""

    async def same() -> bool:
        return await replica.metric(f"pause_notifications_{name}") == expected

    await until(same, within=_WITHIN_SECONDS, what=f"{name} to be {expected:g}")


async def test_its_lag_is_that_of_the_log(replica: Process) -> None:
    """What is not fetched is counted as well."""
    await counts(replica, "lag_records", _EVENTS)

    assert await replica.metric("pause_notifications_records_held") <= _HELD


@pytest.mark.slow
async def test_what_waits_counts_as_taken_after_a_minute(stage: Stage, replica: Process) -> None:
    """Each accepted event counts once: in the halt, and no more when it is sent."""
    await counts(replica, "events_taken_total", _EVENTS)
    await stage.ses.set()
    await counts(replica, "dispatch_seconds_count", _EVENTS)

    assert _EVENTS == await replica.metric("pause_notifications_events_taken_total")
