"""When a facade says that calls may come."""

from __future__ import annotations

from runtime.kafka.descriptions import Right
from runtime.kafka.rights import Missing
from tests.fakes.facade import fake_facade


async def test_without_a_right_calls_go_elsewhere() -> None:
    """A facade that Kafka would not let publish is not ready, and says which right it lacks."""
    async with fake_facade() as setup:
        before = setup.facade.ready().ok
        setup.facade.rights.missing = (Missing(Right.WRITE, "topic", "mentor.pauses.v1"),)
        told = setup.facade.ready()

    assert (True, False) == (before, told.ok)
    assert ["Write on topic mentor.pauses.v1"] == told.detail["missing_rights"]
