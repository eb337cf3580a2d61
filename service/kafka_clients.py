"""The facade's Kafka clients: connect them, at once or as soon as a broker answers, and watch the connection."""

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
from runtime.kafka.publisher import ConnectedPublisher, KafkaPublisher
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
_SILENT_AFTER = 3
"""After how many requests without an answer a broker that keeps its connections is silent. One may choose a leader."""
_NO_OFFSET = -1  # asks only for the ends: no record has this offset


class Records(Protocol):
    """Reads single records: `runtime.kafka.reader.RecordReader`, or a fake of it."""

    async def read(self, place: Place, offset: int) -> Record | None:
        """Return the record at *offset*, or None if there is none."""
        ...

    async def read_from(self, place: Place, since: datetime, *, key: bytes) -> list[Record]:
        """Return the records with *key* appended at or after *since*."""
        ...

    async def read_each(self, place: Place, since: datetime, *, key: bytes, take: Callable[[Record], None]) -> None:
        """Hand each record with *key* appended at or after *since* to *take*, and keep none."""
        ...


@dataclass(frozen=True)
class Clients:
    """The clients of a connected facade."""

    publisher: ConnectedPublisher
    records: Records
    partitions: int
    """How many partitions each event topic and the dispatches topic have."""


@dataclass
class Connection:
    """The clients, if they are connected, and whether Kafka answers."""

    clients: Clients | None = None
    unanswered: int = 1
    """How many of `watch_connection`'s last requests in a row Kafka did not answer. Before the first, it is one."""
    trouble: Trouble = field(default_factory=Trouble)
    """Why no broker answers at the start."""

    @property
    def connected(self) -> bool:
        """
        Return whether any broker is known to answer.

        The publisher alone does not know: it connects to a leader with the first event, and no event comes before the
        facade is ready. A broker that hangs keeps its connections.
        """
        if self.clients is None:
            return False
        return not self.unanswered or (self.unanswered < _SILENT_AFTER and self.clients.publisher.connected)


def needs(topics: Topics) -> Needs:
    """Return the rights that a facade needs: it publishes events, and reads them to look up a dispatch."""
    events = frozenset({Right.WRITE, Right.READ, Right.DESCRIBE_CONFIGS})
    return Needs(
        {
            **dict.fromkeys(topics.events, events),
            **dict.fromkeys((topics.dispatches, topics.feedback), frozenset({Right.READ, Right.DESCRIBE_CONFIGS})),
            topics.controls: frozenset({Right.READ}),
            **dict.fromkeys((topics.contacts, topics.suppressions, topics.dead_letters), frozenset({Right.DESCRIBE})),
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
    Check the topics and start the clients; *undo* stops them.

    Raises:
        StartRefused: if topics are missing or unfit, or rights are missing; the message names the command to run.
        KafkaError, OSError, TimeoutError: if no broker answers.
    """
    async with AsyncExitStack() as started:
        partitions = await _check(arguments, topics, deadline_seconds=deadline_seconds)
        publisher = KafkaPublisher(arguments, deadline_seconds=publish_deadline_seconds)
        started.push_async_callback(publisher.stop)
        await publisher.start(deadline_seconds=deadline_seconds)
        records = RecordReader(arguments)
        started.push_async_callback(records.stop)
        await records.start()
        undo.push_async_exit(started.pop_all())
    return Clients(publisher, records, partitions)


async def _check(arguments: dict[str, Any], topics: Topics, *, deadline_seconds: float) -> int:
    async with connected_admin(arguments, deadline_seconds=deadline_seconds) as admin:
        try:
            return await check_topics(admin, topics, needs(topics), deadline_seconds=deadline_seconds)
        except UnfitTopics as error:
            raise StartRefused(str(error)) from error


async def connect_until_it_works(
    try_once: Callable[[], Awaitable[Clients]],
    connection: Connection,
    *,
    clock: Clock,
    random: Callable[[], float],
) -> None:
    """Try to connect until it succeeds; only StartRefused ends it otherwise."""

    def pause(failures: int) -> float:
        return backoff_seconds(failures, base=_BACKOFF_BASE_SECONDS, ceiling=_BACKOFF_MOST_SECONDS, random=random)

    if connection.clients is None:
        connection.clients = await until_kafka_answers(try_once, clock, pause=pause, trouble=connection.trouble)
    log.info("kafka.connected", partitions=connection.clients.partitions)


async def watch_connection(connection: Connection, topics: Topics, *, clock: Clock) -> None:
    """Ask Kafka for a partition's offsets every few seconds, until cancelled; readiness depends on the answer."""
    place = Place(topics.dispatches, 0)
    while True:
        answered = await _answers(connection, place)
        if answered and connection.unanswered:
            log.info("kafka.answers")
        if not answered and not connection.unanswered:
            log.warning("kafka.silent")
        connection.unanswered = 0 if answered else connection.unanswered + 1
        await clock.sleep(_ASK_EVERY_SECONDS)


async def _answers(connection: Connection, place: Place) -> bool:
    if connection.clients is None:
        return False
    try:
        await connection.clients.records.read(place, _NO_OFFSET)
    except UNAVAILABLE:
        return False
    return True
