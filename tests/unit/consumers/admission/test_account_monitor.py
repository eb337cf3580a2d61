"""The account is read from time to time, and at once when SES says that its state has changed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from prometheus_client import CollectorRegistry

from consumers.admission.account_monitor import AccountMonitor
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
