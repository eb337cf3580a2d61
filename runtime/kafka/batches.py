"""
Read a partition in whole batches, as the broker returns them, at a third of a consumer's cost per record.

This is for loading a large existing log: it knows no group, no rebalance and no retry. Whatever it cannot read is left
to the reader that follows the partition afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Protocol

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.fetch import FetchRequest

from runtime.kafka.checked_batches import CheckedBatch, CheckedRecords, Raw, allowance
from runtime.kafka.connection import leader_of
from runtime.kafka.records import Place

_FETCH_BYTES = 1024 * 1024
_ONE_BATCH = 1
"""A broker returns the first batch complete, however few bytes are asked for (KIP-74)."""
_FETCH_WAIT_MS = 100


class Batch(Protocol):
    """Records that were appended together; they can be read once."""

    @property
    def next_offset(self) -> int:
        """Return the offset after its last record."""

    @property
    def is_control_batch(self) -> bool:
        """Return whether its records are Kafka's own."""

    def read(self) -> Iterable[Raw]:
        """Return its records; raise KafkaError if one cannot be read, perhaps not before they are iterated over."""


async def batches(
    client: AIOKafkaClient, place: Place, start: int, end: int, *, deadline_seconds: float
) -> AsyncGenerator[Sequence[CheckedBatch], None]:
    """
    Yield the batches that hold offsets from *start* up to *end*, exclusive, a few at a time.

    The first may begin before *start*, the last may end after *end*. A compressed batch is the last of those yielded
    together: it is decompressed while it is read, and other tasks get their turn if much was decompressed.
    Raise KafkaError or TimeoutError if a fetch fails or takes longer than the deadline.
    """
    while start < end:
        async with asyncio.timeout(deadline_seconds):
            fetched = await _fetch(client, place, start, _FETCH_BYTES, _FETCH_WAIT_MS)
        before = start
        while some := _next_batches(fetched):
            if allowance.spent:
                await asyncio.sleep(0)
            yield some
            start = some[-1].next_offset
        if start <= before:
            raise KafkaError(f"no batch at {before} of {place}, which ends at {end}")


async def batch_at(client: AIOKafkaClient, place: Place, offset: int) -> Batch | None:
    """
    Return the batch that holds *offset*, or None if the log ends there, in one round trip.

    Raise KafkaError if a broker refuses, also for an offset that is no longer in the log. The caller sets the deadline.
    """
    return (await _fetch(client, place, offset, _ONE_BATCH, 0)).next_batch()


def _next_batches(fetched: CheckedRecords) -> list[CheckedBatch]:
    """Return the next batches, up to and including the first that is compressed or cannot be read."""
    found: list[CheckedBatch] = []
    while (batch := fetched.next_batch()) is not None:
        found.append(batch)
        if not batch.is_plain:
            break
    return found


async def _fetch(client: AIOKafkaClient, place: Place, offset: int, max_bytes: int, wait_ms: int) -> CheckedRecords:
    await client._wait_on_metadata(place.topic)  # noqa: SLF001 - as aiokafka's own clients do first
    leader = leader_of(client, place)
    if leader is None:
        client.force_metadata_update()
        raise KafkaError(f"no leader of {place} is known")
    wanted = [(place.topic, [(place.partition, offset, max_bytes)])]
    response = await client.send(leader, FetchRequest(wait_ms, 1, max_bytes, 0, wanted, rack_id=""))
    ((_, ((_, code, *_, records),)),) = response.topics
    error = for_code(code)
    if code:
        client.force_metadata_update()
        raise error(f"{place} at {offset}")
    return CheckedRecords(records)
