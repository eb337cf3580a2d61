"""What a replica writes: dispatches, dead letters, and records moved to where they belong."""

from __future__ import annotations

import structlog

from consumers.metrics import Metrics
from runtime.kafka.fetching import Deleted, Unreadable
from runtime.kafka.publisher import Published, Publisher
from runtime.kafka.records import Record
from runtime.kafka.topics import Topics, partition_for
from schemas import headers as names
from schemas.codec import NotAnEvent, NotAnEventReason
from schemas.dead_letters import DeadLetter, DeadLetterReason, to_record
from schemas.dispatch import Dispatch, Origin, dispatch_json
from schemas.events import Event
from schemas.headers import header
from schemas.signatures import SigningKeys
from schemas.times import format_instant

log = structlog.get_logger(__name__)


class Writing:
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

    async def dead_letter(
        self,
        record: Record,
        reason: DeadLetterReason | NotAnEventReason,
        *,
        detail: str = "",
        dispatch: Dispatch | None = None,
    ) -> None:
        """Set a record aside."""
        letter = DeadLetter(reason, record.origin, record.key, record.value, record.headers, detail, dispatch)
        await self._put(letter)

    async def not_an_event(self, record: Record, error: NotAnEvent) -> None:
        """Set a record aside that is no event."""
        await self.dead_letter(record, error.reason, detail=error.detail)

    async def unreadable(self, passed: Unreadable, appended_at: Origin) -> None:
        """Set the offsets of an unreadable batch aside; its bytes cannot be had."""
        detail = f"offsets {passed.first} to {passed.next_offset - 1}: {passed.error}"
        await self._put(DeadLetter(DeadLetterReason.UNREADABLE_BATCH, appended_at, None, None, [], detail))
        self._metrics.unreadable.labels(topic=self._topics.plain(passed.place.topic)).inc()

    async def deleted(self, deleted: Deleted, noticed_at: Origin) -> None:
        """Tell of records that were deleted before anybody saw them; nothing of them can be had."""
        detail = f"offsets {deleted.first} to {deleted.next_offset - 1} were deleted before they were read"
        await self._put(DeadLetter(DeadLetterReason.RECORDS_DELETED, noticed_at, None, None, [], detail))
        count = deleted.next_offset - deleted.first
        self._metrics.unseen_records.labels(topic=self._topics.plain(deleted.place.topic)).inc(count)

    async def _put(self, letter: DeadLetter) -> None:
        key, value, headers = to_record(letter)
        partition = letter.origin.partition % self._partitions
        topic = self._topics.dead_letters
        signed = self._keys.signed(topic, key, value, headers)
        await self._publisher.publish(topic, partition, key=key, value=value, headers=signed)
        self._metrics.dead_letters.labels(reason=letter.reason).inc()
        log.warning("dead_letter.written", reason=letter.reason, origin=_origin(letter.origin))

    def misplaced(self, record: Record, event: Event) -> bool:
        """Say whether a record lies elsewhere than its event belongs, or has another key."""
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
        ours = [(names.APPENDED_AT, original), (names.MOVED_FROM, _origin(record.origin).encode())]
        await self._publisher.publish(
            topic,
            partition_for(event.mentor_id, self._partitions),
            key=key,
            value=record.value,
            headers=self._keys.signed(topic, key, record.value, [*kept, *ours]),
        )
        self._metrics.moved.labels(source=event.source).inc()
        log.info("record.moved", origin=_origin(record.origin), dispatch=event.dispatch_id)


def _origin(origin: Origin) -> str:
    return f"{origin.topic}-{origin.partition}-{origin.offset}"
