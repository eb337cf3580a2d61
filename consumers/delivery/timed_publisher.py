"""A publisher that measures: how long Kafka takes, and how far its clock is from ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Unpack

from runtime.clock import Clock
from runtime.kafka.publisher import Content, Published, Publisher
from schemas.times import from_epoch_ms

_WEIGHT = 0.1
"""Of the newest measure of the clocks. Each one is late by the way of an acknowledgement."""
_NO_TIME = from_epoch_ms(0)


@dataclass
class TimedPublisher:
    """A Publisher around another one. It reports the skew after each record: the brokers' clock less ours, smoothed."""

    publisher: Publisher
    clock: Clock
    on_skew: Callable[[float], object]
    _skew: float | None = field(default=None, init=False)
    _took: list[float] = field(default_factory=list, init=False)

    async def publish(self, topic: str, partition: int, **content: Unpack[Content]) -> Published:
        """Write a record as the other one does."""
        began = self.clock.monotonic()
        try:
            published = await self.publisher.publish(topic, partition, **content)
        finally:
            self._took.append(self.clock.monotonic() - began)
        if published.appended_at > _NO_TIME:
            self._note_skew((published.appended_at - self.clock.now()).total_seconds())
        return published

    def _note_skew(self, seconds: float) -> None:
        self._skew = seconds if self._skew is None else self._skew + _WEIGHT * (seconds - self._skew)
        self.on_skew(self._skew)

    def mean_seconds(self) -> float:
        """Return how long a publish took on average since the last call; 0 if there was none."""
        took, self._took = self._took, []
        return sum(took) / len(took) if took else 0.0
