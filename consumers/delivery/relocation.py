"""Moves a record that lies in the wrong topic or partition, or has the wrong key, to where its event belongs."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from consumers.metrics import Metrics
from consumers.steps import Reached, Step
from runtime.kafka.publisher import Publisher
from runtime.kafka.records import Record
from runtime.kafka.topics import Topics
from schemas import headers as names
from schemas.events import Event
from schemas.headers import header
from schemas.placement import Placement, placement_of
from schemas.signatures import SigningKeys
from schemas.times import format_instant

log = structlog.get_logger(__name__)


@dataclass
class Relocation:
    """Finds misplaced records and publishes them in the right place. *publisher* retries until they are durable."""

    publisher: Publisher
    topics: Topics
    partitions: int
    keys: SigningKeys
    metrics: Metrics
    reached: Reached

    def misplaced(self, record: Record, event: Event) -> bool:
        """Return whether the record has another topic, partition or key than its event must have."""
        lies = Placement(self.topics.plain(record.topic), record.partition, record.key)
        return lies != placement_of(event, self.partitions)

    async def move(self, record: Record, event: Event) -> None:
        """
        Publish a misplaced record where it belongs, with the same identity, headers and original append time.

        *record* must hold no unproven header of ours: this replica signs what it moves, and all replicas trust that.
        """
        plain, partition, key = placement_of(event, self.partitions)
        topic = self.topics.named(plain)
        origin = str(record.position)
        kept = [pair for pair in record.headers if pair[0] not in {names.APPENDED_AT, names.MOVED_FROM}]
        original = header(record.headers, names.APPENDED_AT) or format_instant(record.appended_at).encode()
        ours = [(names.APPENDED_AT, original), (names.MOVED_FROM, origin.encode())]
        await self.publisher.publish(
            topic,
            partition,
            key=key,
            value=record.value,
            headers=self.keys.signed(topic, key, record.value, [*kept, *ours]),
        )
        self.metrics.moved.labels(source=event.source).inc()
        log.info("record.moved", origin=origin, dispatch=event.dispatch_id)
        self.reached(Step.MOVED, event.dispatch_id)
