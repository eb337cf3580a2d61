"""Publishes a record until Kafka has acknowledged it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

import structlog

from runtime.backoff import backoff_seconds
from runtime.clock import Clock
from runtime.kafka.publisher import Content, Published, Publisher, PublishError

log = structlog.get_logger(__name__)

_BACKOFF_BASE_SECONDS = 0.1
_BACKOFF_MAX_SECONDS = 2.0


@dataclass
class DurablePublisher:
    """
    A Publisher that tries again until the record is durable.

    It continues while the partition is revoked: only the end of the drain interrupts it.
    """

    publisher: Publisher
    clock: Clock
    random: Callable[[], float]

    async def publish(self, topic: str, partition: int, **content: Unpack[Content]) -> Published:
        """Write a record; return once it is acknowledged."""
        failures = 0
        while True:
            try:
                return await self.publisher.publish(topic, partition, **content)
            except PublishError as error:
                failures += 1
                log.warning(
                    "record.not_durable",
                    topic=topic,
                    partition=partition,
                    error=type(error).__name__,
                    detail=str(error),
                )
            await self.clock.sleep(self.retry_seconds(failures))

    def retry_seconds(self, failures: int) -> float:
        """Return how long to wait before Kafka is asked again."""
        base, ceiling = _BACKOFF_BASE_SECONDS, _BACKOFF_MAX_SECONDS
        return backoff_seconds(failures, base=base, ceiling=ceiling, random=self.random)
