"""When a facade is ready."""

from __future__ import annotations

from runtime.kafka.descriptions import Right
from runtime.kafka.rights import Missing
from tests.fakes.facade import fake_facade
from tests.readiness_fields import documented


async def test_a_missing_right_makes_it_unready() -> None:
    """A facade without the right to publish is not ready, and names the missing right."""
    async with fake_facade() as setup:
        before = setup.facade.ready().ok
        setup.facade.rights.missing = (Missing(Right.WRITE, "topic", "mentor.pauses.v1"),)
        told = setup.facade.ready()

    assert before
    assert not told.ok
    assert ["Write on topic mentor.pauses.v1"] == told.detail["missing_rights"]


async def test_the_metrics_say_the_same() -> None:
    """A scrape tells whether the facade is ready and Kafka answers."""
    async with fake_facade() as setup:
        read = setup.facade.metrics.registry.get_sample_value
        before = read("pause_notifications_ready"), read("pause_notifications_kafka_connected")
        setup.publisher.connected, setup.facade.connection.unanswered = False, 1
        after = read("pause_notifications_ready"), read("pause_notifications_kafka_connected")

    assert [(1, 1), (0, 0)] == [before, after]


async def test_every_field_of_the_probe_is_explained() -> None:
    """The deploy document has a row for each field of a facade, and for no other."""
    async with fake_facade() as setup:
        setup.facade.connection.trouble.cause = "nobody listens"

        assert documented("facade") == {"ok", *setup.facade.ready().detail}
