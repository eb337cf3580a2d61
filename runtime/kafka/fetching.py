"""Fetches from several partitions so that a bad batch in one can neither lose nor stop the others' records.

aiokafka's `getmany` forgets what it had already taken from healthy partitions when another one raises, and raises
again at every call. So positions are ours: after an error all partitions are sought back, each is fetched alone, and a
batch that stays unreadable is passed over, its offsets named.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from aiokafka.structs import TopicPartition

from runtime.kafka.records import Place, Record, from_consumer_record

log = structlog.get_logger(__name__)

READS_BEFORE_PASSING = 3
_ALONE_MS = 200
_PROBES_WITHOUT_NEWS = 25


@dataclass(frozen=True)
class Unreadable:
    """A batch that was passed over: offsets *first* to before *next_offset*."""

    place: Place
    first: int
    next_offset: int
    error: str


@dataclass
class Fetched:
    """What one fetch brought."""

    records: dict[Place, list[Record]] = field(default_factory=dict)
    unreadable: list[Unreadable] = field(default_factory=list)


class Fetching:
    """Fetches through a started consumer, from positions that are kept here."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._next: dict[Place, int] = {}
        self._failures: Counter[Place] = Counter()

    def position(self, place: Place) -> int | None:
        """Give the next offset to be fetched, or None where the place is not followed."""
        return self._next.get(place)

    @property
    def positions(self) -> Mapping[Place, int]:
        """Give the next offsets of all places that are followed."""
        return self._next

    def seek(self, place: Place, offset: int) -> None:
        """Go on at *offset*; the place must be assigned."""
        self._consumer.seek(TopicPartition(*place), offset)
        self._next[place] = offset

    def forget(self, places: Iterable[Place]) -> None:
        """Follow these places no longer."""
        for place in list(places):
            self._next.pop(place, None)
            self._failures.pop(place, None)

    async def fetch(self, places: Sequence[Place], *, timeout_ms: int, max_records: int | None = None) -> Fetched:
        """Give what the places have, waiting at most about *timeout_ms* where they have nothing."""
        wanted = [TopicPartition(*place) for place in places if place in self._next]
        if not wanted:
            return Fetched()
        try:
            batches = await self._consumer.getmany(*wanted, timeout_ms=timeout_ms, max_records=max_records)
        except (asyncio.CancelledError, ConsumerStoppedError, IllegalStateError):
            raise
        except Exception as error:  # noqa: BLE001 - a codec may raise anything; what it was is told by the isolation
            log.warning("kafka.fetch.failed", error=type(error).__name__)
            return await self._fetch_each_alone([Place(*tp) for tp in wanted], max_records)
        fetched = Fetched()
        self._take(fetched, batches)
        return fetched

    def _take(self, fetched: Fetched, batches: Mapping[TopicPartition, Sequence[Any]]) -> None:
        for tp, batch in batches.items():
            place = Place(tp.topic, tp.partition)
            position = self._next.get(place)
            if position is None or not batch:
                continue
            # A fetch that was under way before a seek may bring what was brought already.
            records = [from_consumer_record(record) for record in batch if record.offset >= position]
            if records:
                fetched.records[place] = records
                self._next[place] = records[-1].offset + 1
            self._failures.pop(place, None)

    async def _fetch_each_alone(self, places: Sequence[Place], max_records: int | None) -> Fetched:
        fetched = Fetched()
        for place in places:
            self._consumer.seek(TopicPartition(*place), self._next[place])
        for place in places:
            error = await self._fetch_alone(place, fetched, max_records)
            if error is None:
                continue
            self._failures[place] += 1
            if self._failures[place] >= READS_BEFORE_PASSING:
                fetched.unreadable.append(await self._pass_over(place, fetched, error))
        return fetched

    async def _fetch_alone(self, place: Place, fetched: Fetched, max_records: int | None) -> str | None:
        """Fetch one place; give the error's name where it cannot be read."""
        tp = TopicPartition(*place)
        try:
            batches = await self._consumer.getmany(tp, timeout_ms=_ALONE_MS, max_records=max_records)
        except (asyncio.CancelledError, ConsumerStoppedError, IllegalStateError):
            raise
        except Exception as error:  # noqa: BLE001 - see fetch
            self._consumer.seek(tp, self._next[place])
            return type(error).__name__
        self._take(fetched, batches)
        return None

    async def _pass_over(self, place: Place, fetched: Fetched, error: str) -> Unreadable:
        """
        Find the first offset behind the unreadable batch, one by one, since only the broker knows where it ends.

        A fetch anywhere inside a batch brings the whole batch, so the first offset that can be read is its end.
        """
        first = self._next[place]
        end = (await self._consumer.end_offsets([TopicPartition(*place)]))[TopicPartition(*place)]
        without_news = 0
        while self._next[place] < end and without_news < _PROBES_WITHOUT_NEWS:
            before = self._next[place]
            failed = await self._fetch_alone(place, fetched, 1)
            if failed is not None:
                self.seek(place, before + 1)
                without_news = 0
            elif place in fetched.records:
                break
            else:
                without_news += 1
        self._failures.pop(place, None)
        records = fetched.records.get(place)
        next_offset = records[0].offset if records else self._next[place]
        log.error("kafka.batch.unreadable", topic=place.topic, partition=place.partition, first=first, error=error)
        return Unreadable(place, first, next_offset, error)
