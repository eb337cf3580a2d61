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

    def report_unreadable(self, assignment: Assignment, batch: Unreadable) -> None:
        """Report a batch that was skipped."""
        self._report(assignment, batch, lambda: self.dead_letters.unreadable(assignment, batch))

    def report_deleted(self, assignment: Assignment, deleted: Deleted) -> None:
        """Report records that were deleted before this group read them."""
        place, first, count = deleted.place, deleted.first, deleted.next_offset - deleted.first
        log.error("records.deleted", topic=place.topic, partition=place.partition, first=first, count=count)
        self._report(assignment, deleted, lambda: self.dead_letters.deleted(assignment, deleted))

    def _report(
        self, assignment: Assignment, missing: Unreadable | Deleted, write: Callable[[], Awaitable[None]]
    ) -> None:
        async def report() -> None:
            await write()
            assignment.lanes.release(missing.place, missing.first)

        assignment.lanes.hold(missing.place, missing.first, missing.next_offset)
        assignment.start(report())

    def check_gaps(self, assignment: Assignment, place: Place, records: Sequence[Record]) -> None:
        """Find out whether offsets missing before or among *records*, which were read next, were deleted."""
        gaps = assignment.lanes.gaps(place, (record.offset for record in records))
        if gaps:
            assignment.lanes.hold(place, gaps[0][0])
            assignment.start(self._explain(assignment, place, gaps))

    async def _explain(self, assignment: Assignment, place: Place, gaps: Sequence[tuple[int, int]]) -> None:
        """
        Report the offsets that lie before the beginning of the log.

        Within the log, offsets are missing after transactions and compaction, or are reported as unreadable.
        """
        begins = await self._beginning_of_log(assignment, place)
        for first, next_offset in gaps:
            if first < begins:
                self.report_deleted(assignment, Deleted(place, first, min(next_offset, begins)))
        assignment.lanes.release(place, gaps[0][0])

    async def _beginning_of_log(self, assignment: Assignment, place: Place) -> int:
        async def first_offset() -> int:
            assignment.check()
            return await self.first_offset(place)

        return await until_kafka_answers(first_offset, self.clock)
