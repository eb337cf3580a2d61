"""The ledgers of all partitions that this replica owns or owned: read back, then followed by one reader."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
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
"""How far our clock and the brokers' may be apart when a ledger's beginning is looked up."""
_FROM_THE_BEGINNING = datetime.fromtimestamp(0, UTC)
_POLL_MS = 200


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
        retry_window: timedelta,
        reached: Reached = nobody_listens,
    ) -> None:
        self._clock = clock
        self._topics = topics
        self._reader = reader
        self._records = records
        self._metrics = metrics
        self._max_entries = max_entries
        self._remember = remember
        self._retry_window = retry_window
        self._reached = reached
        self._ledgers: dict[int, Ledger] = {}
        self._started: set[int] = set()
        self._moved = asyncio.Event()
        self._times_made_anew = 0

    async def first_offset(self, place: Place) -> int:
        """Return the first offset that a place still keeps. Raises KafkaError or TimeoutError."""
        return (await self._records.beginning_offsets([place]))[place]

    async def end_offset(self, place: Place) -> int:
        """Return the offset behind the last record of a place. Raises KafkaError or TimeoutError."""
        return (await self._records.end_offsets([place]))[place]

    def ledger_for(self, number: int) -> Ledger:
        """Return the ledger of a partition that was assigned; it must be read to now before it is relied on."""
        ledger = self._ledgers.get(number)
        if ledger is None:
            ledger = Ledger(max_entries=self._max_entries, retry_window=self._retry_window)
            self._ledgers[number] = ledger
        return ledger

    def stop_following(self, number: int) -> None:
        """Stop following a partition that was revoked; what is known of it is kept."""
        self._reader.unfollow([self._place(number)])

    def _place(self, number: int) -> Place:
        return Place(self._topics.dispatches, number)

    async def read_to_now(self, number: int, start_offsets: Mapping[Place, StartOffset]) -> None:
        """
        Read a ledger to the end as of now, and follow it from then on.

        *start_offsets* say per event topic where records begin that are not finished.
        Raises KafkaError or TimeoutError if no broker answers.
        """
        began = self._clock.monotonic()
        place, ledger = self._place(number), self._ledgers[number]
        await self._same_topic()
        times_made_anew = self._times_made_anew
        oldest = await self._oldest_unfinished(start_offsets)
        if number not in self._started:
            ledger.next_offset = await self._beginning(place, oldest)
            self._started.add(number)
        end = await self.end_offset(place)
        await self._load(place, ledger, end, recent_since=oldest - self._retry_window - RETRY_CLOCK_MARGIN)
        self._refuse_after(times_made_anew, ledger)
        self._reader.follow({place: ledger.next_offset})
        while (self._reader.position(place) or 0) < end:
            await self._moved.wait()
            self._refuse_after(times_made_anew, ledger)
        self._metrics.remembered_seconds.set(self._clock.monotonic() - began)

    async def _same_topic(self) -> None:
        """Begin anew when the topic is another one. Raises KafkaError or TimeoutError when no broker answers."""
        try:
            await self._reader.check(self._topics.dispatches)
        except TopicRecreated as changed:
            self._begin_anew(changed)

    def _refuse_after(self, times_made_anew: int, ledger: Ledger) -> None:
        """Raise TopicMadeAnew when it happened meanwhile: what was read since may be of either topic."""
        if times_made_anew != self._times_made_anew:
            ledger.forget_offsets()
            raise TopicRecreated(self._topics.dispatches, ANEW)

    def _begin_anew(self, changed: TopicRecreated) -> None:
        """Keep what is known, but no place of it, and follow the new topic from its beginning."""
        known = sum(len(ledger) for ledger in self._ledgers.values())
        log.error("ledger.topic_changed", topic=changed.topic, how=changed.how, dispatches=known)
        self._metrics.topic_changes.labels(topic=self._topics.plain(changed.topic)).inc()
        self._times_made_anew += 1
        for ledger in self._ledgers.values():
            ledger.forget_offsets()
        self._reader.follow_anew()
        self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _load(self, place: Place, ledger: Ledger, end: int, *, recent_since: datetime) -> None:
        """Take in what lies there already; what cannot be had in this way, the follower reads."""
        loader = Loader(ledger, recent_since_ms=int(recent_since.timestamp() * 1000))
        try:
            async for batches in self._records.batches(place, ledger.next_offset, end):
                for batch in batches:
                    loader.load(batch)
                    self._reached(Step.LEDGER_BATCH_READ, str(place.partition))
        except Exception as error:  # noqa: BLE001 - a codec may raise anything; the follower isolates what it was
            log.warning("ledger.load.ended_early", partition=place.partition, error=type(error).__name__)
        finally:
            loader.finish()

    async def _oldest_unfinished(self, start_offsets: Mapping[Place, StartOffset]) -> datetime:
        """Return when the first unfinished record was appended; now if there is none, 1970 if none ever finished."""
        oldest = self._clock.now()
        for place, beginning in start_offsets.items():
            unfinished = beginning.offset < await self.end_offset(place)
            if unfinished and not beginning.committed:
                return _FROM_THE_BEGINNING
            if unfinished:
                oldest = min(oldest, await self._appended_at(place, beginning.offset, oldest))
        return oldest

    async def _beginning(self, place: Place, oldest_unfinished: datetime) -> int:
        """Return the offset from which a ledger must be read to know all that may come again."""
        if oldest_unfinished == _FROM_THE_BEGINNING:
            return (await self._records.beginning_offsets([place]))[place]
        since = min(self._clock.now() - self._remember, oldest_unfinished)
        return await self._records.offset_at(place, since - CLOCK_MARGIN)

    async def _appended_at(self, place: Place, offset: int, otherwise: datetime) -> datetime:
        record = await self._records.read(place, offset)
        return otherwise if record is None else record.appended_at

    async def poll(self) -> list[tuple[int, str]]:
        """Take in what came; give number and id of final dispatches that a late write may have changed."""
        try:
            fetched = await until_kafka_answers(
                lambda: self._reader.poll(timeout_ms=_POLL_MS),
                self._clock,
                "ledger.unreachable",
                reraise=(TopicRecreated,),
            )
        except TopicRecreated as error:
            self._begin_anew(error)
            return []
        changed = [
            (place.partition, dispatch_id)
            for place, records in fetched.records.items()
            for record in records
            if (dispatch_id := self._take(record)) is not None
        ]
        for passed in fetched.unreadable:
            log.error("ledger.batch.unreadable", partition=passed.place.partition, first=passed.first)
            if (ledger := self._ledgers.get(passed.place.partition)) is not None:
                ledger.advance_to(passed.next_offset)
        self._tell()
        return changed

    def _take(self, record: Record) -> str | None:
        ledger = self._ledgers.get(record.partition)
        if ledger is None:
            return None
        return add_record(ledger, record.offset, record.key, record.value)

    async def read(self, number: int, offset: int) -> Dispatch | None:
        """
        Return the dispatch at *offset* of partition *number*, or None if it is gone.

        Raises TopicMadeAnew when the offset is one of an earlier topic, and otherwise as Kafka does.
        """
        times_made_anew = self._times_made_anew
        record = await self._records.read(self._place(number), offset)
        await self._same_topic()
        if times_made_anew != self._times_made_anew:
            raise TopicRecreated(self._topics.dispatches, ANEW)
        return None if record is None else parse_dispatch(record.value)
