"""Offsets that bring no record: a dead letter tells of them before they are committed past."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from aiokafka.errors import KafkaError

from consumers.owned import Owned
from consumers.steps import Reached, Step
from consumers.writing import Writing
from runtime.clock import Clock
from runtime.kafka.fetching import Deleted, Unreadable
from runtime.kafka.publisher import PublishError
from runtime.kafka.records import Place, Record
from schemas.dispatch import Origin

log = structlog.get_logger(__name__)
Missing = TypeVar("Missing", Unreadable, Deleted)

_AGAIN_SECONDS = 0.5


class MissingRecords:
    """Tells of what an assignment cannot read, and holds back its commits meanwhile."""

    def __init__(
        self, writing: Writing, first_offset: Callable[[Place], Awaitable[int]], clock: Clock, reached: Reached
    ) -> None:
        self._writing = writing
        self._first_offset = first_offset
        self._clock = clock
        self._reached = reached

    def tell_unreadable(self, owned: Owned, passed: Unreadable) -> None:
        """Tell of a batch that was passed over."""
        owned.partition.hold(passed.place, passed.first)
        owned.start(self._set_aside(owned, passed, self._writing.unreadable))

    def tell_deleted(self, owned: Owned, deleted: Deleted) -> None:
        """Tell of records that nobody saw."""
        place, first, next_offset = deleted.place, deleted.first, deleted.next_offset
        log.error(
            "records.deleted", topic=place.topic, partition=place.partition, first=first, count=next_offset - first
        )
        owned.partition.hold(place, first, next_offset)
        owned.start(self._set_aside(owned, deleted, self._writing.deleted))

    def look_for_leaps(self, owned: Owned, place: Place, records: Sequence[Record]) -> None:
        """Find out whether offsets that are missing before or among *records*, which came next, were deleted."""
        leaps = owned.partition.leaps(place, (record.offset for record in records))
        if leaps:
            owned.partition.hold(place, leaps[0][0])
            owned.start(self._explain(owned, place, leaps))

    async def _explain(self, owned: Owned, place: Place, leaps: Sequence[tuple[int, int]]) -> None:
        """
        Tell of offsets before the beginning of the log.

        Inside of the log offsets are missing after transactions and compaction, or were told of as unreadable.
        """
        begins = await self._beginning_of_log(owned, place)
        for first, next_offset in leaps:
            if first < begins:
                self.tell_deleted(owned, Deleted(place, first, min(next_offset, begins)))
        first, next_offset = leaps[0]
        if first >= begins:
            owned.partition.release(place, first, next_offset)

    async def _beginning_of_log(self, owned: Owned, place: Place) -> int:
        while True:
            owned.check()
            try:
                return await self._first_offset(place)
            except (KafkaError, TimeoutError, OSError) as error:
                log.warning("kafka.unreachable", error=type(error).__name__)
            await self._clock.sleep(_AGAIN_SECONDS)

    async def _set_aside(
        self, owned: Owned, missing: Missing, write: Callable[[Missing, Origin], Awaitable[None]]
    ) -> None:
        """Make a dead letter; until it is durable the offsets are not committed past."""
        place, first = missing.place, missing.first
        origin = Origin(topic=place.topic, partition=place.partition, offset=first, appended_at=self._clock.now())
        while True:
            with owned.passage():
                try:
                    await write(missing, origin)
                except PublishError as error:
                    log.warning("record.not_durable", partition=owned.number, error=type(error).__name__)
                else:
                    self._reached(Step.DEAD_LETTER_RECORDED, f"{place.topic}-{place.partition}-{first}")
                    owned.partition.release(place, first, missing.next_offset)
                    return
            owned.check()
            await self._clock.sleep(_AGAIN_SECONDS)
