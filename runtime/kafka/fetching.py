"""Fetch from several partitions, so that an unreadable batch in one neither loses nor stops the records of the others.

Batches are checked before aiokafka reads their records (`runtime.kafka.checked_batches`). A marker stands for whatever
cannot be read, so nothing raises. Bytes that can never be read are skipped at once. Bytes that another read may return
intact are read again, and only their own partition waits for them.

A broker's refusal does raise, and aiokafka's `getmany` then forgets the records it had taken from other partitions. So
the positions are kept here: after an error all partitions seek back, and each is fetched alone.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from runtime.kafka.batch_end import end_of_batch
from runtime.kafka.checked_batches import CheckedRecords, Deferred, Fault
from runtime.kafka.records import Place, Record, from_consumer_record

log = structlog.get_logger(__name__)

_BEYOND_THE_END = Fault(None, "an offset beyond the end of the log", reads=3)
_ALONE_MS = 200
"""For all partitions of one round together: after it, take what has arrived for the rest without waiting."""

# aiokafka has no hook between a fetched buffer and its records, and it decompresses without a bound. Its fetcher looks
# up this class by name for each buffer. A test checks that it still does.
if fetcher.MemoryRecords not in (MemoryRecords, CheckedRecords):
    raise ImportError("aiokafka's fetcher reads batches in another way: revise runtime.kafka.fetching")
fetcher.MemoryRecords = CheckedRecords


@dataclass(frozen=True)
class Unreadable:
    """Offsets that were skipped because they cannot be read: from *first* up to *next_offset*, exclusive."""

    place: Place
    first: int
    next_offset: int
    error: str


@dataclass(frozen=True)
class Deleted:
    """Offsets that were deleted before they were read: from *first* up to *next_offset*, exclusive."""

    place: Place
    first: int
    next_offset: int


@dataclass
class Fetched:
    """The result of one fetch."""

    records: dict[Place, list[Record]] = field(default_factory=dict)
    unreadable: list[Unreadable] = field(default_factory=list)
    deleted: list[Deleted] = field(default_factory=list)


def ignore(_unreadable: Unreadable) -> None:
    """Do nothing."""


class Fetching:
    """Fetches through a started consumer, from positions of its own."""

    def __init__(self, consumer: AIOKafkaConsumer, *, on_unreadable: Callable[[Unreadable], None] = ignore) -> None:
        self._consumer = consumer
        self._on_unreadable = on_unreadable
        self._next: dict[Place, int] = {}
        self._failures: Counter[tuple[Place, int]] = Counter()
        """How many reads failed at each position."""

    def position(self, place: Place) -> int | None:
        """Return the next offset to fetch, or None if the partition is not followed."""
        return self._next.get(place)

    @property
    def positions(self) -> Mapping[Place, int]:
        """Return the next offsets of all followed partitions."""
        return self._next

    def seek(self, place: Place, offset: int) -> None:
        """Continue at *offset*; the partition must be assigned."""
        self._consumer.seek(TopicPartition(*place), offset)
        self._next[place] = offset

    def forget(self, places: Iterable[Place]) -> None:
        """Stop following these partitions."""
        gone = set(places)
        for place in gone:
            self._next.pop(place, None)
        for failure in [failure for failure in self._failures if failure[0] in gone]:
            del self._failures[failure]

    async def fetch(self, places: Sequence[Place], *, timeout_ms: int, max_records: int | None = None) -> Fetched:
        """
        Return new records of the partitions; if there are none, wait for at most about *timeout_ms*.

        Raise the KafkaError with which a broker refuses a partition, for example for a missing right, unless another
        partition has records. The broker would refuse again at once, so the caller must pause before the next fetch.
        """
        fetched = Fetched()
        wanted = [TopicPartition(*place) for place in places if place in self._next]
        if not wanted:
            return fetched
        try:
            batches = await self._consumer.getmany(*wanted, timeout_ms=timeout_ms, max_records=max_records)
        except (asyncio.CancelledError, ConsumerStoppedError, IllegalStateError):
            raise
        except Exception as error:
            log.warning("kafka.fetch.failed", error=type(error).__name__)
            refused = await self._fetch_each_alone([Place(*tp) for tp in wanted], fetched, max_records)
            if refused is not None and not (fetched.records or fetched.unreadable):
                raise refused from error
        else:
            await self._take(fetched, batches)
        return fetched

    async def _fetch_each_alone(
        self, places: Sequence[Place], fetched: Fetched, max_records: int | None
    ) -> KafkaError | None:
        """Take the records of each partition; return the error with which a broker refuses one."""
        refused: KafkaError | None = None
        for place in places:
            self._seek_back(place)
        loop = asyncio.get_running_loop()
        until = loop.time() + _ALONE_MS / 1000
        for place in places:
            left_ms = int(max(until - loop.time(), 0) * 1000)
            with suppress(IllegalStateError):  # it was revoked meanwhile, and must not cost the others their records
                refused = await self._fetch_alone(place, fetched, max_records, timeout_ms=left_ms) or refused
        return refused

    async def _fetch_alone(
        self, place: Place, fetched: Fetched, max_records: int | None, *, timeout_ms: int
    ) -> KafkaError | None:
        tp = TopicPartition(*place)
        try:
            batches = await self._consumer.getmany(tp, timeout_ms=timeout_ms, max_records=max_records)
        except (asyncio.CancelledError, ConsumerStoppedError, IllegalStateError):
            raise
        except Exception as error:  # noqa: BLE001 - see fetch
            log.debug("kafka.place.failed", topic=place.topic, partition=place.partition, error=type(error).__name__)
            self._seek_back(place)
            return error if isinstance(error, KafkaError) else None
        await self._take(fetched, batches)
        return None

    async def _take(self, fetched: Fetched, batches: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """Take all records before the first wait, since another task may seek meanwhile."""
        faults = [(place, self._take_of(place, found, fetched)) for place, found in _by_place(batches)]
        for place, fault in faults:
            if fault is not None:
                await self._skip(place, fault, fetched)

    def _take_of(self, place: Place, found: Sequence[Any], fetched: Fetched) -> Fault | None:
        """Take one partition's records; return a fault that is to be skipped after enough reads."""
        if place not in self._next:
            return None
        end = self._end_of(place)
        for one in found:
            if isinstance(one.checksum, Deferred):
                self._next[place] = min(max(self._next[place], one.checksum.first), end)
                self._seek_back(place)
                break
            fault = _fault_of(one, end)
            if fault is not None:
                if not self._skip_at_once(place, fault, fetched):
                    return self._read_again(place, fault)
            # A fetch that started before a seek may return records again.
            elif one.offset >= self._next[place]:
                self._failures.pop((place, self._next[place]), None)
                fetched.records.setdefault(place, []).append(from_consumer_record(one))
                self._next[place] = one.offset + 1
        return None

    def _end_of(self, place: Place) -> int:
        """Return the end of the log as the broker last reported it; if unknown, a number beyond any offset."""
        with suppress(IllegalStateError, AssertionError):
            return int(self._consumer.highwater(TopicPartition(*place)) or sys.maxsize)
        return sys.maxsize

    def _skip_at_once(self, place: Place, fault: Fault, fetched: Fetched) -> bool:
        """Skip bytes that can never be read; return False if another read may help, or if their end is not known."""
        if fault.reads > 1 or fault.next_offset is None:
            return False
        first, self._next[place] = self._next[place], max(self._next[place], fault.next_offset)
        self._report(place, first, fault, fetched)
        return True

    def _read_again(self, place: Place, fault: Fault) -> Fault | None:
        """Seek back for another read; return the fault after enough reads."""
        self._seek_back(place)
        failed_at = (place, self._next[place])
        self._failures[failed_at] += 1
        if self._failures[failed_at] < fault.reads:
            log.warning("kafka.batch.read_again", topic=place.topic, partition=place.partition, error=fault.error)
            return None
        del self._failures[failed_at]
        return fault

    async def _skip(self, place: Place, fault: Fault, fetched: Fetched) -> None:
        """Continue after a batch; if its end is not known, go offset by offset, so that a fetch stays short."""
        first = self._next.get(place)
        if first is None:
            return
        behind = fault.next_offset
        if behind is None or behind <= first:
            behind = await end_of_batch(self._consumer._client, place, first)  # noqa: SLF001 - a consumer does not expose its client
        if self._next.get(place) != first:
            return  # another task moved the position meanwhile
        with suppress(IllegalStateError):  # it was revoked meanwhile
            self.seek(place, first + 1 if behind is None else behind)
            self._report(place, first, fault, fetched)

    def _report(self, place: Place, first: int, fault: Fault, fetched: Fetched) -> None:
        if self._next[place] == first:
            return
        unreadable = Unreadable(place, first, self._next[place], fault.error)
        fetched.unreadable.append(unreadable)
        log.error(
            "kafka.batch.unreadable", topic=place.topic, partition=place.partition, first=first, error=fault.error
        )
        self._on_unreadable(unreadable)

    def _seek_back(self, place: Place) -> None:
        with suppress(IllegalStateError):  # it was revoked meanwhile
            if place in self._next:
                self._consumer.seek(TopicPartition(*place), self._next[place])


def _by_place(batches: Mapping[TopicPartition, Sequence[Any]]) -> list[tuple[Place, Sequence[Any]]]:
    return [(Place(tp.topic, tp.partition), found) for tp, found in batches.items()]


def _fault_of(found: Any, end: int) -> Fault | None:
    """Return the fault that aiokafka returned as a record, or None if it is a record."""
    fault = found.checksum if isinstance(found.checksum, Fault) else None
    behind = found.offset + 1 if fault is None else fault.next_offset
    return _BEYOND_THE_END if behind is not None and behind > end else fault
