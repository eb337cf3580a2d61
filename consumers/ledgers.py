"""The ledgers of all partitions that this replica owns or owned: read back, then followed by one reader."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog
from aiokafka.errors import KafkaError

from consumers.metrics import Metrics
from runtime.clock import Clock
from runtime.kafka.ledger import Ledger
from runtime.kafka.reader import Reader, RecordReader
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from schemas.dispatch import Dispatch, parse_dispatch

log = structlog.get_logger(__name__)

CLOCK_MARGIN = timedelta(hours=1)
"""How far our clock and the brokers' may be apart when a ledger's beginning is looked up."""
_POLL_MS = 200
_AGAIN_SECONDS = 0.5


class Ledgers:
    """Keeps a ledger per partition number; one laid down keeps its place and reads on from there when taken up."""

    def __init__(
        self,
        clock: Clock,
        *,
        topics: Topics,
        reader: Reader,
        records: RecordReader,
        metrics: Metrics,
        max_entries: int,
        remember: timedelta,
        remember_calls: bool,
    ) -> None:
        self._clock = clock
        self._topics = topics
        self._reader = reader
        self._records = records
        self._metrics = metrics
        self._max_entries = max_entries
        self._remember = remember
        self._remember_calls = remember_calls
        self._ledgers: dict[int, Ledger] = {}
        self._started: set[int] = set()
        self._moved = asyncio.Event()

    async def first_offset(self, place: Place) -> int:
        """Give the first offset that a place still keeps; raises KafkaError or TimeoutError."""
        return (await self._records.beginning_offsets([place]))[place]

    def take_up(self, number: int) -> Ledger:
        """Give the ledger of a partition that was assigned; it must be read to now before it is relied on."""
        ledger = self._ledgers.get(number)
        if ledger is None:
            ledger = Ledger(max_entries=self._max_entries, remember_calls=self._remember_calls)
            self._ledgers[number] = ledger
        return ledger

    def lay_down(self, number: int) -> None:
        """Stop following a partition that was revoked; what is known of it is kept."""
        self._reader.unfollow([self._place(number)])

    def _place(self, number: int) -> Place:
        return Place(self._topics.dispatches, number)

    async def read_to_now(self, number: int, positions: Mapping[Place, tuple[int, bool]]) -> None:
        """
        Read a ledger to the end as of now, and follow it from then on.

        *positions* say per event topic where records begin that are not finished, and whether that was ever committed.
        Raises KafkaError or TimeoutError where no broker answers.
        """
        began = self._clock.monotonic()
        place, ledger = self._place(number), self._ledgers[number]
        if number not in self._started:
            ledger.next_offset = await self._beginning(place, positions)
            self._started.add(number)
        end = (await self._records.end_offsets([place]))[place]
        self._reader.follow({place: ledger.next_offset})
        while (self._reader.position(place) or 0) < end:
            await self._moved.wait()
        self._metrics.remembered_seconds.set(self._clock.monotonic() - began)

    async def _beginning(self, place: Place, positions: Mapping[Place, tuple[int, bool]]) -> int:
        """Give the offset from which a ledger must be read to know all that may come again."""
        since = self._clock.now() - self._remember
        for event_place, (offset, ever_committed) in positions.items():
            end = (await self._records.end_offsets([event_place]))[event_place]
            if offset >= end:
                continue
            if not ever_committed:
                return (await self._records.beginning_offsets([place]))[place]
            since = min(since, await self._appended_at(event_place, offset, since))
        return await self._records.offset_at(place, since - CLOCK_MARGIN)

    async def _appended_at(self, place: Place, offset: int, otherwise: datetime) -> datetime:
        record = await self._records.read(place, offset)
        return otherwise if record is None else record.appended_at

    async def poll(self) -> list[tuple[int, str]]:
        """Take in what came; give number and id of final dispatches that a late write may have changed."""
        try:
            fetched = await self._reader.poll(timeout_ms=_POLL_MS)
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("ledger.unreachable", error=type(error).__name__)
            await self._clock.sleep(_AGAIN_SECONDS)
            return []
        changed = [
            (place.partition, dispatch_id)
            for place, records in fetched.records.items()
            for record in records
            if (dispatch_id := self._take(record)) is not None
        ]
        for passed in fetched.unreadable:
            log.error("ledger.batch.unreadable", partition=passed.place.partition, first=passed.first)
        self._moved.set()
        self._moved = asyncio.Event()
        return changed

    def _take(self, record: Record) -> str | None:
        ledger = self._ledgers.get(record.partition)
        if ledger is None:
            return None
        if ledger.has_written(record.offset):
            ledger.read(record.offset, None)
            return None
        dispatch = parse_dispatch(record.value)
        late = ledger.read(record.offset, dispatch)
        return dispatch.dispatch_id if late and dispatch is not None else None

    async def read(self, number: int, offset: int) -> Dispatch | None:
        """Give the dispatch at *offset* of partition *number*, or None where it is gone; raises as Kafka does."""
        record = await self._records.read(self._place(number), offset)
        return None if record is None else parse_dispatch(record.value)
