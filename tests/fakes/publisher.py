"""A publisher in memory, whose failures a test chooses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.kafka.publisher import MAX_RECORD_BYTES, Published, PublishError, TooLarge
from runtime.kafka.records import Place, Record
from tests.fakes.kafka_log import FakeLog


@dataclass(frozen=True)
class Failure:
    """The failure of one publish: an error, and whether the record is in the log anyway."""

    error: PublishError
    durable: bool = False


def _nothing(_record: Record) -> None:
    """Ignore the record."""


class FakePublisher:
    """
    A Publisher that writes to a FakeLog, unless a test chooses a failure.

    It calls *replica* with every durable record before it acknowledges the record: so what the replica writes may
    arrive before the acknowledgement, as with a real replica.
    """

    def __init__(self, log: FakeLog) -> None:
        self._log = log
        self._next: deque[Failure] = deque()
        self.records: list[Record] = []
        self.replica: Callable[[Record], None] = _nothing
        self.connected = True

    def will_fail(self, *failures: Failure) -> None:
        """Let the next publishes fail with *failures*, in order."""
        self._next.extend(failures)

    async def publish(
        self,
        topic: str,
        partition: int,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> Published:
        """Write a record, or fail as chosen; never write a record that is too large."""
        size = (
            len(key or b"") + len(value or b"") + sum(len(name.encode()) + len(text or b"") for name, text in headers)
        )
        if size > MAX_RECORD_BYTES:
            raise TooLarge(f"{size} bytes, at most {MAX_RECORD_BYTES} are written")
        failure = self._next.popleft() if self._next else None
        if failure is not None and not failure.durable:
            raise failure.error
        place = Place(topic, partition)
        published = self._log.append(place, key=key, value=value, headers=headers)
        record = self._log.records[place][published.offset]
        self.records.append(record)
        self.replica(record)
        if failure is not None:
            raise failure.error
        return published
