"""Which partition a mentor's, or a contact's, records belong in."""

from __future__ import annotations

from aiokafka.partitioner import murmur2

_POSITIVE = 0x7FFF_FFFF  # Java takes the sign bit away


def partition_for(key: str, partitions: int) -> int:
    """Return the partition of a key: murmur2 of its UTF-8 bytes, as Java's default partitioner (KIP-480) chooses it."""
    return int(murmur2(key.encode()) & _POSITIVE) % partitions
