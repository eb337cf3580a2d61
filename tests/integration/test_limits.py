"""What limits a replica is provoked, and read from outside a real process: from its probe and its metrics."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.kafka import Kafka
from tests.processes import Process
from tests.stage import PARTITIONS, Stage, an_event, mentor, open_stage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENDS_IN_FLIGHT = 4
_WITHIN_SECONDS = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="stage")
async def _stage(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    namespace = f"t-{secrets.token_hex(4)}"
    async with open_stage(kafka.bootstrap_servers, namespace, tmp_path_factory.mktemp("limits")) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="replica", autouse=True)
async def _replica(stage: Stage) -> Process:
    return await stage.start(max_sends_in_flight=SENDS_IN_FLIGHT)


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _healthy(stage: Stage, replica: Process) -> AsyncIterator[None]:
    """Make SES healthy again after each test, and wait until nothing limits."""
    yield
    await stage.ses.set()
    await told(replica, "none")


async def told(replica: Process, limit: str) -> dict[str, Any]:
    """Wait until that limits a replica, and return the body of its probe."""
    bodies: list[dict[str, Any]] = []

    async def limits() -> bool:
        bodies.append((await replica.health())[1])
        return bool(limit == bodies[-1]["limit"])

    await until(limits, within=_WITHIN_SECONDS, what=f"{limit} to limit the replica")
    return bodies[-1]


async def publish(stage: Stage, count: int, *, mentors: int) -> None:
    """Publish events of so many mentors."""
    await stage.publish_all([an_event(mentor_id=mentor(number % mentors)) for number in range(count)])


async def test_nothing(replica: Process) -> None:
    """Without work one replica is enough."""
    body = await told(replica, "none")

    assert 1 == body["replicas_wanted"]


async def test_a_halt(stage: Stage, replica: Process) -> None:
    """While sending is paused at SES, more replicas would wait as well."""
    await stage.ses.set(paused=True)
    await publish(stage, 5, mentors=5)
    body = await told(replica, "halt")

    assert "More replicas do not help: sending is halted: sending_paused." == body["more_replicas"]
    assert 1 == body["replicas_wanted"] == await replica.metric("pause_notifications_replicas_wanted")


async def test_the_rate_of_ses(stage: Stage, replica: Process) -> None:
    """The account's rate is divided by all replicas: more of them send no more."""
    await stage.ses.set(max_send_rate=2)
    await publish(stage, 30, mentors=30)
    body = await told(replica, "ses_rate")

    assert "More replicas do not help: SES accepts 2 e-mails a second for the account." == body["more_replicas"]
    assert 1 == body["replicas_wanted"]


async def test_the_latency_of_ses(stage: Stage, replica: Process) -> None:
    """Where each send takes long, another replica has as many sends in flight of its own."""
    await stage.ses.set(latency_ms=1500)
    await publish(stage, 47, mentors=47)
    body = await told(replica, "ses_latency")

    assert f"More replicas help: all {SENDS_IN_FLIGHT} sends in flight are used, " in body["more_replicas"]
    assert 2 == body["replicas_wanted"]


async def test_one_mentor(stage: Stage, replica: Process) -> None:
    """One mentor's events are sent in order, so no other replica can take some of them."""
    await stage.ses.set(latency_ms=1500)
    await publish(stage, 40, mentors=1)
    body = await told(replica, "one_mentor")

    assert "More replicas do not help: one mentor has " in body["more_replicas"]
    assert 1 == body["replicas_wanted"]


async def test_the_partitions(stage: Stage, replica: Process) -> None:
    """Where each replica has a single partition, another one would get none."""
    others = [await stage.start(max_sends_in_flight=SENDS_IN_FLIGHT) for _ in range(PARTITIONS - 1)]
    await stage.ses.set(latency_ms=1500)
    await publish(stage, 94, mentors=47)
    body = await told(replica, "partitions")
    wanted = [await one.metric("pause_notifications_replicas_wanted") for one in (replica, *others)]

    assert "More replicas do not help: a partition has one replica at most, and " in body["more_replicas"]
    assert PARTITIONS == max(wanted)
