"""A publisher whose records are acknowledged late, refused, or lie in the log although it never hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from runtime.kafka.publisher import NotPublished, Published, PublishUnknown
from runtime.kafka.records import Place, Record
from tests.simulation.faults import Weather
from tests.simulation.kafka import Logs
from tests.simulation.wire import Request, Wire

RECORD_DEADLINE_SECONDS = 0.3


class SimulatedPublisher:
    """Publishes to the logs for one program; a Publisher."""

    def __init__(self, program: str, logs: Logs, wire: Wire, weather: Weather) -> None:
        self._program = program
        self._logs = logs
        self._wire = wire
        self._weather = weather

    async def publish(
        self,
        topic: str,
        partition: int,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> Published:
        """Write a record; raises NotPublished or PublishUnknown."""
        append = partial(self._logs.append, Place(topic, partition), key, value, headers, self._program)
        late = PublishUnknown("no answer in time")
        answer = await self._wire.ask(
            self._weather.latency(), partial(self._arrive, append), deadline=RECORD_DEADLINE_SECONDS, late=late
        )
        return cast(Published, answer)

    def _arrive(self, append: partial[Record], request: Request) -> None:
        weather, climate = self._weather, self._weather.climate
        if weather.chance(climate.publish_fails):
            self._wire.answer(weather.latency(), request, NotPublished("no leader can be reached"))
            return
        unknown = weather.chance(climate.publish_unknown)
        if unknown and weather.chance(0.3):
            return
        record = append()
        if unknown:
            return
        published = Published(record.topic, record.partition, record.offset, record.appended_at)
        self._wire.answer(weather.latency(), request, published)
