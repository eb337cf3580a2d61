"""The account is read from time to time, and at once when SES says that its state has changed."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import replace

from prometheus_client import CollectorRegistry

from consumers.admission.account_monitor import AccountMonitor, Reading, hours_left
from consumers.admission.gate import Gate
from consumers.email import HaltReason
from consumers.metrics import replica_metrics
from consumers.ses.account import Account
from tests.fakes.clock import FakeClock

ACCOUNT = Account(14.0, 50_000, 10, sending_enabled=True, enforcement="HEALTHY", production_access=True)
PAUSED = Account(14.0, 50_000, 10, sending_enabled=False, enforcement="HEALTHY", production_access=True)


async def test_a_change_is_read_at_once() -> None:
    """The gate halts as soon as SES confirms that sending is disabled, and goes on when it is enabled again."""
    clock, account = FakeClock(), [ACCOUNT]
    gate = Gate(clock, max_in_flight=1, rate=1.0)

    async def read() -> Account:
        return account[0]

    metrics = replica_metrics(CollectorRegistry())
    monitor = AccountMonitor(read, gate, clock, metrics=metrics, interval_seconds=60)
    running = asyncio.create_task(monitor.run())
    await clock.advance(1)
    halts = [gate.halt]
    for account[0] in (PAUSED, ACCOUNT):
        await monitor.read_now()
        halts.append(gate.halt)

    assert [None, HaltReason.SENDING_PAUSED, None] == halts
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def test_one_burst_does_not_spend_a_day() -> None:
    """1,000 e-mails in the 70 seconds since the start are 1,000 an hour as far as anybody knows."""
    assert 24.0 == hours_left(24_000, [Reading(0, 500), Reading(70, 1500)])


def test_the_pace_is_that_of_the_last_hour() -> None:
    """The readings of an hour count, and older ones are forgotten."""
    readings = [Reading(minute * 60, minute * 10) for minute in range(61)]

    assert 10.0 == hours_left(6000, readings)
    assert math.inf == hours_left(6000, readings[:1])


async def test_readings_older_than_an_hour_are_forgotten() -> None:
    """An hour after a burst the quota is not used up any more."""
    clock, sent, registry = FakeClock(), [0], CollectorRegistry()

    async def read() -> Account:
        return replace(ACCOUNT, sent_last_24_hours=sent[0])

    gate = Gate(clock, max_in_flight=1, rate=1.0)
    monitor = AccountMonitor(read, gate, clock, metrics=replica_metrics(registry), interval_seconds=60)
    left = []
    for sent[0], seconds in ((0, 0), (40_000, 70), (40_000, 3601)):
        await clock.advance(seconds)
        await monitor.read_now()
        left.append(registry.get_sample_value("pause_notifications_quota_hours_left"))

    assert [math.inf, 0.25, math.inf] == left
