"""Record batches that no valid producer makes: built by hand, sent as they are, or corrupted on a disk."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

MOST_BYTES = 900_000
_ASK_SECONDS = 20.0
_MAGIC = 2
_CRC_AT = struct.calcsize(">qiib")
_ATTRIBUTES_AT = struct.calcsize(">qiibI")
_CODEC_MASK = 0x07


@dataclass(frozen=True)
class Raw:
    """One record of a batch that is built by hand."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


def batch_of(records: Sequence[Raw], *, gzip: bool = False) -> bytearray:
    """Return a batch as a valid producer writes it."""
    builder = DefaultRecordBatchBuilder(
        magic=_MAGIC,
        compression_type=int(gzip),
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=MOST_BYTES,
    )
    for number, record in enumerate(records):
        builder.append(number, 0, record.key, record.value, list(record.headers))
    return bytearray(builder.build())


def sealed(batch: bytearray) -> bytes:
    """Return a changed batch with its correct checksum."""
    struct.pack_into(">I", batch, _CRC_AT, calc_crc32c(memoryview(batch)[_ATTRIBUTES_AT:]))
    return bytes(batch)


def with_codec(batch: bytes, codec: int) -> bytes:
    """Return a batch that claims to be compressed with *codec*, with a correct checksum."""
    changed = bytearray(batch)
    changed[_ATTRIBUTES_AT + 1] = changed[_ATTRIBUTES_AT + 1] & ~_CODEC_MASK | codec
    return sealed(changed)


def with_header_name_of_no_utf8(*records: Raw) -> bytes:
    """Return a batch in which each record has one more header, whose name is not UTF-8."""
    mark = b"\x08ZZZZ"  # the length of four, as it is written, and the name
    batch = batch_of([replace(one, headers=(*one.headers, ("ZZZZ", b"1"))) for one in records])
    assert batch.count(mark) == len(records)
    return sealed(batch.replace(mark, mark[:1] + b"\xff\xfe\xff\xfe"))


def with_broken_checksum(batch: bytes) -> bytes:
    """Return a batch whose checksum is wrong."""
    changed = bytearray(batch)
    changed[_CRC_AT] ^= 0xFF
    return bytes(changed)


async def produce(producer: AIOKafkaProducer, topic: str, partition: int, batch: bytes) -> int:
    """Send a batch to the leader as it is, and return the offset of its first record; raise KafkaError if refused."""
    leader = await leader_of(producer, topic, partition)
    request = ProduceRequest(
        transactional_id=None,
        required_acks=-1,
        timeout=int(_ASK_SECONDS * 1000),
        topics=[(topic, [(partition, batch)])],
    )
    async with asyncio.timeout(_ASK_SECONDS):
        answer = await producer.client.send(leader, request)
    ((_, ((_, code, offset, *_),)),) = answer.topics
    if code:
        raise for_code(code)
    return int(offset)


async def leader_of(producer: AIOKafkaProducer, topic: str, partition: int) -> int:
    """Return the id of the broker that leads a partition."""
    async with asyncio.timeout(_ASK_SECONDS):
        await producer.partitions_for(topic)
    return int(producer.client.cluster.leader_for_partition(TopicPartition(topic, partition)))


def spoil(log: Path, offset: int, change: Callable[[bytes], bytes]) -> None:
    """Rewrite the batch at *offset* in a broker's log file, as a failing disk might."""
    with log.open("r+b") as file:
        content = file.read()
        at = _position(content, offset)
        (length,) = struct.unpack_from(">i", content, at + 8)
        whole = content[at : at + 12 + length]
        changed = change(whole)
        assert len(changed) == len(whole)
        file.seek(at)
        file.write(changed)


def _position(content: bytes, offset: int) -> int:
    at = 0
    while at + 12 <= len(content):
        base, length = struct.unpack_from(">qi", content, at)
        if base == offset:
            return at
        at += 12 + length
    raise LookupError(f"no batch begins at {offset}")
