"""Logs per partition, and readers that are late and fail: Kafka without its group and its producers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from runtime.kafka.batches import Batch
from runtime.kafka.checked_batches import Raw
from runtime.kafka.fetching import Fetched
from runtime.kafka.reader import Reader, RecordReader
from runtime.kafka.records import Place, Record
from schemas.headers import Headers
from tests.simulation.faults import Faults
from tests.simulation.history import Appended, History
from tests.simulation.loop import SimulatedClock, SimulatedLoop

PARTITIONS = 2
_BATCH_RECORDS = 2
_IDLE_SECONDS = 2.0
"""After how long a poll returns nothing. It is long, since an idle poll costs as much CPU as one with records."""


class Logs:
    """The logs of all partitions, and the readers that wait for records."""

    def __init__(self, loop: SimulatedLoop, clock: SimulatedClock, history: History) -> None:
        self.records: defaultdict[Place, list[Record]] = defaultdict(list)
        self._loop = loop
        self._clock = clock
        self._history = history
        self._waiting: defaultdict[str, dict[asyncio.Future[None], None]] = defaultdict(dict)

    def append(
        self, place: Place, key: bytes | None, value: bytes | None, headers: Headers, program: str | None
    ) -> Record:
        """Append a record with the time of the broker's clock."""
        records = self.records[place]
        size = len(key or b"") + len(value or b"")
        record = Record(*place, len(records), key, value, tuple(headers), self._clock.now(), size)
        records.append(record)
        self._history.entries.append(Appended(self._loop.time(), record, program))
        for waiting in self._waiting.pop(place.topic, ()):
            wake(waiting)
        return record

    def end(self, place: Place) -> int:
        """Return the offset behind the last record."""
        return len(self.records[place])

    async def news(self, topics: Iterable[str], also: asyncio.Future[None], seconds: float) -> None:
        """Wait for a record in one of *topics*, for *also*, or for *seconds*."""
        for topic in topics:
            self._waiting[topic][also] = None
        due = self._loop.call_later(seconds, wake, also)
        try:
            await also
        finally:
            due.cancel()


def wake(waiting: asyncio.Future[None]) -> None:
    """End a wait, if it has not ended already."""
    if not waiting.done():
        waiting.set_result(None)


class SimulatedReader(Reader):
    """Follows partitions of the logs; each fetch takes time, and some fail."""

    def __init__(self, logs: Logs, loop: SimulatedLoop, faults: Faults) -> None:
        self._logs = logs
        self._loop = loop
        self._faults = faults
        self._next: dict[Place, int] = {}
        self._changed: asyncio.Future[None] | None = None

    async def partitions(self, topic: str) -> tuple[Place, ...]:
        """Return the places of a topic."""
        await self._faults.request()
        return tuple(Place(topic, number) for number in range(PARTITIONS))

    async def identify(self, topic: str) -> str | None:
        """Return the name as the id: no topic is recreated."""
        await self._faults.request()
        return topic

    async def check(self, topic: str) -> None:
        """Find the topic unchanged."""

    async def end_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the offset behind the last record of each place."""
        await self._faults.request()
        return {place: self._logs.end(place) for place in places}

    async def beginning_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return 0 for each place: no record is ever deleted."""
        await self._faults.request()
        return dict.fromkeys(places, 0)

    def follow(self, positions: Mapping[Place, int]) -> None:
        """Follow these places from these offsets, as well as those followed already."""
        self._next.update(positions)
        if self._changed is not None:
            wake(self._changed)

    def unfollow(self, places: Iterable[Place]) -> None:
        """Stop following these places."""
        for place in places:
            self._next.pop(place, None)

    def position(self, place: Place) -> int | None:
        """Return the next offset to be read, or None if the place is not followed."""
        return self._next.get(place)

    async def poll(self, *, timeout_ms: int = 500, max_records: int | None = 1000) -> Fetched:
        """Return new records; those appended while the answer is in transit come with the next poll."""
        if not self._due():
            self._changed = self._loop.create_future()
            await self._logs.news({place.topic for place in self._next}, self._changed, _IDLE_SECONDS)
        await self._faults.fetch()
        return Fetched(self._take(max_records or timeout_ms))

    def _due(self) -> bool:
        return any(self._logs.end(place) > position for place, position in self._next.items())

    def _take(self, at_most: int) -> dict[Place, list[Record]]:
        found = {place: self._logs.records[place][start : start + at_most] for place, start in self._next.items()}
        found = {place: records for place, records in found.items() if records}
        self._next.update({place: records[-1].offset + 1 for place, records in found.items()})
        return found


class StoredRecord:
    """A record as it is stored in a batch; a Raw."""

    def __init__(self, record: Record) -> None:
        self.offset = record.offset
        self.timestamp = int(record.appended_at.timestamp() * 1000)
        self.key = record.key
        self.value = record.value
        self.headers = record.headers


@dataclass(frozen=True)
class SimulatedBatch:
    """Some records; a Batch."""

    records: Sequence[StoredRecord]
    next_offset: int
    is_control_batch: bool = False

    def read(self) -> Sequence[Raw]:
        """Return the records."""
        return self.records


class SimulatedRecords(RecordReader):
    """Looks up offsets and single records; each look-up takes time, and some fail."""

    def __init__(self, logs: Logs, faults: Faults) -> None:
        self._logs = logs
        self._faults = faults

    async def end_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the offset behind the last record of each place."""
        await self._faults.request()
        return {place: self._logs.end(place) for place in places}

    async def beginning_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return 0 for each place: no record is ever deleted."""
        await self._faults.request()
        return dict.fromkeys(places, 0)

    async def offset_at(self, place: Place, instant: datetime) -> int:
        """Return the offset of the first record appended at or after *instant*, or the end."""
        await self._faults.request()
        records: Sequence[Record] = self._logs.records[place]
        return next((record.offset for record in records if record.appended_at >= instant), len(records))

    async def batches(self, place: Place, start: int, end: int) -> AsyncGenerator[list[Batch], None]:
        """Yield the batches from *start* to *end*, one per fetch; they may begin earlier and end later."""
        while start < end:
            await self._faults.request()
            records = self._logs.records[place][start - start % _BATCH_RECORDS :][:_BATCH_RECORDS]
            start = records[-1].offset + 1
            yield [SimulatedBatch([StoredRecord(record) for record in records], start)]

    async def read(self, place: Place, offset: int) -> Record | None:
        """Return the record at *offset*, or None."""
        await self._faults.request()
        return self._logs.records[place][offset] if offset < self._logs.end(place) else None
