"""The ledgers of all partitions that this replica owns or owned: loaded on assignment, then followed by one reader."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from consumers.assignment.start_offsets import StartOffset
from consumers.ledger.ledger import Ledger
from consumers.ledger.loader import Loader, add_record
from consumers.ledger.retry_window import CLOCK_MARGIN as RETRY_CLOCK_MARGIN
from consumers.metrics import Metrics
from consumers.steps import Reached, Step, nobody_listens
from runtime.clock import Clock
from runtime.kafka.reader import Reader, RecordReader
from runtime.kafka.records import Place, Record
from runtime.kafka.retry import until_kafka_answers
from runtime.kafka.topic_watch import ANEW, TopicRecreated
from runtime.kafka.topics import Topics
from schemas.dispatch import Dispatch, parse_dispatch

log = structlog.get_logger(__name__)

CLOCK_MARGIN = timedelta(hours=1)
"""How far our clock and the brokers' may differ when a ledger's first offset is looked up."""
_NEVER_COMMITTED = datetime.fromtimestamp(0, UTC)
_POLL_MS = 200


@dataclass(frozen=True)
class LedgerLimits:
    """How much a ledger keeps, and for how long."""

    max_entries: int
    """The cap of one partition's ledger."""
    remember: timedelta
    """How old a record may be that a ledger must know."""
    retry_window: timedelta
    """How long after its end a call without a key is recognised when it is repeated."""


