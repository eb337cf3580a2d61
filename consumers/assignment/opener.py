"""Opens an assignment: finds where it starts, reads its ledger, waits for all tables, then lets records in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from consumers.assignment.assignment import Assignment
from consumers.assignment.membership import Membership
from consumers.assignment.start_offsets import StartOffset, StartOffsets
from consumers.delivery.missing_records import MissingRecords
from consumers.ledger.ledgers import Ledgers
from runtime.clock import Clock
from runtime.kafka.fetching import Deleted
from runtime.kafka.records import Place
from runtime.kafka.retry import until_kafka_answers
from runtime.kafka.table_follower import TableFollower

log = structlog.get_logger(__name__)


class Opener:
    """Opens assignments, each in a task of its own."""

    def __init__(
        self,
        clock: Clock,
        membership: Membership,
        start_offsets: StartOffsets,
        ledgers: Ledgers,
        followers: Sequence[TableFollower[Any]],
        missing: MissingRecords,
        *,
        apart: str,
    ) -> None:
        self._clock = clock
        self._membership = membership
        self._start_offsets = start_offsets
        self._ledgers = ledgers
        self._followers = followers
        self._missing = missing
        self._apart = apart
        """The topic whose records have room of their own."""

    async def open(self, assignment: Assignment, places: Sequence[Place]) -> None:
        """Open an assignment of *places*; return early when the group is about to assign everything once more."""

        async def read_ledger() -> Mapping[Place, StartOffset] | None:
            start_offsets = await self._start_offsets.find(places)
            if start_offsets is not None:
                await self._ledgers.read_to_now(assignment.number, start_offsets)
            return start_offsets

        start_offsets = await until_kafka_answers(
            read_ledger, self._clock, "ledger.unreachable", partition=assignment.number
        )
        if start_offsets is None:
            return
        for follower in self._followers:
            await follower.until_caught_up()
        assignment.check()
        for place, start in start_offsets.items():
            if place.topic == self._apart:
                assignment.feedback = place, start.end
            since = self._ledgers.unfinished_since.get(place)
            assignment.lanes.start(place, start.seen_up_to, apart=place.topic == self._apart, since=since)
            assignment.become_overdue(place, start.end)  # what is there already counts when it begins
            if start.seen_up_to < start.offset:
                self._missing.report_deleted(assignment, Deleted(place, start.seen_up_to, start.offset))
        self._membership.open({place: start.offset for place, start in start_offsets.items()})
        assignment.opened_at = self._clock.monotonic()
        assignment.open = True
        log.info("partition.opened", partition=assignment.number, known=len(assignment.ledger))
