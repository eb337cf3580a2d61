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
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from runtime.kafka.records import Place
from schemas.headers import Headers

_FETCH_BYTES = 1024 * 1024
_FETCH_WAIT_MS = 100


class Raw(Protocol):
    """A record as it lies in a batch."""

    @property
    def offset(self) -> int:
        """Give its offset."""

    @property
    def timestamp(self) -> int:
        """Give when it was appended, in milliseconds since the epoch."""

    @property
    def key(self) -> bytes | None:
        """Give its key."""

    @property
    def value(self) -> bytes | None:
        """Give its value."""

    @property
    def headers(self) -> Headers:
        """Give its headers."""


class Batch(Protocol):
    """Records that were appended together; it can be iterated over once."""

    @property
    def next_offset(self) -> int:
        """Give the offset behind its last record."""

    @property
    def is_control_batch(self) -> bool:
        """Say whether its records are Kafka's own."""

    def __iter__(self) -> Iterator[Raw]:
        """Give its records."""


async def batches(
    client: AIOKafkaClient, place: Place, start: int, end: int, *, deadline_seconds: float
) -> AsyncIterator[list[Batch]]:
    """
    Give the batches that hold offsets from *start* to before *end*, those of one fetch at a time.

    The first may begin before *start*, the last end behind *end*. Each fetch has the deadline; raises KafkaError or
    TimeoutError where it, or a batch, cannot be read.
    """
    while start < end:
        fetched = await asyncio.wait_for(_fetch(client, place, start), deadline_seconds)
        found = []
        while fetched.has_next():
            batch = fetched.next_batch()
            if not batch.validate_crc():
                raise KafkaError(f"a wrong checksum behind {start} of {place.topic}-{place.partition}")
            found.append(batch)
        if not found or found[-1].next_offset <= start:
            raise KafkaError(f"nothing at {start} of {place.topic}-{place.partition}, which ends at {end}")
        start = found[-1].next_offset
        yield found


async def _fetch(client: AIOKafkaClient, place: Place, offset: int) -> MemoryRecords:
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
    return MemoryRecords(records)
