"""A partition is read in whole batches, several together unless they must be decompressed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NotLeaderForPartitionError

from runtime.kafka.batches import Batch, batch_at, batches
from runtime.kafka.records import Place
from tests.hostile_batches import ZSTD, batch, bomb, broken, record

PLACE = Place("dispatches", 3)
MIB = 1024 * 1024


class Broker:
    """A client of one broker, which answers each fetch with what is stored from the offset asked for."""

    def __init__(self, stored: dict[int, bytes], *, leader: int | None = 1, code: int = 0) -> None:
        self.stored = stored
        self.code = code
        self.asked: list[tuple[int, int]] = []
        """The bytes asked for and the wait in milliseconds, of each request."""
        self.cluster = SimpleNamespace(leader_for_partition=lambda _tp: leader)

    async def _wait_on_metadata(self, _topic: str) -> None:
        pass

    def force_metadata_update(self) -> None:
        """Do nothing."""

    async def send(self, _leader: int, request: Any) -> SimpleNamespace:
        """Return the bytes at the offset asked for."""
        ((topic, ((partition, offset, max_bytes),)),) = request.topics
        self.asked.append((max_bytes, request._max_wait_ms))
        data = self.stored.get(offset, b"")
        return SimpleNamespace(topics=[(topic, [(partition, self.code, 0, 0, [], data)])])


def read(broker: Broker, end: int) -> AsyncIterator[Sequence[Batch]]:
    """Return the batches from the first offset to *end*."""
    return batches(cast(AIOKafkaClient, broker), PLACE, 0, end, deadline_seconds=5)


def plain(base: int) -> bytes:
    """Return a batch of one record."""
    return batch([record(0)], base=base)


async def test_batches_of_a_fetch_come_together() -> None:
    """Each group ends with the first batch that is compressed; another fetch begins where the last one ended."""
    compressed = batch([record(0)], base=2, codec=ZSTD)
    broker = Broker({0: plain(0) + plain(1) + compressed + plain(3), 4: plain(4)})

    groups = [group async for group in read(broker, 5)]

    assert [[1, 2, 3], [4], [5]] == [[one.next_offset for one in group] for group in groups]
    assert [0, 1, 2, 3, 4] == [each.offset for group in groups for one in group for each in one.read()]


async def test_other_tasks_get_a_turn_between_batches_that_are_decompressed() -> None:
    """Batches that each stay below the bound must not stop the loop together."""
    large = bomb(ZSTD, 10 * MIB)
    broker = Broker({0: b"".join(base.to_bytes(8, "big") + large[8:] for base in range(4))})
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    found = [each.offset async for group in read(broker, 4) for one in group for each in one.read()]
    other.cancel()

    assert [0, 1, 2, 3] == found
    assert turns > 0


async def test_a_batch_that_cannot_be_read_raises_while_it_is_read() -> None:
    """The batches before and after it are read."""
    broker = Broker({0: plain(0) + broken(plain(1)) + plain(2)})

    first, second, third = [one async for group in read(broker, 3) for one in group]

    assert [0] == [each.offset for each in first.read()]
    assert [2] == [each.offset for each in third.read()]
    with pytest.raises(KafkaError, match="a wrong checksum"):
        list(second.read())


@pytest.mark.parametrize(
    ("broker", "error"),
    [
        pytest.param(Broker({}), KafkaError, id="nothing stored"),
        pytest.param(Broker({}, leader=None), KafkaError, id="no leader"),
        pytest.param(Broker({}, code=NotLeaderForPartitionError.errno), NotLeaderForPartitionError, id="refused"),
    ],
)
async def test_a_fetch_that_brings_nothing_raises(broker: Broker, error: type[KafkaError]) -> None:
    """It never waits forever."""
    with pytest.raises(error):
        async for _ in read(broker, 1):
            pass


async def test_one_batch_is_read_by_one_request_for_its_bytes_alone() -> None:
    """A look-up asks for one byte, since a broker returns the first batch complete, and does not wait for more."""
    broker = Broker({5: batch([record(0), record(1)], base=5)})

    found = await batch_at(cast(AIOKafkaClient, broker), PLACE, 5)

    assert found is not None
    assert [5, 6] == [one.offset for one in found.read()]
    assert [(1, 0)] == broker.asked


async def test_there_is_no_batch_at_the_end_of_the_log() -> None:
    """Nothing comes where nothing was appended yet."""
    assert await batch_at(cast(AIOKafkaClient, Broker({})), PLACE, 5) is None
