"""Warn of too many e-mails to one recipient in an hour; none is held back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from consumers.delivery.recipient_limit import HOUR_SECONDS, MAX_RECIPIENTS, RecipientLimit
from consumers.metrics import replica_metrics
from schemas.dispatch import Status
from tests.fakes.clock import FakeClock
from tests.unit.consumers.stage import Stage, a_stage, event_of

LIMIT = 3


class Counted:
    """A limit of three e-mails an hour, and its warnings."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self._registry = CollectorRegistry()
        beyond = replica_metrics(self._registry).beyond_recipient_limit
        self.limit = RecipientLimit(self.clock, beyond, emails_per_hour=LIMIT)

    def send(self, times: int, contact_id: str = "mentor-042", source: str = "/tests") -> list[Any]:
        """Count e-mails and return the warnings about them."""
        with capture_logs() as logs:
            for _ in range(times):
                self.limit.sent(contact_id, source=source, caller=None)
        return [line for line in logs if line["log_level"] == "warning"]

    def beyond(self, source: str = "/tests") -> float | None:
        """Return how many e-mails were counted as beyond the limit."""
        name = "pause_notifications_emails_beyond_recipient_limit_total"
        return self._registry.get_sample_value(name, {"source": source})


@pytest.fixture(name="counted")
def _counted() -> Counted:
    return Counted()


def test_there_is_no_warning_up_to_the_limit(counted: Counted) -> None:
    """E-mails up to the limit cause no warning."""
    assert [] == counted.send(LIMIT)
    assert counted.beyond() is None


def test_one_warning_names_source_and_contact(counted: Counted) -> None:
    """20,000 e-mails to one person make one warning, with the contact's id and the source, and are all counted."""
    (warning,) = counted.send(20_000)

    assert "recipient.limit_passed" == warning["event"]
    assert "mentor-042" == warning["contact"]
    assert "/tests" == warning["source"]
    assert 20_000 - LIMIT == counted.beyond()


def test_each_recipient_is_counted_separately(counted: Counted) -> None:
    """E-mails to one recipient do not count for another."""
    assert [] == [line for number in range(100) for line in counted.send(LIMIT, f"mentor-{number}")]


async def test_the_count_restarts_after_an_hour(counted: Counted) -> None:
    """After an hour both the count and the warning restart."""
    counted.send(LIMIT + 1)
    await counted.clock.advance(HOUR_SECONDS)

    assert [] == counted.send(LIMIT)
    assert 1 == len(counted.send(5))


def test_memory_is_bounded(counted: Counted) -> None:
    """The number of counted recipients is bounded, and one who is sent to often is not forgotten."""
    for number in range(3 * MAX_RECIPIENTS):
        counted.limit.sent(f"mentor-{number}", source="/tests", caller=None)
        if number % (MAX_RECIPIENTS // 2) == 0:
            counted.limit.sent("flooded", source="/flood", caller=None)

    assert MAX_RECIPIENTS == len(counted.limit._hours)
    assert 6 - LIMIT == counted.beyond("/flood")


@pytest.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    """Yield a partition with a limit of three e-mails an hour."""
    async with a_stage(recipient_emails_per_hour=LIMIT) as stage:
        yield stage


async def test_emails_beyond_the_limit_are_reported_and_sent(stage: Stage) -> None:
    """E-mails beyond the limit are counted for mentor and coordinator, by their source, and sent all the same."""
    records = [stage.append(event_of(event_id=str(number), source="/loop")) for number in range(LIMIT + 2)]
    with capture_logs() as logs:
        await stage.process(*records)

    warned = [line["contact"] for line in logs if line["event"] == "recipient.limit_passed"]
    assert ["mentor-042", "coordinator-007"] == warned
    assert 4 == stage.sample("emails_beyond_recipient_limit_total", source="/loop")
    assert [{Status.SENT}] * len(records) == [
        {recipient.status for recipient in dispatch.recipients} for dispatch in stage.dispatches if dispatch.final
    ]
