"""
Reads a partition in whole batches, as the broker hands them out: a third of what a consumer's records cost.

Only for much that lies there already: it knows no group, no rebalance, no retry. Whatever it cannot read it leaves to
the reader that follows the partition afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from runtime.kafka.checked_batches import NO_RECORD, CheckedBatch, CheckedRecords, Fault, Raw, allowance
from runtime.kafka.records import Place

_FETCH_BYTES = 1024 * 1024
_FETCH_WAIT_MS = 100


class Batch(Protocol):
    """Records that were appended together; it can be iterated over once."""

    @property
    def next_offset(self) -> int:
        """Return the offset behind its last record."""

    @property
    def is_control_batch(self) -> bool:
        """Return whether its records are Kafka's own."""

    def __iter__(self) -> Iterator[Raw]:
        """Yield its records; raise KafkaError at what cannot be read."""


class _Raising:
    """A checked batch that raises at its first fault."""

    def __init__(self, checked: CheckedBatch) -> None:
        self._checked = checked

    @property
    def next_offset(self) -> int:
        return self._checked.next_offset

    @property
    def is_control_batch(self) -> bool:
        return self._checked.is_control_batch

    def __iter__(self) -> Iterator[Raw]:
        records = self._checked.sound_records()
        return self._read() if records is None else iter(records)

    def _read(self) -> Iterator[Raw]:
        for found in self._checked.contents():
            if isinstance(found, NO_RECORD):
                raise KafkaError(found.error if isinstance(found, Fault) else "too much is decompressed already")
            yield found


async def batches(
    client: AIOKafkaClient, place: Place, start: int, end: int, *, deadline_seconds: float
) -> AsyncIterator[list[Batch]]:
    """
    Yield the batches that hold offsets from *start* to before *end*, some at a time.

    The first may begin before *start*, the last end behind *end*. Each fetch has the deadline; raises KafkaError or
    TimeoutError when it cannot be had. A batch that cannot be read raises KafkaError while it is iterated over.
    """
    while start < end:
        async with asyncio.timeout(deadline_seconds):
            fetched = await _fetch(client, place, start)
        before = start
        while (checked := fetched.next_batch()) is not None:
            if allowance.spent:  # others have their turn between batches that unfold
                await asyncio.sleep(0)
            yield [_Raising(checked)]
            start = checked.next_offset
        if start <= before:
            raise KafkaError(f"nothing at {before} of {place.topic}-{place.partition}, which ends at {end}")


async def _fetch(client: AIOKafkaClient, place: Place, offset: int) -> CheckedRecords:
    await client._wait_on_metadata(place.topic)  # noqa: SLF001 - what aiokafka's own clients await first
    leader = client.cluster.leader_for_partition(TopicPartition(*place))
    if leader is None or leader == -1:
        client.force_metadata_update()
        raise KafkaError(f"no leader of {place.topic}-{place.partition} is known")
    wanted = [(place.topic, [(place.partition, offset, _FETCH_BYTES)])]
    response = await client.send(leader, FetchRequest(_FETCH_WAIT_MS, 1, _FETCH_BYTES, 0, wanted, rack_id=""))
    ((_, ((_, code, *_, records),)),) = response.topics
    error = for_code(code)
    if code:
        client.force_metadata_update()
        raise error(f"{place.topic}-{place.partition} at {offset}")
    return CheckedRecords(records)
