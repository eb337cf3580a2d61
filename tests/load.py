"""The load generator for bench and chaos: contacts and events, published as other producers publish them.

The same numbers yield the same load: event n is about mentor n modulo mentors, and ids contain the load's name and n.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as BatchProducer

from runtime.kafka.publisher import Published, Publisher, PublishError
from runtime.kafka.topics import Topics
from schemas.cloudevents import encode_binary
from schemas.contacts import Contact, contact_json
from schemas.events import EVENTS, Event, EventType, Role
from schemas.placement import partition_for

SOURCE = "/load"
_SIDE_BY_SIDE = 100
_AGAIN_SECONDS = 0.05
_ID = "ce_id"
_FLUSH_SECONDS = 120.0
_FIRST_NAMES = ("Amara", "Björn", "Chloé", "Dmitri", "Emilia", "Farid", "Grace", "Hiroshi")
_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")


def of_two_recipients() -> tuple[EventType, ...]:
    """Return the event types with two recipients, mentor and coordinator."""
    return tuple(kind for kind in EVENTS if Role.COORDINATOR in kind.roles)


@dataclass(frozen=True)
class Load:
    """A number of events about a number of mentors, in turn."""

    events: int
    mentors: int = 500
    coordinators: int = 25
    kinds: tuple[EventType, ...] = EVENTS
    name: str = "load"
    source: str = SOURCE

    def mentor_id(self, n: int) -> str:
        """Return the mentor of event *n*."""
        return f"mentor-{n % self.mentors:05}"

    def event_id(self, n: int) -> str:
        """Return the id of event *n*."""
        return f"{self.name}-{n:06}"

    def kind(self, n: int) -> EventType:
        """Return the type of event *n*."""
        return self.kinds[(n + n // self.mentors) % len(self.kinds)]

    def event(self, n: int) -> Event:
        """Return event *n*; its type changes from one event of a mentor to the next."""
        kind = self.kind(n)
        data = kind.model.model_validate({**kind.example, "mentor_id": self.mentor_id(n)})
        return Event(kind=kind, id=self.event_id(n), source=self.source, data=data, time=datetime.now(UTC))

    def contacts(self) -> Iterator[Contact]:
        """Yield all contacts: coordinators, and mentors in both languages and several time zones."""
        for n in range(self.coordinators):
            coordinator, name = f"coordinator-{n:03}", f"{_FIRST_NAMES[-1 - n % len(_FIRST_NAMES)]} Coordinator {n}"
            yield Contact(id=coordinator, role=Role.COORDINATOR, email=f"{coordinator}@example.org", name=name)
        for n in range(self.mentors):
            yield Contact(
                id=self.mentor_id(n),
                role=Role.MENTOR,
                email=f"{self.mentor_id(n)}@example.org",
                name=f"{_FIRST_NAMES[n % len(_FIRST_NAMES)]} Mentor {n}",
                locale=("en", "de")[n % 2],
                timezone=_ZONES[n % len(_ZONES)],
                coordinator_id=f"coordinator-{n % self.coordinators:03}" if self.coordinators else None,
            )


@dataclass(frozen=True)
class Producer:
    """Publishes contacts and events as other services do, and repeats each until it is acknowledged."""

    publisher: Publisher
    topics: Topics
    partitions: int

    async def contact(self, contact: Contact) -> Published:
        """Publish one contact."""
        place = self.topics.contacts, partition_for(contact.id, self.partitions)
        return await self._until_acknowledged(*place, contact.id.encode(), contact_json(contact), [])

    async def event(self, event: Event) -> Published:
        """Publish one event."""
        record = encode_binary(event)
        place = self.topics.named(record.topic), partition_for(event.mentor_id, self.partitions)
        return await self._until_acknowledged(*place, record.key, record.value, record.headers)

    async def contacts(self, contacts: Iterable[Contact]) -> None:
        """Publish contacts concurrently, and wait until all are acknowledged."""
        places = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def one(contact: Contact) -> None:
            async with places:
                await self.contact(contact)

        async with asyncio.TaskGroup() as work:
            for contact in contacts:
                work.create_task(one(contact))

    async def events(
        self,
        events: Iterable[Event],
        *,
        per_second: float | None = None,
        on_acknowledged: Callable[[Event, Published], object] = lambda _event, _published: None,
    ) -> None:
        """Publish events concurrently, at most *per_second* (None: as fast as they are acknowledged)."""
        places = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def one(event: Event) -> None:
            try:
                published = await self.event(event)
            finally:
                places.release()
            on_acknowledged(event, published)

        async with asyncio.TaskGroup() as work:
            async for event in _paced(events, per_second):
                await places.acquire()
                work.create_task(one(event))

    async def _until_acknowledged(
        self, topic: str, partition: int, key: bytes, value: bytes, headers: list[tuple[str, bytes]]
    ) -> Published:
        while True:
            try:
                return await self.publisher.publish(topic, partition, key=key, value=value, headers=headers)
            except PublishError:  # an event that is published twice is still one event
                await asyncio.sleep(_AGAIN_SECONDS)


async def _paced(events: Iterable[Event], per_second: float | None) -> AsyncIterator[Event]:
    began = time.monotonic()
    for n, event in enumerate(events):
        if per_second is not None:
            await asyncio.sleep(max(began + n / per_second - time.monotonic(), 0))
        yield event


class Prepared(NamedTuple):
    """A record ready to be published."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def prepared(load: Load, topics: Topics, partitions: int, numbers: Iterable[int]) -> Iterator[Prepared]:
    """Yield the records of these events; those of one mentor and type share everything but the id."""
    made: dict[tuple[str, str], Prepared] = {}
    for n in numbers:
        like = load.mentor_id(n), load.kind(n).name
        if like not in made:
            record = encode_binary(load.event(n))
            headers = [header for header in record.headers if header[0] != _ID]
            place = topics.named(record.topic), partition_for(like[0], partitions)
            made[like] = Prepared(*place, record.key, record.value, headers)
        one = made[like]
        yield one._replace(headers=[*one.headers, (_ID, load.event_id(n).encode())])


def publish_at_once(servers: str, records: Iterable[Prepared], on_taken: Callable[[], object] = lambda: None) -> None:
    """
    Publish many records as fast as a broker accepts them: a million in seconds. This blocks.

    Call *on_taken* for each record passed to the producer, which acknowledges it a little later. Raise KafkaException
    if a record is not acknowledged.
    """
    refused: list[KafkaError] = []

    def reported(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            refused.append(error)

    settings = {"linger.ms": 20, "batch.size": 64 * 1024, "delivery.report.only.error": True}
    producer: Any = BatchProducer({"bootstrap.servers": servers, "acks": "all", "on_delivery": reported, **settings})
    for record in records:
        while not _taken(producer, record):
            producer.poll(0.1)
        on_taken()
    if producer.flush(_FLUSH_SECONDS) or refused:
        raise KafkaException(*refused[:1])


def _taken(producer: Any, record: Prepared) -> bool:
    try:
        producer.produce(
            record.topic, record.value, record.key, partition=record.partition, headers=record.headers or None
        )
    except BufferError:  # its queue is full
        return False
    return True
