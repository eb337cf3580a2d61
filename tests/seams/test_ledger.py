"""A ledger that is read from memory and one that is read from a real broker know the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import pytest

from consumers.ledger.ledger import Ledger
from consumers.ledger.loader import Loader
from runtime.kafka.batches import Batch
from runtime.kafka.connection import connected_admin
from runtime.kafka.publisher import KafkaPublisher
from runtime.kafka.reader import Reader
from runtime.kafka.records import Place, Record
from runtime.kafka.topics import Topics, create_topics
from schemas.dispatch import Dispatch, dispatch_json, parse_dispatch
from schemas.events import PAUSES_TOPIC
from schemas.headers import FINAL
from tests.fakes.kafka_log import FakeLog
from tests.unit.consumers.ledger.test_ledger import entry_of
from tests.unit.consumers.ledger.test_loader import Batch as InBatch
from tests.unit.consumers.ledger.test_loader import Raw
from tests.unit.dispatches import COORDINATOR, MENTOR, NOW, changed, dispatch_of

_NUMBER = 5
_WITHIN = 15.0
SENDING = dispatch_of(changed(MENTOR, status="sending", send=1), COORDINATOR)
SENT = dispatch_of(
    changed(MENTOR, status="sent", send=1, message_id="msg-1", at=NOW),
    changed(COORDINATOR, status="failed", reason="attempts_exhausted", send=3, attempts=3, at=NOW),
    ended_at=NOW,
).seen(PAUSES_TOPIC, 7)
REOPENED = SENT.with_recipients([changed(COORDINATOR, round=1, send=3, reason="reopened")])


class Log(Protocol):
    """A partition whose records are written, and read from the beginning."""

    async def write(self, dispatches: Sequence[Dispatch | None]) -> None:
        """Append dispatches; None is a record that is not a dispatch."""

    async def read(self) -> list[Record]:
        """Return all records."""

    async def batches(self, start: int) -> list[Batch]:
        """Return the batches from an offset to the end."""


class InMemory:
    """A partition in memory."""

    def __init__(self) -> None:
        self.log = FakeLog()
        self.place = Place(self.log.topics.dispatches, _NUMBER)

    async def write(self, dispatches: Sequence[Dispatch | None]) -> None:
        """Append."""
        for dispatch in dispatches:
            self.log.append(self.place, **_written(dispatch))

    async def read(self) -> list[Record]:
        """Return all."""
        return self.log.records.get(self.place, [])

    async def batches(self, start: int) -> list[Batch]:
        """Return a batch for each record."""
        records = self.log.records.get(self.place, [])[start:]
        return [InBatch([Raw(each.offset, each.key, each.value, list(each.headers))]) for each in records]


class OnKafka:
    """A partition on a broker."""

    def __init__(self, publisher: KafkaPublisher, reader: Reader, topics: Topics) -> None:
        self.publisher = publisher
        self.reader = reader
        self.place = Place(topics.dispatches, _NUMBER)

    async def write(self, dispatches: Sequence[Dispatch | None]) -> None:
        """Append."""
        for dispatch in dispatches:
            await self.publisher.publish(*self.place, **_written(dispatch))

    async def read(self) -> list[Record]:
        """Read from the beginning to the end as of now."""
        end = (await self.reader.end_offsets([self.place]))[self.place]
        self.reader.follow({self.place: 0})
        records: list[Record] = []
        async with asyncio.timeout(_WITHIN):
            while self.reader.position_in(self.place) < end:
                records += (await self.reader.poll()).records.get(self.place, [])
        return records

    async def batches(self, start: int) -> list[Batch]:
        """Read in whole batches."""
        end = (await self.reader.end_offsets([self.place]))[self.place]
        return [batch async for fetched in self.reader.batches(self.place, start, end) for batch in fetched]


def _written(dispatch: Dispatch | None) -> dict[str, Any]:
    """Return what a replica writes of a dispatch; of None, a record that cannot be read."""
    if dispatch is None:
        return {"key": b"k", "value": b"none", "headers": []}
    headers = [(FINAL, b"1")] if dispatch.final else []
    return {"key": dispatch.dispatch_id.encode(), "value": dispatch_json(dispatch), "headers": headers}


@pytest.fixture(name="arguments", params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def _arguments(request: pytest.FixtureRequest) -> dict[str, Any] | None:
    """Return how to reach a broker, started outside of any event loop; None for the partition in memory."""
    if request.param != "kafka":
        return None
    return {"bootstrap_servers": request.getfixturevalue("kafka").bootstrap_servers}


@pytest.fixture(name="log")
async def _log(arguments: dict[str, Any] | None, namespace: str) -> AsyncIterator[Log]:
    """Return each log in turn."""
    if arguments is None:
        yield InMemory()
        return
    topics = Topics(namespace)
    async with connected_admin(arguments, deadline_seconds=_WITHIN) as admin:
        await create_topics(admin, topics)
    publisher = KafkaPublisher(arguments, deadline_seconds=_WITHIN)
    await publisher.start()
    try:
        async with Reader(arguments) as reader:
            yield OnKafka(publisher, reader, topics)
    finally:
        await publisher.stop()


@pytest.mark.parametrize(
    ("written", "final", "offsets", "known"),
    [
        ([SENDING], False, [0], SENDING),
        ([None, SENDING, None, SENT], True, [3], None),
        ([SENDING, SENT, REOPENED], False, [1, 2], None),
        ([SENDING, SENT, SENDING], True, [1, 2], None),
    ],
)
async def test_an_entry_has_what_the_records_say(
    log: Log, written: list[Dispatch | None], offsets: list[int], known: Dispatch | None, *, final: bool
) -> None:
    """It says whether the dispatch is final, which records it has, and its state if it continues."""
    await log.write(written)
    ledger = Ledger(max_entries=10)
    for record in await log.read():
        ledger.add_read(record.offset, parse_dispatch(record.value))

    entry = entry_of(ledger)
    assert final == entry.final
    assert offsets == entry.offsets
    assert known == entry.dispatch
    assert len(written) == ledger.next_offset


@pytest.mark.parametrize("start", [0, 1, 2])
async def test_whole_batches_lead_to_the_same_entry(log: Log, start: int) -> None:
    """This holds from any offset: earlier records of its batch are skipped."""
    await log.write([SENDING, None, SENT, REOPENED])
    ledger, loaded = Ledger(10, next_offset=start), Ledger(10, next_offset=start)
    for record in (await log.read())[start:]:
        ledger.add_read(record.offset, parse_dispatch(record.value))

    loader = Loader(loaded, recent_since_ms=0)
    for batch in await log.batches(start):
        loader.load(batch)
    loader.finish()

    found, expected = entry_of(loaded), entry_of(ledger)
    assert expected.final == found.final
    assert expected.offsets[-1] == found.offsets[-1]
    assert expected.processed == found.processed
    assert 4 == loaded.next_offset


async def test_reading_an_empty_partition_ends(log: Log) -> None:
    """Nothing was ever written to it."""
    assert [] == await log.read()
    assert [] == await log.batches(0)
