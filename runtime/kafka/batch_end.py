"""Ask a broker where an unreadable batch ends: the batch header says so, and it is not compressed."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest

from runtime.kafka.connection import leader_of
from runtime.kafka.records import Place

_HEADER = struct.Struct(">qiibIhi")  # base offset, length, leader epoch, magic, checksum, attributes, last offset delta
_MAGIC = 2
_ASK_SECONDS = 1.0
_ENOUGH_BYTES = 1024
"""A broker returns the first batch completely, however large it is."""


async def end_of_batch(client: Any, place: Place, offset: int) -> int | None:
    """
    Return the offset after the batch that holds *offset*, or None if it cannot be found out.

    The header itself may be damaged: trust the end in it only if the log ends there or another batch begins there.
    """
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            found, log_end = await _span(client, place, offset)
            if found is None or not found[0] <= offset < found[1] <= log_end:
                return None
            if found[1] == log_end:
                return found[1]
            behind, _ = await _span(client, place, found[1])
    except (KafkaError, OSError, TimeoutError, LookupError):
        return None
    return found[1] if behind is not None and behind[0] >= found[1] else None


async def _span(client: Any, place: Place, offset: int) -> tuple[tuple[int, int] | None, int]:
    """Return the first offset of the batch that holds *offset*, its end according to its header, and the log's end."""
    leader = leader_of(client, place)
    if leader is None:
        raise LookupError(f"{place} has no leader")
    wanted = [(place.topic, [(place.partition, offset, _ENOUGH_BYTES)])]
    answer = await client.send(leader, FetchRequest(0, 1, _ENOUGH_BYTES, 0, wanted))
    ((_, ((_, _, log_end, *_, batches),)),) = answer.topics
    if batches is None or len(batches) < _HEADER.size:
        return None, log_end
    base, _, _, magic, _, _, last = _HEADER.unpack_from(batches)
    return ((base, base + last + 1) if magic == _MAGIC else None), log_end
