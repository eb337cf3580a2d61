"""What a replica learns of Kafka from each record that it writes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from consumers.delivery.timed_publisher import TimedPublisher
from runtime.kafka.publisher import NotPublished, Published
from tests.fakes.clock import FakeClock


class _Broker:
    """A publisher whose clock is *ahead*, and that takes *seconds*; it fails if it takes ten."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.seconds = 0.0
        self.ahead = 0.0

    async def publish(self, topic: str, partition: int, **_record: object) -> Published:
        """Write nothing."""
        await self.clock.advance(self.seconds)
        if self.seconds >= 10:
            raise NotPublished("too late")
        return Published(topic, partition, 0, self.clock.now() + timedelta(seconds=self.ahead))


async def test_the_brokers_clock() -> None:
    """The skew is the append time less our own time, and one late answer moves it by a tenth."""
    clock, skews = FakeClock(), list[float]()
    broker = _Broker(clock)
    publisher = TimedPublisher(broker, clock, skews.append)
    for broker.ahead in (1200.0, 1200.0, 1190.0):
        await publisher.publish("topic", 0, key=None, value=b"")

    assert [1200.0, 1200.0, 1199.0] == skews


async def test_how_long_kafka_takes() -> None:
    """The mean is that of the publishes since it was asked last, those that failed among them."""
    clock = FakeClock()
    broker = _Broker(clock)
    publisher = TimedPublisher(broker, clock, lambda _seconds: None)
    for broker.seconds in (1.0, 3.0):
        await publisher.publish("topic", 0, key=None, value=b"")
    means = [publisher.mean_seconds(), publisher.mean_seconds()]
    broker.seconds = 10.0
    with pytest.raises(NotPublished):
        await publisher.publish("topic", 0, key=None, value=b"")

    assert [2.0, 0.0, 10.0] == [*means, publisher.mean_seconds()]
