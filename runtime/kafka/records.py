"""A record as we hand it around: aiokafka's, but immutable, with its append time as an instant and its size."""

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
"""The end of the year 9999: a producer may write any time into its record."""


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
    """Bytes of key, value and headers, and what each header takes beside: what holding it costs."""

    @property
    def place(self) -> Place:
        """Return the topic's partition that it lies in."""
        return Place(self.topic, self.partition)

    @property
    def position(self) -> Position:
        """Return topic, partition and offset."""
        return Position(self.topic, self.partition, self.offset)

    @property
    def origin(self) -> Origin:
        """Return where it lies, as the contract writes it."""
        return Origin(topic=self.topic, partition=self.partition, offset=self.offset, appended_at=self.appended_at)


def from_consumer_record(record: Any) -> Record:
    """Turn aiokafka's ConsumerRecord into ours."""
    size = len(record.key or b"") + len(record.value or b"") + _HEADER_BYTES * len(record.headers)
    size += sum(len(name) + len(value or b"") for name, value in record.headers)
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=record.headers,
        appended_at=from_epoch_ms(min(max(record.timestamp, 0), _LATEST_MS)),
        size=size,
    )
