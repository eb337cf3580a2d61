"""Topics in memory, and their readers: the facade's feed and its look-ups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from runtime.kafka.fetching import Fetched
from runtime.kafka.publisher import Published
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from schemas.dispatch import Dispatch, dispatch_json

PARTITIONS = 12
APPENDED_AT = datetime(2026, 3, 26, 8, 29, 58, 700_000, UTC)


class FakeLog:
    """Keeps records like a broker; every topic has PARTITIONS partitions, and time stands still."""

    def __init__(self, topics: Topics | None = None) -> None:
        self.topics = topics or Topics()
        self.records: dict[Place, list[Record]] = {}
        self.failing: Exception | None = None
        """While it is set, every read raises it."""
        self.topic_id = "first"
        self.opened = 0
        """How many feeds were opened."""
        self._waiting: set[asyncio.Event] = set()

    def append(
        self, place: Place, *, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()
    ) -> Published:
        """Append a record and return its position."""
        records = self.records.setdefault(place, [])
        size = len(key or b"") + len(value or b"")
        record = Record(place.topic, place.partition, len(records), key, value, list(headers), APPENDED_AT, size)
        records.append(record)
        self.wake()
        return Published(place.topic, place.partition, record.offset, record.appended_at)

    def append_dispatch(self, dispatch: Dispatch) -> None:
        """Append a dispatch to the partition that a replica would choose."""
        place = Place(self.topics.dispatches, dispatch.origin.partition)
        self.append(place, key=dispatch.dispatch_id.encode(), value=dispatch_json(dispatch))

    def fail(self, error: Exception | None) -> None:
        """Let all reads raise *error* from now on, or succeed if it is None."""
        self.failing = error
        self.wake()

    def wake(self) -> None:
        """Wake all readers that wait for records."""
        for event in self._waiting:
            event.set()

    @asynccontextmanager
    async def open_feed(self) -> AsyncIterator[FakeFeed]:
        """Open a feed, as the follower does."""
        self.opened += 1
        if self.failing is not None:
            raise self.failing
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            yield FakeFeed(self, event)
        finally:
            self._waiting.discard(event)


class FakeFeed:
    """A Feed that follows a FakeLog."""

    def __init__(self, log: FakeLog, changed: asyncio.Event) -> None:
        self._log = log
        self._changed = changed
        self._next: dict[Place, int] = {}

    async def partitions(self, topic: str) -> tuple[Place, ...]:
        """Return the partitions of a topic."""
        return tuple(Place(topic, number) for number in range(PARTITIONS))

    async def identify(self, topic: str) -> str | None:
        """Return the topic id, the same for all topics."""
        assert topic == self._log.topics.dispatches
        return self._log.topic_id

    async def beginning_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return 0 for each partition."""
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return the offset after the last record of each partition."""
        return {place: len(self._log.records.get(place, ())) for place in places}

    def follow(self, positions: Mapping[Place, int]) -> None:
        """Follow these partitions from these offsets."""
        self._next.update(positions)

    def position_in(self, place: Place) -> int:
        """Return the next offset to read."""
        return self._next[place]

    async def poll(self) -> Fetched:
        """Wait for new records, and return them."""
        while True:
            if self._log.failing is not None:
                raise self._log.failing
            if found := self._take():
                return Fetched(found)
            await self._changed.wait()
            self._changed.clear()

    def _take(self) -> dict[Place, list[Record]]:
        found = {place: self._log.records.get(place, [])[start:] for place, start in self._next.items()}
        found = {place: records for place, records in found.items() if records}
        self._next.update({place: records[-1].offset + 1 for place, records in found.items()})
        return found


class FakeRecords:
    """A Records that looks records up in a FakeLog."""

    def __init__(self, log: FakeLog) -> None:
        self._log = log
        self.reads = 0

    async def read(self, place: Place, offset: int) -> Record | None:
        """Return the record at *offset*, or None."""
        self.reads += 1
        if self._log.failing is not None:
            raise self._log.failing
        return next((record for record in self._log.records.get(place, ()) if record.offset == offset), None)

    async def read_from(self, place: Place, since: datetime, *, key: bytes) -> list[Record]:
        """Return the records with *key* appended at or after *since*."""
        found: list[Record] = []
        await self.read_each(place, since, key=key, take=found.append)
        return found

    async def read_each(self, place: Place, since: datetime, *, key: bytes, take: Callable[[Record], None]) -> None:
        """Hand each record with *key* appended at or after *since* to *take*."""
        if self._log.failing is not None:
            raise self._log.failing
        for record in self._log.records.get(place, ()):
            if record.key == key and record.appended_at >= since:
                take(record)
