"""Moves a record that lies in the wrong topic or partition, or has the wrong key, to where its event belongs."""

from __future__ import annotations

import structlog

from consumers.metrics import Metrics
from consumers.steps import Reached, Step
from runtime.kafka.publisher import Publisher
from runtime.kafka.records import Record
from runtime.kafka.topics import Topics, partition_for
from schemas import headers as names
from schemas.events import Event
from schemas.headers import header
from schemas.signatures import SigningKeys
from schemas.times import format_instant

log = structlog.get_logger(__name__)


class Relocation:
    """Finds misplaced records and publishes them in the right place. *publisher* retries until they are durable."""

    def __init__(
        self,
        publisher: Publisher,
        topics: Topics,
        partitions: int,
        keys: SigningKeys,
        metrics: Metrics,
        reached: Reached,
    ) -> None:
        self._publisher = publisher
        self._topics = topics
        self._partitions = partitions
        self._keys = keys
        self._metrics = metrics
        self._reached = reached

    def misplaced(self, record: Record, event: Event) -> bool:
        """Return whether the record has another topic, partition or key than its event must have."""
        return (
            record.key != event.mentor_id.encode()
            or self._topics.plain(record.topic) != event.kind.topic
            or record.partition != partition_for(event.mentor_id, self._partitions)
        )

    async def move(self, record: Record, event: Event) -> None:
        """
        Publish a misplaced record where it belongs, with the same identity, headers and original append time.

        *record* must hold no unproven header of ours: this replica signs what it moves, and all replicas trust that.
        """
        topic, key = self._topics.named(event.kind.topic), event.mentor_id.encode()
        origin = f"{record.topic}-{record.partition}-{record.offset}"
        kept = [pair for pair in record.headers if pair[0] not in {names.APPENDED_AT, names.MOVED_FROM}]
        original = header(record.headers, names.APPENDED_AT) or format_instant(record.appended_at).encode()
        ours = [(names.APPENDED_AT, original), (names.MOVED_FROM, origin.encode())]
        await self._publisher.publish(
            topic,
            partition_for(event.mentor_id, self._partitions),
            key=key,
            value=record.value,
            headers=self._keys.signed(topic, key, record.value, [*kept, *ours]),
        )
        self._metrics.moved.labels(source=event.source).inc()
        log.info("record.moved", origin=origin, dispatch=event.dispatch_id)
        self._reached(Step.MOVED, event.dispatch_id)
