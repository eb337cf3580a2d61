"""Reports offsets without a record: a dead letter is durable before an offset beyond them is committed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from consumers.assignment.assignment import Assignment
from consumers.delivery.dead_letters import DeadLetters
from runtime.clock import Clock
from runtime.kafka.fetching import Deleted, Unreadable
from runtime.kafka.records import Place, Record
from runtime.kafka.retry import until_kafka_answers

log = structlog.get_logger(__name__)


@dataclass
class MissingRecords:
    """Reports what an assignment cannot read, and holds its commits back meanwhile."""

    dead_letters: DeadLetters
    first_offset: Callable[[Place], Awaitable[int]]
    clock: Clock

    def tell_unreadable(self, assignment: Assignment, passed: Unreadable) -> None:
        """Report a batch that was skipped."""
        assignment.lanes.hold(passed.place, passed.first, passed.next_offset)
        assignment.start(self._tell_unreadable(assignment, passed))

    async def _tell_unreadable(self, assignment: Assignment, passed: Unreadable) -> None:
        await self.dead_letters.unreadable(assignment, passed)
        assignment.lanes.release(passed.place, passed.first)

    def tell_deleted(self, assignment: Assignment, deleted: Deleted) -> None:
        """Report records that were deleted before this group read them."""
        place, first, next_offset = deleted.place, deleted.first, deleted.next_offset
        log.error(
            "records.deleted", topic=place.topic, partition=place.partition, first=first, count=next_offset - first
        )
        assignment.lanes.hold(place, first, next_offset)
        assignment.start(self._tell_deleted(assignment, deleted))

    async def _tell_deleted(self, assignment: Assignment, deleted: Deleted) -> None:
        await self.dead_letters.deleted(assignment, deleted)
        assignment.lanes.release(deleted.place, deleted.first)

    def look_for_leaps(self, assignment: Assignment, place: Place, records: Sequence[Record]) -> None:
        """Find out whether offsets missing before or among *records*, which were read next, were deleted."""
        leaps = assignment.lanes.leaps(place, (record.offset for record in records))
        if leaps:
            assignment.lanes.hold(place, leaps[0][0])
            assignment.start(self._explain(assignment, place, leaps))

    async def _explain(self, assignment: Assignment, place: Place, leaps: Sequence[tuple[int, int]]) -> None:
        """
        Report the offsets that lie before the beginning of the log.

        Within the log, offsets are missing after transactions and compaction, or are reported as unreadable.
        """
        begins = await self._beginning_of_log(assignment, place)
        for first, next_offset in leaps:
            if first < begins:
                self.tell_deleted(assignment, Deleted(place, first, min(next_offset, begins)))
        assignment.lanes.release(place, leaps[0][0])

    async def _beginning_of_log(self, assignment: Assignment, place: Place) -> int:
        async def first_offset() -> int:
            assignment.check()
            return await self.first_offset(place)

        return await until_kafka_answers(first_offset, self.clock)
