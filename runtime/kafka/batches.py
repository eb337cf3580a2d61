"""
Read a partition in whole batches, as the broker returns them, at a third of a consumer's cost per record.

This is for loading a large existing log: it knows no group, no rebalance and no retry. Whatever it cannot read is left
to the reader that follows the partition afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.fetch import FetchRequest

from runtime.kafka.checked_batches import NO_RECORD, CheckedBatch, CheckedRecords, Fault, Raw, allowance
from runtime.kafka.connection import leader_of
from runtime.kafka.records import Place

_FETCH_BYTES = 1024 * 1024
_FETCH_WAIT_MS = 100


class Batch(Protocol):
    """Records that were appended together; iterate over it once."""

    @property
    def next_offset(self) -> int:
        """Return the offset after its last record."""

    @property
    def is_control_batch(self) -> bool:
        """Return whether its records are Kafka's own."""

    def __iter__(self) -> Iterator[Raw]:
        """Yield its records; raise KafkaError at the first that cannot be read."""


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
    Yield the batches that hold offsets from *start* up to *end*, exclusive, a few at a time.

    The first may begin before *start*, and the last may end after *end*. Each fetch has the deadline; raise KafkaError
    or TimeoutError if it fails. A batch that cannot be read raises KafkaError during iteration.
    """
    while start < end:
        async with asyncio.timeout(deadline_seconds):
            fetched = await _fetch(client, place, start)
        before = start
        while (checked := fetched.next_batch()) is not None:
            if allowance.spent:  # let other tasks run between batches that are decompressed
                await asyncio.sleep(0)
            yield [_Raising(checked)]
            start = checked.next_offset
        if start <= before:
            raise KafkaError(f"nothing at {before} of {place}, which ends at {end}")


async def _fetch(client: AIOKafkaClient, place: Place, offset: int) -> CheckedRecords:
    await client._wait_on_metadata(place.topic)  # noqa: SLF001 - as aiokafka's own clients do first
    leader = leader_of(client, place)
    if leader is None:
        client.force_metadata_update()
        raise KafkaError(f"no leader of {place} is known")
    wanted = [(place.topic, [(place.partition, offset, _FETCH_BYTES)])]
    response = await client.send(leader, FetchRequest(_FETCH_WAIT_MS, 1, _FETCH_BYTES, 0, wanted, rack_id=""))
    ((_, ((_, code, *_, records),)),) = response.topics
    error = for_code(code)
    if code:
        client.force_metadata_update()
        raise error(f"{place} at {offset}")
    return CheckedRecords(records)
