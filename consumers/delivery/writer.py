"""What a replica writes: dispatches, dead letters, and records moved to where they belong."""

from __future__ import annotations

import structlog

from consumers.metrics import Metrics
from runtime.kafka.publisher import Published, Publisher
from runtime.kafka.records import Record
from runtime.kafka.topics import Topics, partition_for
from schemas import headers as names
from schemas.dead_letters import DeadLetter, to_record
from schemas.dispatch import Dispatch, dispatch_json
from schemas.events import Event
from schemas.headers import header
from schemas.signatures import SigningKeys
from schemas.times import format_instant

log = structlog.get_logger(__name__)


class Writer:
    """Writes through the one publisher; every method raises its PublishError and nothing else."""

    def __init__(
        self, publisher: Publisher, topics: Topics, partitions: int, metrics: Metrics, keys: SigningKeys
    ) -> None:
        self._publisher = publisher
        self._topics = topics
        self._partitions = partitions
        self._metrics = metrics
        self._keys = keys

    async def dispatch(self, number: int, dispatch: Dispatch) -> Published:
        """Append a dispatch to partition *number*, which is its event's."""
        headers = [(names.FINAL, b"1")] if dispatch.final else []
        return await self._publisher.publish(
            self._topics.dispatches,
            number,
            key=dispatch.dispatch_id.encode(),
            value=dispatch_json(dispatch),
            headers=headers,
        )

    async def dead_letter(self, letter: DeadLetter) -> None:
        """Set a record aside."""
        key, value, headers = to_record(letter)
        partition = letter.origin.partition % self._partitions
        topic = self._topics.dead_letters
        signed = self._keys.signed(topic, key, value, headers)
        await self._publisher.publish(topic, partition, key=key, value=value, headers=signed)
        self._metrics.dead_letters.labels(reason=letter.reason).inc(letter.records)
        log.warning("dead_letter.written", reason=letter.reason, origin=str(letter.origin.position))

    def count_unreadable(self, topic: str) -> None:
        """Count a batch that was passed over."""
        self._metrics.unreadable.labels(topic=self._topics.plain(topic)).inc()

    def count_unseen(self, topic: str, records: int) -> None:
        """Count records that were deleted before anybody saw them."""
        self._metrics.unseen_records.labels(topic=self._topics.plain(topic)).inc(records)

    def misplaced(self, record: Record, event: Event) -> bool:
        """Return whether a record lies elsewhere than its event belongs, or has another key."""
        return (
            record.key != event.mentor_id.encode()
            or self._topics.plain(record.topic) != event.kind.topic
            or record.partition != partition_for(event.mentor_id, self._partitions)
        )

    async def move(self, record: Record, event: Event) -> None:
        """
        Publish a misplaced record where it belongs: same identity, headers and original append time.

        *record* holds only headers that count: what we sign here, everybody believes.
        """
        topic, key = self._topics.named(event.kind.topic), event.mentor_id.encode()
        kept = [pair for pair in record.headers if pair[0] not in {names.APPENDED_AT, names.MOVED_FROM}]
        original = header(record.headers, names.APPENDED_AT) or format_instant(record.appended_at).encode()
        ours = [(names.APPENDED_AT, original), (names.MOVED_FROM, str(record.position).encode())]
        await self._publisher.publish(
            topic,
            partition_for(event.mentor_id, self._partitions),
            key=key,
            value=record.value,
            headers=self._keys.signed(topic, key, record.value, [*kept, *ours]),
        )
        self._metrics.moved.labels(source=event.source).inc()
        log.info("record.moved", origin=str(record.position), dispatch=event.dispatch_id)
