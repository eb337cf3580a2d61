"""The contract of every Publisher, in memory and on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import NewTopic

from runtime.kafka.connection import connected_admin
from runtime.kafka.publisher import MAX_RECORD_BYTES, KafkaPublisher, Publisher, TooLarge
from runtime.kafka.reader import RecordReader
from runtime.kafka.records import Place, Record
from tests.fakes.kafka_log import FakeLog, FakeRecords
from tests.fakes.publisher import FakePublisher

_WITHIN = 15.0


class Stage:
    """A publisher, and a reader of its records."""

    def __init__(self, publisher: Publisher, records: FakeRecords | RecordReader, topic: str) -> None:
        self.publisher = publisher
        self.records = records
        self.topic = topic

    async def read(self, partition: int, offset: int) -> Record | None:
        """Return a published record."""
        return await self.records.read(Place(self.topic, partition), offset)


@pytest.fixture(name="arguments", params=["fake", pytest.param("kafka", marks=pytest.mark.kafka)])
def _arguments(request: pytest.FixtureRequest) -> dict[str, Any] | None:
    """Return the arguments of clients of a broker, which starts outside of the event loop; None in memory."""
    if request.param != "kafka":
        return None
    return {"bootstrap_servers": request.getfixturevalue("kafka").bootstrap_servers}


@pytest.fixture(name="stage")
async def _stage(arguments: dict[str, Any] | None, namespace: str) -> AsyncIterator[Stage]:
    """Yield each publisher in turn."""
    if arguments is None:
        log = FakeLog()
        yield Stage(FakePublisher(log), FakeRecords(log), "any")
        return
    topic = f"{namespace}.any"
    await _create(arguments, topic)
    publisher, reader = KafkaPublisher(arguments, deadline_seconds=_WITHIN), RecordReader(arguments)
    await publisher.start()
    try:
        await reader.start()
        yield Stage(publisher, reader, topic)
    finally:
        await publisher.stop()
        await reader.stop()


async def _create(arguments: dict[str, Any], topic: str) -> None:
    config = {"message.timestamp.type": "LogAppendTime"}
    async with connected_admin(arguments, deadline_seconds=_WITHIN) as admin, asyncio.timeout(_WITHIN):
        await admin.create_topics([NewTopic(topic, 2, 1, topic_configs=config)])


@pytest.mark.parametrize(
    ("key", "value"), [(b"k", b"v"), (b"k", None), (None, b"v"), (b"", b""), (b"\xff", b"\x00" * 1000)]
)
async def test_a_record_is_read_back_as_it_was_written(stage: Stage, key: bytes | None, value: bytes | None) -> None:
    """Key, value and headers are read back, also null, empty and repeated ones, in their order."""
    headers = [("b", b"1"), ("a", None), ("b", b""), ("ü", b"\xff")]

    published = await stage.publisher.publish(stage.topic, 1, key=key, value=value, headers=headers)

    record = await stage.read(1, published.offset)
    assert record is not None
    assert key == record.key
    assert value == record.value
    assert headers == list(record.headers)


async def test_it_returns_place_and_time(stage: Stage) -> None:
    """Place and time are those that a reader finds, and the time is the broker's."""
    published = await stage.publisher.publish(stage.topic, 1, key=b"k", value=b"v")

    record = await stage.read(1, published.offset)
    assert record is not None
    assert (stage.topic, 1) == (published.topic, published.partition)
    assert record.appended_at == published.appended_at


async def test_records_keep_their_order(stage: Stage) -> None:
    """A record that was awaited first has the lower offset; each partition counts its own."""
    offsets = [(await stage.publisher.publish(stage.topic, 0, key=b"k", value=b"v")).offset for _ in range(3)]
    elsewhere = await stage.publisher.publish(stage.topic, 1, key=b"k", value=b"v")

    assert [0, 1, 2] == offsets
    assert 0 == elsewhere.offset


async def test_many_at_once_are_all_written(stage: Stage) -> None:
    """Each of them has an offset of its own."""
    published = await asyncio.gather(
        *(stage.publisher.publish(stage.topic, 0, key=b"k", value=str(number).encode()) for number in range(50))
    )

    assert [*range(50)] == sorted(one.offset for one in published)
    found = await asyncio.gather(*(stage.read(0, one.offset) for one in published))
    assert [str(number).encode() for number in range(50)] == [one and one.value for one in found]


async def test_too_large_a_record_is_refused_before_it_is_sent(stage: Stage) -> None:
    """A record that is too large raises an error and writes nothing."""
    with pytest.raises(TooLarge):
        await stage.publisher.publish(stage.topic, 0, key=b"k", value=b"v" * MAX_RECORD_BYTES)

    assert await stage.read(0, 0) is None


async def test_headers_count_towards_the_size(stage: Stage) -> None:
    """Headers count as they do at the broker."""
    with pytest.raises(TooLarge):
        await stage.publisher.publish(stage.topic, 0, key=b"k", value=b"", headers=[("h", b"v" * MAX_RECORD_BYTES)])
