"""Look-ups by key on a real Kafka: which records are found, also behind what cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.errors import NotLeaderForPartitionError, UnknownTopicOrPartitionError

from runtime.kafka.connection import connected_admin
from runtime.kafka.reader import RecordReader
from runtime.kafka.records import Place, Record
from tests.chaos.batches import produce
from tests.hostile_batches import ZSTD, batch, bomb, record
from tests.kafka import Kafka
from tests.waiting import until

_WITHIN = 15.0
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
HIDDEN_BYTES = 64 * 1024 * 1024
"""Four times the size up to which a batch is decompressed."""


@dataclass
class Log:
    """A partition of a topic of this test, its producer and a reader of it."""

    place: Place
    producer: AIOKafkaProducer
    reader: RecordReader

    async def put(self, *keys: bytes, codec: int = 0) -> None:
        """Append one batch with a record for each key."""
        await self.append(batch([record(number, key, key) for number, key in enumerate(keys)], codec=codec))

    async def append(self, data: bytes) -> None:
        """Append a batch as it is; a new partition may have no leader yet."""

        async def appended() -> bool:
            try:
                await produce(self.producer, *self.place, data)
            except (NotLeaderForPartitionError, UnknownTopicOrPartitionError):
                return False
            return True

        await until(appended, what="the partition to have a leader")

    async def found(self, key: bytes, since: datetime = LONG_AGO) -> list[int]:
        """Return the offsets of the records with a key."""
        return [one.offset for one in await self.reader.read_from(self.place, since, key=key)]


@pytest.fixture(name="topic")
def _topic(kafka: Kafka, namespace: str) -> tuple[str, str]:
    """Return the broker, which starts outside of the event loop, and the name of a topic."""
    return kafka.bootstrap_servers, f"{namespace}.any"


@pytest.fixture(name="log")
async def _log(topic: tuple[str, str]) -> AsyncIterator[Log]:
    bootstrap_servers, name = topic
    config = {"message.timestamp.type": "LogAppendTime"}
    async with connected_admin({"bootstrap_servers": bootstrap_servers}, deadline_seconds=_WITHIN) as admin:
        await admin.create_topics([NewTopic(name, 2, 1, topic_configs=config)])
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer,
        RecordReader({"bootstrap_servers": bootstrap_servers}) as reader,
    ):
        yield Log(Place(name, 1), producer, reader)


async def test_the_records_of_a_key_are_found_in_order(log: Log) -> None:
    """Others are passed over, in plain batches and in compressed ones; of an empty partition nothing is found."""
    nothing = await log.found(b"a")
    await log.put(b"a", b"b", b"a")
    await log.put(b"b", b"a", codec=ZSTD)
    await log.put(b"b")

    assert [[], [0, 2, 4], [1, 3, 5], []] == [nothing, *[await log.found(key) for key in (b"a", b"b", b"c")]]


async def test_only_those_since_an_instant_are_found(log: Log) -> None:
    """The instant is compared with the append time of a batch."""
    await log.put(b"a", b"a")
    (first, _) = await log.reader.read_from(log.place, LONG_AGO, key=b"a")
    later = first.appended_at + timedelta(milliseconds=1)
    await until(lambda: datetime.now(UTC) > later, what="the broker's clock to move on")
    await log.put(b"a")

    assert [[2], []] == [await log.found(b"a", later), await log.found(b"a", datetime(2100, 1, 1, tzinfo=UTC))]


async def test_an_unreadable_batch_hides_nothing_behind_it(log: Log) -> None:
    """A batch that would fill the memory is passed over; each other record is found once."""
    await log.put(b"a")
    await log.append(bomb(ZSTD, HIDDEN_BYTES))
    await log.put(b"b", b"a")

    assert [0, 3] == await log.found(b"a")


async def test_look_ups_run_side_by_side_and_keep_nothing(log: Log) -> None:
    """Each record is handed over as it is read, and no look-up waits for another."""
    await log.put(*([b"a", b"b"] * 50))
    taken: dict[bytes, list[Record]] = {b"a": [], b"b": []}

    await asyncio.gather(
        *(log.reader.read_each(log.place, LONG_AGO, key=key, take=found.append) for key, found in taken.items())
    )

    assert [50, 50] == [len(found) for found in taken.values()]
