"""Write to Kafka: every record is acknowledged by all in-sync replicas, or an error says what is known.

PublishError
  NotPublished       certainly not in the log: try again, or tell the caller so
    TooLarge         and no further attempt can succeed
  PublishUnknown     perhaps in the log: write the same record again (its identity makes a duplicate harmless)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, Protocol, TypedDict, Unpack

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from runtime.kafka.connection import is_connected, leader_of, stop_client
from runtime.kafka.records import Place
from schemas.positions import Position
from schemas.times import from_epoch_ms

MAX_RECORD_BYTES = 900 * 1024
"""Larger records are refused before they are sent; brokers accept batches of 1 MiB by default."""

_REFUSED = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError, TopicAuthorizationFailedError)


class PublishError(Exception):
    """A record was not acknowledged."""


class NotPublished(PublishError):
    """The record is certainly not in the log."""


class TooLarge(NotPublished):
    """The record is larger than the log accepts."""


class PublishUnknown(PublishError):
    """The record may be in the log: a publish that timed out is never a 'no'."""


@dataclass(frozen=True)
class Published:
    """The position of an acknowledged record."""

    topic: str
    partition: int
    offset: int
    appended_at: datetime

    @property
    def position(self) -> Position:
        """Return topic, partition and offset."""
        return Position(self.topic, self.partition, self.offset)


class Content(TypedDict):
    """What a record holds."""

    key: bytes | None
    value: bytes | None
    headers: NotRequired[Sequence[tuple[str, bytes | None]]]


class Publisher(Protocol):
    """Writes one record and waits until it is durable."""

    async def publish(self, topic: str, partition: int, **content: Unpack[Content]) -> Published:
        """Write a record; raise a PublishError and nothing else."""
        ...


class ConnectedPublisher(Publisher, Protocol):
    """A publisher that reports whether any broker answers."""

    @property
    def connected(self) -> bool:
        """Return whether any broker is known to answer."""
        ...


class KafkaPublisher:
    """
    A publisher with aiokafka: `acks=all`, and one attempt within a deadline.

    Idempotence is off on purpose: aiokafka 0.14's idempotent producer hangs forever after one refused batch.
    """

    def __init__(self, client_arguments: dict[str, Any], *, deadline_seconds: float, linger_ms: int = 0) -> None:
        self._deadline = deadline_seconds
        self._producer = AIOKafkaProducer(
            **client_arguments,
            acks="all",
            enable_idempotence=False,
            linger_ms=linger_ms,
            max_batch_size=256 * 1024,
            max_request_size=1024 * 1024,
            request_timeout_ms=int(deadline_seconds * 1000),
            retry_backoff_ms=50,
        )

    async def start(self, *, deadline_seconds: float = 15.0) -> None:
        """Connect; raise KafkaError or TimeoutError if no broker answers."""
        async with asyncio.timeout(deadline_seconds):
            await self._producer.start()

    async def stop(self) -> None:
        """Close, and never wait long for a broker that is gone: every publish was awaited already."""
        await stop_client(self._producer.stop(), self._producer.client, deadline_seconds=self._deadline)

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic; raise KafkaError or TimeoutError."""
        async with asyncio.timeout(self._deadline):
            return len(await self._producer.partitions_for(topic))

    @property
    def connected(self) -> bool:
        """Return whether any broker is known to answer."""
        return is_connected(self._producer.client)

    async def publish(
        self,
        topic: str,
        partition: int,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> Published:
        """Write a record and wait for its acknowledgement; raise NotPublished, TooLarge or PublishUnknown."""
        _check_size(key, value, headers)
        handed_over = False
        try:
            async with asyncio.timeout(self._deadline):
                await self._reach_leader(topic, partition)
                acknowledged = await self._producer.send(topic, value, key, partition, headers=list(headers))
                handed_over = True
                metadata = await acknowledged
        except _REFUSED as error:
            raise NotPublished(type(error).__name__) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise (PublishUnknown if handed_over else NotPublished)(type(error).__name__) from error
        return Published(topic, partition, metadata.offset, from_epoch_ms(max(metadata.timestamp or 0, 0)))

    async def _reach_leader(self, topic: str, partition: int) -> None:
        """Raise NotPublished if the leader cannot be reached: aiokafka has no record yet, so this is a certain 'no'."""
        client, place = self._producer.client, Place(topic, partition)
        if leader_of(client, place) is None:
            await client._wait_on_metadata(topic)  # noqa: SLF001 - what send() itself awaits first
        leader = leader_of(client, place)
        if leader is None or not await client.ready(leader):
            client.force_metadata_update()
            raise NotPublished(f"no leader of {place} can be reached")


def _check_size(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> None:
    size = len(key or b"") + len(value or b"") + sum(len(name.encode()) + len(text or b"") for name, text in headers)
    if size > MAX_RECORD_BYTES:
        raise TooLarge(f"{size} bytes, at most {MAX_RECORD_BYTES} are written")
