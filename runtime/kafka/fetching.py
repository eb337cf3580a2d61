"""Fetches from several partitions so that a bad batch in one can neither lose nor stop the others' records.

aiokafka's `getmany` forgets what it had already taken from healthy partitions when another one raises, and raises
again at every call. Of a partition with a bad batch it forgets the sound records before that as well. So positions are
ours: after an error all partitions are sought back, each is fetched alone, the one that raises record by record, and a
batch that stays unreadable is passed over, its offsets named.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    UnsupportedCodecError,
)
from aiokafka.structs import TopicPartition

from runtime.kafka.batch_end import end_of_batch
from runtime.kafka.records import Place, Record, from_consumer_record

log = structlog.get_logger(__name__)

READS_BEFORE_PASSING = 3
_ALONE_MS = 200
"""For all places of one round together: what has come for the others by then is taken without waiting."""
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
                fetched.records.setdefault(place, []).extend(records)
                self._next[place] = records[-1].offset + 1
            self._failures.pop(place, None)

    async def _fetch_each_alone(self, places: Sequence[Place], max_records: int | None) -> Fetched:
        fetched = Fetched()
        for place in places:
            with suppress(IllegalStateError):  # it went meanwhile, and must not take the others' records with it
                self._consumer.seek(TopicPartition(*place), self._at(place))
        loop = asyncio.get_running_loop()
        until = loop.time() + _ALONE_MS / 1000
        for place in places:
            left_ms = int(max(until - loop.time(), 0) * 1000)
            with suppress(IllegalStateError):  # likewise
                await self._isolate(place, fetched, max_records, timeout_ms=left_ms)
        return fetched

    async def _isolate(self, place: Place, fetched: Fetched, max_records: int | None, *, timeout_ms: int) -> None:
        error = await self._fetch_alone(place, fetched, max_records, timeout_ms=timeout_ms)
        if error is not None:
            error = await self._fetch_record_by_record(place, fetched, max_records)
        if error is None or not _of_the_bytes(error):
            return
        self._failures[place] += 1
        if self._failures[place] >= READS_BEFORE_PASSING:
            await self._pass_over(place, fetched, type(error).__name__)

    def _at(self, place: Place) -> int:
        """Give the next offset to be fetched; raises IllegalStateError where the place went meanwhile."""
        if place not in self._next:
            raise IllegalStateError(f"{place.topic}-{place.partition} is followed no longer")
        return self._next[place]

    async def _fetch_alone(
        self, place: Place, fetched: Fetched, max_records: int | None, *, timeout_ms: int = _ALONE_MS
    ) -> Exception | None:
        """Fetch one place; give the error where it cannot be read."""
        tp = TopicPartition(*place)
        try:
            batches = await self._consumer.getmany(tp, timeout_ms=timeout_ms, max_records=max_records)
        except (asyncio.CancelledError, ConsumerStoppedError, IllegalStateError):
            raise
        except Exception as error:  # noqa: BLE001 - see fetch
            self._consumer.seek(tp, self._at(place))
            return error
        self._take(fetched, batches)
        return None

    async def _fetch_record_by_record(
        self, place: Place, fetched: Fetched, max_records: int | None
    ) -> Exception | None:
        """Take the sound records before a bad one; give the error where the next cannot be read."""
        first = before = self._at(place)
        while max_records is None or self._at(place) - first < max_records:
            error = await self._fetch_alone(place, fetched, 1)
            if error is not None:
                return error
            if self._at(place) == before:
                return None
            before = self._at(place)
        return None

    async def _pass_over(self, place: Place, fetched: Fetched, error: str) -> None:
        """Go on behind the unreadable batch, and name its offsets."""
        first = self._at(place)
        next_offset = await end_of_batch(self._consumer._client, place, first)  # noqa: SLF001 - a consumer hands its client to nobody
        if next_offset is None:
            next_offset = await self._probe_for_end(place, fetched)
        else:
            self.seek(place, next_offset)
        self._failures.pop(place, None)
        if next_offset > first:
            log.error("kafka.batch.unreadable", topic=place.topic, partition=place.partition, first=first, error=error)
            fetched.unreadable.append(Unreadable(place, first, next_offset, error))

    async def _probe_for_end(self, place: Place, fetched: Fetched) -> int:
        """
        Find the first offset behind the unreadable batch one by one: slow, and right whatever is damaged.

        A fetch anywhere inside a batch brings the whole batch, so the first offset that can be read is its end.
        """
        end = (await self._consumer.end_offsets([TopicPartition(*place)]))[TopicPartition(*place)]
        without_news = 0
        while self._at(place) < end and without_news < _PROBES_WITHOUT_NEWS:
            before = self._at(place)
            error = await self._fetch_alone(place, fetched, 1)
            if error is not None and _of_the_bytes(error):
                self.seek(place, before + 1)
                without_news = 0
            elif self._at(place) > before:
                return next(one.offset for one in fetched.records[place] if one.offset >= before)
            else:
                without_news += 1
        return self._at(place)


def _of_the_bytes(error: Exception) -> bool:
    """Say whether the bytes that came cannot be read; what a broker refuses to give may be sound."""
    return not isinstance(error, KafkaError) or isinstance(error, CorruptRecordException | UnsupportedCodecError)
