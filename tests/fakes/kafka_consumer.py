"""A consumer in memory, over the bytes of batches, which aiokafka's own code parses."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.structs import TopicPartition

from runtime.kafka.records import Place

_MAGIC_AT, _MAGIC, _LAST_OFFSET_DELTA_AT = 16, 2, 23


@dataclass
class FakeBatches:
    """One partition: its batches by their first offsets."""

    batches: dict[int, bytes]
    end: int
    refused: Exception | None = None
    reads: int = 0

    def from_offset(self, offset: int) -> bytes:
        """Return the batch that holds an offset, and all batches after it."""
        self.reads += 1
        first = max((base for base in self.batches if base <= offset), default=0)
        behind = min((base for base in self.batches if base > offset), default=None)
        if behind is not None and first + _last_offset_delta(self.batches.get(first, b"")) < offset:
            first = behind
        return b"".join(self.batches[base] for base in sorted(self.batches) if base >= first)


def _last_offset_delta(batch: bytes) -> int:
    """Return the last offset delta of a batch's header; a huge number for older formats and cut batches."""
    if len(batch) < _LAST_OFFSET_DELTA_AT + 4 or batch[_MAGIC_AT] != _MAGIC:
        return 1 << 62
    (delta,) = struct.unpack_from(">i", batch, _LAST_OFFSET_DELTA_AT)
    return int(delta)


class FakeBatchHeaders:
    """The part of a consumer's client that finds the end of a batch; no broker is known unless *has_leader* is set."""

    def __init__(self, logs: dict[Place, FakeBatches]) -> None:
        self._logs = logs
        self.has_leader = False
        self.cluster = SimpleNamespace(leader_for_partition=lambda _tp: 1 if self.has_leader else None)

    async def send(self, _leader: int, request: Any) -> SimpleNamespace:
        """Return the batch at the requested offset."""
        ((topic, ((partition, offset, _),)),) = request.topics
        log = self._logs[Place(topic, partition)]
        found = log.from_offset(offset) if offset < log.end else b""
        return SimpleNamespace(topics=[(topic, [(partition, 0, log.end, log.end, [], found)])])


class FakeConsumer:
    """
    The part of an AIOKafkaConsumer that Fetching uses, with its flaw: an error loses the records taken before it.

    aiokafka's own `PartitionRecords` parses the fetched bytes.
    """

    def __init__(self, logs: dict[Place, FakeBatches]) -> None:
        self._logs = logs
        self._client = FakeBatchHeaders(logs)
        self._next: dict[TopicPartition, int] = {}
        self.on_fetch: Callable[[], object] = lambda: None

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Continue at *offset*."""
        self._next[tp] = offset

    def highwater(self, tp: TopicPartition) -> int:
        """Return the end of a log, as the last fetch saw it."""
        return self._logs[Place(*tp)].end

    async def getmany(
        self,
        *tps: TopicPartition,
        timeout_ms: int,  # noqa: ARG002 - aiokafka's signature
        max_records: int | None,
    ) -> dict[TopicPartition, list[Any]]:
        """Take from one partition after another; raise the error of a partition that refuses."""
        await asyncio.sleep(0)
        self.on_fetch()
        return {tp: self._take(tp, max_records) for tp in tps}

    def _take(self, tp: TopicPartition, max_records: int | None) -> list[Any]:
        log, position = self._logs[Place(*tp)], self._next[tp]
        if log.refused is not None:
            raise log.refused
        if position >= log.end:
            return []
        # Look the name up in aiokafka's module, as its fetcher does.
        buffer = fetcher.MemoryRecords(log.from_offset(position))
        unpacked = PartitionRecords(tp, buffer, [], position, None, None, True, 0)  # noqa: FBT003 - aiokafka's signature
        taken: list[Any] = []
        for one in unpacked:
            taken.append(one)
            if len(taken) == max_records:
                break
        self._next[tp] = unpacked.next_fetch_offset
        return taken
