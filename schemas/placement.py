"""Where a record belongs: its topic, its key and its partition."""

from __future__ import annotations

from typing import NamedTuple

from schemas.events import Event

DEFAULT_PARTITIONS = 12
"""How many partitions the topics get if the operator does not choose."""
MOST_PARTITIONS = 10_000
"""How many a topic may have whose records are checked."""

_MASK = 0xFFFF_FFFF
_FACTOR = 0x5BD1_E995
_SEED = 0x9747_B28C
_POSITIVE = 0x7FFF_FFFF  # Java takes the sign bit away


class Placement(NamedTuple):
    """Topic, partition and key of a record."""

    topic: str
    partition: int
    key: bytes | None


def placement_of(event: Event, partitions: int) -> Placement:
    """Return where an event's record belongs; the topic is without a namespace."""
    return Placement(event.kind.topic, partition_for(event.mentor_id, partitions), event.mentor_id.encode())


def partition_for(key: str, partitions: int) -> int:
    """Return the partition of a key: murmur2 of its UTF-8 bytes, as Java's default partitioner (KIP-480) chooses it."""
    return (murmur2(key.encode()) & _POSITIVE) % partitions


def murmur2(key: bytes) -> int:
    """Return Kafka's variant of the 32-bit murmur2 hash, unsigned. The contract imports no Kafka client for it."""
    hashed = _SEED ^ len(key)
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * _FACTOR & _MASK
        word = (word ^ word >> 24) * _FACTOR & _MASK
        hashed = hashed * _FACTOR & _MASK ^ word
    if whole < len(key):
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * _FACTOR & _MASK
    hashed = (hashed ^ hashed >> 13) * _FACTOR & _MASK
    return hashed ^ hashed >> 15
