"""Asks SES about the account now and then: the gate learns its rate and state, the day's quota is foreseen."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from consumers.admission.gate import Gate
from consumers.email import EmailError
from consumers.metrics import Metrics
from consumers.ses.account import Account, halt_of
from runtime.clock import Clock

log = structlog.get_logger(__name__)

_FORESEEN_FROM_SECONDS = 300.0
"""How far back the present pace is looked for."""
_ASK_AGAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Reading:
    """What the account had sent in the 24 hours before a monotonic time."""

    at: float
    sent: float


def hours_left(left: float, readings: Sequence[Reading]) -> float:
    """
    Return the hours until *left* e-mails are used up at the pace of the readings, infinite where they will not be.

    The window slides: what it grew by is what everybody sent from the account, less what is a day old by now.
    """
    if left <= 0:
        return 0.0
    grown = readings[-1].sent - readings[0].sent
    return left / grown * (readings[-1].at - readings[0].at) / 3600 if grown > 0 else math.inf


class AccountMonitor:
    """Keeps the gate at what the account allows."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Account]],
        gate: Gate,
        clock: Clock,
        *,
        metrics: Metrics,
        interval_seconds: float,
    ) -> None:
        self._read = read
        self._gate = gate
        self._clock = clock
        self._metrics = metrics
        self._interval = interval_seconds
        self._readings: deque[Reading] = deque()
        for unknown_yet in (metrics.quota_left, metrics.quota_hours_left):
            unknown_yet.set(math.nan)

    async def run(self) -> None:
        """Ask at once and then each interval, sooner where there was no answer, until cancelled."""
        sooner = _ASK_AGAIN_SECONDS
        while True:
            if await self._ask():
                sooner = _ASK_AGAIN_SECONDS
                await self._clock.sleep(self._interval)
            else:
                # Replicas that start together ask together, and SES takes one question a second from all of them.
                await self._clock.sleep(min(sooner, self._interval))
                sooner *= 2

    async def _ask(self) -> bool:
        try:
            account = await self._read()
        except EmailError as error:
            # The last rate known goes on: who may not ask may still send, and sends tell themselves where they may not.
            log.warning("account.unreadable", error=type(error).__name__, detail=str(error))
            return False
        self._gate.set_account_rate(account.max_send_rate)
        halt = halt_of(account)
        if halt is None:
            self._gate.resume("account")
        else:
            self._gate.halt_for("account", halt)
        self._foresee(account)
        return True

    def _foresee(self, account: Account) -> None:
        now, most = self._clock.monotonic(), account.max_24_hour_send
        self._readings.append(Reading(now, account.sent_last_24_hours))
        while now - self._readings[0].at > max(_FORESEEN_FROM_SECONDS, self._interval * 2):
            self._readings.popleft()
        left = math.inf if most is None else max(most - account.sent_last_24_hours, 0.0)
        self._metrics.quota_left.set(left)
        self._metrics.quota_hours_left.set(hours_left(left, self._readings))
