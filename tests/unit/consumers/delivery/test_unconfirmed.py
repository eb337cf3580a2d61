"""E-mails of which SES reports nothing for too long are counted."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry

from consumers.delivery.unconfirmed import Unconfirmed
from consumers.metrics import replica_metrics
from schemas.dispatch import Dispatch, Status
from tests.fakes.clock import FakeClock
from tests.unit.dispatches import COORDINATOR, FIRST_ID, MENTOR, changed, dispatch_of

HOUR = 3600.0


class Stage:
    """A tracker with its counter and clock."""

    def __init__(self, after_seconds: float = HOUR, most: int = 10) -> None:
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        counter = replica_metrics(self.registry).unconfirmed
        self.tracker = Unconfirmed(self.clock, counter, after_seconds=after_seconds, most=most)

    @property
    def counted(self) -> float | None:
        """Return the metric."""
        return self.registry.get_sample_value("pause_notifications_recipients_unconfirmed_total")


def sent_to_both(status: Status = Status.SENT) -> Dispatch:
    """Return a dispatch with two recipients."""
    return dispatch_of(*(changed(one, status=status) for one in (MENTOR, COORDINATOR)))


async def test_what_is_not_heard_of_in_time_is_counted_once() -> None:
    """Two were sent, and one was heard of."""
    stage = Stage()
    stage.tracker.sent(sent_to_both())
    stage.tracker.heard(FIRST_ID, "mentor-042")
    await stage.clock.advance(HOUR - 1)
    stage.tracker.count()
    assert 0 == stage.counted

    await stage.clock.advance(1)
    stage.tracker.count()
    stage.tracker.count()
    assert 1 == stage.counted


@pytest.mark.parametrize("status", [Status.FAILED, Status.SUPPRESSED, Status.UNKNOWN])
async def test_only_what_was_sent_is_awaited(status: Status) -> None:
    """SES reports nothing of what it never took."""
    stage = Stage()
    stage.tracker.sent(sent_to_both(status))

    assert 0 == len(stage.tracker)


async def test_memory_is_bounded() -> None:
    """Beyond the bound the oldest are forgotten."""
    stage = Stage(most=1)
    stage.tracker.sent(sent_to_both())

    assert 1 == len(stage.tracker)


async def test_without_feedback_nothing_is_awaited() -> None:
    """A replica without a queue would wait for ever."""
    stage = Stage(after_seconds=math.inf)
    stage.tracker.sent(sent_to_both())

    assert 0 == len(stage.tracker)
