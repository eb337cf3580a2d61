"""Connecting the Kafka clients, and watching whether Kafka answers."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from aiokafka.errors import KafkaConnectionError

from runtime.kafka.retry import Trouble
from runtime.kafka.topics import Topics
from runtime.process import StartRefused
from service.kafka_clients import Clients, Connection, connect_until_it_works, watch_connection
from tests.fakes.clock import FakeClock
from tests.fakes.kafka_log import PARTITIONS, FakeLog, FakeRecords
from tests.fakes.publisher import FakePublisher
from tests.waiting import until


def _clients(log: FakeLog) -> Clients:
    return Clients(FakePublisher(log), FakeRecords(log), PARTITIONS)


async def _diagnosis() -> str:
    return "nothing listens there"


async def test_until_a_broker_answers() -> None:
    """While no broker answers, the facade tries again after any error, and reports the cause."""
    errors: deque[Exception] = deque([KafkaConnectionError("no"), OSError("no"), TimeoutError()])
    clients = _clients(FakeLog())
    clock, connection = FakeClock(), Connection(trouble=Trouble(_diagnosis))

    async def attempt() -> Clients:
        if errors:
            raise errors.popleft()
        return clients

    connecting = asyncio.create_task(connect_until_it_works(attempt, connection, clock=clock, random=lambda: 0.5))
    await until(lambda: connection.trouble.cause, what="the first failure")
    assert not connection.connected
    assert "nothing listens there" == connection.trouble.cause
    await clock.advance(60)
    await connecting

    assert clients is connection.clients
    assert "" == connection.trouble.cause


async def test_unfit_topics() -> None:
    """Unfit topics end the attempts: waiting would not help."""

    async def attempt() -> Clients:
        raise StartRefused("Topics are missing.")

    with pytest.raises(StartRefused):
        await connect_until_it_works(attempt, Connection(), clock=FakeClock(), random=lambda: 0.5)


async def test_asks_without_a_call() -> None:
    """The facade notices without a call that Kafka is gone and back; the publisher connects only with an event."""
    log, clock = FakeLog(), FakeClock()
    publisher = FakePublisher(log)
    publisher.connected = False
    connection = Connection(Clients(publisher, FakeRecords(log), PARTITIONS))
    asking = asyncio.create_task(watch_connection(connection, Topics(), clock=clock))
    seen = []
    for error in (None, TimeoutError(), None):
        log.failing = error
        await clock.advance(2)
        seen.append(connection.connected)
    asking.cancel()
    await until(asking.done, what="the asking to end")

    assert [True, False, True] == seen


async def test_a_broker_that_hangs_keeps_its_connection() -> None:
    """The third request without an answer in a row shows it; a single one may only wait for a leader."""
    log, clock = FakeLog(), FakeClock()
    connection = Connection(Clients(FakePublisher(log), FakeRecords(log), PARTITIONS))
    asking = asyncio.create_task(watch_connection(connection, Topics(), clock=clock))
    seen = []
    for error in (None, TimeoutError(), TimeoutError(), TimeoutError(), None):
        log.failing = error
        await clock.advance(2)
        seen.append(connection.connected)
    asking.cancel()
    await until(asking.done, what="the asking to end")

    assert [True, True, True, False, True] == seen
