"""Report offsets without a record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiokafka.errors import KafkaConnectionError
from prometheus_client import CollectorRegistry

from consumers.assignment.assignment import Assignment
from consumers.delivery.dead_letters import DeadLetters
from consumers.delivery.durable_publisher import DurablePublisher
from consumers.delivery.missing_records import MissingRecords
from consumers.ledger.ledger import Ledger
from consumers.metrics import replica_metrics
from consumers.steps import nobody_listens
from runtime.kafka.fetching import Deleted, Unreadable
from runtime.kafka.publisher import NotPublished
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics
from schemas.dead_letters import DeadLetterReason, from_record
from schemas.events import PAUSES_TOPIC
from tests.fakes.clock import FakeClock
from tests.fakes.kafka_log import PARTITIONS, FakeLog
from tests.fakes.publisher import Failure, FakePublisher
from tests.signing import KEYS

PLACE = Place(PAUSES_TOPIC, 3)


class Stage:
    """An assignment that has read up to offset 10, and its publisher."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.publisher = FakePublisher(FakeLog())
        self.metrics = replica_metrics(CollectorRegistry())
        self.begins: list[int | Exception] = [0]
        """The answers of Kafka about the beginning of the log, in order; the last one is repeated."""
        durable = DurablePublisher(self.publisher, self.clock, lambda: 1.0)
        dead_letters = DeadLetters(durable, Topics(), PARTITIONS, KEYS, self.clock, self.metrics, nobody_listens)
        self.missing = MissingRecords(dead_letters, self._first_offset, self.clock)
        self.assignment = Assignment(PLACE.partition, Ledger(max_entries=10), self.clock, self._process, lambda: None)
        self.assignment.lanes.start(PLACE, 10)

    async def _process(self, _record: Record, _assignments: Assignment) -> None:
        pass

    async def _first_offset(self, _place: Place) -> int:
        answer = self.begins.pop(0) if len(self.begins) > 1 else self.begins[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def arrive(self, *offsets: int) -> None:
        """Have records arrive."""
        at = datetime(2026, 3, 26, tzinfo=UTC)
        records = [Record(*PLACE, offset, b"m", b"{}", (), at, 1) for offset in offsets]
        self.missing.check_gaps(self.assignment, PLACE, records)
        for record in records:
            self.assignment.admit(record)
        await self.clock.advance(0)

    @property
    def letters(self) -> list[tuple[DeadLetterReason, int, str]]:
        """Return reason, offset and detail of each dead letter."""
        read = [from_record(record.key, record.value, record.headers) for record in self.publisher.records]
        return [(DeadLetterReason(one.reason), one.origin.offset, one.detail) for one in read if one is not None]

    @property
    def committable(self) -> int | None:
        """Return the offset that may be committed."""
        return self.assignment.lanes.committable().get(PLACE)


@pytest.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    await stage.assignment.close(0)


async def test_records_without_a_gap(stage: Stage) -> None:
    """Kafka is not asked."""
    stage.begins = [KafkaConnectionError("not to be asked")]
    await stage.arrive(10, 11)

    assert [] == stage.letters
    assert 12 == stage.committable


async def test_offsets_missing_inside_the_log(stage: Stage) -> None:
    """Transactions and compaction leave gaps: nothing is reported, and the offsets are committed."""
    await stage.arrive(12, 15)

    assert [] == stage.letters
    assert 16 == stage.committable


async def test_offsets_missing_between_records_of_one_fetch(stage: Stage) -> None:
    """The records on both sides of the gap are taken."""
    await stage.arrive(10, 13, 17)

    assert [] == stage.letters
    assert 18 == stage.committable


async def test_records_deleted_before_they_were_read(stage: Stage) -> None:
    """A dead letter names the offsets before the beginning of the log; later ones may never have had records."""
    stage.begins = [15]
    await stage.arrive(17)

    reported = [(DeadLetterReason.RECORDS_DELETED, 10, "offsets 10 to 14 were deleted before they were read")]
    assert reported == stage.letters
    assert 18 == stage.committable
    assert 5 == stage.metrics.unseen_records.labels(topic=PAUSES_TOPIC)._value.get()


async def test_the_commit_waits_for_the_answer_of_kafka(stage: Stage) -> None:
    """Records after the gap are processed meanwhile, but not committed."""
    stage.begins = [TimeoutError(), KafkaConnectionError("gone"), 12]
    await stage.arrive(12)
    assert None is stage.committable

    await stage.clock.advance(1)
    assert 13 == stage.committable


async def test_the_commit_waits_for_the_dead_letter(stage: Stage) -> None:
    """A dead letter is written until it is durable."""
    stage.publisher.will_fail(Failure(NotPublished("no leader")))
    stage.missing.report_deleted(stage.assignment, Deleted(PLACE, 10, 20))
    await stage.clock.advance(0.05)
    before = stage.committable
    assert before is None
    assert 10 == stage.assignment.lanes.watermark(PLACE)

    await stage.clock.advance(1)
    assert 20 == stage.committable
    assert 1 == len(stage.letters)


async def test_an_unreadable_batch(stage: Stage) -> None:
    """An unreadable batch is reported in the same way."""
    stage.missing.report_unreadable(stage.assignment, Unreadable(PLACE, 10, 12, "CorruptRecordException"))
    await stage.clock.advance(0)

    reported = [(DeadLetterReason.UNREADABLE_BATCH, 10, "offsets 10 to 11: CorruptRecordException")]
    assert reported == stage.letters
    assert 12 == stage.committable
