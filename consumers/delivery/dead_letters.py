"""Writes dead letters: each is durable before its offset may be committed. Of a flood, one names a whole range."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from consumers.assignment.assignment import Assignment
from consumers.delivery.dead_letter_ranges import Kind
from consumers.delivery.work import Work
from consumers.metrics import Metrics
from consumers.steps import Reached, Step
from runtime.clock import Clock
from runtime.kafka.fetching import Deleted, Unreadable
from runtime.kafka.publisher import Publisher
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from schemas.cloudevents import NotAnEventReason
from schemas.dead_letters import DeadLetter, DeadLetterReason, to_record
from schemas.dispatch import Dispatch, Origin
from schemas.signatures import SigningKeys

log = structlog.get_logger(__name__)

_CHECK_RANGE_SECONDS = 0.25


@dataclass
class DeadLetters:
    """Dead-letters records, and reports records that cannot be read. *publisher* retries until they are durable."""

    publisher: Publisher
    topics: Topics
    partitions: int
    keys: SigningKeys
    clock: Clock
    metrics: Metrics
    reached: Reached

    async def record(
        self, assignment: Assignment, record: Record, reason: DeadLetterReason | NotAnEventReason, detail: str
    ) -> None:
        """Dead-letter a record. On return its letter is durable, or a range holds the commit back until it is."""
        letter = DeadLetter(reason, record.origin, record.key, record.value, record.headers, detail)
        await self._write_or_add_to_range(assignment, letter)

    async def dispatch(self, work: Work, reason: DeadLetterReason, dispatch: Dispatch) -> None:
        """Dead-letter the record of *dispatch*. Call it inside `Assignment.uninterruptible`."""
        record, detail = work.record, _invalid_fields(dispatch)
        letter = DeadLetter(reason, record.origin, record.key, record.value, record.headers, detail, dispatch)
        await self._publish(letter)
        self.reached(Step.DEAD_LETTER_RECORDED, dispatch.dispatch_id)

    async def keep(self, letter: DeadLetter) -> None:
        """Make a letter durable. Call it inside `Assignment.uninterruptible`."""
        await self._publish(letter)

    async def unreadable(self, assignment: Assignment, passed: Unreadable) -> None:
        """Report an unreadable batch; its bytes are not to be had."""
        detail = f"offsets {passed.first} to {passed.next_offset - 1}: {passed.error}"
        await self._missing(assignment, passed, DeadLetterReason.UNREADABLE_BATCH, detail)
        self.metrics.unreadable.labels(topic=self.topics.plain(passed.place.topic)).inc()

    async def deleted(self, assignment: Assignment, deleted: Deleted) -> None:
        """Report records that were deleted before this group read them; nothing of them is left."""
        detail = f"offsets {deleted.first} to {deleted.next_offset - 1} were deleted before they were read"
        await self._missing(assignment, deleted, DeadLetterReason.RECORDS_DELETED, detail)
        topic = self.topics.plain(deleted.place.topic)
        self.metrics.unseen_records.labels(topic=topic).inc(deleted.next_offset - deleted.first)

    async def _missing(
        self, assignment: Assignment, missing: Unreadable | Deleted, reason: DeadLetterReason, detail: str
    ) -> None:
        place, first, next_offset = missing.place, missing.first, missing.next_offset
        letter = DeadLetter(
            reason,
            Origin(topic=place.topic, partition=place.partition, offset=first, appended_at=self.clock.now()),
            key=None,
            value=None,
            headers=[],
            detail=detail,
            last_offset=next_offset - 1,
            records=next_offset - first,
        )
        await self._write_or_add_to_range(assignment, letter)

    async def _write_or_add_to_range(self, assignment: Assignment, letter: DeadLetter) -> None:
        kind = Place(letter.origin.topic, letter.origin.partition), letter.reason
        if assignment.ranges.may_write(kind, self.clock.monotonic()):
            await self._write(assignment, letter)
        else:
            self._add_to_range(assignment, kind, letter)

    def _add_to_range(self, assignment: Assignment, kind: Kind, letter: DeadLetter) -> None:
        before = assignment.ranges.open_range(kind)
        held_at = None if before is None else before.first
        found = assignment.ranges.add(kind, letter, self.clock.monotonic())
        if held_at == found.first:
            return
        assignment.lanes.hold(kind[0], found.first, found.last + 1)
        if held_at is None:
            assignment.start(self._write_range(assignment, kind))
        else:
            assignment.lanes.release(kind[0], held_at)

    async def _write_range(self, assignment: Assignment, kind: Kind) -> None:
        """Write a range once it ends. If the partition is revoked before, its next owner reads the records again."""
        while (found := assignment.ranges.open_range(kind)) is not None and self.clock.monotonic() < found.ends_at():
            assignment.check()
            await self.clock.sleep(_CHECK_RANGE_SECONDS)
        ended = assignment.ranges.close(kind)
        await self._write(assignment, ended.letter)
        assignment.lanes.release(kind[0], ended.first)

    async def _write(self, assignment: Assignment, letter: DeadLetter) -> None:
        with assignment.uninterruptible():
            await self._publish(letter)
            self.reached(Step.DEAD_LETTER_RECORDED, str(letter.origin.position))

    async def _publish(self, letter: DeadLetter) -> None:
        key, value, headers = to_record(letter)
        topic, partition = self.topics.dead_letters, letter.origin.partition % self.partitions
        signed = self.keys.signed(topic, key, value, headers)
        await self.publisher.publish(topic, partition, key=key, value=value, headers=signed)
        self.metrics.dead_letters.labels(reason=letter.reason).inc(letter.records)
        log.warning("dead_letter.written", reason=letter.reason, origin=str(letter.origin.position))


def _invalid_fields(dispatch: Dispatch) -> str:
    """Name the fields of invalid contacts, never their values."""
    return "; ".join(f"{r.role.value}: {r.reason}: {r.field}" for r in dispatch.recipients if r.field is not None)