class Ledgers:
    """
    Keeps a ledger for each partition number.

    The ledger of a partition that is revoked is kept, and read on from there when the partition comes back.
    """

    def __init__(
        self,
        limits: LedgerLimits,
        clock: Clock,
        *,
        topics: Topics,
        reader: Reader,
        records: RecordReader,
        metrics: Metrics,
        reached: Reached = nobody_listens,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._topics = topics
        self._reader = reader
        self._records = records
        self._metrics = metrics
        self._reached = reached
        self._ledgers: dict[int, Ledger] = {}
        self._started: set[int] = set()
        self.unfinished_since: dict[Place, datetime] = {}
        """When the record at the committed offset of a place was appended, as of its assignment, if there is one."""
        self._progress = asyncio.Condition()
        self._times_recreated = 0

    async def first_offset(self, place: Place) -> int:
        """Return the first offset that a place still keeps. Raise KafkaError or TimeoutError."""
        return (await self._records.beginning_offsets([place]))[place]

    async def end_offset(self, place: Place) -> int:
        """Return the offset after the last record of a place. Raise KafkaError or TimeoutError."""
        return (await self._records.end_offsets([place]))[place]

    def ledger_for(self, number: int) -> Ledger:
        """Return the ledger of a partition that was assigned; do not rely on it before `read_to_now` has returned."""
        ledger = self._ledgers.get(number)
        if ledger is None:
            ledger = Ledger(self._limits.max_entries, retry_window=self._limits.retry_window)
            self._ledgers[number] = ledger
        return ledger

    def stop_following(self, number: int) -> None:
        """Stop following a partition that was revoked; its ledger is kept."""
        self._reader.unfollow([self._place(number)])
        for place in [one for one in self.unfinished_since if one.partition == number]:
            del self.unfinished_since[place]

    def _place(self, number: int) -> Place:
        return Place(self._topics.dispatches, number)

    async def read_to_now(self, number: int, start_offsets: Mapping[Place, StartOffset]) -> None:
        """
        Read a ledger to the end as of now, and follow it from then on.

        *start_offsets* are where unfinished records begin, by event topic.
        Raise TopicRecreated if that happens meanwhile, and KafkaError or TimeoutError if no broker answers.
        """
        began = self._clock.monotonic()
        place, ledger = self._place(number), self._ledgers[number]
        await self._check_topic()
        times_recreated = self._times_recreated
        oldest = await self._oldest_unfinished(start_offsets)
        if number not in self._started:
            ledger.next_offset = await self._first_needed(place, oldest)
            self._started.add(number)
        end = await self.end_offset(place)
        await self._load(place, ledger, end, recent_since=oldest - self._limits.retry_window - RETRY_CLOCK_MARGIN)
        self._refuse_if_recreated(times_recreated, ledger)
        self._reader.follow({place: ledger.next_offset})
        async with self._progress:
            while (self._reader.position(place) or 0) < end:
                await self._progress.wait()
                self._refuse_if_recreated(times_recreated, ledger)
        self._metrics.remembered_seconds.set(self._clock.monotonic() - began)

    async def _check_topic(self) -> None:
        """Start over if the topic was recreated. Raise KafkaError or TimeoutError if no broker answers."""
        try:
            await self._reader.check(self._topics.dispatches)
        except TopicRecreated as changed:
            await self._start_over(changed)

    def _refuse_if_recreated(self, times_recreated: int, ledger: Ledger) -> None:
        """Raise TopicRecreated if that happened meanwhile: what was read since may be of either topic."""
        if times_recreated != self._times_recreated:
            ledger.forget_offsets()
            raise TopicRecreated(self._topics.dispatches, ANEW)

    async def _start_over(self, changed: TopicRecreated) -> None:
        """Keep what is known, but no offset, and follow the new topic from its beginning."""
        known = sum(len(ledger) for ledger in self._ledgers.values())
        log.error("ledger.topic_changed", topic=changed.topic, how=changed.how, dispatches=known)
        self._metrics.topic_changes.labels(topic=self._topics.plain(changed.topic)).inc()
        self._times_recreated += 1
        for ledger in self._ledgers.values():
            ledger.forget_offsets()
        self._reader.follow_anew()
        await self._report_progress()

    async def _report_progress(self) -> None:
        async with self._progress:
            self._progress.notify_all()

    async def _load(self, place: Place, ledger: Ledger, end: int, *, recent_since: datetime) -> None:
        """Load what the partition holds already; what cannot be fetched in this way is left to the follower."""
        loader = Loader(ledger, recent_since_ms=int(recent_since.timestamp() * 1000))
        number = str(place.partition)
        try:
            async for batches in self._records.batches(place, ledger.next_offset, end):
                for batch in batches:
                    loader.load(batch)
                    self._reached(Step.LEDGER_BATCH_READ, number)
        except Exception as error:  # noqa: BLE001 - a codec may raise anything; the follower finds the record
            log.warning("ledger.load.ended_early", partition=place.partition, error=type(error).__name__)
        finally:
            loader.finish()

    async def _oldest_unfinished(self, start_offsets: Mapping[Place, StartOffset]) -> datetime:
        """Return when the oldest unfinished record was appended: now if there is none, 1970 if none was committed."""
        oldest = self._clock.now()
        for place, start in start_offsets.items():
            if place.topic == self._topics.feedback:
                continue  # feedback is about dispatches that are known, or to be forgotten
            self.unfinished_since.pop(place, None)
            unfinished = start.offset < await self.end_offset(place)
            if unfinished and not start.committed:
                return _NEVER_COMMITTED
            record = await self._records.read(place, start.offset) if unfinished else None
            if record is not None:
                self.unfinished_since[place] = record.appended_at
                oldest = min(oldest, record.appended_at)
        return oldest

    async def _first_needed(self, place: Place, oldest_unfinished: datetime) -> int:
        """Return the offset from which a ledger must be read to know every event that may be redelivered."""
        if oldest_unfinished == _NEVER_COMMITTED:
            return await self.first_offset(place)
        since = min(self._clock.now() - self._limits.remember, oldest_unfinished)
        return await self._records.offset_at(place, since - CLOCK_MARGIN)

    async def poll(self) -> list[tuple[int, str]]:
        """Add the records that came; return partition and id of each final dispatch that a late write may change."""
        try:
            fetched = await until_kafka_answers(
                lambda: self._reader.poll(timeout_ms=_POLL_MS),
                self._clock,
                "ledger.unreachable",
                reraise=(TopicRecreated,),
            )
        except TopicRecreated as error:
            await self._start_over(error)
            return []
        changed = [
            (place.partition, dispatch_id)
            for place, records in fetched.records.items()
            for record in records
            if (dispatch_id := self._add(record)) is not None
        ]
        for passed in fetched.unreadable:
            log.error("ledger.batch.unreadable", partition=passed.place.partition, first=passed.first)
            if (ledger := self._ledgers.get(passed.place.partition)) is not None:
                ledger.advance_to(passed.next_offset)
        await self._report_progress()
        return changed

    def _add(self, record: Record) -> str | None:
        ledger = self._ledgers.get(record.partition)
        if ledger is None:
            return None
        return add_record(ledger, record.offset, record.key, record.value)

    async def read(self, number: int, offset: int) -> Dispatch | None:
        """
        Return the dispatch at *offset* of partition *number*, or None if it is gone.

        Raise TopicRecreated if the offset may be of an earlier topic, and KafkaError or TimeoutError.
        """
        times_recreated = self._times_recreated
        record = await self._records.read(self._place(number), offset)
        await self._check_topic()
        if times_recreated != self._times_recreated:
            raise TopicRecreated(self._topics.dispatches, ANEW)
        return None if record is None else parse_dispatch(record.value)
