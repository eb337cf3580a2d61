"""A record as our code passes it around: immutable, with its append time and its size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from schemas.dispatch import Origin
from schemas.headers import Headers
from schemas.positions import Position
from schemas.times import from_epoch_ms

_HEADER_BYTES = 64
_LATEST_MS = 253_402_300_799_999
"""The end of the year 9999: a producer may write any timestamp into its record."""


class Place(NamedTuple):
    """A topic's partition."""

    topic: str
    partition: int

    def __str__(self) -> str:
        """Return it as Kafka's own logs write it."""
        return f"{self.topic}-{self.partition}"


@dataclass(frozen=True, slots=True)
class Record:
    """One record read from a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    appended_at: datetime
    size: int
    """Bytes of memory that holding the record takes: key, value, headers, and overhead for each header."""

    @property
    def place(self) -> Place:
        """Return its topic and partition."""
        return Place(self.topic, self.partition)

    @property
    def position(self) -> Position:
        """Return topic, partition and offset."""
        return Position(self.topic, self.partition, self.offset)

    @property
    def origin(self) -> Origin:
        """Return its position, in the form of the contract."""
        return Origin(topic=self.topic, partition=self.partition, offset=self.offset, appended_at=self.appended_at)


def from_consumer_record(record: Any) -> Record:
    """Turn aiokafka's ConsumerRecord into ours."""
    return record_of(Place(record.topic, record.partition), record)


def record_of(place: Place, record: Any) -> Record:
    """Turn a record of a batch into ours."""
    size = len(record.key or b"") + len(record.value or b"") + _HEADER_BYTES * len(record.headers)
    size += sum(len(name) + len(value or b"") for name, value in record.headers)
    return Record(
        topic=place.topic,
        partition=place.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=record.headers,
        appended_at=from_epoch_ms(min(max(record.timestamp, 0), _LATEST_MS)),
        size=size,
    )
