"""The facade's clients of Kafka, and getting them: at once, or as soon as a broker answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import structlog

from runtime.backoff import backoff_seconds
from runtime.clock import Clock
from runtime.kafka.connection import connected_admin
from runtime.kafka.descriptions import Right
from runtime.kafka.publisher import KafkaPublisher, Publisher
from runtime.kafka.reader import RecordReader
from runtime.kafka.records import Place, Record
from runtime.kafka.retry import UNAVAILABLE, Trouble, until_kafka_answers
from runtime.kafka.rights import Needs
from runtime.kafka.topics import Topics, UnfitTopics, check_topics
from runtime.process import StartRefused

log = structlog.get_logger(__name__)

_BACKOFF_BASE_SECONDS = 0.5
_BACKOFF_MOST_SECONDS = 5.0
_ASK_EVERY_SECONDS = 2.0
_NO_OFFSET = -1  # asks for the ends alone: there is never a record


class ConnectedPublisher(Publisher, Protocol):
    """A publisher that knows whether any broker answers."""

    @property
    def connected(self) -> bool:
        """Return whether any broker is known to answer."""
        ...


class Records(Protocol):
    """Reads single records: `runtime.kafka.reader.RecordReader`, or a fake of it."""

    async def read(self, place: Place, offset: int) -> Record | None:
        """Return the record at *offset*, or None if there is none."""
        ...

    async def read_from(self, place: Place, since: datetime, *, key: bytes) -> list[Record]:
        """Return the records with *key* appended at or after *since*."""
        ...


@dataclass(frozen=True)
class Clients:
    """What a connected facade works with."""

    publisher: ConnectedPublisher
    records: Records
    partitions: int
    """How many partitions event and dispatch topics have, each."""


@dataclass
class Connection:
    """The clients, once there are any, and whether Kafka answers them."""

    clients: Clients | None = None
    answered: bool = False
    """Whether the last question to Kafka was answered."""
    trouble: Trouble = field(default_factory=Trouble)
    """Why no broker answers at the start."""

    @property
    def connected(self) -> bool:
        """
        Return whether any broker is known to answer.

        The publisher alone does not tell: it connects to a leader with the first event, which does not come before
        the facade is ready, or ready again.
        """
        return self.clients is not None and (self.answered or self.clients.publisher.connected)


def needs(topics: Topics) -> Needs:
    """Return the rights that a facade needs: it publishes events, and reads them to tell where a dispatch stands."""
    events = frozenset({Right.WRITE, Right.READ, Right.DESCRIBE_CONFIGS})
    return Needs(
        {
            **dict.fromkeys(topics.events, events),
            topics.dispatches: frozenset({Right.READ, Right.DESCRIBE_CONFIGS}),
            topics.contacts: frozenset({Right.DESCRIBE}),
            topics.dead_letters: frozenset({Right.DESCRIBE}),
        }
    )


async def connect(
    arguments: dict[str, Any],
    topics: Topics,
    undo: AsyncExitStack,
    *,
    publish_deadline_seconds: float,
    deadline_seconds: float = 10.0,
) -> Clients:
    """
    Check the topics and build the clients, whose ends are registered with *undo*.

    Raises:
        StartRefused: Topics are missing or unfit, or rights are missing; the message names the command that helps.
        KafkaError, OSError, TimeoutError: where no broker answers.
    """
    async with AsyncExitStack() as half_way:
        partitions = await _check(arguments, topics, deadline_seconds=deadline_seconds)
        publisher = KafkaPublisher(arguments, deadline_seconds=publish_deadline_seconds)
        half_way.push_async_callback(publisher.stop)
        await publisher.start(deadline_seconds=deadline_seconds)
        records = RecordReader(arguments)
        half_way.push_async_callback(records.stop)
        await records.start()
        undo.push_async_exit(half_way.pop_all())
    return Clients(publisher, records, partitions)


async def _check(arguments: dict[str, Any], topics: Topics, *, deadline_seconds: float) -> int:
    async with connected_admin(arguments, deadline_seconds=deadline_seconds) as admin:
        try:
            return await check_topics(admin, topics, needs(topics), deadline_seconds=deadline_seconds)
        except UnfitTopics as error:
            raise StartRefused(str(error)) from error


async def connect_at_last(
    attempt: Callable[[], Awaitable[Clients]],
    connection: Connection,
    *,
    clock: Clock,
    random: Callable[[], float],
) -> None:
    """Attempt to connect until it succeeds; only StartRefused ends it otherwise."""

    def pause(failures: int) -> float:
        return backoff_seconds(failures, base=_BACKOFF_BASE_SECONDS, ceiling=_BACKOFF_MOST_SECONDS, random=random)

    if connection.clients is None:
        connection.clients = await until_kafka_answers(attempt, clock, pause=pause, trouble=connection.trouble)
    log.info("kafka.connected", partitions=connection.clients.partitions)


async def keep_asking(connection: Connection, topics: Topics, *, clock: Clock) -> None:
    """Ask Kafka every few seconds where a partition begins and ends, until cancelled: what readiness tells."""
    place = Place(topics.dispatches, 0)
    while True:
        answered = await _answers(connection, place)
        if answered != connection.answered:
            log.info("kafka.answers" if answered else "kafka.silent")
        connection.answered = answered
        await clock.sleep(_ASK_EVERY_SECONDS)


async def _answers(connection: Connection, place: Place) -> bool:
    if connection.clients is None:
        return False
    try:
        await connection.clients.records.read(place, _NO_OFFSET)
    except UNAVAILABLE:
        return False
    return True
