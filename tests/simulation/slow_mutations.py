"""Planted bugs of slow sources: see `mutations`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from consumers.admission.gate import Permit
from consumers.admission.weighted_queue import WeightedQueue
from consumers.assignment.lanes import Lanes
from consumers.delivery.slow_sources import SlowSources
from runtime.kafka.records import Place


def slow_is_overtaken() -> AbstractContextManager[Any]:
    """Process first what waits behind a slow event in its lane."""
    enter = SlowSources.enter

    async def overtaken(self: SlowSources, work: Any, permit: Permit) -> None:
        lane = work.assignment.lanes._lanes[work.record.key]
        if work.event.source in self.sources and any(map(self._hastens, work.assignment.lanes.behind(work.record))):
            lane.rotate(-1)
            await work.assignment._process(lane[0], work.assignment)
            lane.rotate(1)
        await enter(self, work, permit)

    return patch.object(SlowSources, "enter", overtaken)


def parked_is_committed() -> AbstractContextManager[Any]:
    """Commit past what is parked: it only waits."""
    watermark = Lanes.watermark

    def past(self: Lanes, place: Place) -> int:
        return self._next[place] if self.parked_of(place) else watermark(self, place)

    return patch.object(Lanes, "watermark", past)


def hastened_is_forgotten() -> AbstractContextManager[Any]:
    """Remove a slow permit that is to be hastened, and add it to no queue."""

    def hasten(self: WeightedQueue, permit: Permit, _now: float) -> None:
        self._slow.leave(permit)

    return patch.object(WeightedQueue, "hasten", hasten)
