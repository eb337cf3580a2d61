"""Read topics from a given time on: up to their current end, or until something is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from deploy.support.connections import reader
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
from runtime.settings import Settings

_SILENT_SECONDS = 20.0


async def follow_from(reading: Reader, places: Iterable[Place], start: datetime | None) -> dict[Place, int]:
    """Follow *places* from *start* on, or from their beginning; return the offsets at which they end now."""
    chosen = list(places)
    ends = await reading.end_offsets(chosen)
    begins = await reading.beginning_offsets(chosen)
    for place in chosen if start is not None else ():
        begins[place] = await reading.offset_at(place, start or datetime.min.replace(tzinfo=UTC))
    reading.follow(begins)
    return ends


@asynccontextmanager
async def whole_topics(settings: Settings, *topics: str) -> AsyncIterator[AsyncIterator[Record]]:
    """Yield all records of *topics*, up to their present ends; raise KafkaError, UnfitTopics, OSError, TimeoutError."""
    async with reader(settings, of=topics) as reading:
        places = [place for topic in topics for place in await reading.partitions(topic)]
        yield records_until(reading, await follow_from(reading, places, None))


async def records_until(
    reading: Reader, ends: dict[Place, int], *, silent_seconds: float = _SILENT_SECONDS
) -> AsyncIterator[Record]:
    """Yield the records up to *ends*; raise TimeoutError if nothing comes for *silent_seconds*."""
    loop = asyncio.get_running_loop()
    last_progress = loop.time()
    positions = _positions(reading, ends)
    while any(reached < ends[place] for place, reached in positions.items()):
        fetched = await reading.poll()
        for records in fetched.records.values():
            for record in records:
                yield record
        before, positions = positions, _positions(reading, ends)
        if before != positions:
            last_progress = loop.time()
        elif loop.time() - last_progress > silent_seconds:
            raise TimeoutError


async def new_records(reading: Reader, *, within: float, enough: Callable[[], bool]) -> AsyncIterator[Record]:
    """Yield new records until *enough* returns true, or for at most *within* seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while not enough() and loop.time() < end:
        fetched = await reading.poll(timeout_ms=max(int(min(end - loop.time(), 0.5) * 1000), 1))
        for records in fetched.records.values():
            for record in records:
                yield record


def _positions(reading: Reader, places: Iterable[Place]) -> dict[Place, int]:
    return {place: reading.position_in(place) for place in places}
