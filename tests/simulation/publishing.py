"""A publisher whose records are acknowledged late, refused, or appended without an acknowledgement."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Unpack, cast

from runtime.kafka.publisher import Content, NotPublished, Published, PublishError, PublishUnknown
from runtime.kafka.records import Place, Record
from tests.simulation.faults import Faults
from tests.simulation.kafka import Logs
from tests.simulation.wire import Request, Wire

RECORD_DEADLINE_SECONDS = 0.3


class SimulatedPublisher:
    """Publishes to the logs for one program; a Publisher."""

    def __init__(self, program: str, logs: Logs, wire: Wire, faults: Faults, on_failure: Callable[[], None]) -> None:
        self._program = program
        self._logs = logs
        self._wire = wire
        self._faults = faults
        self._on_failure = on_failure

    async def publish(self, topic: str, partition: int, **content: Unpack[Content]) -> Published:
        """Write a record. Raises NotPublished or PublishUnknown."""
        place, headers = Place(topic, partition), content.get("headers", ())
        append = partial(self._logs.append, place, content["key"], content["value"], headers, self._program)
        late = PublishUnknown("no answer in time")
        arrive, deadline = partial(self._arrive, append), RECORD_DEADLINE_SECONDS
        try:
            answer = await self._wire.ask(self._faults.latency(), arrive, deadline=deadline, late=late)
        except PublishError:
            self._on_failure()
            raise
        return cast(Published, answer)

    def _arrive(self, append: partial[Record], request: Request) -> None:
        faults, rates = self._faults, self._faults.rates
        if faults.chance(rates.publish_fails):
            self._wire.answer(faults.latency(), request, NotPublished("no leader can be reached"))
            return
        unknown = faults.chance(rates.publish_unknown)
        if unknown and faults.chance(0.3):
            return
        record = append()
        if unknown:
            return
        published = Published(record.topic, record.partition, record.offset, record.appended_at)
        self._wire.answer(faults.latency(), request, published)
